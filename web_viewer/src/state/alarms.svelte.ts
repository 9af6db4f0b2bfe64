/** What asks for attention: machines that are down, signals that went bad, connections that are lost; and marks of this person. */
import type { ConnectorStatus, NodeDoc, SignalValue } from "../protocol/messages.gen";
import { baseName, qualityName } from "../ui/format";

export interface Alarm {
  key: string;
  severity: "error" | "warning";
  /** Prim path; empty for a connection. */
  path: string;
  text: string;
  /** [ms UTC] ``end`` is null while it lasts. */
  begin: number;
  end: number | null;
  seen: boolean;
}

const KEPT = 400;
const DOWN = 5;

/** Alarms since the page was opened, newest first. */
export class Alarms {
  list = $state.raw<Alarm[]>([]);
  private readonly active = new Map<string, Alarm>();
  private known = false;

  get open(): Alarm[] {
    return this.list.filter((a) => a.end === null);
  }

  get unseen(): number {
    return this.list.reduce((n, a) => n + Number(!a.seen), 0);
  }

  acknowledge(alarm?: Alarm): void {
    this.list = this.list.map((a) => (!alarm || a.key === alarm.key ? { ...a, seen: true } : a));
    for (const a of this.list) if (a.end === null) this.active.set(idOf(a), a);
  }

  onNodes(nodes: readonly NodeDoc[], states: readonly number[], now: number): void {
    nodes.forEach((node, i) => this.set(`down ${node.path}`, states[i] === DOWN, now, "error", node.path, `${baseName(node.path)} is down`));
    this.known = true;
  }

  onSignals(values: readonly SignalValue[], now: number): void {
    for (const [prim, name, , quality] of values) {
      const bad = quality >>> 31 === 1;
      this.set(`bad ${prim}:${name}`, bad, now, "warning", prim, `${baseName(prim)} ${name}: ${qualityName(quality)}`);
    }
  }

  onConnectors(connections: readonly ConnectorStatus[], now: number): void {
    for (const c of connections) this.set(`link ${c.name}`, c.state !== "live" && c.state !== "connecting", now, "error", "", `Connection ${c.name} is ${c.state}${c.error ? `: ${c.error}` : ""}`);
  }

  private set(id: string, on: boolean, now: number, severity: Alarm["severity"], path: string, text: string): void {
    const active = this.active.get(id);
    if (on && !active) {
      const alarm: Alarm = { key: `${id} ${now}`, severity, path, text, begin: now, end: null, seen: !this.known };
      this.active.set(id, alarm);
      this.list = [alarm, ...this.list].slice(0, KEPT);
    } else if (!on && active) {
      this.active.delete(id);
      this.list = this.list.map((a) => (a.key === active.key ? { ...a, end: now } : a));
    }
  }
}

const idOf = (alarm: Alarm): string => alarm.key.slice(0, alarm.key.lastIndexOf(" "));

export interface Mark {
  /** [ms UTC] */
  time: number;
  name: string;
}

/** Moments that this person wants to find again; kept in this browser, for each stage. */
export class Marks {
  list = $state.raw<Mark[]>([]);

  constructor(
    private readonly stage: () => string,
    /** The moment that is shown. */
    private readonly moment: () => number,
  ) {}

  load(): void {
    try {
      const kept: unknown = JSON.parse(localStorage.getItem(`twin.marks ${this.stage()}`) ?? "[]");
      this.list = Array.isArray(kept) ? (kept as Mark[]).filter((m) => Number.isFinite(m.time) && typeof m.name === "string") : [];
    } catch {
      // Written by hand or by another version: begin with none.
      this.list = [];
    }
  }

  add(name = ""): Mark {
    const mark = { time: this.moment(), name: name || `Mark ${this.list.length + 1}` };
    this.keep([...this.list, mark].sort((a, b) => a.time - b.time));
    return mark;
  }

  remove(mark: Mark): void {
    this.keep(this.list.filter((m) => m !== mark));
  }

  private keep(list: Mark[]): void {
    this.list = list;
    localStorage.setItem(`twin.marks ${this.stage()}`, JSON.stringify(list.slice(-100)));
  }
}
