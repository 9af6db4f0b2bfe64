import { describe, expect, it } from "vitest";
import { componentNames, editorFor, hexOfLinear, linearOfHex, parseList, parseNumber } from "../src/ui/values";

describe("property values", () => {
  it("offers the editor that fits the type", () => {
    const kinds = [
      ["double", 1, "number"],
      ["bool", true, "bool"],
      ["double3", [1, 2, 3], "vector"],
      ["quatf", [1, 0, 0, 0], "vector"],
      ["color3f", [1, 0, 0], "color"],
      ["token[]", ["a"], "list"],
      ["matrix4d", [], "none"],
      ["float[]", Array(100).fill(0), "none"],
    ] as const;
    for (const [type, value, editor] of kinds) expect([type, editorFor(type, value, [])]).toEqual([type, editor]);
    expect(editorFor("token", "a", ["a", "b"])).toBe("choice");
    expect(editorFor("token", "a", [])).toBe("text");
  });

  it("does not offer to write back a 64-bit integer that it could not read exactly", () => {
    expect(editorFor("int64", 2 ** 60, [])).toBe("none");
    expect(editorFor("int64", 12, [])).toBe("number");
  });

  it("refuses what would be cast with loss", () => {
    expect(parseNumber("2.5", "double")).toBe(2.5);
    expect(parseNumber("2,5", "float")).toBe(2.5);
    expect(parseNumber("2.5", "int")).toEqual({ problem: "int takes whole numbers only" });
    expect(parseNumber("-1", "uint")).toHaveProperty("problem");
    for (const text of ["", "abc", "NaN", "Infinity"]) expect(parseNumber(text, "double")).toHaveProperty("problem");
    expect(parseList("1, 2, 3", "int[]")).toEqual([1, 2, 3]);
    expect(parseList("1, x", "int[]")).toHaveProperty("problem");
    expect(parseList("a, b", "token[]")).toEqual(["a", "b"]);
    expect(parseList("", "token[]")).toEqual([]);
  });

  it("names quaternion components as USD orders them", () => {
    expect(componentNames("quatf")).toEqual(["w", "x", "y", "z"]);
    expect(componentNames("float2")).toEqual(["x", "y"]);
  });

  it("shows linear colours as the screen does, and back", () => {
    expect(hexOfLinear([0.2159, 0, 1])).toBe("#8000ff");
    linearOfHex("#8000ff").forEach((v, i) => expect(v).toBeCloseTo([0.2159, 0, 1][i], 3));
  });
});
