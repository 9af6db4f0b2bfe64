import { describe, expect, it } from "vitest";
import type { PrimDoc, SceneDoc } from "../src/protocol/messages.gen";
import { SceneStore, type SceneChange } from "../src/state/scene.svelte";

const doc = (prims: PrimDoc[]): SceneDoc => ({
  seq: 3, epoch: "e", stage: "s", up_axis: "Z", meters_per_unit: 1, prims,
  materials: [], nodes: [], signals: [], prototypes: [], library: [], findings: [],
});

function store(): { scene: SceneStore; changes: SceneChange[] } {
  const scene = new SceneStore();
  scene.load(doc([{ path: "/W" }, { path: "/W/A", matrix: [1] }, { path: "/W/A/Box" }, { path: "/W/B" }]));
  const changes: SceneChange[] = [];
  scene.onChange((c) => changes.push(c));
  return { scene, changes };
}

describe("SceneStore", () => {
  it("takes patches: what moved only moves, what came or went rebuilds", () => {
    const { scene, changes } = store();
    scene.patch({ t: "patch", seq: 4, prims: [{ path: "/W/A", matrix: [2] }], removed: [], materials: [], nodes: [] });
    scene.patch({ t: "patch", seq: 5, prims: [{ path: "/W/C" }], removed: ["/W/A"], materials: [], nodes: [] });
    expect(changes.map((c) => c.kind === "patch" && c.structure)).toEqual([false, true]);
    expect([...scene.prims.keys()]).toEqual(["/W", "/W/B", "/W/C"]);
    expect(scene.seq).toBe(5);
  });

  it("numbers bodies and nodes as the newest tables do, also those of prims that no patch is about", () => {
    const { scene } = store();
    scene.number(["/W/B"]);
    scene.number(["/W/A", "/W/B"]);
    scene.patch({ t: "patch", seq: 4, prims: [], removed: [], materials: [], nodes: [{ path: "/W/A/Box", kind: "buffer", next: [] }, { path: "/W/B", kind: "sink", next: [] }] });
    expect(["/W", "/W/A", "/W/B"].map((p) => scene.prims.get(p)?.doc.body)).toEqual([-1, 0, 1]);
    expect(["/W/A", "/W/A/Box", "/W/B"].map((p) => scene.prims.get(p)?.doc.node)).toEqual([-1, 0, 1]);
  });

  it("keeps what was renamed selected, open and in its place, wherever it goes", () => {
    const { scene } = store();
    scene.select(["/W/A/Box"]);
    scene.moved("/W/A", "/W/Z");
    scene.patch({ t: "patch", seq: 4, prims: [{ path: "/W/Z" }, { path: "/W/Z/Box" }], removed: ["/W/A"], materials: [], nodes: [] });
    expect([scene.primary, scene.expanded.has("/W/Z"), scene.expanded.has("/W/A")]).toEqual(["/W/Z/Box", true, false]);
    expect(scene.prims.get("/W")?.children.map((c) => c.name)).toEqual(["Z", "B"]);
    scene.moved("/W/Z", "/W/B/Z");
    scene.patch({ t: "patch", seq: 5, prims: [{ path: "/W/B/Z" }, { path: "/W/B/Z/Box" }], removed: ["/W/Z"], materials: [], nodes: [] });
    expect(scene.primary).toBe("/W/B/Z/Box");
  });

  it("names several at once without meeting one another", () => {
    const { scene } = store();
    expect([scene.freePath("/W", "A"), scene.freePath("/W", "A", new Set(["/W/A_2"])), scene.freePath("/W", "C", new Set(["/W/C"]))]).toEqual(["/W/A_2", "/W/A_3", "/W/C_2"]);
    expect(scene.topmost(["/W/A/Box", "/W/A", "/W/B"]).map((n) => n.path)).toEqual(["/W/A", "/W/B"]);
  });

  it("lets go of a selection that someone else deleted", () => {
    const { scene } = store();
    scene.select(["/W/B", "/W/A/Box"]);
    expect([scene.primary, scene.expanded.has("/W/A")]).toEqual(["/W/A/Box", true]);
    scene.patch({ t: "patch", seq: 4, prims: [], removed: ["/W/A"], materials: [], nodes: [] });
    expect(scene.selection).toEqual(["/W/B"]);
  });

  it("acts on the topmost of what is selected, and names new prims so that they are new", () => {
    const { scene } = store();
    scene.select(["/W/A/Box", "/W/A"]);
    expect(scene.topmost().map((n) => n.path)).toEqual(["/W/A"]);
    expect([scene.freePath("/W", "A"), scene.freePath("/W", "New part"), scene.freePath("/W", "2x")]).toEqual(["/W/A_2", "/W/New_part", "/W/_2x"]);
  });

  it("counts what is below something hidden as hidden", () => {
    const { scene } = store();
    scene.patch({ t: "patch", seq: 4, prims: [{ path: "/W/A", visible: false }], removed: [], materials: [], nodes: [] });
    const box = scene.prims.get("/W/A/Box");
    expect(box && scene.visible(box)).toBe(false);
  });
});
