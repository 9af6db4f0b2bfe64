/** A plane that cuts the picture open. */
import * as THREE from "three";

export type SectionAxis = "X" | "Y" | "Z";

export interface SectionState {
  axis: SectionAxis;
  /** Where the plane lies between the ends of the scene along the axis, 0 to 1. */
  share: number;
  /** Which side is kept. */
  flipped: boolean;
}

/** The plane that keeps what lies below it along its axis (above it where flipped), and where it is [m, stage axes]. */
export function sectionPlane(state: SectionState, box: THREE.Box3): { plane: THREE.Plane; at: number } {
  const k = { X: 0, Y: 1, Z: 2 }[state.axis];
  const low = box.min.getComponent(k);
  const high = box.max.getComponent(k);
  const at = low + state.share * (high - low);
  const normal = new THREE.Vector3().setComponent(k, state.flipped ? 1 : -1);
  return { plane: new THREE.Plane(normal, state.flipped ? -at : at), at };
}

/** The frame that shows where the plane is. */
export class SectionFrame {
  readonly root: THREE.LineLoop;

  constructor() {
    const geometry = new THREE.BufferGeometry().setAttribute("position", new THREE.BufferAttribute(new Float32Array(12), 3));
    this.root = new THREE.LineLoop(geometry, new THREE.LineBasicMaterial({ color: 0xff6a3d, toneMapped: false, transparent: true, opacity: 0.85 }));
    this.root.visible = false;
    this.root.frustumCulled = false;
  }

  set(state: SectionState | null, box: THREE.Box3): void {
    this.root.visible = state !== null && !box.isEmpty();
    if (!state || !this.root.visible) return;
    const k = { X: 0, Y: 1, Z: 2 }[state.axis];
    const [u, v] = [(k + 1) % 3, (k + 2) % 3];
    const { at } = sectionPlane(state, box);
    const position = this.root.geometry.attributes.position as THREE.BufferAttribute;
    const corner = new THREE.Vector3();
    [[0, 0], [1, 0], [1, 1], [0, 1]].forEach(([a, b], i) => {
      corner.setComponent(k, at);
      corner.setComponent(u, a ? box.max.getComponent(u) : box.min.getComponent(u));
      corner.setComponent(v, b ? box.max.getComponent(v) : box.min.getComponent(v));
      position.setXYZ(i, corner.x, corner.y, corner.z);
    });
    position.needsUpdate = true;
  }
}
