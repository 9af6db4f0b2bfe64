import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeFrame, isFrame, type Frame } from "../src/protocol/frames";

interface Vectors {
  frames: { name: string; data: string; frame: Frame }[];
  refused: { name: string; data: string }[];
}

// Every decoder reads the same file; tests/protocol/vectors/make.py writes it with the server's own encoder.
const vectors = JSON.parse(readFileSync(new URL("../../tests/protocol/vectors/frames.json", import.meta.url), "utf-8")) as Vectors;
const bytes = (base64: string): ArrayBuffer => Uint8Array.from(Buffer.from(base64, "base64")).buffer;

describe("decodeFrame", () => {
  it.each(vectors.frames)("reads $name as the server meant it", ({ data, frame: want }) => {
    const { blocks, ...head } = decodeFrame(bytes(data));
    const { blocks: wanted, ...wantedHead } = want;
    expect(head).toEqual(wantedHead);
    expect(blocks.length).toBe(wanted.length);
    blocks.forEach((block, b) => {
      const told = wanted[b];
      expect([block.kind, block.span]).toEqual([told.kind, told.span]);
      for (const key of ["id", "prototype", "generation"] as const) expect([...block[key]]).toEqual([...told[key]]);
      expect(block.position.length).toBe(told.position.length);
      expect(block.rotation.length).toBe(told.rotation.length);
      // float32 holds a position a thousand kilometres away to a sixteenth of a metre
      block.position.forEach((p, i) => expect(Math.abs(p - told.position[i])).toBeLessThan(1e-6 + 1e-7 * Math.abs(p)));
      block.rotation.forEach((q, i) => expect(q).toBeCloseTo(told.rotation[i], 5));
    });
  });

  it.each(vectors.refused)("refuses $name", ({ data }) => {
    expect(() => decodeFrame(bytes(data))).toThrow(RangeError);
  });

  it("tells frames from messages", () => {
    expect(vectors.frames.every(({ data }) => isFrame(bytes(data)))).toBe(true);
    expect(isFrame(new ArrayBuffer(0))).toBe(false);
  });
});
