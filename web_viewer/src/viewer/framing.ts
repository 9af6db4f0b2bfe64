/** Where to stand so that something fills the picture. */
import * as THREE from "three";

export type View = "home" | "top" | "front" | "right";

/** How far away all corners of a box are inside the picture. */
export function fitDistance(camera: THREE.PerspectiveCamera, box: THREE.Box3, center: THREE.Vector3, direction: THREE.Vector3): number {
  const look = new THREE.Matrix4().lookAt(direction, new THREE.Vector3(), camera.up);
  const right = new THREE.Vector3().setFromMatrixColumn(look, 0);
  const up = new THREE.Vector3().setFromMatrixColumn(look, 1);
  const tanV = Math.tan(THREE.MathUtils.degToRad(camera.fov / 2)) * 0.93;
  const tanH = tanV * camera.aspect;
  let distance = 0.6;
  for (let i = 0; i < 8; i++) {
    const corner = new THREE.Vector3(i & 1 ? box.max.x : box.min.x, i & 2 ? box.max.y : box.min.y, i & 4 ? box.max.z : box.min.z).sub(center);
    const along = corner.dot(direction);
    distance = Math.max(distance, along + Math.abs(corner.dot(right)) / tanH, along + Math.abs(corner.dot(up)) / tanV);
  }
  return distance;
}

/** From where a view looks, Y up; ``size`` is that of what is looked at. */
export function viewDirection(view: View, size: THREE.Vector3): THREE.Vector3 {
  if (view === "top") return new THREE.Vector3(0, 1, 0.0001);
  if (view === "front") return new THREE.Vector3(0, 0.12, 1);
  if (view === "right") return new THREE.Vector3(1, 0.12, 0);
  // Look across the longer side, from a little above and to the right.
  return Math.abs(size.x) >= Math.abs(size.z) ? new THREE.Vector3(0.34, 0.56, 1) : new THREE.Vector3(1, 0.56, 0.34);
}
