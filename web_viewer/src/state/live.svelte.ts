/** The running twin: clock, signals, node states, key figures, connectors. */
import { formatValue } from "../ui/format";
import type { Clock, ConnectorStatus, Kpi, NodeStates, SignalBatch, SignalValue } from "../protocol/messages.gen";

/** Samples kept per signal in the browser. */
const SIGNAL_POINTS = 4000;
/** Points kept per key figure. */
const KPI_POINTS = 240;
/** Panels are told of new values at most this often [ms]: numbers that change faster cannot be read, and cost each picture. */
const TELL_EVERY_MS = 500;
const SECOND_MS = 1000;

/** A column of times [ms UTC, or simulated seconds for key figures] and one of values; null is a gap. */
export interface Track {
  time: number[];
  value: (number | null)[];
  quality: number[];
}

const emptyTrack = (): Track => ({ time: [], value: [], quality: [] });

export interface LatestSignal {
  value: unknown;
  quality: number;
  /** ms UTC */
  time: number;
  origin: string;
}

export const signalKey = (prim: string, name: string): string => `${prim}:${name}`;

/** A signal's key after its prim has got another name. */
export const keyMoved = (key: string, now: (path: string) => string): string => {
  const at = key.indexOf(":");
  return now(key.slice(0, at)) + key.slice(at);
};

/** A value as a number a chart can show; null where there is none. */
export function chartable(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "boolean") return value ? 1 : 0;
  if (typeof value === "bigint") return Number(value);
  return null;
}

export class LiveStore {
  clock = $state.raw<Clock | null>(null);
  nodes = $state.raw<NodeStates | null>(null);
  connectors = $state.raw<ConnectorStatus[]>([]);
  kpis = $state.raw<ReadonlyMap<string, Kpi>>(new Map());
  /** Raised, at most twice a second, when signals or key figures changed. */
  tick = $state(0);
  /** As ``tick``, at full seconds only: for what need not be quicker, all together, since each change outside the picture has the whole page composed. */
  second = $state(0);

  readonly latest = new Map<string, LatestSignal>();
  readonly tracks = new Map<string, Track>();
  readonly kpiTracks = new Map<string, Track>();

  private telling = false;
  private secondAt = 0;
  /** Something changed since the last second. */
  private untold = false;
  private nextClock: Clock | null = null;
  private nextKpis: Kpi[] | null = null;

  /** What somebody did to the clock shows at once, that it runs on with the next second. */
  onClock(clock: Clock): void {
    const shown = this.clock;
    if (clock.state === "running" && shown?.state === "running" && clock.rate === shown.rate && clock.sim_time >= shown.sim_time) {
      this.nextClock = clock;
      return this.tell();
    }
    this.nextClock = null;
    this.clock = clock;
  }

  onSignals(batch: SignalBatch): void {
    for (const sample of batch.values) this.take(sample);
    this.tell();
  }

  private take([prim, name, value, quality, timeNs, origin]: SignalValue): void {
    const key = signalKey(prim, name);
    const time = timeNs / 1e6;
    this.latest.set(key, { value, quality, time, origin });
    const track = this.track(key);
    // Charts need rising times; a late sample of the past is in the history, not here.
    if (track.time.length > 0 && time <= track.time[track.time.length - 1]) return;
    push(track, time, quality >>> 31 ? null : chartable(value), quality, SIGNAL_POINTS);
  }

  track(key: string): Track {
    let track = this.tracks.get(key);
    if (!track) this.tracks.set(key, (track = emptyTrack()));
    return track;
  }

  /** Prims have other names now: their values go along. */
  moved(now: (path: string) => string): void {
    for (const values of [this.latest, this.tracks] as Map<string, unknown>[]) {
      for (const [key, value] of [...values]) {
        const next = keyMoved(key, now);
        if (next === key) continue;
        values.delete(key);
        if (!values.has(next)) values.set(next, value);
      }
    }
  }

  /** Put history in front of what has arrived live. */
  prepend(key: string, history: Track): void {
    const track = this.track(key);
    const first = track.time[0] ?? Infinity;
    const n = history.time.findIndex((t) => t >= first);
    const end = n < 0 ? history.time.length : n;
    track.time.unshift(...history.time.slice(0, end));
    track.value.unshift(...history.value.slice(0, end));
    track.quality.unshift(...history.quality.slice(0, end));
    this.tell();
  }

  onKpis(simTime: number, values: Kpi[]): void {
    if (this.kpis.size > 0) this.nextKpis = values;
    else this.kpis = new Map(values.map((k) => [k[0], k]));
    for (const [name, value] of values) {
      if (name.startsWith("/")) continue;
      let track = this.kpiTracks.get(name);
      if (!track) this.kpiTracks.set(name, (track = emptyTrack()));
      const last = track.time.at(-1);
      if (last !== undefined && simTime < last) this.kpiTracks.set(name, (track = emptyTrack()));
      else if (last === simTime) continue;
      push(track, simTime, value, 0, KPI_POINTS);
    }
    this.tell();
  }

  /** At the next half second of the wall clock. */
  private tell(): void {
    this.untold = true;
    if (this.telling) return;
    this.telling = true;
    setTimeout(() => this.told(), TELL_EVERY_MS - (Date.now() % TELL_EVERY_MS));
  }

  private told(): void {
    const now = Date.now();
    this.telling = false;
    this.tick++;
    // Where timers are held back, as of a page in the background, none may come in the first half of a second.
    if (now % SECOND_MS >= TELL_EVERY_MS && now - this.secondAt <= SECOND_MS) {
      if (this.untold) this.tell();
      return;
    }
    this.secondAt = now;
    this.untold = false;
    this.second++;
    if (this.nextClock) this.clock = this.nextClock;
    if (this.nextKpis) this.kpis = new Map(this.nextKpis.map((k) => [k[0], k]));
    this.nextClock = this.nextKpis = null;
  }
}

function push(track: Track, time: number, value: number | null, quality: number, limit: number): void {
  track.time.push(time);
  track.value.push(value);
  track.quality.push(quality);
  if (track.time.length > limit * 1.2) {
    const surplus = track.time.length - limit;
    track.time.splice(0, surplus);
    track.value.splice(0, surplus);
    track.quality.splice(0, surplus);
  }
}

/** Names, colours (CSS variables) of the states of a node, by number; see NodeState in twin/model/factory.py. */
export const NODE_STATES = [
  { name: "Working", color: "var(--state-working)" },
  { name: "Set-up", color: "var(--state-setup)" },
  { name: "Blocked", color: "var(--state-blocked)" },
  { name: "Starved", color: "var(--state-starved)" },
  { name: "Waiting for crew", color: "var(--state-crew)" },
  { name: "Down", color: "var(--state-down)" },
  { name: "Off", color: "var(--state-off)" },
] as const;

/** The states that the values of a signal stand for; undefined where they are no numbers of states: only the simulation's are known. */
export const statesOf = (role: string, origin: string | undefined): typeof NODE_STATES | undefined => (role === "state" && origin === "simulated" ? NODE_STATES : undefined);

/** A value in words: the simulation tells states of machines by number. */
export function wordOf(role: string, value: unknown, origin: string): string {
  const state = typeof value === "number" ? statesOf(role, origin)?.[value] : undefined;
  return state?.name ?? formatValue(value);
}
