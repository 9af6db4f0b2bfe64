/** What a pointer near a shape means: a corner, an edge, or the surface under it. */
import * as THREE from "three";

export type SnapKind = "corner" | "edge" | "surface";

export interface Snap {
  kind: SnapKind;
  /** [m, stage axes] */
  point: THREE.Vector3;
}

/** A pointer this near to a corner or an edge means it [px]. */
const CORNER_PX = 12;
const EDGE_PX = 8;
/** Faces that meet at less than this are one surface [deg]: the sides of a cylinder have no edges between them. */
const EDGE_ANGLE = 24;
/** Shapes with more triangles are measured on their surface only. */
const MOST_TRIANGLES = 60_000;

const edgesOf = new WeakMap<THREE.BufferGeometry, Float32Array>();

/** End points of the edges of a shape, six numbers each, in its own units. */
export function featureEdges(geometry: THREE.BufferGeometry): Float32Array {
  let edges = edgesOf.get(geometry);
  if (!edges) {
    const triangles = (geometry.index?.count ?? geometry.attributes.position.count) / 3;
    if (triangles > MOST_TRIANGLES) edges = new Float32Array(0);
    else {
      const made = new THREE.EdgesGeometry(geometry, EDGE_ANGLE);
      edges = Float32Array.from(made.attributes.position?.array ?? []);
      made.dispose();
    }
    edgesOf.set(geometry, edges);
  }
  return edges;
}

/**
 * The corner or edge of a shape that lies nearest to the pointer on the screen; the surface point where none is near.
 *
 * ``edges``: as of ``featureEdges``; ``matrix``: shape to world. ``toScreen`` gives pixels, null behind the camera.
 * Corners and edges further from ``hit`` than ``reach`` [m] are those of the far side and do not count.
 */
export function snapTo(
  edges: Float32Array,
  matrix: THREE.Matrix4,
  hit: THREE.Vector3,
  pointer: { x: number; y: number },
  toScreen: (p: THREE.Vector3) => { x: number; y: number } | null,
  reach: number,
): Snap {
  const a = new THREE.Vector3();
  const b = new THREE.Vector3();
  const onEdge = new THREE.Vector3();
  let corner: THREE.Vector3 | null = null;
  let edge: THREE.Vector3 | null = null;
  let cornerAt = CORNER_PX;
  let edgeAt = EDGE_PX;
  const distance = (p: THREE.Vector3) => {
    const at = p.distanceTo(hit) <= reach ? toScreen(p) : null;
    return at ? Math.hypot(at.x - pointer.x, at.y - pointer.y) : Infinity;
  };
  for (let i = 0; i + 6 <= edges.length; i += 6) {
    a.set(edges[i], edges[i + 1], edges[i + 2]).applyMatrix4(matrix);
    b.set(edges[i + 3], edges[i + 4], edges[i + 5]).applyMatrix4(matrix);
    for (const end of [a, b]) {
      const d = distance(end);
      if (d < cornerAt) [corner, cornerAt] = [end.clone(), d];
    }
    // Nearest to where the ray met the surface: near enough to what is nearest on the screen, and exact where they touch.
    const along = b.clone().sub(a);
    const share = THREE.MathUtils.clamp(hit.clone().sub(a).dot(along) / (along.lengthSq() || 1), 0, 1);
    onEdge.copy(a).addScaledVector(along, share);
    const d = distance(onEdge);
    if (d < edgeAt) [edge, edgeAt] = [onEdge.clone(), d];
  }
  if (corner) return { kind: "corner", point: corner };
  if (edge) return { kind: "edge", point: edge };
  return { kind: "surface", point: hit.clone() };
}

/** The nearest of several values within ``reach`` of one of the moving ones, as the step that joins them; 0 for none. */
export function alignStep(moving: number[], fixed: number[], reach: number): number {
  let best = 0;
  let least = reach;
  for (const m of moving) {
    for (const f of fixed) {
      const step = f - m;
      if (Math.abs(step) < least) [best, least] = [step, Math.abs(step)];
    }
  }
  return best;
}
