/**
 * The prims of the stage as instanced meshes, in metres and the stage's axes.
 *
 * One InstancedMesh per (shape, materials, moves or not). What belongs to a rigid body follows the poses of the state
 * frames; all else stands where the stage has it, or where someone is dragging it.
 */
import * as THREE from "three";
import type { Geometry } from "../protocol/messages.gen";
import { isWithin, type PrimNode, type SceneStore } from "../state/scene.svelte";
import { geometryKey, type GeometryCache } from "./geometry";
import type { MaterialCache } from "./materials";
import { Merged, type Piece } from "./merged";
import type { PoseStream } from "./poses";

export interface Draw {
  node: PrimNode;
  geometry: THREE.BufferGeometry;
  /** The rigid body it belongs to, and its matrix relative to that body's frame. */
  body: PrimNode | null;
  relative: THREE.Matrix4;
  batch: Batch;
  index: number;
}

interface Batch {
  mesh: THREE.InstancedMesh;
  draws: Draw[];
  /** What is transparent casts no shadow. */
  casts: boolean;
  materials: THREE.Material[];
}

/** A prim on its way into a batch. */
interface Item {
  node: PrimNode;
  geometry: THREE.BufferGeometry;
  doc: Geometry;
  body: PrimNode | null;
  materials: THREE.Material[];
}

const ONE = new THREE.Vector3(1, 1, 1);

export class World {
  /** Children are in metres and the stage's axes, which are those of the whole picture: only the camera knows what is up. */
  readonly root = new THREE.Group();
  /** Raised when something that does not move by itself was redrawn: static shadows are stale. */
  revision = 0;

  private batches: Batch[] = [];
  private readonly merged: Merged<Draw>;
  private movingDraws: Draw[] = [];
  private drawsOf = new Map<string, Draw>();
  private worlds = new Map<string, THREE.Matrix4>();
  private readonly overrides = new Map<string, number[]>();

  constructor(
    private readonly scene: SceneStore,
    private readonly geometries: GeometryCache,
    private readonly materials: MaterialCache,
    private readonly shownBy: { readonly poses: PoseStream },
    /** Local matrix of an edit of this user that the server has not confirmed. */
    private readonly pendingMatrix: (path: string) => number[] | undefined,
    /** Whether this person sees a prim, apart from what the stage says. */
    private readonly shows: (path: string) => boolean = () => true,
  ) {
    this.merged = new Merged((side) => materials.forMerged(side));
    this.root.add(this.merged.root);
  }

  // ---- matrices

  private local(node: PrimNode): number[] {
    const { path, doc } = node;
    return this.overrides.get(path) ?? this.pendingMatrix(path) ?? doc.matrix ?? [];
  }

  /** Local-to-world of a prim as the stage has it [m]. Row vectors and row-major are three's columns: the numbers fit as they are. */
  matrix(node: PrimNode): THREE.Matrix4 {
    const known = this.worlds.get(node.path);
    if (known) return known;
    const local = this.local(node);
    const world = new THREE.Matrix4();
    if (local.length === 16) world.fromArray(local);
    world.premultiply(node.parent ? this.matrix(node.parent) : this.unit());
    this.worlds.set(node.path, world);
    return world;
  }

  /** Parent-to-world of a prim [m]. */
  parentMatrix(node: PrimNode): THREE.Matrix4 {
    return node.parent ? this.matrix(node.parent) : this.unit();
  }

  private unit(): THREE.Matrix4 {
    const m = this.scene.metersPerUnit;
    return new THREE.Matrix4().makeScale(m, m, m);
  }

  /** Pose of a body's frame: streamed where it is known and nobody is dragging it, else as authored. */
  private bodyFrame(body: PrimNode): THREE.Matrix4 {
    const id = body.doc.body ?? -1;
    const { poses } = this.shownBy;
    if (poses.bodyKnown[id] && !this.held(body)) {
      const p = poses.bodies;
      const at = 7 * id;
      return new THREE.Matrix4().compose(
        new THREE.Vector3(p[at], p[at + 1], p[at + 2]),
        new THREE.Quaternion(p[at + 3], p[at + 4], p[at + 5], p[at + 6]),
        ONE,
      );
    }
    return this.authoredFrame(body);
  }

  /** A body's frame in the stage, without scale. */
  private authoredFrame(body: PrimNode): THREE.Matrix4 {
    const position = new THREE.Vector3();
    const rotation = new THREE.Quaternion();
    this.matrix(body).decompose(position, rotation, new THREE.Vector3());
    return new THREE.Matrix4().compose(position, rotation, ONE);
  }

  private held(node: PrimNode): boolean {
    for (let n: PrimNode | null = node; n; n = n.parent) {
      if (this.overrides.has(n.path) || this.pendingMatrix(n.path)) return true;
    }
    return false;
  }

  private bodyOf(node: PrimNode): PrimNode | null {
    for (let n: PrimNode | null = node; n; n = n.parent) if ((n.doc.body ?? -1) >= 0) return n;
    return null;
  }

  /** Where a prim is shown now [m]. */
  shown(node: PrimNode): THREE.Matrix4 {
    const body = this.bodyOf(node);
    if (!body) return this.matrix(node).clone();
    const relative = this.authoredFrame(body).invert().multiply(this.matrix(node));
    return this.bodyFrame(body).multiply(relative);
  }

  // ---- drawing

  /** Make all meshes anew. */
  rebuild(): void {
    for (const { mesh } of this.batches) {
      this.root.remove(mesh);
      mesh.dispose();
    }
    this.merged.clear();
    this.worlds.clear();
    this.drawsOf.clear();
    this.batches = [];
    this.movingDraws = [];
    const groups = new Map<string, Item[]>();
    for (const node of this.scene.prims.values()) {
      const doc = node.doc.geometry;
      if (!doc || !this.scene.visible(node) || !this.shows(node.path)) continue;
      const mirrored = this.matrix(node).determinant() < 0;
      const geometry = this.geometries.get(doc, mirrored);
      if (!geometry) continue;
      const body = this.bodyOf(node);
      const list = (doc.materials?.length ? doc.materials : [-1]).map((m) => this.materials.get(m, doc.double_sided ?? doc.kind === "plane", doc.kind));
      const materials = geometry.groups.length > 0 && doc.kind === "mesh" ? list : [list[0]];
      const key = [geometryKey(doc), mirrored, materials.map((m) => m.id), body !== null].join("|");
      const item = { node, geometry, doc, body, materials };
      const group = groups.get(key);
      if (group) group.push(item);
      else groups.set(key, [item]);
    }
    for (const group of groups.values()) this.addBatch(group);
    this.merge();
    this.place(this.drawsOf.values());
  }

  private addBatch(items: Item[]): void {
    const { geometry, doc, body, materials } = items[0];
    const mesh = new THREE.InstancedMesh(geometry, materials.length > 1 ? materials : materials[0], items.length);
    const opaque = doc.kind !== "bounds" && !materials.some((m) => m.transparent);
    mesh.castShadow = opaque && doc.kind !== "plane";
    mesh.receiveShadow = opaque;
    // The bounds of what moves would have to be found anew for every frame.
    mesh.frustumCulled = body === null;
    const batch: Batch = { mesh, draws: [], casts: mesh.castShadow, materials };
    items.forEach((item, index) => {
      const draw: Draw = { node: item.node, geometry, body: item.body, relative: new THREE.Matrix4(), batch, index };
      batch.draws.push(draw);
      this.drawsOf.set(item.node.path, draw);
      if (item.body) this.movingDraws.push(draw);
    });
    this.batches.push(batch);
    this.root.add(mesh);
  }

  /** What stands still and has plain colours is drawn together. */
  private merge(): void {
    const pieces = new Map<Draw, Piece>();
    for (const { mesh, draws, materials } of this.batches) {
      if (draws[0].body || !this.merged.takes(mesh.geometry, materials, draws.length)) continue;
      mesh.visible = false;
      for (const draw of draws) {
        pieces.set(draw, { geometry: draw.geometry, materials, matrix: this.matrix(draw.node), casts: mesh.castShadow, receives: mesh.receiveShadow });
      }
    }
    this.merged.build(pieces);
  }

  /** ``moved``: they were drawn before, elsewhere. */
  private place(draws: Iterable<Draw>, moved = false): void {
    const touched = new Set<THREE.InstancedMesh>();
    for (const draw of draws) {
      const matrix = this.matrix(draw.node);
      if (draw.body) {
        draw.relative.copy(this.authoredFrame(draw.body)).invert().multiply(matrix);
        draw.batch.mesh.setMatrixAt(draw.index, this.bodyFrame(draw.body).multiply(draw.relative));
      } else {
        draw.batch.mesh.setMatrixAt(draw.index, matrix);
        if (moved) this.merged.move(draw, matrix);
      }
      touched.add(draw.batch.mesh);
    }
    for (const mesh of touched) {
      mesh.instanceMatrix.needsUpdate = true;
      mesh.computeBoundingSphere();
    }
    this.revision++;
  }

  /** Matrices at or below these prims changed. */
  refresh(paths: string[]): void {
    const draws: Draw[] = [];
    for (const path of paths) {
      const node = this.scene.prims.get(path);
      const stack = node ? [node] : [];
      for (let n = stack.pop(); n; n = stack.pop()) {
        this.worlds.delete(n.path);
        const draw = this.drawsOf.get(n.path);
        if (draw) draws.push(draw);
        stack.push(...n.children);
      }
    }
    this.place(draws, true);
  }

  /** Show a prim at a local matrix that is not (yet) the stage's; null ends it. */
  override(path: string, matrix: number[] | null): void {
    if (matrix) this.overrides.set(path, matrix);
    else this.overrides.delete(path);
    this.refresh([path]);
  }

  /** Put what belongs to bodies where the interpolated poses have it. */
  followPoses(): void {
    if (this.movingDraws.length === 0) return;
    const touched = new Set<THREE.InstancedMesh>();
    const frames = new Map<PrimNode, THREE.Matrix4>();
    const matrix = new THREE.Matrix4();
    for (const draw of this.movingDraws) {
      const body = draw.body as PrimNode;
      let frame = frames.get(body);
      if (!frame) frames.set(body, (frame = this.bodyFrame(body)));
      draw.batch.mesh.setMatrixAt(draw.index, matrix.multiplyMatrices(frame, draw.relative));
      touched.add(draw.batch.mesh);
    }
    for (const mesh of touched) mesh.instanceMatrix.needsUpdate = true;
  }

  setMoversCast(cast: boolean): void {
    for (const { mesh, draws, casts } of this.batches) if (draws[0].body) mesh.castShadow = cast && casts;
  }

  showMovers(visible: boolean): void {
    for (const { mesh, draws } of this.batches) if (draws[0].body) mesh.visible = visible;
  }

  // ---- questions

  get meshes(): THREE.InstancedMesh[] {
    return this.batches.map((b) => b.mesh);
  }

  /** Prims that are drawn. */
  *drawnPrims(): Generator<PrimNode> {
    for (const draw of this.drawsOf.values()) yield draw.node;
  }

  /** The prim behind an instance of a mesh. */
  primAt(mesh: THREE.Object3D, instance: number): PrimNode | null {
    return this.batches.find((b) => b.mesh === mesh)?.draws[instance]?.node ?? null;
  }

  /** Moving meshes have no bounds of their own; make those that a ray needs. */
  prepareRay(): void {
    for (const { mesh, draws } of this.batches) if (draws[0].body) mesh.computeBoundingSphere();
  }

  /** Everything drawn at or below a prim. */
  *drawsUnder(path: string): Generator<Draw> {
    const node = this.scene.prims.get(path);
    const stack = node ? [node] : [];
    for (let n = stack.pop(); n; n = stack.pop()) {
      const draw = this.drawsOf.get(n.path);
      if (draw) yield draw;
      stack.push(...n.children);
    }
  }

  /** Bounds of prims as they are shown, or as the stage has them [m, stage axes]; empty if they draw nothing. */
  bounds(paths: Iterable<string>, of: "shown" | "stage" = "shown"): THREE.Box3 {
    const box = new THREE.Box3();
    const matrix = new THREE.Matrix4();
    for (const path of paths) {
      for (const { batch, index, geometry, node } of this.drawsUnder(path)) {
        if (!geometry.boundingBox) geometry.computeBoundingBox();
        const own = geometry.boundingBox;
        if (!own || own.isEmpty()) continue;
        if (of === "stage") matrix.copy(this.matrix(node));
        else batch.mesh.getMatrixAt(index, matrix);
        box.union(own.clone().applyMatrix4(matrix));
      }
    }
    return box;
  }

  /** Direction towards the stage's first distant light, null where it has none. */
  sunDirection(): THREE.Vector3 | null {
    for (const node of this.scene.prims.values()) {
      if (node.doc.light?.kind === "distant") return new THREE.Vector3(0, 0, 1).transformDirection(this.matrix(node));
    }
    return null;
  }

  /** Bounds of the line: its nodes if it has some, else everything that is no ground plane [m, stage axes]. */
  extent(): THREE.Box3 {
    return this.parts().reduce((all, box) => all.union(box), new THREE.Box3());
  }

  /** Bounds of all that is drawn as the stage has it [m, stage axes]. */
  everything(): THREE.Box3 {
    const drawn = [...this.drawsOf.values()].filter((d) => d.node.doc.geometry?.kind !== "plane");
    return this.bounds(drawn.map((d) => d.node.path), "stage");
  }

  /** Whether the stage has a floor of its own under a box, within 5 cm of zero: a slab or plane as large as it. */
  hasFloor(box: THREE.Box3, up: "y" | "z"): boolean {
    const across = (["x", "y", "z"] as const).filter((a) => a !== up);
    for (const { node, body } of this.drawsOf.values()) {
      if (body) continue;
      const own = this.bounds([node.path], "stage");
      if (Math.abs(own.max[up]) > 0.05 || own.max[up] - own.min[up] > 1) continue;
      if (across.every((a) => own.min[a] <= box.min[a] && own.max[a] >= box.max[a])) return true;
    }
    return false;
  }

  /** As ``extent``, one box for each node: together they are much tighter than the box around all. */
  parts(): THREE.Box3[] {
    const nodes = this.scene.nodes.map((n) => n.path);
    const boxes = nodes.filter((p) => !nodes.some((q) => q !== p && isWithin(p, q))).map((p) => this.bounds([p], "stage"));
    if (boxes.some((b) => !b.isEmpty())) return boxes;
    return [this.everything()];
  }
}
