/** Chunks of the pose track; the layout is described in twin/server/replay.py. */
import { BODIES, decodeFrame, GONE, isFrame, type Frame, type PoseBlock } from "./frames";
import type { BodyTable, Clock, NodeStates, ServerMessage } from "./messages.gen";
import { decodeMessage } from "./wire";

const RECORD_BYTES = 12;

export interface Moment {
  /** [ms UTC] */
  time: number;
  frame?: Frame;
  message?: BodyTable | NodeStates | Clock;
}

const known = (m: ServerMessage): m is BodyTable | NodeStates | Clock => m.t === "bodies" || m.t === "nodes" || m.t === "clock";

/** The records of a chunk in order; throws a RangeError on one that was cut short. */
export function decodeTrack(data: ArrayBuffer): Moment[] {
  const view = new DataView(data);
  const out: Moment[] = [];
  let at = 0;
  while (at < data.byteLength) {
    const time = Number(view.getBigUint64(at, true) / 1000n) / 1000;
    const size = view.getUint32(at + 8, true);
    at += RECORD_BYTES;
    // A copy begins on a multiple of four bytes, which the arrays of a frame need.
    const payload = data.slice(at, at + size);
    if (payload.byteLength < size) throw new RangeError("the track was cut short");
    at += size;
    if (isFrame(payload)) out.push({ time, frame: decodeFrame(payload) });
    else {
      const message = decodeMessage(payload);
      if (known(message)) out.push({ time, message });
    }
  }
  return out;
}

/** Ids of another table as those of the one that the picture is drawn by; what it no longer has is left out. */
export function remapFrame(frame: Frame, bodies: Int32Array, prototypes: Int32Array): Frame {
  const blocks = frame.blocks.flatMap((block): PoseBlock[] => {
    if (block.kind === BODIES) {
      const rows = [...block.id.keys()].filter((i) => (bodies[block.id[i]] ?? -1) >= 0);
      return [{ ...rowsOf(block, rows), id: Uint32Array.from(rows, (i) => bodies[block.id[i]]) }];
    }
    // Blocks that do not say what is in a slot are about goods that were named, or left out, before.
    if (block.prototype.length === 0) return [block];
    const known = (i: number) => (prototypes[block.prototype[i]] ?? -1) >= 0;
    const rows = [...block.id.keys()].filter(known);
    const gone = Uint32Array.from([...block.id.keys()].filter((i) => !known(i)), (i) => block.id[i]);
    const kept = { ...rowsOf(block, rows), prototype: Uint16Array.from(rows, (i) => prototypes[block.prototype[i]]) };
    return gone.length ? [kept, { ...rowsOf(block, []), kind: GONE, id: gone }] : [kept];
  });
  return { ...frame, blocks };
}

function rowsOf(block: PoseBlock, rows: number[]): PoseBlock {
  const pick = <T extends Uint16Array | Uint8Array | Uint32Array | Float32Array>(array: T, width: number): T => {
    const out = new (array.constructor as new (n: number) => T)(array.length ? width * rows.length : 0);
    if (array.length) rows.forEach((row, i) => out.set(array.subarray(width * row, width * (row + 1)), width * i));
    return out;
  };
  return {
    kind: block.kind,
    id: pick(block.id, 1),
    position: pick(block.position, 3),
    rotation: pick(block.rotation, 4),
    prototype: pick(block.prototype, 1),
    generation: pick(block.generation, 1),
    span: block.span,
  };
}
