import { describe, expect, it } from "vitest";
import { aimOf, candidates, meant } from "../src/state/targets";
import type { PrimNode } from "../src/state/scene.svelte";

const prim = (path: string, schemas: string[] = [], parent: PrimNode | null = null): PrimNode => ({
  path, name: path.slice(path.lastIndexOf("/") + 1), doc: { path, type: "Xform", schemas } as PrimNode["doc"], parent, children: [], depth: 0,
});
const belt = prim("/W/Belt", ["TwinConveyorAPI"]);
const bed = prim("/W/Belt/Bed", ["PhysicsCollisionAPI"], belt);
const carton = prim("/W/Goods/Carton", ["TwinItemAPI"]);
const sealer = prim("/W/LongBelt/Sealer", ["TwinStationAPI"]);
const all = [belt, bed, carton, sealer];

describe("targets of a relationship", () => {
  it("offers what fits, and those first whose names begin with what was typed", () => {
    expect(candidates(all, aimOf("twin:next"), "", [], 9)).toEqual([belt, sealer]);
    expect(candidates(all, aimOf("twin:next"), "belt", [], 9)).toEqual([belt, sealer]); // the other has it in its path
    expect(candidates(all, aimOf("twin:next"), "", ["/W/Belt"], 9)).toEqual([sealer]);
    expect(candidates(all, aimOf("twin:source:items"), "", [], 9)).toEqual([carton]);
    expect(candidates(all, aimOf("my:own"), "", [], 2)).toHaveLength(2);
  });

  it("takes the machine where a part of it was pressed", () => {
    expect(meant(bed, aimOf("twin:next"))).toBe(belt);
    expect(meant(carton, aimOf("twin:next"))).toBe(null);
    expect(meant(undefined, aimOf("twin:next"))).toBe(null);
  });
});
