import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeFrame, isFrame } from "../src/protocol/frames";

// Made by fixtures/make_frame.py with the server's own encoder.
const file = readFileSync(new URL("./fixtures/frame.bin", import.meta.url));
const data = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer;
const expected = JSON.parse(readFileSync(new URL("./fixtures/frame.json", import.meta.url), "utf-8"));

describe("decodeFrame", () => {
  it("reads what the server encoded", () => {
    const frame = decodeFrame(data);
    const { tick, since, version, simTime } = frame;
    expect({ tick, since, version, simTime }).toEqual({ tick: 77, since: 70, version: 3, simTime: 12.25 });
    const alive = Array.from({ length: 8 * frame.alive.length }, (_, i) => i).filter((i) => frame.alive[i >> 3] & (1 << (i & 7)));
    expect(alive).toEqual(expected.alive);
    expect(frame.blocks.length).toBe(expected.blocks.length);
    frame.blocks.forEach((block, b) => {
      const want = expected.blocks[b];
      expect(block.kind).toBe(want.kind);
      expect([...block.id]).toEqual(want.id);
      expect([...block.prototype]).toEqual(want.prototype);
      expect([...block.generation]).toEqual(want.generation);
      block.position.forEach((p, i) => expect(p).toBeCloseTo(want.position[i], 4));
      block.rotation.forEach((q, i) => expect(q).toBeCloseTo(want.rotation[i], 5));
    });
  });

  it("refuses what is no frame or was cut short", () => {
    expect(isFrame(new ArrayBuffer(0))).toBe(false);
    expect(() => decodeFrame(new ArrayBuffer(64))).toThrow(RangeError);
    expect(() => decodeFrame(data.slice(0, data.byteLength - 8))).toThrow(RangeError);
  });
});
