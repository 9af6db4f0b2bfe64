import { describe, expect, it } from "vitest";
import { BODIES, GOODS, type Frame, type PoseBlock } from "../src/protocol/frames";
import { PoseStream } from "../src/viewer/poses";

function block(kind: number, id: number, x: number, generation = 0): PoseBlock {
  const goods = kind === GOODS;
  return {
    kind,
    id: Uint16Array.of(id),
    position: Float32Array.of(x, 0, 0),
    rotation: Float32Array.of(0, 0, 0, 1),
    prototype: goods ? Uint16Array.of(2) : new Uint16Array(0),
    generation: goods ? Uint8Array.of(generation) : new Uint8Array(0),
  };
}

const frame = (tick: number, alive: number, blocks: PoseBlock[], version = 1): Frame => ({
  tick,
  since: 0,
  version,
  simTime: tick / 25,
  alive: Uint8Array.of(alive),
  blocks,
});

describe("PoseStream", () => {
  it("moves smoothly between frames and stops at the last one", () => {
    const stream = new PoseStream();
    stream.reset(1, 1, 0);
    for (let i = 0; i < 6; i++) stream.push(frame(i, 0, [block(BODIES, 0, 0.1 * i)]), 1000 + 40 * i);
    const seen: number[] = [];
    for (let t = 1100; t <= 1200; t += 10) {
      expect(stream.sample(t)).toBe(true);
      seen.push(stream.bodies[0]);
    }
    for (let i = 1; i < seen.length; i++) expect(seen[i] - seen[i - 1]).toBeCloseTo(0.025, 3);
    expect(stream.sample(2000), "nothing more to come").toBe(false);
    expect(stream.bodies[0]).toBeCloseTo(0.5);
  });

  it("draws goods only while they are alive, and never slides a slot's next item from the last one's place", () => {
    const stream = new PoseStream();
    stream.reset(1, 0, 8);
    stream.push(frame(1, 0b1, [block(GOODS, 0, 5, 1)]), 1000);
    stream.sample(1100);
    expect([stream.visibleGoods, stream.prototype[0]]).toEqual([1, 3]);
    stream.push(frame(2, 0b1, [block(GOODS, 0, 4, 2)]), 1040);
    stream.sample(1095);
    expect(stream.goods[0]).toBe(5);
    stream.sample(1200);
    expect(stream.goods[0]).toBe(4);
    stream.push(frame(3, 0, []), 1080);
    stream.sample(1400);
    expect(stream.visibleGoods).toBe(0);
  });

  it("ignores frames of an id table that it does not have", () => {
    const stream = new PoseStream();
    stream.reset(2, 1, 0);
    expect(stream.push(frame(1, 0, [block(BODIES, 0, 1)], 1), 0)).toBe(false);
    expect(stream.push(frame(1, 0, [block(BODIES, 0, 1)], 2), 0)).toBe(true);
  });
});
