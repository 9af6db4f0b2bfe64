import { describe, expect, it } from "vitest";
import { exitOfCurve, exitOfZone, joinOps, placedAt } from "../src/state/snap";

const at = (x: number, y: number, z = 0): number[] => [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1];
/** Turned by 90 degrees to the left, row vectors. */
const left = (x: number, y: number): number[] => [0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, x, y, 0, 1];

describe("exits", () => {
  it("of a straight belt is the far end of its zone", () => {
    const zone = [4, 0, 0, 0, 0, 0.7, 0, 0, 0, 0, 0.86, 0, 2, 0, 1.15, 1];
    expect(placedAt(exitOfZone(zone, [1, 1, 1]), at(-11, 0))).toEqual({ translate: [-7, 0, 0], turn: 0 });
  });
  it("of a curve is where its line ends, in that direction, also when the curve itself is turned", () => {
    const quarter = Array.from({ length: 33 }, (_, i) => {
      const a = (i / 32) * (Math.PI / 2);
      return [1.2 * Math.sin(a), 1.2 * (1 - Math.cos(a)), 0.75];
    });
    const exit = exitOfCurve(quarter);
    if (!exit) throw new Error("no exit");
    expect(placedAt(exit, at(-4, 0))).toEqual({ translate: [-2.8, 1.2, 0], turn: 90 });
    expect(placedAt(exit, left(0, 0))).toEqual({ translate: [-1.2, 1.2, 0], turn: 180 });
    expect(exitOfCurve([[0, 0, 0]])).toBeNull();
  });
});

describe("joinOps", () => {
  const add = { kind: "add_prim", path: "/L/New", value: {} };
  it("takes a place in the line between a node and its followers", () => {
    const ops = joinOps("/L/New", add, "conveyor", "/L/A", ["/L/B"], { translate: [1, 2, 0], turn: 90 });
    expect(ops.filter((o) => o.kind === "set_relationship").map((o) => [o.path, o.value])).toEqual([
      ["/L/A", ["/L/New"]],
      ["/L/New", ["/L/B"]],
    ]);
  });
  it("ends the line with a sink", () => {
    const ops = joinOps("/L/New", add, "sink", "/L/A", ["/L/B"], { translate: [1, 2, 0], turn: 0 });
    expect(ops.filter((o) => o.kind === "set_relationship")).toHaveLength(1);
  });
});
