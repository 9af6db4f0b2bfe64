import { describe, expect, it } from "vitest";
import { outsideOf, pasteOps, readClip, type Clip } from "../src/state/clip";

const clip: Clip = {
  twin: "clip", version: 1, epoch: "e", stage: "s", unit: 1, up: "Z", left_out: [],
  prims: [
    { name: "A", path: "/W/A", ops: [{ kind: "add_prim", path: "$0", value: { type: "Xform" } }, { kind: "set_relationship", path: "$0", field: "twin:next", value: ["$1", "/W/Far"] }] },
    { name: "B", path: "/W/B", ops: [{ kind: "set_field", path: "$1/Box", field: "size", value: ["double", 2] }, { kind: "set_relationship", path: "$1", field: "twin:next", value: ["/W/Far"] }] },
  ],
};

describe("clip", () => {
  it("is told from any other text", () => {
    expect(readClip(JSON.stringify(clip))).toEqual(clip);
    for (const text of ["", "hello", "{}", '{"twin":"clip"', '{"twin":"clip","version":2,"prims":[]}', '{"twin":"clip","version":1,"prims":[{}],"left_out":[]}', '{"twin":"clip","version":1,"prims":[null],"left_out":[]}']) expect(readClip(text)).toBeNull();
  });

  it("is none where it was made up: edits of what is not in it, or not as the server writes them", () => {
    const made = (...ops: unknown[]) => readClip(JSON.stringify({ ...clip, prims: [{ name: "A", path: "/W/A", ops }] }));
    expect(made({ kind: "add_prim", path: "$0", value: {} })).not.toBeNull();
    for (const op of [null, 7, { kind: "remove_prim", path: "/W/Line" }, { kind: "add_prim", path: "$1" }, { kind: "add_prim" }, { kind: "set_relationship", path: "$0", value: 7 }, { kind: "set_relationship", path: "$0", value: ["$4"] }])
      expect(made(op)).toBeNull();
    expect(made()).toBeNull();
    expect(readClip(JSON.stringify({ ...clip, left_out: [{}] }))).toBeNull();
    expect(outsideOf(clip)).toEqual(["/W/Far"]);
  });

  it("is pasted at new places, its own links kept and those to outside dropped where nothing is there", () => {
    const elsewhere = pasteOps(clip, ["/X/A_2", "/X/B"], () => false);
    expect(elsewhere.map((op) => op.path)).toEqual(["/X/A_2", "/X/A_2", "/X/B/Box"]);
    expect(elsewhere[1].value).toEqual(["/X/B"]);
    const here = pasteOps(clip, ["/X/A_2", "/X/B"], (path) => path === "/W/Far");
    expect(here.map((op) => op.value).slice(1)).toEqual([["/X/B", "/W/Far"], ["double", 2], ["/W/Far"]]);
  });
});
