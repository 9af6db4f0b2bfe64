/** Chunks of the pose track; the layout is described in twin/server/replay.py. */
import { decodeFrame, isFrame, type Frame } from "./frames";
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
  const blocks = frame.blocks.map((block) => {
    const goods = block.kind !== 0;
    const map = goods ? prototypes : bodies;
    const of = goods ? block.prototype : block.id;
    const rows = [...of.keys()].filter((i) => (map[of[i]] ?? -1) >= 0);
    const pick = <T extends Uint16Array | Uint8Array | Float32Array>(array: T, width: number): T => {
      const out = new (array.constructor as new (n: number) => T)(width * rows.length);
      rows.forEach((row, i) => out.set(array.subarray(width * row, width * (row + 1)), width * i));
      return out;
    };
    const mapped = Uint16Array.from(rows, (row) => map[of[row]]);
    return {
      kind: block.kind,
      id: goods ? pick(block.id, 1) : mapped,
      position: pick(block.position, 3),
      rotation: pick(block.rotation, 4),
      prototype: goods ? mapped : block.prototype,
      generation: goods ? pick(block.generation, 1) : block.generation,
    };
  });
  return { ...frame, blocks };
}
