/** Binary state frames; the layout is described in twin/protocol/frames.py. */

export const BODIES = 0;
export const GOODS = 1;
const CELL_M = 65.536;
const HEADER_BYTES = 32;
const BLOCK_BYTES = 12;
const MAGIC = 0x31465754; // "TWF1" read as a little-endian u32
/** Of the four quaternion components (xyzw), those sent when the largest one is left out. */
const REST = [
  [1, 2, 3],
  [0, 2, 3],
  [0, 1, 3],
  [0, 1, 2],
] as const;

export interface PoseBlock {
  kind: number;
  id: Uint16Array;
  /** [3n] metres, stage axes. */
  position: Float32Array;
  /** [4n] xyzw. */
  rotation: Float32Array;
  /** Goods only, else empty. */
  prototype: Uint16Array;
  /** Goods only, else empty; 0..63. */
  generation: Uint8Array;
}

export interface Frame {
  tick: number;
  since: number;
  version: number;
  simTime: number;
  /** Bit i of byte i >> 3, low bit first: item slot i is alive. */
  alive: Uint8Array;
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
  const count = view.getUint16(24, true);
  const maskBytes = view.getUint32(28, true);
  const alive = new Uint8Array(data, HEADER_BYTES, maskBytes);
  let at = HEADER_BYTES + padded(maskBytes);
  const blocks: PoseBlock[] = [];
  for (let b = 0; b < count; b++) {
    const kind = view.getUint8(at);
    const n = view.getUint16(at + 2, true);
    const cell = [view.getInt16(at + 4, true), view.getInt16(at + 6, true), view.getInt16(at + 8, true)];
    at += BLOCK_BYTES;
    const id = new Uint16Array(data, at, n);
    at += padded(2 * n);
    let prototype = new Uint16Array(0);
    let generation = new Uint8Array(0);
    if (kind === GOODS) {
      const meta = new Uint16Array(data, at, n);
      at += padded(2 * n);
      prototype = new Uint16Array(n);
      generation = new Uint8Array(n);
      for (let i = 0; i < n; i++) {
        prototype[i] = meta[i] & 1023;
        generation[i] = meta[i] >> 10;
      }
    }
    const millimetres = new Uint16Array(data, at, 3 * n);
    at += padded(6 * n);
    const packed = new Uint32Array(data, at, n);
    at += 4 * n;
    const position = new Float32Array(3 * n);
    for (let i = 0; i < 3 * n; i++) position[i] = millimetres[i] / 1000 + cell[i % 3] * CELL_M;
    const rotation = new Float32Array(4 * n);
    for (let i = 0; i < n; i++) unpackRotation(packed[i], rotation, 4 * i);
    blocks.push({ kind, id, position, rotation, prototype, generation });
  }
  return {
    tick: view.getUint32(4, true),
    since: view.getUint32(8, true),
    version: view.getUint32(12, true),
    simTime: view.getFloat64(16, true),
    alive,
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
