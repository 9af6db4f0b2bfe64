/** What asks for attention, as the server keeps it for everybody: alarms, who has acknowledged them, limits of signals. */
import { msOfNs } from "../net/http";
import * as net from "../net/attention";
import type { AlarmDoc } from "../protocol/messages.gen";
import { signalKey } from "./live.svelte";

export interface Alarm {
  id: number;
  kind: string;
  severity: string;
  /** Prim path; empty for a connection. */
  path: string;
  text: string;
  /** [ms UTC] ``end`` is null while it lasts. */
  begin: number;
  end: number | null;
  /** Who has acknowledged it, and when [ms UTC]; null: nobody yet. */
  acked: { by: string; at: number } | null;
}

const KEPT = 400;

export function alarmOf(doc: net.AlarmRow | AlarmDoc): Alarm {
  const { id, kind, severity, path, text } = doc;
  const [end, at] = [msOfNs(doc.end_ns), msOfNs(doc.acked_ns)];
  return { id, kind, severity, path, text, begin: msOfNs(doc.begin_ns), end: end || null, acked: at ? { by: doc.acked_by, at } : null };
}

/** ``list`` with those of ``changed`` in it, newest first. */
export function merged(list: readonly Alarm[], changed: readonly Alarm[]): Alarm[] {
  const anew = new Map(changed.map((a) => [a.id, a]));
  return [...changed, ...list.filter((a) => !anew.has(a.id))].sort((a, b) => b.id - a.id).slice(0, KEPT);
}

/** What of the session alarms need. */
interface Crew {
  readonly me: { session: string } | null;
  problem(text: string): void;
}

export class Alarms {
  /** Newest first. */
  list = $state.raw<Alarm[]>([]);
  limits = $state.raw<ReadonlyMap<string, net.LimitRow>>(new Map());

  constructor(private readonly crew: Crew) {}

  get open(): Alarm[] {
    return this.list.filter((a) => a.end === null);
  }

  /** Nobody has acknowledged them. */
  get unseen(): number {
    return this.list.reduce((n, a) => n + Number(a.acked === null), 0);
  }

  limitOf(prim: string, name: string): net.LimitRow | undefined {
    return this.limits.get(signalKey(prim, name));
  }

  /** Fetch what was before this page, and what a lost connection kept from it. */
  follow(): void {
    const before = new Set(this.list);
    void this.try(async () => {
      const fetched = (await net.getAlarms()).map(alarmOf);
      // what came meanwhile may be newer than the answer
      this.list = merged(fetched, this.list.filter((a) => !before.has(a)));
    });
    this.limitsChanged();
  }

  limitsChanged(): void {
    void this.try(async () => (this.limits = new Map((await net.getLimits()).map((limit) => [signalKey(limit.prim, limit.name), limit]))));
  }

  /** Prims have other names now; the server's own answer follows. */
  moved(now: (path: string) => string): void {
    this.limits = new Map([...this.limits.values()].map((limit) => [signalKey(now(limit.prim), limit.name), { ...limit, prim: now(limit.prim) }]));
  }

  changed(docs: readonly AlarmDoc[]): void {
    this.list = merged(this.list, docs.map(alarmOf));
  }

  /** One has seen this alarm; without one, all. The server tells everybody. */
  acknowledge(alarm?: Alarm): Promise<void> {
    return this.try(() => net.acknowledge(alarm ? [alarm.id] : [], this.crew.me?.session ?? ""));
  }

  setLimit(prim: string, name: string, low: number | null, high: number | null): Promise<void> {
    return this.try(() => net.setLimit({ prim, name, low, high, session: this.crew.me?.session ?? "" }));
  }

  private async try(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.crew.problem(error instanceof Error ? error.message : String(error));
    }
  }
}
