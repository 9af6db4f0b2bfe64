/**
 * Poses between state frames.
 *
 * Frames arrive with jitter, and cells far from the camera come with every second or fourth frame only. What is drawn lags a
 * little behind, a thing in a slow cell more than one in a quick cell, and is interpolated, so motion stays smooth. A frame
 * costs what changed in it, a picture what is moving.
 */
import { BODIES, GONE, GOODS, type Frame, type PoseBlock } from "../protocol/frames";
import { Track } from "./track";

/** A frame this far off the expected time starts the playback clock anew [ms]. */
const RESYNC_MS = 300;
/** Motion is drawn this much later than the pace of its frames [frame intervals]. */
const SPARE_FRAMES = 0.8;
/** The longest pace that is waited for [frames]. */
const LONGEST_SPAN = 8;
/** Times of frames that are remembered. */
const REMEMBERED = 64;

export class PoseStream {
  private interval = 1000 / 25;
  private offset = NaN;
  private readonly times = new Float64Array(REMEMBERED);
  private number = 0;
  private oldest = 0;
  private lastSample = 0;
  private bodyTrack = new Track(0);
  private goodsTrack = new Track(0);
  version = -1;
  simTime = 0;
  tick = 0;

  /** ``late``: frames come as they happen, and what is drawn lags behind them; else they carry their own time. */
  constructor(private readonly late = true) {}

  /** Interpolated poses, [7] per id; valid after ``sample``. */
  get bodies(): Float32Array {
    return this.bodyTrack.pose;
  }
  get goods(): Float32Array {
    return this.goodsTrack.pose;
  }
  /** Per body: not 0 once ``bodies`` holds a pose of it. */
  get bodyKnown(): Uint16Array {
    return this.bodyTrack.what;
  }
  /** Per slot of goods: 0 nothing there, else 1 + prototype index. */
  get prototype(): Uint16Array {
    return this.goodsTrack.what;
  }

  /** A new id table: everything known before means something else now. */
  reset(version: number, bodies: number, slots: number): void {
    this.version = version;
    this.number = 0;
    this.bodyTrack = new Track(bodies);
    this.goodsTrack = new Track(slots);
  }

  /** Take a frame that arrived at ``now`` [ms]; false if it belongs to another id table, or continues a frame that is not here. */
  push(frame: Frame, now: number): boolean {
    if (frame.version !== this.version || (frame.base !== 0 && frame.base !== this.number)) return false;
    const at = this.playTime(frame, now);
    const whole = frame.base === 0;
    if (whole) {
      this.keepOnly(frame, at);
      this.oldest = frame.number;
    }
    for (const block of frame.blocks) this.take(block, frame, at);
    // Frames that were skipped count as having happened now: they are asked for only as the end of a rest.
    const first = whole ? frame.number : Math.max(this.number + 1, frame.number - REMEMBERED + 1);
    for (let n = first; n <= frame.number; n++) this.times[n % REMEMBERED] = at;
    this.number = frame.number;
    this.simTime = frame.simTime;
    this.tick = frame.tick;
    return true;
  }

  /** A whole frame follows: what it does not name is gone. */
  private keepOnly(frame: Frame, at: number): void {
    const named = new Uint8Array(this.goodsTrack.size);
    for (const block of frame.blocks) {
      if (block.kind === GOODS) for (const slot of block.id) if (slot < named.length) named[slot] = 1;
    }
    for (let slot = 0; slot < named.length; slot++) if (!named[slot]) this.goodsTrack.remove(slot, at);
  }

  private take(block: PoseBlock, frame: Frame, at: number): void {
    const track = block.kind === BODIES ? this.bodyTrack : this.goodsTrack;
    const { id, position, rotation, prototype, generation, span } = block;
    if (block.kind === GONE) {
      for (const slot of id) if (slot < track.size) track.remove(slot, at);
      return;
    }
    const since = Math.max(frame.number - span, this.oldest, this.number - REMEMBERED + 1);
    const rested = span > 0 ? this.times[since % REMEMBERED] : -Infinity;
    const lag = this.late ? (Math.min(Math.max(span, 1), LONGEST_SPAN) + SPARE_FRAMES) * this.interval : 0;
    const named = prototype.length > 0;
    for (let i = 0; i < id.length; i++) {
      if (id[i] >= track.size) continue;
      const what = block.kind === BODIES ? 1 : named ? prototype[i] + 1 : 0;
      track.put(id[i], at, rested, position, rotation, i, what, named ? generation[i] : 0, lag, this.number !== 0);
    }
  }

  /** When a frame is drawn: at the server's own time, shifted by the delay of the way, which is followed gently. */
  private playTime(frame: Frame, now: number): number {
    if (!this.late) return now;
    const stamp = 1000 * frame.wallTime;
    const last = this.times[this.number % REMEMBERED];
    const error = now - stamp - this.offset;
    if (Number.isNaN(this.offset) || Math.abs(error) > RESYNC_MS) this.offset = now - stamp;
    else this.offset += (error < 0 ? 0.2 : 0.02) * error;
    const at = stamp + this.offset;
    if (this.number === 0) return at;
    const paced = (at - last) / Math.max(1, frame.number - this.number);
    this.interval = Math.min(250, Math.max(8, this.interval + 0.05 * (Math.min(paced, 250) - this.interval)));
    return Math.max(last + 1, at);
  }

  /** Fill ``bodies``, ``goods`` and ``prototype`` for the time ``now`` [ms]; true while there is motion still to come. */
  sample(now: number): boolean {
    const elapsed = Math.max(0, Math.min(200, now - this.lastSample));
    this.lastSample = now;
    const bodies = this.bodyTrack.sample(now, elapsed);
    return this.goodsTrack.sample(now, elapsed) || bodies;
  }

  /** Items that are drawn. */
  get visibleGoods(): number {
    let n = 0;
    for (const p of this.prototype) if (p) n++;
    return n;
  }
}
