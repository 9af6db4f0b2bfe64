import { describe, expect, it } from "vitest";
import type { PrimDoc, SceneDoc, ScenePatch } from "../src/protocol/messages.gen";
import { SceneStore, type PrimNode, type SceneChange } from "../src/state/scene.svelte";

const doc = (prims: PrimDoc[]): SceneDoc => ({
  seq: 3, epoch: "e", stage: "s", up_axis: "Z", meters_per_unit: 1, prims,
  materials: [], nodes: [], signals: [], prototypes: [], library: [], findings: [],
});

const patch = (seq: number, prims: PrimDoc[], rest: Partial<ScenePatch> = {}): ScenePatch => ({ t: "patch", seq, prims, removed: [], materials: [], nodes: [], order: {}, signals: [], ...rest });

/** Paths as the stage tree lists them. */
const tree = (nodes: PrimNode[]): string[] => nodes.flatMap((n) => [n.path, ...tree(n.children)]);

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
    scene.patch(patch(4, [{ path: "/W/A", matrix: [2] }]));
    scene.patch(patch(5, [{ path: "/W/C" }], { removed: ["/W/A"] }));
    expect(changes.map((c) => c.kind === "patch" && c.structure)).toEqual([false, true]);
    expect([...scene.prims.keys()]).toEqual(["/W", "/W/B", "/W/C"]);
    expect(scene.seq).toBe(5);
  });

  it("numbers bodies and nodes as the newest tables do, also those of prims that no patch is about", () => {
    const { scene } = store();
    scene.number(["/W/B"]);
    scene.number(["/W/A", "/W/B"]);
    scene.patch(patch(4, [], { nodes: [{ path: "/W/A/Box", kind: "buffer", next: [] }, { path: "/W/B", kind: "sink", next: [] }] }));
    expect(["/W", "/W/A", "/W/B"].map((p) => scene.prims.get(p)?.doc.body)).toEqual([-1, 0, 1]);
    expect(["/W/A", "/W/A/Box", "/W/B"].map((p) => scene.prims.get(p)?.doc.node)).toEqual([-1, 0, 1]);
  });

  it("keeps what was renamed selected, open and in its place, wherever it goes", () => {
    const { scene } = store();
    scene.select(["/W/A/Box"]);
    scene.patch(patch(3, [], { signals: [{ prim: "/W/A/Box", name: "level", unit: "", role: "measurement" }] }));
    const told: string[] = [];
    scene.onMove((now) => told.push(now("/W/A/Box"), scene.prims.has("/W/Z") ? now("/W/AB") : "too early"));
    scene.moved("/W/A", "/W/Z");
    scene.patch(patch(4, [{ path: "/W/Z" }, { path: "/W/Z/Box" }], { removed: ["/W/A"], order: { "/W/Z": "B" } }));
    expect([scene.primary, scene.expanded.has("/W/Z"), scene.expanded.has("/W/A")]).toEqual(["/W/Z/Box", true, false]);
    expect([...told, scene.signals[0].prim]).toEqual(["/W/Z/Box", "/W/AB", "/W/Z/Box"]);
    expect(scene.prims.get("/W")?.children.map((c) => c.name)).toEqual(["Z", "B"]);
    scene.moved("/W/Z", "/W/B/Z");
    scene.patch(patch(5, [{ path: "/W/B/Z" }, { path: "/W/B/Z/Box" }], { removed: ["/W/Z"] }));
    expect(scene.primary).toBe("/W/B/Z/Box");
    scene.moved("/W/B/Z", "/W/Y"); // its patch is lost, and the scene fetched whole
    scene.load(doc([{ path: "/W" }, { path: "/W/Y" }, { path: "/W/Y/Box" }, { path: "/W/B" }]));
    expect([scene.primary, scene.expanded.has("/W/Y")]).toEqual(["/W/Y/Box", true]);
  });

  it("puts what comes where a reload would, several in a row and back in the middle", () => {
    const { scene } = store();
    scene.patch(patch(4, [{ path: "/W/C" }, { path: "/W/D" }, { path: "/W/E" }], { order: { "/W/C": "D", "/W/D": "E", "/W/E": "" } }));
    scene.patch(patch(5, [], { removed: ["/W/A", "/W/D"] }));
    // as an undo of both brings them: sorted by path, not by place
    scene.patch(patch(6, [{ path: "/W/A" }, { path: "/W/A/Box" }, { path: "/W/D" }], { order: { "/W/A": "B", "/W/D": "E" } }));
    expect(tree(scene.roots)).toEqual(["/W", "/W/A", "/W/A/Box", "/W/B", "/W/C", "/W/D", "/W/E"]);
    scene.patch(patch(7, [{ path: "/W/Aa" }, { path: "/W/Ab" }], { order: { "/W/Aa": "Ab", "/W/Ab": "A" } }));
    scene.patch(patch(8, [{ path: "/X" }], { order: { "/X": "W" } }));
    expect(tree(scene.roots).filter((p) => !p.includes("Box"))).toEqual(["/X", "/W", "/W/Aa", "/W/Ab", "/W/A", "/W/B", "/W/C", "/W/D", "/W/E"]);
  });

  it("has below what is told whole just what is told, in that order", () => {
    const { scene, changes } = store();
    scene.patch(patch(4, [{ path: "/W/A/Lid" }], { order: { "/W/A/Lid": "" } }));
    scene.patch(patch(5, [{ path: "/W/A" }, { path: "/W/A/Lid" }, { path: "/W/A/Foot" }, { path: "/W/A/Foot/Pad" }], { order: { "/W/A": "B" } }));
    expect(tree(scene.roots)).toEqual(["/W", "/W/A", "/W/A/Lid", "/W/A/Foot", "/W/A/Foot/Pad", "/W/B"]);
    expect(scene.prims.has("/W/A/Box")).toBe(false);
    expect(changes.at(-1)).toMatchObject({ structure: true });
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
    scene.patch(patch(4, [], { removed: ["/W/A"] }));
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
    scene.patch(patch(4, [{ path: "/W/A", visible: false }]));
    const box = scene.prims.get("/W/A/Box");
    expect(box && scene.visible(box)).toBe(false);
  });
});
