/** What is under the pointer. */
import type * as THREE from "three";
import type { PrimNode } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import type { Goods } from "./goods";
import type { World } from "./world";

export interface Hit {
  prim: PrimNode;
  /** [m, stage axes] */
  point: THREE.Vector3;
  mesh: THREE.InstancedMesh;
  instance: number;
  distance: number;
}

/** What a ray meets first and is not cut away; goods stand for their prototype. */
export function pickHit(ray: THREE.Raycaster, world: World, goods: Goods, session: Session, section: THREE.Plane | null): Hit | null {
  world.prepareRay();
  goods.prepareRay();
  const meshes = [...world.meshes, ...goods.meshes.filter((m) => m.count > 0)];
  for (const { object, instanceId, point, distance } of ray.intersectObjects<THREE.InstancedMesh>(meshes, false)) {
    if (instanceId === undefined || (section && section.distanceToPoint(point) < 0)) continue;
    const prototype = session.prototypes[goods.prototypeOf(object)];
    const prim = world.primAt(object, instanceId) ?? (prototype ? session.scene.prims.get(prototype) : undefined);
    if (prim) return { prim, point, mesh: object, instance: instanceId, distance };
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
