/** Where each of many things was at its last few moments, and where it is drawn in between. */

/** Moments kept of each thing; older ones cannot be asked for any more. */
const KEPT = 6;
/** A move this long between two moments is a jump [m], not a motion to interpolate. */
const JUMP_M = 2.5;
/** A thing's lag follows the pace of its frames at this rate, so that its motion never visibly speeds up or slows down. */
const LAG_RATE = 0.2;

export class Track {
  /** Interpolated poses, [7] per id: position [m], rotation xyzw; valid after ``sample``. */
  readonly pose: Float32Array;
  /** What is drawn at an id: 0 nothing, else a number that the owner gave; valid after ``sample``. */
  readonly what: Uint16Array;

  private readonly at: Float64Array;
  private readonly keys: Float32Array;
  private readonly kind: Uint16Array;
  private readonly generation: Uint8Array;
  private readonly head: Uint8Array;
  private readonly count: Uint8Array;
  private readonly lag: Float32Array;
  private readonly wanted: Float32Array;
  /** Ids whose last moment is not drawn yet. */
  private readonly moving: Uint32Array;
  private readonly isMoving: Uint8Array;
  private movers = 0;

  constructor(readonly size: number) {
    this.pose = new Float32Array(7 * size);
    this.what = new Uint16Array(size);
    this.at = new Float64Array(KEPT * size);
    this.keys = new Float32Array(7 * KEPT * size);
    this.kind = new Uint16Array(KEPT * size);
    this.generation = new Uint8Array(KEPT * size);
    this.head = new Uint8Array(size);
    this.count = new Uint8Array(size);
    this.lag = new Float32Array(size);
    this.wanted = new Float32Array(size);
    this.moving = new Uint32Array(size);
    this.isMoving = new Uint8Array(size);
  }

  /**
   * A thing was at row ``i`` of ``position`` and ``rotation`` (empty: as it was) at the time ``at`` [ms].
   *
   * ``rested``: until then it was where it was before. ``what``: what it is, 0 for as before. ``sudden``: what comes new
   * is not drawn before its time.
   */
  put(id: number, at: number, rested: number, position: Float32Array, rotation: Float32Array, i: number, what: number, generation: number, lag: number, sudden: boolean): void {
    let key = KEPT * id + this.head[id];
    const known = this.count[id] > 0;
    if (!known && what === 0) return;
    if (known && this.kind[key] !== 0 && this.at[key] < rested && rested < at) key = this.copy(id, rested);
    else if (!known && sudden) {
      key = this.add(id, -Infinity);
      this.kind[key] = 0;
    }
    const before = key;
    key = this.add(id, at);
    for (let k = 0; k < 3; k++) this.keys[7 * key + k] = position[3 * i + k];
    if (rotation.length) for (let k = 0; k < 4; k++) this.keys[7 * key + 3 + k] = rotation[4 * i + k];
    else if (key !== before) for (let k = 3; k < 7; k++) this.keys[7 * key + k] = this.keys[7 * before + k];
    if (what) {
      this.kind[key] = what;
      this.generation[key] = generation;
    } else if (key !== before) {
      this.kind[key] = this.kind[before];
      this.generation[key] = this.generation[before];
    }
    this.wanted[id] = lag;
    if (!known || lag === 0) this.lag[id] = lag;
    this.wake(id);
  }

  /** Nothing is there from ``at`` [ms] on. */
  remove(id: number, at: number): void {
    if (this.count[id] === 0) return;
    this.kind[this.copy(id, at)] = 0;
    this.wake(id);
  }

  private wake(id: number): void {
    if (this.isMoving[id]) return;
    this.isMoving[id] = 1;
    this.moving[this.movers++] = id;
  }

  /** A key for the time ``at``: the newest one anew if it is not older. */
  private add(id: number, at: number): number {
    const newest = KEPT * id + this.head[id];
    if (this.count[id] > 0 && this.at[newest] >= at) return newest;
    if (this.count[id] > 0) this.head[id] = (this.head[id] + 1) % KEPT;
    this.count[id] = Math.min(KEPT, this.count[id] + 1);
    const key = KEPT * id + this.head[id];
    this.at[key] = at;
    return key;
  }

  private copy(id: number, at: number): number {
    const from = KEPT * id + this.head[id];
    const key = this.add(id, at);
    this.keys.copyWithin(7 * key, 7 * from, 7 * from + 7);
    this.kind[key] = this.kind[from];
    this.generation[key] = this.generation[from];
    return key;
  }

  /** Draw everything as it is at ``now``, ``elapsed`` after the last time [ms]; true while there is motion still to come. */
  sample(now: number, elapsed: number): boolean {
    let kept = 0;
    for (let m = 0; m < this.movers; m++) {
      const id = this.moving[m];
      const change = this.wanted[id] - this.lag[id];
      const most = LAG_RATE * elapsed;
      this.lag[id] += Math.max(-most, Math.min(most, change));
      if (this.draw(id, now - this.lag[id])) this.moving[kept++] = id;
      else this.isMoving[id] = 0;
    }
    this.movers = kept;
    return kept > 0;
  }

  /** Write the pose of one thing at the time ``t``; true if it is not at its last moment yet. */
  private draw(id: number, t: number): boolean {
    const base = KEPT * id;
    let later = base + this.head[id];
    if (t >= this.at[later]) {
      this.hold(id, later);
      return false;
    }
    let earlier = later;
    for (let n = 1; n < this.count[id]; n++) {
      later = earlier;
      earlier = base + ((this.head[id] - n + KEPT) % KEPT);
      if (this.at[earlier] <= t) break;
    }
    if (this.at[earlier] > t || this.kind[earlier] !== this.kind[later] || this.generation[earlier] !== this.generation[later]) {
      this.hold(id, earlier);
      return true;
    }
    const f = (t - this.at[earlier]) / (this.at[later] - this.at[earlier]);
    this.what[id] = this.kind[earlier];
    blend(this.keys, 7 * earlier, 7 * later, f, this.pose, 7 * id);
    return true;
  }

  private hold(id: number, key: number): void {
    this.what[id] = this.kind[key];
    for (let k = 0; k < 7; k++) this.pose[7 * id + k] = this.keys[7 * key + k];
  }
}

function blend(keys: Float32Array, a: number, b: number, f: number, out: Float32Array, at: number): void {
  const dx = keys[b] - keys[a];
  const dy = keys[b + 1] - keys[a + 1];
  const dz = keys[b + 2] - keys[a + 2];
  if (dx * dx + dy * dy + dz * dz > JUMP_M * JUMP_M) {
    for (let k = 0; k < 7; k++) out[at + k] = keys[a + k];
    return;
  }
  out[at] = keys[a] + f * dx;
  out[at + 1] = keys[a + 1] + f * dy;
  out[at + 2] = keys[a + 2] + f * dz;
  let dot = 0;
  for (let k = 3; k < 7; k++) dot += keys[a + k] * keys[b + k];
  const g = dot < 0 ? -f : f;
  let length = 0;
  for (let k = 3; k < 7; k++) {
    out[at + k] = (1 - f) * keys[a + k] + g * keys[b + k];
    length += out[at + k] * out[at + k];
  }
  length = Math.sqrt(length) || 1;
  for (let k = 3; k < 7; k++) out[at + k] /= length;
}
