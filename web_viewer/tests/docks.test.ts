import { describe, expect, it } from "vitest";
import { floatAt, nextPlace, readDocks, styleOf, usualDocks, zoneAt } from "../src/state/docks";

const PAGE = { width: 1600, height: 900 };

describe("places of panels", () => {
  it("are found at the edges of the page", () => {
    expect(zoneAt(10, 400, PAGE)).toBe("left");
    expect(zoneAt(1590, 400, PAGE)).toBe("right");
    expect(zoneAt(800, 890, PAGE)).toBe("bottom");
    expect(zoneAt(800, 400, PAGE)).toBeNull();
  });

  it("are within the page, also after it became smaller", () => {
    const dock = floatAt({ ...usualDocks().right, width: 900 }, 5000, -20, { width: 800, height: 600 });
    expect(dock).toEqual({ at: "float", x: 0, y: 46, width: 800, height: 480 });
  });

  it("are shared by the panels of a zone", () => {
    const docks = usualDocks();
    docks.left.at = "right";
    expect(styleOf("left", docks, ["left", "right", "bottom"])).toContain("* 0 / 2");
    expect(styleOf("right", docks, ["left", "right", "bottom"])).toContain("* 1 / 2");
    expect(styleOf("right", docks, ["right", "bottom"])).toContain("* 0 / 1");
  });

  it("are gone through one after another", () => {
    const seen = ["left" as ReturnType<typeof nextPlace>];
    for (let i = 0; i < 4; i++) seen.push(nextPlace(seen[i]));
    expect(seen).toEqual(["left", "right", "bottom", "float", "left"]);
  });

  it("are remembered, and what cannot be read is left out", () => {
    const docks = usualDocks();
    docks.right = { at: "float", x: 7, y: 60, width: 400, height: 300 };
    expect(readDocks(JSON.stringify(docks))).toEqual(docks);
    expect(readDocks("{")).toEqual(usualDocks());
    expect(readDocks('{"left": {"at": "ceiling", "x": "no", "z": 4}}')).toEqual(usualDocks());
  });
});
