/** What the targets of a relationship can be. */
import { baseName } from "../ui/format";
import type { PrimNode, SceneStore } from "./scene.svelte";

export interface Aim {
  /** It has one target at most: another one takes its place. */
  single: boolean;
  /** What it wants, in a word, after "a". */
  what: string;
  fits(prim: PrimNode): boolean;
}

const applied = (schema: RegExp) => (prim: PrimNode) => (prim.doc.schemas ?? []).some((s) => schema.test(s));
const typed = (type: RegExp) => (prim: PrimNode) => type.test(prim.doc.type ?? "");
const node = applied(/^Twin(Source|Station|Buffer|Conveyor|Router|Sink|Fleet)API$/);

const many = (what: string, fits: Aim["fits"]): Aim => ({ single: false, what, fits });
const one = (what: string, fits: Aim["fits"]): Aim => ({ single: true, what, fits });

/** By the property's name (docs/schema-reference.md says what each means). */
const AIMS: Record<string, Aim> = {
  "twin:next": many("node of the line", node),
  "twin:source:items": many("prototype of goods", applied(/^TwinItemAPI$/)),
  "twin:node:shift": one("shift calendar", applied(/^TwinShiftAPI$/)),
  "twin:node:zone": one("prim with a shape", typed(/^(Xform|Cube|Mesh|Cylinder|Sphere|Capsule|Cone|Plane)$/)),
  "twin:station:rework": one("node of the line", node),
  "twin:station:joins": many("node of the line", node),
  "twin:station:output": one("prototype of goods", applied(/^TwinItemAPI$/)),
  "twin:station:crew": one("crew", applied(/^TwinCrewAPI$/)),
  "twin:station:repairCrew": one("crew", applied(/^TwinCrewAPI$/)),
  "twin:conveyor:path": one("curve", typed(/Curves$/)),
  "twin:conveyor:belt": many("collider", applied(/^PhysicsCollisionAPI$/)),
  "twin:router:diverter": many("conveyor", applied(/^TwinConveyorAPI$/)),
  "twin:fleet:paths": many("curve", typed(/Curves$/)),
  "twin:robot:station": one("station", applied(/^TwinStationAPI$/)),
  "twin:robot:tool": one("Xform", typed(/^Xform$/)),
  "twin:robot:path": many("Xform", typed(/^Xform$/)),
  "twin:sensor:signal": one("prim with a signal", applied(/^TwinSignalAPI:/)),
  "physics:body0": one("body", typed(/^(Xform|Cube|Mesh|Cylinder|Sphere|Capsule|Cone)$/)),
  "physics:body1": one("body", typed(/^(Xform|Cube|Mesh|Cylinder|Sphere|Capsule|Cone)$/)),
};

export function aimOf(property: string): Aim {
  if (property.startsWith("material:binding")) return one("material", typed(/^Material$/));
  return AIMS[property] ?? many("prim", () => true);
}

/** Prototypes of goods that are classes: no part of the world, so that the tree does not have them. */
export function goods(scene: SceneStore): PrimNode[] {
  return scene.prototypes
    .filter(({ path }) => !scene.prims.has(path))
    .map(({ path }) => ({ path, name: baseName(path), doc: { path, type: "Xform", schemas: ["TwinItemAPI"] } as PrimNode["doc"], parent: null, children: [], depth: 0 }));
}

/** The prim that was meant where one was pressed: itself or the nearest above it that fits. */
export function meant(prim: PrimNode | undefined, aim: Aim): PrimNode | null {
  for (let p: PrimNode | null = prim ?? null; p; p = p.parent) if (aim.fits(p)) return p;
  return null;
}

/** Prims that fit, those whose name begins with the words first; ``but`` are left out. */
export function candidates(prims: Iterable<PrimNode>, aim: Aim, words: string, but: readonly string[], most: number): PrimNode[] {
  const wanted = words.trim().toLowerCase();
  const found: { prim: PrimNode; rank: number }[] = [];
  for (const prim of prims) {
    if (!aim.fits(prim) || but.includes(prim.path)) continue;
    const at = prim.name.toLowerCase().indexOf(wanted);
    if (at >= 0) found.push({ prim, rank: at === 0 ? 0 : 1 });
    else if (prim.path.toLowerCase().includes(wanted)) found.push({ prim, rank: 2 });
  }
  return found.sort((a, b) => a.rank - b.rank).slice(0, most).map((f) => f.prim);
}
