import { expect, it } from "vitest";
import { swiped } from "../src/ui/swipe";

it("a swipe goes far enough, to its side, and not down a list", () => {
  expect(swiped("left", -80, 10)).toBe(true);
  expect(swiped("right", -80, 10)).toBe(false);
  expect(swiped("right", 80, -30)).toBe(true);
  expect(swiped("right", 40, 0)).toBe(false);
  expect(swiped("right", 80, 60)).toBe(false);
});
