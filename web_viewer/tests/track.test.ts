import { readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { BODIES, decodeFrame, GONE, GOODS } from "../src/protocol/frames";
import { decodeTrack, remapFrame } from "../src/protocol/track";

const vectors = JSON.parse(readFileSync(new URL("../../tests/protocol/vectors/frames.json", import.meta.url), "utf-8")) as { frames: { data: string }[] };
const frameBytes = Uint8Array.from(Buffer.from(vectors.frames[0].data, "base64"));

function record(timeMs: number, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + payload.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(timeMs) * 1000000n, true);
  view.setUint32(8, payload.length, true);
  out.set(payload, 12);
  return out;
}

function joinedBytes(parts: Uint8Array[]): ArrayBuffer {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out.buffer;
}

describe("decodeTrack", () => {
  const table = encode({ t: "bodies", version: 3, bodies: ["/A"], prototypes: ["/P"], slots: 4 });
  const nodes = encode({ t: "nodes", sim_time: 1, state: [0], level: [2], entered: [1], left: [0] });

  it("gives records in order, with their times, wherever they begin", () => {
    const moments = decodeTrack(joinedBytes([record(1_700_000_000_000, table), record(1_700_000_000_100, frameBytes), record(1_700_000_000_200, nodes)]));
    expect(moments.map((m) => m.time)).toEqual([1_700_000_000_000, 1_700_000_000_100, 1_700_000_000_200]);
    expect(moments[0].message?.t).toBe("bodies");
    expect(moments[1].frame).toEqual(decodeFrame(frameBytes.slice().buffer));
    expect(moments[2].message).toMatchObject({ level: [2] });
  });

  it("does not take half a chunk for a whole one", () => {
    const whole = joinedBytes([record(1, table), record(2, nodes)]);
    expect(() => decodeTrack(whole.slice(0, whole.byteLength - 3))).toThrow(RangeError);
  });
});

describe("remapFrame", () => {
  const frame = decodeFrame(frameBytes.slice().buffer);

  it("renames what the picture knows by another number, and empties the slots of what it no longer has", () => {
    const named = frame.blocks.filter((b) => b.kind === GOODS);
    const prototypes = named.flatMap((b) => [...b.prototype]);
    const gone = prototypes[0];
    const map = Int32Array.from({ length: Math.max(...prototypes) + 1 }, (_, i) => (i === gone ? -1 : i + 5));
    const out = remapFrame(frame, new Int32Array(0), map).blocks;
    const rows = named.flatMap((b) => [...b.id.keys()].map((i) => ({ id: b.id[i], is: b.prototype[i], at: [...b.position.slice(3 * i, 3 * i + 3)] })));
    const kept = out.filter((b) => b.kind === GOODS).flatMap((b) => [...b.id.keys()].map((i) => ({ id: b.id[i], is: b.prototype[i], at: [...b.position.slice(3 * i, 3 * i + 3)] })));
    expect(kept).toEqual(rows.filter((r) => r.is !== gone).map((r) => ({ ...r, is: r.is + 5 })));
    expect(out.filter((b) => b.kind === GONE).flatMap((b) => [...b.id])).toEqual(rows.filter((r) => r.is === gone).map((r) => r.id));
  });

  it("leaves out bodies that the picture does not have", () => {
    const ids = (f: typeof frame) => f.blocks.filter((b) => b.kind === BODIES).flatMap((b) => [...b.id]);
    expect(ids(frame).length).toBe(3);
    expect(ids(remapFrame(frame, Int32Array.of(-1, 7, 4), Int32Array.of(0, 1, 2))).sort()).toEqual([4, 7]);
  });
});
