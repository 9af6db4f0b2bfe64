/**
 * Poses between state frames.
 *
 * Frames arrive with jitter; what is drawn lags about two frames behind and is interpolated, so motion stays smooth. Each
 * frame holds absolute values of what changed, and is kept here as a whole snapshot.
 */
import { BODIES, GOODS, type Frame } from "../protocol/frames";

/** Snapshots kept; older ones cannot be asked for any more. */
const KEPT = 6;
/** A move this long within a frame is a jump [m], not a motion to interpolate. */
const JUMP_M = 2.5;
/** An arrival this far off the expected time starts the playback clock anew [ms]. */
const RESYNC_MS = 300;
/** Motion is drawn this many frame intervals late. */
const DELAY_FRAMES = 1.8;

/** Poses of one id space at one time. ``pose`` is [7n]: position [m], rotation xyzw. */
interface Snapshot {
  at: number;
  bodies: Float32Array;
  goods: Float32Array;
  /** Per slot: 0 empty, else 1 + prototype. */
  prototype: Uint16Array;
  generation: Uint8Array;
}

export class PoseStream {
  private snapshots: Snapshot[] = [];
  private interval = 1000 / 25;
  version = -1;
  simTime = 0;
  tick = 0;
  /** Per body: 1 once ``bodies`` holds a pose of it. */
  bodyKnown = new Uint8Array(0);
  private bodySent = new Uint8Array(0);

  /** Interpolated poses, [7] per id; valid after ``sample``. */
  bodies = new Float32Array(0);
  goods = new Float32Array(0);
  /** Per slot of goods: 0 nothing there, else 1 + prototype index. */
  prototype = new Uint16Array(0);

  /** ``late``: frames come as they happen, and what is drawn lags behind them; else they carry their own time. */
  constructor(private readonly late = true) {}

  /** A new id table: everything known before means something else now. */
  reset(version: number, bodies: number, slots: number): void {
    this.version = version;
    this.snapshots = [];
    this.bodyKnown = new Uint8Array(bodies);
    this.bodySent = new Uint8Array(bodies);
    this.bodies = new Float32Array(7 * bodies);
    this.goods = new Float32Array(7 * slots);
    this.prototype = new Uint16Array(slots);
  }

  /** Take a frame that arrived at ``now`` [ms]; false if it belongs to another id table. */
  push(frame: Frame, now: number): boolean {
    if (frame.version !== this.version) return false;
    const last = this.snapshots.at(-1);
    const next: Snapshot = last
      ? {
          at: 0,
          bodies: last.bodies.slice(),
          goods: last.goods.slice(),
          prototype: last.prototype.slice(),
          generation: last.generation.slice(),
        }
      : {
          at: 0,
          bodies: new Float32Array(this.bodies.length),
          goods: new Float32Array(this.goods.length),
          prototype: new Uint16Array(this.prototype.length),
          generation: new Uint8Array(this.prototype.length),
        };
    for (const block of frame.blocks) {
      const target = block.kind === BODIES ? next.bodies : next.goods;
      for (let i = 0; i < block.id.length; i++) {
        const id = block.id[i];
        if (7 * id + 7 > target.length) continue;
        target.set(block.position.subarray(3 * i, 3 * i + 3), 7 * id);
        target.set(block.rotation.subarray(4 * i, 4 * i + 4), 7 * id + 3);
        if (block.kind === GOODS) {
          next.prototype[id] = block.prototype[i] + 1;
          next.generation[id] = block.generation[i];
        } else this.bodySent[id] = 1;
      }
    }
    for (let slot = 0; slot < next.prototype.length; slot++) {
      if (!((frame.alive[slot >> 3] ?? 0) & (1 << (slot & 7)))) next.prototype[slot] = 0;
    }
    next.at = this.playTime(last, now);
    this.snapshots.push(next);
    if (this.snapshots.length > KEPT) this.snapshots.shift();
    this.simTime = frame.simTime;
    this.tick = frame.tick;
    return true;
  }

  /** When a frame is due: evenly spaced, pulled gently towards the times at which frames really arrive. */
  private playTime(last: Snapshot | undefined, now: number): number {
    if (!last || !this.late) return now;
    const expected = last.at + this.interval;
    const error = now - expected;
    if (Math.abs(error) > RESYNC_MS) return Math.max(now, last.at + 1);
    this.interval = Math.min(250, Math.max(8, this.interval + 0.05 * error));
    return Math.max(last.at + 1, expected + 0.15 * error);
  }

  /** Fill ``bodies``, ``goods`` and ``prototype`` for the time ``now`` [ms]; true while there is motion still to come. */
  sample(now: number): boolean {
    const newest = this.snapshots.at(-1);
    if (!newest) return false;
    const t = this.late ? now - DELAY_FRAMES * this.interval : now;
    let i = this.snapshots.length - 1;
    while (i > 0 && this.snapshots[i].at > t) i--;
    const a = this.snapshots[i];
    const b = this.snapshots[Math.min(i + 1, this.snapshots.length - 1)];
    const f = b === a ? 0 : Math.min(1, Math.max(0, (t - a.at) / (b.at - a.at)));
    // Goods that leave vanish at the later frame, goods that come appear with it: nothing is drawn where it never was.
    this.prototype.set(f < 1 ? a.prototype : b.prototype);
    this.bodyKnown.set(this.bodySent);
    blend(a.bodies, b.bodies, f, this.bodies, null, null);
    blend(a.goods, b.goods, f, this.goods, a, b);
    return t < newest.at;
  }

  /** Items that are drawn. */
  get visibleGoods(): number {
    let n = 0;
    for (const p of this.prototype) if (p) n++;
    return n;
  }
}

function blend(
  a: Float32Array,
  b: Float32Array,
  f: number,
  out: Float32Array,
  from: Snapshot | null,
  to: Snapshot | null,
): void {
  for (let i = 0; i < out.length; i += 7) {
    const slot = i / 7;
    const other = from !== null && to !== null && from.generation[slot] !== to.generation[slot];
    const dx = b[i] - a[i];
    const dy = b[i + 1] - a[i + 1];
    const dz = b[i + 2] - a[i + 2];
    if (other || dx * dx + dy * dy + dz * dz > JUMP_M * JUMP_M) {
      for (let k = 0; k < 7; k++) out[i + k] = f < 1 ? a[i + k] : b[i + k];
      continue;
    }
    out[i] = a[i] + f * dx;
    out[i + 1] = a[i + 1] + f * dy;
    out[i + 2] = a[i + 2] + f * dz;
    const dot = a[i + 3] * b[i + 3] + a[i + 4] * b[i + 4] + a[i + 5] * b[i + 5] + a[i + 6] * b[i + 6];
    const g = dot < 0 ? -f : f;
    let length = 0;
    for (let k = 3; k < 7; k++) {
      out[i + k] = (1 - f) * a[i + k] + g * b[i + k];
      length += out[i + k] * out[i + k];
    }
    length = Math.sqrt(length) || 1;
    for (let k = 3; k < 7; k++) out[i + k] /= length;
  }
}
