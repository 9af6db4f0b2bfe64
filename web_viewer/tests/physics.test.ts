import { expect, test } from "vitest";
import { boxLines, islandColor, normalLines, summary } from "../src/viewer/physics";

const bodies = { position: [1, 2, 3], rotation: [0, 0, Math.SQRT1_2, Math.SQRT1_2], half: [0.4, 0.2, 0.1], island: [7], asleep: [0] };

test("a body is drawn as the twelve edges of its bound, turned as it is", () => {
  const { position, color } = boxLines(bodies);
  expect(position.length).toBe(12 * 2 * 3);
  const x = [...position].filter((_, i) => i % 3 === 0);
  const y = [...position].filter((_, i) => i % 3 === 1);
  expect(Math.max(...x)).toBeCloseTo(1.2);
  expect(Math.min(...y)).toBeCloseTo(1.6);
  expect(color.length).toBe(position.length);
});

test("islands differ in colour, sleepers are dimmed", () => {
  expect(islandColor(1, false).getHex()).not.toBe(islandColor(2, false).getHex());
  expect(islandColor(1, true).r + islandColor(1, true).g).toBeLessThan(islandColor(1, false).r + islandColor(1, false).g);
});

test("a normal begins at its contact and is longer where more is carried, within reason", () => {
  const lines = normalLines({ point: [0, 0, 0, 1, 0, 0], normal: [0, 0, 1, 0, 1, 0], impulse: [0.2, 1000] });
  expect([...lines.slice(0, 6)]).toEqual([0, 0, 0, 0, 0, expect.closeTo(0.16)]);
  expect(lines[10]).toBeCloseTo(0.4);
});

test("it is said in words, with what is left out", () => {
  const doc = { sim_time: 1, contacts: { point: [], normal: [], impulse: [1, 2] }, bodies: { ...bodies, island: [7, 7], asleep: [1, 0] }, left_out: 3 };
  expect(summary(doc)).toBe("2 contacts, 2 bodies in 1 island, 1 asleep, 3 more not drawn");
});
