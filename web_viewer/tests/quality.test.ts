import { expect, it } from "vitest";
import { Quality } from "../src/viewer/quality";

/** How often the level changes in so many seconds, on a machine that draws ``slow`` above a level and ``fast`` otherwise. */
function changes(seconds: number, level: number): number[] {
  const quality = new Quality(false);
  const found: number[] = [];
  const heavy = () => quality.level.ratio > level;
  for (let now = 0; now < seconds * 1000; ) {
    const took = heavy() ? 60 : 12;
    now += took;
    if (quality.measure(took, now)) found.push(now / 1000);
  }
  return found;
}

it("a picture that is now and then too much is tried again ever more seldom", () => {
  const found = changes(1800, 1);
  expect(found.length).toBeLessThan(16);
  expect(found.at(-1)! - found.at(-2)!).toBeLessThan(10); // tried, and taken back at once
  const ups = found.filter((_, i) => i % 2 === 1);
  for (let i = 2; i < ups.length; i++) expect(ups[i] - ups[i - 1]).toBeGreaterThan(1.8 * (ups[i - 1] - ups[i - 2]));
});

it("a choice of the person's own stays", () => {
  const quality = new Quality(false, "best");
  for (let i = 0; i < 500; i++) expect(quality.measure(200, i * 200)).toBe(false);
});
