import { describe, expect, it } from "vitest";
import type { Track } from "../src/state/live.svelte";
import { drawn, indexAt, joined, onlyValue, stops, stretches, ticksOf, timeLabels, valueAt, type DrawOptions } from "../src/state/series";

const GOOD = 0;
const UNCERTAIN = 0x40000000;
const BAD = 0x80000000;

const regular = (n: number, step = 1000, from = 0): Track => ({
  time: Array.from({ length: n }, (_, i) => from + i * step),
  value: Array.from({ length: n }, (_, i) => i),
  quality: Array.from({ length: n }, () => GOOD),
});
const options = (o: Partial<DrawOptions> = {}): DrawOptions => ({ window: [0, 1e9], runs: [], stepped: false, holdUntil: 0, thinned: 0, ...o });

describe("drawn", () => {
  it("draws regular samples as they are", () => {
    const d = drawn(regular(20), options());
    expect(d.points).toBe(20);
    expect(d.value).not.toContain(null);
  });

  it("breaks the line where samples failed to come", () => {
    const a = regular(20);
    const b = regular(20, 1000, 100_000);
    const d = drawn({ time: [...a.time, ...b.time], value: [...a.value, ...b.value], quality: [...a.quality, ...b.quality] }, options());
    expect(d.value.filter((v) => v === null)).toHaveLength(1);
    expect(d.time[d.value.indexOf(null)]).toBeGreaterThan(19_000);
    expect(d.time[d.value.indexOf(null)]).toBeLessThan(100_000);
  });

  it("does not take thinning by the server for a gap", () => {
    const track: Track = { time: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9000], value: Array<number>(10).fill(1), quality: Array<number>(10).fill(GOOD) };
    expect(drawn(track, options({ thinned: 4000 })).value).not.toContain(null);
    expect(drawn(track, options()).value).toContain(null);
  });

  it("shows the time at which the twin was down, also for values that hold", () => {
    const track: Track = { time: [1000, 50_000], value: [1, 1], quality: [GOOD, GOOD] };
    const d = drawn(track, options({ stepped: true, runs: [[0, 10_000], [40_000, 60_000]] }));
    expect(d.time.slice(0, 2)).toEqual([1000, 10_000]);
    expect(d.value.slice(0, 3)).toEqual([1, 1, null]);
    expect(drawn(track, options({ stepped: true, runs: [[0, 60_000]] })).value).toEqual([1, 1]);
  });

  it("shows a value that hardly ever changes as a line, from the first moments of a run on", () => {
    const track: Track = { time: [1000, 39_400], value: [5, 5], quality: [GOOD, GOOD] };
    const d = drawn(track, options({ runs: [[0, 10_000], [40_000, 60_000]], holdUntil: 60_000 }));
    expect(d.time.filter((_, i) => d.value[i] !== null)).toEqual([1000, 10_000, 39_400, 60_000]);
    expect(d.value.filter((v) => v === null)).toHaveLength(1);
  });

  it("keeps bad samples as gaps and tells bands of quality", () => {
    const track: Track = { time: [0, 1000, 2000, 3000, 4000], value: [1, null, null, 2, 3], quality: [GOOD, BAD, BAD, UNCERTAIN, GOOD] };
    const d = drawn(track, options());
    expect(d.value).toEqual([1, null, null, 2, 3]);
    expect(d.points).toBe(3);
    expect(d.bands).toEqual([
      { from: 1000, to: 3000, quality: "bad" },
      { from: 3000, to: 4000, quality: "uncertain" },
    ]);
  });

  it("holds the last value only while it may, and never a bad one", () => {
    expect(drawn(regular(3), options({ holdUntil: 9000 })).time.at(-1)).toBe(9000);
    expect(drawn(regular(3), options()).time.at(-1)).toBe(2000);
    const bad: Track = { time: [0, 1000], value: [1, null], quality: [GOOD, BAD] };
    expect(drawn(bad, options({ holdUntil: 9000 })).value.at(-1)).toBeNull();
    expect(drawn(bad, options({ holdUntil: 9000 })).bands).toEqual([{ from: 1000, to: 9000, quality: "bad" }]);
  });

  it("counts only what lies in the window", () => {
    expect(drawn(regular(100), options({ window: [10_000, 19_500] })).points).toBe(10);
  });
});

describe("helpers", () => {
  it("joins history and live values without repeating any", () => {
    const track = joined(regular(5), regular(5, 1000, 3000));
    expect(track.time).toEqual([0, 1000, 2000, 3000, 4000, 5000, 6000, 7000]);
  });
  it("finds values by time", () => {
    expect(indexAt([1, 3, 5], 3)).toBe(1);
    expect(valueAt(regular(5), 2500)).toEqual({ value: 2, quality: GOOD });
    expect(valueAt(regular(5), -1)).toBeNull();
  });
  it("knows when the twin stood still", () => {
    expect(stops([[0, 10_000], [10_500, 20_000], [50_000, 60_000]])).toEqual([[20_000, 50_000]]);
  });
  it("writes years as years and minutes as minutes", () => {
    const day = 86400;
    expect(timeLabels([0, 200 * day, 400 * day])[2]).toMatch(/^[A-Z][a-z]+ 1971$/);
    expect(timeLabels([0, 60])[1]).toMatch(/^\d\d:01$/);
    expect(timeLabels([0, 30])[1]).toMatch(/^\d\d:00:30$/);
  });
});

describe("states", () => {
  it("are stretches, broken where nothing is known", () => {
    expect(stretches([0, 10, 20, 30, 40, 50], [0, 0, 2, null, 2, 2])).toEqual([
      { from: 0, to: 20, state: 0 },
      { from: 20, to: 30, state: 2 },
      { from: 40, to: 50, state: 2 },
    ]);
    expect(stretches([], [])).toEqual([]);
  });
});

describe("ticks of values", () => {
  it("label the one value that there is", () => {
    expect(onlyValue([null, 0.25, 0.25])).toBe(0.25);
    expect(onlyValue([0.25, 0.3])).toBeNull();
    expect(ticksOf(-0.75, 1.25, 1, 0.25)).toEqual([0.25]);
    expect(ticksOf(-0.75, 1.25, 0.5, null)).toEqual([-0.5, 0, 0.5, 1]);
    expect(ticksOf(0, 0.3, 0.1, null)).toEqual([0, 0.1, 0.2, 0.3]);
  });
});
