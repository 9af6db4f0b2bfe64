/** Move, rotate and scale what is selected: previews while dragging, one edit at the end. */
import * as THREE from "three";
import { TransformControls } from "three/addons/controls/TransformControls.js";
import type { Op } from "../protocol/messages.gen";
import { isWithin, type Now, type PrimNode } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import { alignStep } from "./snapping";
import type { World } from "./world";

/** Previews are sent at most this often [ms]. */
const PREVIEW_EVERY_MS = 34;
const SNAP_M = 0.1;
const SNAP_ANGLE = Math.PI / 12;
const SNAP_SCALE = 0.1;
/** Ends and sides this near to those of a neighbour join them [m]; a neighbour is within the second distance. */
const ALIGN_M = 0.12;
const NEAR_M = 2.5;

interface Dragged {
  path: string;
  node: PrimNode;
  /** World and local matrix before the drag. */
  world: THREE.Matrix4;
  local: THREE.Matrix4;
}

/** A local matrix as the three USD xform ops that a person edits; angles in degrees, applied x, then y, then z. */
export function xformOps(matrix: THREE.Matrix4): { translate: number[]; rotate: number[]; scale: number[] } {
  const position = new THREE.Vector3();
  const rotation = new THREE.Quaternion();
  const scale = new THREE.Vector3();
  matrix.decompose(position, rotation, scale);
  // USD's rotateXYZ turns about x first: in three's naming, which lists the outermost rotation first, that is ZYX.
  const euler = new THREE.Euler().setFromQuaternion(rotation, "ZYX");
  const tidy = (v: number) => Math.round(v * 1e6) / 1e6 + 0;
  return {
    translate: position.toArray().map(tidy),
    rotate: [euler.x, euler.y, euler.z].map((r) => tidy(THREE.MathUtils.radToDeg(r))),
    scale: scale.toArray().map(tidy),
  };
}

/** The set_field ops that take a prim from one local matrix to another: only those of translate, rotate, scale that differ. */
export function transformOps(path: string, before: THREE.Matrix4, after: THREE.Matrix4): Op[] {
  const a = xformOps(before);
  const b = xformOps(after);
  const differ = (x: number[], y: number[], slack: number) => x.some((v, i) => Math.abs(v - y[i]) > slack);
  const ops: Op[] = [];
  const set = (field: string, type: string, value: number[]) =>
    ops.push({ kind: "set_field", path, field, value: [type, value] });
  if (differ(a.translate, b.translate, 1e-6)) set("xformOp:translate", "double3", b.translate);
  if (differ(a.rotate, b.rotate, 1e-4)) set("xformOp:rotateXYZ", "float3", b.rotate);
  if (differ(a.scale, b.scale, 1e-5)) set("xformOp:scale", "float3", b.scale);
  return ops;
}

export class Gizmo {
  readonly controls: TransformControls;
  private readonly proxy = new THREE.Object3D();
  private start = new THREE.Matrix4();
  private dragged: Dragged[] = [];
  private lastPreview = 0;
  /** Bounds of what is dragged before the drag, and of what it may line up with. */
  private box = new THREE.Box3();
  private neighbours: THREE.Box3[] = [];

  constructor(
    camera: THREE.Camera,
    element: HTMLElement,
    scene: THREE.Scene,
    private readonly world: World,
    private readonly session: Session,
    private readonly redraw: () => void,
  ) {
    this.controls = new TransformControls(camera, element);
    this.controls.size = 0.85;
    world.root.add(this.proxy);
    scene.add(this.controls.getHelper());
    this.controls.addEventListener("change", redraw);
    this.controls.addEventListener("mouseDown", () => this.begin());
    this.controls.addEventListener("objectChange", () => this.move());
    this.controls.addEventListener("mouseUp", () => this.end());
  }

  get dragging(): boolean {
    return this.controls.dragging;
  }

  /** Follow selection, mode and rights; call after each change of those or of the scene. */
  update(): void {
    if (this.dragging && this.dragged.length > 0) this.follow();
    if (this.dragging) return;
    const { scene, ui, canEdit } = this.session;
    const node = scene.primary ? scene.prims.get(scene.primary) : undefined;
    const mode = ui.gizmo === "select" || ui.gizmo === "measure" ? null : ui.gizmo;
    if (!node || !mode || !canEdit || !isPlaceable(node)) this.controls.detach();
    else {
      this.world.matrix(node).decompose(this.proxy.position, this.proxy.quaternion, this.proxy.scale);
      this.proxy.updateMatrixWorld();
      this.controls.attach(this.proxy);
    }
    if (mode) this.controls.setMode(mode);
    this.controls.setSpace(mode === "scale" ? "local" : ui.gizmoSpace);
    this.controls.setTranslationSnap(ui.snap ? SNAP_M : null);
    this.controls.setRotationSnap(ui.snap ? SNAP_ANGLE : null);
    this.controls.setScaleSnap(ui.snap ? SNAP_SCALE : null);
    this.redraw();
  }

  private begin(): void {
    this.proxy.updateMatrix();
    this.start.copy(this.proxy.matrix);
    this.dragged = this.session.scene.topmost().filter(isPlaceable).map((node) => {
      const world = this.world.matrix(node).clone();
      return { path: node.path, node, world, local: this.world.parentMatrix(node).clone().invert().multiply(world) };
    });
    this.box = this.world.bounds(this.dragged.map((d) => d.node.path));
    this.neighbours = this.findNeighbours();
  }

  /** Somebody else gives what is dragged another name or parent: it goes on being dragged. */
  moved(now: Now): void {
    for (const item of this.dragged) {
      const path = now(item.path);
      if (path === item.path) continue;
      this.world.override(item.path, null);
      item.path = path;
    }
  }

  /** The scene has changed during a drag: what of it is gone is let go of, and with all of it the drag ends. */
  private follow(): void {
    const held = this.dragged.flatMap((item) => {
      const node = this.session.scene.prims.get(item.path);
      if (!node) this.world.override(item.path, null);
      return node ? [{ ...item, node }] : [];
    });
    for (const item of held) {
      // where it stands among its own; what others put around it does not move what is in hand
      if (!this.dragged.some(({ node }) => node === item.node)) item.local = this.world.parentMatrix(item.node).clone().invert().multiply(item.world);
    }
    this.dragged = held;
    if (held.length > 0) return;
    this.controls.dragging = false;
    this.controls.axis = null;
  }

  /** What a dragged thing lines up with: the nodes of the line, and what stands beside it in the tree. */
  private findNeighbours(): THREE.Box3[] {
    const { scene } = this.session;
    const paths = new Set(scene.nodes.map((n) => n.path));
    for (const { node } of this.dragged) for (const sibling of node.parent?.children ?? scene.roots) paths.add(sibling.path);
    const dragged = this.dragged.map((d) => d.node.path);
    const others = [...paths].filter((p) => !dragged.some((d) => isWithin(p, d) || isWithin(d, p)));
    return others.map((p) => this.world.bounds([p])).filter((b) => !b.isEmpty());
  }

  /** Ends meet ends and sides line up with sides of what stands near. */
  private align(): void {
    if (!this.session.ui.snap || this.controls.mode !== "translate" || this.box.isEmpty()) return;
    const start = new THREE.Vector3().setFromMatrixPosition(this.start);
    const box = this.box.clone().translate(this.proxy.position.clone().sub(start));
    const near = this.neighbours.filter((n) => n.clone().expandByScalar(NEAR_M).intersectsBox(box));
    const up = this.session.scene.upAxis === "Y" ? 1 : 2;
    for (const k of [0, 1, 2]) {
      const edges = (b: THREE.Box3) => [b.min.getComponent(k), b.max.getComponent(k)];
      const lines = (b: THREE.Box3) => [...edges(b), (b.min.getComponent(k) + b.max.getComponent(k)) / 2];
      const axis = "XYZ"[k];
      if (!this.controls.axis?.includes(axis) || k === up) continue;
      const step = alignStep(edges(box), near.flatMap(edges), ALIGN_M) || alignStep(lines(box), near.flatMap(lines), ALIGN_M);
      this.proxy.position.setComponent(k, this.proxy.position.getComponent(k) + step);
    }
  }

  /** Local matrix of a dragged prim now. */
  private local({ node, world }: Dragged): THREE.Matrix4 {
    const delta = this.start.clone().invert().premultiply(this.proxy.matrix);
    return this.world.parentMatrix(node).clone().invert().multiply(delta.multiply(world));
  }

  private move(): void {
    this.align();
    this.proxy.updateMatrix();
    const now = performance.now();
    const tell = now - this.lastPreview >= PREVIEW_EVERY_MS;
    if (tell) this.lastPreview = now;
    for (const item of this.dragged) {
      const matrix = this.local(item).toArray();
      this.world.override(item.path, matrix);
      if (tell) this.session.preview(item.path, matrix);
    }
    this.redraw();
  }

  private end(): void {
    this.proxy.updateMatrix();
    const txn: Op[] = [];
    const matrices = new Map<string, number[]>();
    for (const item of this.dragged) {
      const after = this.local(item);
      const ops = transformOps(item.path, item.local, after);
      if (ops.length > 0) matrices.set(item.path, after.toArray());
      txn.push(...ops);
    }
    const verb = { translate: "Move", rotate: "Rotate", scale: "Scale" }[this.controls.mode];
    const names = this.dragged.length === 1 ? this.dragged[0].node.name : `${this.dragged.length} prims`;
    if (txn.length > 0) this.session.edit(txn, `${verb} ${names}`, matrices);
    // From here on the pending edit holds them in place, until the server's answer does.
    for (const { path } of this.dragged) this.world.override(path, null);
    this.dragged = [];
    this.redraw();
  }
}

/** Prims of the types that carry a transform. */
function isPlaceable(node: PrimNode): boolean {
  return (node.doc.matrix?.length ?? 0) === 16 || node.doc.geometry != null || node.doc.type === "Xform";
}
