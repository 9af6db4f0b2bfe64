/** Binary state frames; the layout is described in docs/wire-format.md. */

export const BODIES = 0;
export const GOODS = 1;
export const GONE = 2;
const ROTATED = 1;
const NAMED = 2;
const GAPS = 4;
const STEP_M = 0.0005;
const CELL_STEPS = 65536;
const HEADER_BYTES = 40;
const BLOCK_BYTES = 16;
const MAGIC = 0x32465754; // "TWF2" read as a little-endian u32
/** Of the four quaternion components (xyzw), those sent when the largest one is left out. */
const REST = [
  [1, 2, 3],
  [0, 2, 3],
  [0, 1, 3],
  [0, 1, 2],
] as const;

export interface PoseBlock {
  /** BODIES, GOODS, or GONE: slots that are empty now, without poses. */
  kind: number;
  /** Body index or slot. */
  id: Uint32Array;
  /** [3n] metres, stage axes. */
  position: Float32Array;
  /** [4n] xyzw; empty where rotations are as they were. */
  rotation: Float32Array;
  /** What is in the slots; empty where it is as it was. */
  prototype: Uint16Array;
  /** As ``prototype``; 0..63. */
  generation: Uint8Array;
  /** Frames that these changes cover: nothing of them happened before frame ``number - span``; 0: not known. */
  span: number;
}

export interface Frame {
  number: number;
  /** Number of the frame that this one continues; 0: it is whole. */
  base: number;
  /** Of the id table that it needs. */
  version: number;
  simTime: number;
  /** When the twin was there [s UTC], by the server's clock. */
  wallTime: number;
  tick: number;
  blocks: PoseBlock[];
}

export function isFrame(data: ArrayBuffer): boolean {
  return data.byteLength >= 4 && new DataView(data).getUint32(0, true) === MAGIC;
}

const padded = (bytes: number) => (bytes + 3) & ~3;

/** Decode one frame; throws a RangeError on what is no frame or was cut short. */
export function decodeFrame(data: ArrayBuffer): Frame {
  if (!isFrame(data) || data.byteLength < HEADER_BYTES) throw new RangeError("not a state frame");
  const view = new DataView(data);
  const count = view.getUint16(36, true);
  const blocks: PoseBlock[] = [];
  let at = HEADER_BYTES;
  for (let b = 0; b < count; b++) {
    const kind = view.getUint8(at);
    const flags = view.getUint8(at + 1);
    const n = view.getUint16(at + 2, true);
    if (kind > GONE || flags > 7) throw new RangeError(`unknown block of kind ${kind} with flags ${flags}`);
    const cell = [view.getInt16(at + 4, true), view.getInt16(at + 6, true), view.getInt16(at + 8, true)];
    const span = view.getUint16(at + 10, true);
    const first = view.getUint32(at + 12, true);
    at += BLOCK_BYTES;
    const id = new Uint32Array(n);
    if (flags & GAPS) {
      const gaps = new Uint8Array(data, at, n);
      for (let i = 0, last = first; i < n; i++) id[i] = last += gaps[i];
      at += padded(n);
    } else {
      const offsets = new Uint16Array(data, at, n);
      for (let i = 0; i < n; i++) id[i] = first + offsets[i];
      at += padded(2 * n);
    }
    const named = flags & NAMED ? n : 0;
    const prototype = new Uint16Array(named);
    const generation = new Uint8Array(named);
    if (named) {
      const meta = new Uint16Array(data, at, n);
      at += padded(2 * n);
      for (let i = 0; i < n; i++) {
        prototype[i] = meta[i] & 1023;
        generation[i] = meta[i] >> 10;
      }
    }
    const posed = kind === GONE ? 0 : n;
    const position = new Float32Array(3 * posed);
    const rotation = new Float32Array(flags & ROTATED ? 4 * posed : 0);
    if (posed) {
      const steps = new Uint16Array(data, at, 3 * n);
      at += padded(6 * n);
      for (let i = 0; i < 3 * n; i++) position[i] = (steps[i] + cell[i % 3] * CELL_STEPS) * STEP_M;
    }
    if (rotation.length) {
      const packed = new Uint32Array(data, at, n);
      at += 4 * n;
      for (let i = 0; i < n; i++) unpackRotation(packed[i], rotation, 4 * i);
    }
    blocks.push({ kind, id, position, rotation, prototype, generation, span });
  }
  return {
    number: view.getUint32(4, true),
    base: view.getUint32(8, true),
    version: view.getUint32(12, true),
    simTime: view.getFloat64(16, true),
    wallTime: view.getFloat64(24, true),
    tick: view.getUint32(32, true),
    blocks,
  };
}

function unpackRotation(bits: number, out: Float32Array, at: number): void {
  const largest = bits >>> 30;
  const rest = REST[largest];
  let squares = 0;
  for (let i = 0; i < 3; i++) {
    const value = (((bits >>> (20 - 10 * i)) & 1023) / 1023 - 0.5) * Math.SQRT2;
    out[at + rest[i]] = value;
    squares += value * value;
  }
  out[at + largest] = Math.sqrt(Math.max(0, 1 - squares));
}
