/** Where to stand so that something fills the picture. */
import * as THREE from "three";

export type View = "home" | "top" | "front" | "right";

/** The eight corners of a box. */
export function corners(box: THREE.Box3): THREE.Vector3[] {
  return Array.from(
    { length: 8 },
    (_, i) => new THREE.Vector3(i & 1 ? box.max.x : box.min.x, i & 2 ? box.max.y : box.min.y, i & 4 ? box.max.z : box.min.z),
  );
}

export interface Stand {
  position: THREE.Vector3;
  /** In the middle of what is looked at, on the line of sight. */
  target: THREE.Vector3;
  distance: number;
}

/**
 * The nearest place from which a camera that looks against ``direction`` (unit) has all points in the picture.
 *
 * In the camera's axes (x right, y up, z towards it), a point is inside where |x - cx| <= tan(fov/2) (cz - z): each of
 * the four planes of the view touches one extreme point, which gives place and distance at once.
 *
 * ``fill``: share of the picture that the points may take.
 */
export function standFor(camera: THREE.PerspectiveCamera, points: THREE.Vector3[], direction: THREE.Vector3, fill = 0.93): Stand {
  const look = new THREE.Matrix4().lookAt(direction, new THREE.Vector3(), camera.up);
  const axis = (i: number) => new THREE.Vector3().setFromMatrixColumn(look, i);
  const [right, up] = [axis(0), axis(1)];
  const tanV = Math.tan(THREE.MathUtils.degToRad(camera.fov / 2)) * fill;
  const tanH = tanV * camera.aspect;
  const high = { x: -Infinity, y: -Infinity, z: -Infinity };
  const low = { x: Infinity, y: Infinity, z: Infinity };
  for (const p of points) {
    const [x, y, z] = [p.dot(right), p.dot(up), p.dot(direction)];
    high.x = Math.max(high.x, x + tanH * z);
    low.x = Math.min(low.x, x - tanH * z);
    high.y = Math.max(high.y, y + tanV * z);
    low.y = Math.min(low.y, y - tanV * z);
    high.z = Math.max(high.z, z);
    low.z = Math.min(low.z, z);
  }
  const cz = Math.max((high.x - low.x) / (2 * tanH), (high.y - low.y) / (2 * tanV), high.z + 0.5);
  const position = new THREE.Vector3()
    .addScaledVector(right, (high.x + low.x) / 2)
    .addScaledVector(up, (high.y + low.y) / 2)
    .addScaledVector(direction, cz);
  const distance = cz - (high.z + low.z) / 2;
  return { position, target: position.clone().addScaledVector(direction, -distance), distance };
}

/** From where a view looks, Y up; ``size`` is that of what is looked at; ``flat``: without perspective, straight at it. */
export function viewDirection(view: View, size: THREE.Vector3, flat = false): THREE.Vector3 {
  if (view === "top") return new THREE.Vector3(0, 1, 0.0001);
  if (view === "front") return new THREE.Vector3(0, flat ? 0 : 0.12, 1);
  if (view === "right") return new THREE.Vector3(1, flat ? 0 : 0.12, 0);
  // Look across the longer side, from a little above and to the right.
  return Math.abs(size.x) >= Math.abs(size.z) ? new THREE.Vector3(0.3, 0.62, 1) : new THREE.Vector3(1, 0.62, 0.3);
}
