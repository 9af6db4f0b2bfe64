import * as THREE from "three";
import { describe, expect, it } from "vitest";
import { isClosed } from "../src/viewer/caps";
import { Lens } from "../src/viewer/lens";

function lens(): Lens {
  const camera = new Lens(38, 1.5, 0.1, 500);
  camera.position.set(0, 0, 10);
  camera.lookAt(0, 0, 0);
  camera.updateMatrixWorld();
  return camera;
}

const seen = (camera: THREE.Camera, x: number, y: number, z: number) => new THREE.Vector3(x, y, z).project(camera);

describe("a camera without perspective", () => {
  it("keeps the size of what is looked at, and shows all else as large", () => {
    const camera = lens();
    const before = seen(camera, 1, 1, 0);
    camera.setFlat(true, 10);
    const after = seen(camera, 1, 1, 0);
    expect(after.x).toBeCloseTo(before.x, 6);
    expect(after.y).toBeCloseTo(before.y, 6);
    expect(seen(camera, 1, 1, -40).x).toBeCloseTo(after.x, 6);
    expect(camera.heightAt(3)).toBeCloseTo(camera.heightAt(30), 9);
  });

  it("goes back to where it was, zoomed or not", () => {
    const camera = lens();
    const before = camera.projectionMatrix.clone();
    camera.setFlat(true, 10);
    camera.zoom = 4;
    camera.updateProjectionMatrix();
    expect(camera.likeDistance).toBeCloseTo(2.5, 6);
    camera.setFlat(false, 2.5);
    expect(camera.projectionMatrix.equals(before)).toBe(true);
  });

  it("is looked through by rays that are parallel", () => {
    const camera = lens();
    camera.setFlat(true, 10);
    const [a, b] = [new THREE.Raycaster(), new THREE.Raycaster()];
    a.setFromCamera(new THREE.Vector2(-0.9, 0.5), camera);
    b.setFromCamera(new THREE.Vector2(0.9, -0.5), camera);
    expect(a.ray.direction.angleTo(b.ray.direction)).toBeLessThan(1e-6);
    const hit = a.ray.intersectPlane(new THREE.Plane(new THREE.Vector3(0, 0, 1), 0), new THREE.Vector3()) as THREE.Vector3;
    expect(seen(camera, hit.x, hit.y, hit.z).x).toBeCloseTo(-0.9, 6);
  });
});

describe("shapes that a section fills", () => {
  it("are those with an inside", () => {
    for (const shape of [new THREE.BoxGeometry(1, 2, 3), new THREE.SphereGeometry(1, 12, 8), new THREE.CylinderGeometry(1, 1, 2, 16), new THREE.CapsuleGeometry(0.2, 1)]) {
      expect(isClosed(shape)).toBe(true);
    }
    expect(isClosed(new THREE.PlaneGeometry(1, 1))).toBe(false);
    expect(isClosed(new THREE.CylinderGeometry(1, 1, 2, 16, 1, true))).toBe(false);
    // a box without one of its triangles
    const open = new THREE.BoxGeometry(1, 1, 1);
    open.setIndex([...(open.index as THREE.BufferAttribute).array].slice(3));
    expect(isClosed(open)).toBe(false);
  });
});
