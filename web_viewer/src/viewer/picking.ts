/** What is under the pointer. */
import type * as THREE from "three";
import type { PrimNode } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import type { Goods } from "./goods";
import type { World } from "./world";

/** The prim that a ray meets first; goods stand for their prototype. */
export function pickPrim(ray: THREE.Raycaster, world: World, goods: Goods, session: Session): PrimNode | null {
  world.prepareRay();
  goods.prepareRay();
  const meshes = [...world.meshes, ...goods.meshes.filter((m) => m.count > 0)];
  for (const hit of ray.intersectObjects(meshes, false)) {
    if (hit.instanceId === undefined) continue;
    const prim = world.primAt(hit.object, hit.instanceId);
    if (prim) return prim;
    const prototype = session.prototypes[goods.prototypeOf(hit.object)];
    const node = prototype ? session.scene.prims.get(prototype) : undefined;
    if (node) return node;
  }
  return null;
}

/** The thing a person means when clicking a detail: the nearest node, body or component around it. */
export function partOf(prim: PrimNode): PrimNode {
  for (let n: PrimNode | null = prim; n; n = n.parent) {
    if ((n.doc.node ?? -1) >= 0 || (n.doc.body ?? -1) >= 0 || n.doc.kind === "component") return n;
    if (n.doc.schemas?.some((s) => s.startsWith("Twin"))) return n;
  }
  return prim;
}
