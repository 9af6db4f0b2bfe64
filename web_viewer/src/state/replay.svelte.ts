/**
 * Looking back: what was recorded, where the cursor of the time bar stands, and the poses and states of that moment.
 *
 * Each person's own and read-only: the twin runs on meanwhile, and going live shows it as it is then.
 */
import { line } from "../net/line";
import { getSignals, getTrack, getTrackChunk, msOfNs, type SignalInfo, type TrackChunk } from "../net/http";
import type { Clock, NodeStates } from "../protocol/messages.gen";
import { decodeTrack, remapFrame, type Moment } from "../protocol/track";
import { PoseStream } from "../viewer/poses";
import { signalKey } from "./live.svelte";
import type { Span } from "./series";

/** Chunks kept decoded. */
const KEPT_CHUNKS = 8;
/** How far ahead of the cursor poses are applied, so that there is something to move towards [ms]. */
const AHEAD_MS = 150;
/** The next chunk is fetched when this little is left of one, in recorded time [ms]. */
const FETCH_AHEAD_MS = 4000;
/** Signals and track are asked for again after this long [ms]. */
const INDEX_AGE_MS = 20_000;
/** Without pictures for this long, playing jumps to the next one [ms]. */
const SKIP_MS = 2000;

export const REPLAY_SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100] as const;

interface Loaded {
  chunk: TrackChunk;
  begin: number;
  end: number;
  moments: Moment[];
}

/** What the replay needs of the picture that it is drawn in. */
export interface Stagehand {
  bodies: string[];
  prototypes: string[];
  /** Goods of another time are shown from now on. */
  swapped(): void;
  problem(text: string): void;
  /** The scene as the edits had it. */
  readonly then: { look(time: number): boolean; leave(): void };
  /** What the signals said. */
  readonly valuesThen: { look(time: number): void; leave(): void };
}

export class Replay {
  active = $state(false);
  /** Moment that is shown [ms UTC]. */
  cursor = $state(0);
  playing = $state(false);
  speed = $state(1);
  loading = $state(false);
  /** When the twin was up [ms UTC]. */
  runs = $state.raw<Span[]>([]);
  /** First and last moment of the pose track [ms UTC]. */
  extent = $state.raw<Span>([0, 0]);
  nodes = $state.raw<NodeStates | null>(null);
  clock = $state.raw<Clock | null>(null);
  /** Everything in the history. */
  signals = $state.raw<SignalInfo[]>([]);

  readonly poses = new PoseStream(false);

  private chunks: TrackChunk[] = [];
  private readonly loaded = new Map<string, Loaded>();
  private readonly fetching = new Set<string>();
  /** The chunk that is shown, and the first of its moments not yet applied. */
  private shown: Loaded | null = null;
  private next = 0;
  private lastTick = 0;
  private fresh = false;

  constructor(private readonly hand: Stagehand) {}

  /** Ask what is recorded, now and as time goes on. */
  async refresh(): Promise<void> {
    const [track, signals] = await Promise.all([getTrack(Date.now() - 1000, Date.now()), getSignals()]);
    this.runs = track.runs.map(([a, b]) => [msOfNs(a), msOfNs(b)] as const);
    this.extent = [msOfNs(track.begin_ns), Math.max(msOfNs(track.end_ns), Date.now())];
    this.signals = signals;
  }

  follow(): void {
    const ask = () => void this.refresh().catch((error: unknown) => this.hand.problem(`The history does not answer: ${error instanceof Error ? error.message : String(error)}`));
    ask();
    clearInterval(this.asking);
    this.asking = setInterval(() => line.up && ask(), INDEX_AGE_MS);
  }
  private asking: ReturnType<typeof setInterval> | undefined;

  /** First and last sample of a signal [ms UTC]. */
  extentOf(key: string): Span | null {
    const info = this.signals.find((s) => signalKey(s.prim, s.name) === key);
    return info && info.first_ns !== null && info.last_ns !== null ? [msOfNs(info.first_ns), msOfNs(info.last_ns)] : null;
  }

  /** Show a moment. */
  seek(time: number): void {
    this.cursor = Math.min(Math.max(time, this.extent[0]), Date.now());
    if (!this.active) {
      this.active = true;
      this.nodes = null;
      this.clock = null;
      this.poses.reset(0, this.hand.bodies.length, 0);
      this.shown = null;
    }
    this.fresh = true;
  }

  /** Play from here, or from a minute ago when it was live. */
  toggle(): void {
    if (!this.active) this.seek(Date.now() - 60_000);
    this.playing = !this.playing;
  }

  live(): void {
    if (!this.active) return;
    this.active = this.playing = this.loading = false;
    this.shown = null;
    this.hand.then.leave();
    this.hand.valuesThen.leave();
    this.hand.swapped();
  }

  /** Another table of bodies is drawn now: what was prepared for the old one is done again. */
  tableChanged(): void {
    this.drawnAt = 0;
    this.shown = null;
    this.fresh = true;
  }

  /** One picture later; true if something moved. */
  advance(now: number): boolean {
    const elapsed = Math.min(now - this.lastTick, 1000);
    this.lastTick = now;
    if (!this.active) return false;
    if (this.playing && !this.loading) {
      this.cursor += elapsed * this.speed;
      if (this.cursor >= Date.now() - 500) {
        this.live();
        return true;
      }
    } else if (!this.fresh) return false;
    this.fresh = false;
    return this.show();
  }

  private show(): boolean {
    this.hand.then.look(this.cursor);
    this.hand.valuesThen.look(this.cursor);
    const chunk = this.chunkAt(this.cursor);
    if (!chunk) {
      void this.lookUp(this.cursor);
      return false;
    }
    const loaded = this.loaded.get(chunk.id);
    // A chunk that was still growing when it was fetched may reach further by now.
    if (!loaded || (this.cursor > loaded.end && loaded.end < msOfNs(chunk.end_ns))) {
      void this.fetch(chunk);
      return false;
    }
    this.loading = false;
    this.apply(loaded);
    const after = this.chunks[this.chunks.indexOf(chunk) + 1];
    if (this.playing && this.cursor > loaded.end - FETCH_AHEAD_MS * Math.max(1, this.speed)) {
      if (!after) void this.lookUp(loaded.end + 1);
      else if (!this.loaded.has(after.id)) void this.fetch(after);
    }
    if (this.playing && after && this.cursor > loaded.end + SKIP_MS) this.cursor = msOfNs(after.begin_ns);
    return true;
  }

  private chunkAt(time: number): TrackChunk | undefined {
    let found: TrackChunk | undefined;
    for (const chunk of this.chunks) if (msOfNs(chunk.begin_ns) <= time) found = chunk;
    if (!found) return this.chunks[0];
    // The last one that is known says nothing about what comes long after it.
    return found === this.chunks.at(-1) && time > msOfNs(found.end_ns) && !this.lookedUp(time) ? undefined : found;
  }

  /** Moment whose poses are in the picture [ms UTC]. */
  drawnAt = 0;

  private looked: Span = [0, 0];
  private lookedUp = (time: number): boolean => time >= this.looked[0] && time <= this.looked[1];

  /** Learn which chunks there are around a time. */
  private async lookUp(time: number): Promise<void> {
    if (this.fetching.has("index") || this.lookedUp(time)) return;
    this.fetching.add("index");
    this.loading = true;
    try {
      const [from, to] = [time - 120_000, Math.min(time + 300_000, Date.now())];
      const track = await getTrack(from, to);
      this.chunks = track.chunks;
      this.looked = [from, to];
    } catch (error) {
      this.hand.problem(`The track does not answer: ${error instanceof Error ? error.message : String(error)}`);
      this.playing = false;
    }
    this.fetching.delete("index");
    this.loading = false;
    this.fresh = true;
  }

  private async fetch(chunk: TrackChunk): Promise<void> {
    if (this.fetching.has(chunk.id)) return;
    this.fetching.add(chunk.id);
    this.loading = chunk === this.chunkAt(this.cursor);
    try {
      const moments = decodeTrack(await getTrackChunk(chunk.id));
      const end = moments.at(-1)?.time ?? msOfNs(chunk.end_ns);
      const loaded = { chunk, begin: msOfNs(chunk.begin_ns), end: Math.max(end, msOfNs(chunk.end_ns)), moments };
      if (this.shown?.chunk.id === chunk.id) this.shown = null;
      this.loaded.set(chunk.id, loaded);
      const oldest = [...this.loaded.keys()].slice(0, -KEPT_CHUNKS);
      for (const id of oldest) if (id !== this.shown?.chunk.id) this.loaded.delete(id);
    } catch (error) {
      this.hand.problem(`This moment cannot be shown: ${error instanceof Error ? error.message : String(error)}`);
      this.playing = false;
    }
    this.fetching.delete(chunk.id);
    this.loading = false;
    this.fresh = true;
  }

  /** Bring poses and states to the cursor. */
  private apply(loaded: Loaded): void {
    const last = this.shown?.moments[this.next - 1];
    if (this.shown !== loaded || (last && last.time > this.cursor + AHEAD_MS)) {
      const onward = this.shown !== loaded && last !== undefined && last.time <= loaded.begin && loaded.begin <= this.cursor + AHEAD_MS;
      this.shown = loaded;
      this.next = 0;
      this.begin(loaded, onward);
    }
    const until = this.cursor + AHEAD_MS;
    while (this.next < loaded.moments.length && loaded.moments[this.next].time <= until) {
      const moment = loaded.moments[this.next++];
      if (moment.frame) this.poses.push(remapFrame(moment.frame, this.bodyMap, this.prototypeMap), moment.time);
      else if (moment.message?.t === "nodes") this.nodes = moment.message;
      else if (moment.message?.t === "clock") this.clock = moment.message;
    }
    this.poses.sample(this.cursor);
    this.drawnAt = this.cursor;
  }

  private bodyMap = new Int32Array(0);
  private prototypeMap = new Int32Array(0);

  /** Poses from the id table of a chunk on; ``onward``: it is the one after the chunk that was shown. */
  private begin({ moments }: Loaded, onward: boolean): void {
    const table = moments.find((m) => m.message?.t === "bodies")?.message;
    if (table?.t !== "bodies") return;
    this.bodyMap = Int32Array.from(table.bodies, (path) => this.hand.bodies.indexOf(path));
    this.prototypeMap = Int32Array.from(table.prototypes, (path) => this.hand.prototypes.indexOf(path));
    const slots = this.poses.prototype.length;
    // The whole frame that begins a chunk goes on from the last one: nothing jumps.
    if (onward && this.poses.version === table.version && slots === table.slots) return;
    this.poses.reset(table.version, this.hand.bodies.length, table.slots);
    if (slots !== table.slots) this.hand.swapped();
  }
}
