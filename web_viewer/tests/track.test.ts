import { readFileSync } from "node:fs";
import { encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { decodeFrame } from "../src/protocol/frames";
import { decodeTrack, remapFrame } from "../src/protocol/track";

const file = readFileSync(new URL("./fixtures/frame.bin", import.meta.url));
const frameBytes = new Uint8Array(file);

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
  it("leaves out what the picture no longer has, and renames the rest", () => {
    const frame = decodeFrame(frameBytes.slice().buffer);
    const goods = frame.blocks.find((b) => b.kind === 1);
    if (!goods) throw new Error("the fixture has no goods");
    const most = Math.max(...goods.prototype);
    const gone = goods.prototype[0];
    const map = Int32Array.from({ length: most + 1 }, (_, i) => (i === gone ? -1 : i + 5));
    const block = remapFrame(frame, new Int32Array(0), map).blocks.find((b) => b.kind === 1);
    const kept = [...goods.prototype.keys()].filter((i) => goods.prototype[i] !== gone);
    expect([...(block?.id ?? [])]).toEqual(kept.map((i) => goods.id[i]));
    expect([...(block?.prototype ?? [])]).toEqual(kept.map((i) => goods.prototype[i] + 5));
    expect([...(block?.position ?? [])]).toEqual(kept.flatMap((i) => [...goods.position.slice(3 * i, 3 * i + 3)]));
  });
});
