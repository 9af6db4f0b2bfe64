import { describe, expect, it } from "vitest";
import { BODIES, GONE, GOODS, type Frame, type PoseBlock } from "../src/protocol/frames";
import { PoseStream } from "../src/viewer/poses";

/** One thing at ``x``; goods are named where a generation is given. */
function block(kind: number, id: number, x: number, { generation = -1, span = 1, turned = true } = {}): PoseBlock {
  const named = generation >= 0;
  return {
    kind,
    id: Uint32Array.of(id),
    position: kind === GONE ? new Float32Array(0) : Float32Array.of(x, 0, 0),
    rotation: turned && kind !== GONE ? Float32Array.of(0, 0, 0, 1) : new Float32Array(0),
    prototype: named ? Uint16Array.of(2) : new Uint16Array(0),
    generation: named ? Uint8Array.of(generation) : new Uint8Array(0),
    span,
  };
}

const frame = (number: number, blocks: PoseBlock[], { version = 1, base = number - 1, ms = 40 } = {}): Frame => ({
  number,
  base,
  version,
  simTime: number / 25,
  wallTime: (number * ms) / 1000,
  tick: number,
  blocks,
});

function stream(bodies: number, slots: number): PoseStream {
  const made = new PoseStream();
  made.reset(1, bodies, slots);
  return made;
}

describe("PoseStream", () => {
  it("moves smoothly between frames and stops at the last one", () => {
    const poses = stream(1, 0);
    for (let i = 1; i < 7; i++) expect(poses.push(frame(i, [block(BODIES, 0, 0.1 * i)]), 1000 + 40 * i)).toBe(true);
    const seen: number[] = [];
    for (let t = 1140; t <= 1240; t += 10) {
      expect(poses.sample(t)).toBe(true);
      seen.push(poses.bodies[0]);
    }
    for (let i = 1; i < seen.length; i++) expect(seen[i] - seen[i - 1]).toBeCloseTo(0.025, 3);
    expect(poses.sample(2000), "nothing more to come").toBe(false);
    expect(poses.bodies[0]).toBeCloseTo(0.6);
  });

  it("draws frames that come in bursts at the server's own pace", () => {
    const poses = stream(1, 0);
    const seen: number[] = [];
    let next = 1;
    for (let t = 1000; t < 4000; t += 10) {
      // frames of 40 ms arrive in threes, up to 80 ms late
      while (next * 40 <= t - 1000 && Math.ceil(next / 3) * 120 <= t - 1000) {
        poses.push(frame(next, [block(BODIES, 0, 0.04 * next)]), t);
        next++;
      }
      poses.sample(t);
      seen.push(poses.bodies[0]);
    }
    const steps = seen.slice(100).map((x, i) => x - seen[99 + i]);
    expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
    expect(steps.filter((s) => s > 0.005).length / steps.length, "moving all the time, not in jerks").toBeGreaterThan(0.6);
  });

  it("moves what comes with every fourth frame as smoothly as what comes with each", () => {
    const poses = stream(2, 0);
    const seen: number[][] = [];
    for (let i = 1; i <= 60; i++) {
      const blocks = [block(BODIES, 0, 0.04 * i)];
      if (i === 1 || i % 4 === 0) blocks.push(block(BODIES, 1, 0.04 * i, { span: i === 1 ? 0 : 4 }));
      poses.push(frame(i, blocks, { base: i === 1 ? 0 : i - 1 }), 1000 + 40 * i);
      for (let t = 0; t < 40; t += 10) {
        poses.sample(1000 + 40 * i + t);
        seen.push([poses.bodies[0], poses.bodies[7]]);
      }
    }
    for (const which of [0, 1]) {
      const steps = seen.slice(120, -40).map((s, i) => s[which] - seen[119 + i][which]);
      expect(Math.min(...steps)).toBeGreaterThan(0.006);
      expect(Math.max(...steps)).toBeLessThan(0.014);
    }
  });

  it("starts what has rested when it starts, instead of sliding it there since its last move", () => {
    const poses = stream(1, 0);
    poses.push(frame(1, [block(BODIES, 0, 0, { span: 0 })], { base: 0 }), 1040);
    for (let i = 2; i < 50; i++) poses.push(frame(i, []), 1000 + 40 * i);
    poses.push(frame(50, [block(BODIES, 0, 1)]), 3000);
    poses.sample(3000 + 1.8 * 40 - 41);
    expect(poses.bodies[0]).toBeCloseTo(0, 2);
    poses.sample(3000 + 1.8 * 40 - 20);
    expect(poses.bodies[0]).toBeGreaterThan(0.3);
    expect(poses.bodies[0]).toBeLessThan(0.7);
  });

  it("keeps the rotation of what only slides", () => {
    const poses = stream(1, 0);
    const turned = { ...block(BODIES, 0, 0), rotation: Float32Array.of(0, 0, 1, 0) };
    poses.push(frame(1, [turned]), 1040);
    poses.push(frame(2, [block(BODIES, 0, 1, { turned: false })]), 1080);
    poses.sample(2000);
    expect([...poses.bodies]).toEqual([1, 0, 0, 0, 0, 1, 0]);
  });

  it("draws goods only while they are there, and never slides a slot's next item from the last one's place", () => {
    const poses = stream(0, 8);
    poses.push(frame(1, [block(GOODS, 0, 5, { generation: 1 })], { base: 0 }), 1040);
    poses.sample(1140);
    expect([poses.visibleGoods, poses.prototype[0]]).toEqual([1, 3]);
    poses.push(frame(2, [block(GOODS, 0, 4, { generation: 2 }), block(GOODS, 3, 1, { generation: 9 })]), 1080);
    poses.sample(1135);
    expect(poses.goods[0]).toBe(5);
    expect(poses.prototype[3], "it comes when it came, not before").toBe(0);
    poses.sample(1240);
    expect([poses.goods[0], poses.prototype[3]]).toEqual([4, 3]);
    poses.push(frame(3, [block(GONE, 0, 0), block(GONE, 6, 0)]), 1120);
    poses.sample(1440);
    expect([poses.prototype[0], poses.visibleGoods]).toEqual([0, 1]);
  });

  it("empties what a later whole frame no longer names", () => {
    const poses = stream(0, 8);
    poses.push(frame(1, [block(GOODS, 0, 5, { generation: 1 }), block(GOODS, 1, 6, { generation: 2 })], { base: 0 }), 1040);
    poses.sample(1500);
    poses.push(frame(90, [block(GOODS, 1, 7, { generation: 2, span: 0 })], { base: 0 }), 4600);
    poses.sample(5000);
    expect([poses.prototype[0], poses.prototype[1], poses.goods[7]]).toEqual([0, 3, 7]);
  });

  it("ignores frames of an id table that it does not have, and those that continue what it never got", () => {
    const poses = new PoseStream();
    poses.reset(2, 1, 0);
    expect(poses.push(frame(1, [block(BODIES, 0, 1)], { version: 1 }), 0)).toBe(false);
    expect(poses.push(frame(1, [block(BODIES, 0, 1)], { version: 2 }), 0)).toBe(true);
    expect(poses.push(frame(3, [block(BODIES, 0, 1)], { version: 2 }), 0)).toBe(false);
  });
});
