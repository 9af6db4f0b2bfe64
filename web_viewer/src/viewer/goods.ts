/** Goods that come and go: one InstancedMesh per part of a prototype, filled from the interpolated poses. */
import * as THREE from "three";
import type { Geometry, PrototypeDoc } from "../protocol/messages.gen";
import type { GeometryCache } from "./geometry";
import type { MaterialCache } from "./materials";
import type { PoseStream } from "./poses";
import { Spots } from "./spots";

/** Shown for goods whose prototype draws nothing [m]. */
const UNKNOWN: Geometry = { kind: "bounds", size: [0.3, 0.3, 0.3] };

interface Part {
  mesh: THREE.InstancedMesh;
  /** Relative to the body frame [m]. */
  matrix: THREE.Matrix4;
}

export class Goods {
  readonly root = new THREE.Group();
  private parts: Part[][] = [];
  private capacity = 0;
  private slots: number[][] = [];
  private spots: (Spots | null)[] = [];
  private readonly spotMaterial = Spots.material();
  private cast = true;

  constructor(
    private readonly geometries: GeometryCache,
    private readonly materials: MaterialCache,
    private readonly shownBy: { readonly poses: PoseStream; readonly scene: { readonly upAxis: string } },
  ) {}

  /** Make the meshes of the prototypes that an id table names. */
  rebuild(paths: string[], docs: PrototypeDoc[]): void {
    for (const part of this.parts.flat()) {
      this.root.remove(part.mesh);
      part.mesh.dispose();
    }
    for (const spots of this.spots) {
      if (!spots) continue;
      this.root.remove(spots.mesh);
      spots.mesh.geometry.dispose();
      spots.mesh.dispose();
    }
    this.capacity = Math.max(1, this.shownBy.poses.prototype.length);
    this.slots = paths.map(() => []);
    this.parts = paths.map((path) => {
      const drawn = docs.find((d) => d.path === path)?.prims.filter((p) => p.geometry && p.visible !== false) ?? [];
      if (drawn.length === 0) return [this.part(UNKNOWN, [])].filter((p) => p !== null);
      return drawn.flatMap((p) => (p.geometry && this.part(p.geometry, p.matrix ?? [])) || []);
    });
    this.spots = this.parts.map((parts) => this.spotsUnder(parts));
    this.setCast(this.cast);
  }

  private spotsUnder(parts: Part[]): Spots | null {
    const box = new THREE.Box3();
    for (const { mesh, matrix } of parts) {
      if (!mesh.geometry.boundingBox) mesh.geometry.computeBoundingBox();
      if (mesh.geometry.boundingBox) box.union(mesh.geometry.boundingBox.clone().applyMatrix4(matrix));
    }
    if (box.isEmpty()) return null;
    const spots = new Spots(box, this.shownBy.scene.upAxis === "Y" ? "Y" : "Z", this.capacity, this.spotMaterial);
    this.root.add(spots.mesh);
    return spots;
  }

  private part(doc: Geometry, matrix: number[]): Part | null {
    const geometry = this.geometries.get(doc);
    if (!geometry) return null;
    const list = (doc.materials?.length ? doc.materials : [-1]).map((m) =>
      this.materials.get(m, doc.double_sided ?? false, doc.kind),
    );
    const mesh = new THREE.InstancedMesh(geometry, geometry.groups.length > 0 && doc.kind === "mesh" ? list : list[0], this.capacity);
    mesh.instanceMatrix.setUsage(THREE.DynamicDrawUsage);
    mesh.castShadow = mesh.receiveShadow = doc.kind !== "bounds";
    mesh.frustumCulled = false;
    mesh.count = 0;
    this.root.add(mesh);
    const relative = new THREE.Matrix4();
    if (matrix.length === 16) relative.fromArray(matrix);
    return { mesh, matrix: relative };
  }

  /** Put the goods where the interpolated poses have them. */
  followPoses(): void {
    const { goods, prototype } = this.shownBy.poses;
    for (const list of this.slots) list.length = 0;
    for (let slot = 0; slot < prototype.length; slot++) if (prototype[slot]) this.slots[prototype[slot] - 1]?.push(slot);
    const frame = new THREE.Matrix4();
    const matrix = new THREE.Matrix4();
    const position = new THREE.Vector3();
    const rotation = new THREE.Quaternion();
    const one = new THREE.Vector3(1, 1, 1);
    this.parts.forEach((parts, p) => {
      const slots = this.slots[p];
      const spots = this.cast ? null : this.spots[p];
      slots.forEach((slot, i) => {
        const at = 7 * slot;
        position.set(goods[at], goods[at + 1], goods[at + 2]);
        rotation.set(goods[at + 3], goods[at + 4], goods[at + 5], goods[at + 6]);
        frame.compose(position, rotation, one);
        for (const part of parts) part.mesh.setMatrixAt(i, matrix.multiplyMatrices(frame, part.matrix));
        spots?.put(i, frame, matrix);
      });
      if (spots) {
        spots.mesh.count = slots.length;
        spots.mesh.instanceMatrix.needsUpdate = true;
      }
      for (const { mesh } of parts) {
        mesh.count = slots.length;
        mesh.instanceMatrix.needsUpdate = true;
      }
    });
  }

  /** Spots go with the goods that a section takes away. */
  cut(plane: THREE.Plane | null): void {
    this.spotMaterial.clippingPlanes = plane && [plane];
    this.spotMaterial.needsUpdate = true;
  }

  /** Real shadows, or spots. */
  setCast(cast: boolean): void {
    this.cast = cast;
    for (const spots of this.spots) if (spots) spots.mesh.visible = !cast;
    for (const mesh of this.meshes) mesh.castShadow = cast && mesh.receiveShadow;
  }

  get meshes(): THREE.InstancedMesh[] {
    return this.parts.flat().map((p) => p.mesh);
  }

  /** Prototype index of a mesh of goods, -1 if it is none. */
  prototypeOf(mesh: THREE.Object3D): number {
    return this.parts.findIndex((parts) => parts.some((p) => p.mesh === mesh));
  }

  prepareRay(): void {
    for (const mesh of this.meshes) mesh.computeBoundingSphere();
  }
}
