/** The picture: camera, light, frame loop, picking. No framework in here; panels talk to it through the session. */
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import type { PrimNode, SceneChange } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import type { Theme } from "../state/ui.svelte";
import { Environment } from "./environment";
import { corners, standFor, viewDirection, type View } from "./framing";
import { GeometryCache } from "./geometry";
import { Gizmo } from "./gizmo";
import { Goods } from "./goods";
import { Heat, type HeatMap } from "./heat";
import { Labels } from "./labels";
import { MaterialCache } from "./materials";
import { Outline } from "./outline";
import { partOf, pickPrim } from "./picking";
import { isSoftware, Quality } from "./quality";
import { World } from "./world";

const CLICK_SLACK_PX = 4;
const FLY_MS = 320;
const CONTACT_AFTER_MS = 300;
/** Share of the picture that the line takes in the first view. */
const HOME_FILL = 0.94;

export class Viewport {
  readonly world: World;
  readonly goods: Goods;
  readonly camera = new THREE.PerspectiveCamera(38, 1, 0.05, 2000);
  readonly controls: OrbitControls;
  readonly gizmo: Gizmo;
  readonly quality: Quality;
  /** Told of each new camera pose, for the axes widget. */
  onCamera: (rotation: THREE.Quaternion) => void = () => undefined;

  private readonly renderer: THREE.WebGLRenderer;
  private readonly scene = new THREE.Scene();
  private readonly environment: Environment;
  private readonly geometries: GeometryCache;
  private readonly materials: MaterialCache;
  private readonly outline: Outline;
  private readonly heat: Heat;
  private heatMap: HeatMap | null = null;
  private readonly labels: Labels;
  private readonly pointer = new THREE.Vector2();
  private readonly upright = new THREE.Quaternion();
  private dirty = true;
  private moving = false;
  private rebuildDue = false;
  private framed = false;
  private shadowRevision = -1;
  private contactDue = Infinity;
  private frame = 0;
  private lastRender = 0;
  private wasMoving = false;
  private flight: { from: THREE.Vector3; to: THREE.Vector3; target0: THREE.Vector3; target1: THREE.Vector3; begin: number } | null = null;
  private followed: string | null = null;
  private readonly cleanups: (() => void)[] = [];

  constructor(
    private readonly host: HTMLElement,
    labelLayer: HTMLElement,
    private readonly session: Session,
  ) {
    const canvas = document.createElement("canvas");
    host.prepend(canvas);
    const probe = document.createElement("canvas").getContext("webgl2");
    if (!probe) throw new Error("This browser offers no WebGL 2, so the 3D view cannot be shown.");
    this.quality = new Quality(isSoftware(probe));
    probe.getExtension("WEBGL_lose_context")?.loseContext();

    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: "high-performance" });
    this.renderer.toneMapping = THREE.NeutralToneMapping;
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = THREE.PCFShadowMap;
    this.renderer.shadowMap.autoUpdate = false;
    // Pictures are thought of with Y up, as three.js does; this turns them to what the stage calls up.
    if (session.scene.upAxis !== "Y") this.upright.setFromAxisAngle(new THREE.Vector3(1, 0, 0), Math.PI / 2);
    this.camera.up.set(0, 1, 0).applyQuaternion(this.upright);
    this.environment = new Environment(this.scene, this.renderer, this.upright, this.quality.software);
    this.environment.setShadows(this.quality.level.shadowSize);

    const soon = () => {
      this.rebuildDue = true;
      this.invalidate();
    };
    this.geometries = new GeometryCache(soon, (message) => session.ui.toast("error", message));
    this.materials = new MaterialCache(this.quality.software, () => this.invalidate());
    this.world = new World(session.scene, this.geometries, this.materials, session, (path) => session.pending.matrix(path));
    this.goods = new Goods(this.geometries, this.materials, session);
    this.scene.add(this.world.root);
    this.world.root.add(this.goods.root);
    this.heat = new Heat(this.world);
    this.world.root.add(this.heat.root);
    this.outline = new Outline(this.world);
    this.labels = new Labels(labelLayer, this.world, session);

    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.zoomToCursor = true;
    this.controls.addEventListener("change", () => this.cameraMoved());
    this.controls.addEventListener("start", () => {
      this.followed = null;
      this.flight = null;
    });
    this.gizmo = new Gizmo(this.camera, canvas, this.scene, this.world, session, () => this.invalidate());
    this.gizmo.controls.addEventListener("dragging-changed", (event) => {
      this.controls.enabled = !event.value;
    });

    this.listen(canvas);
    session.onPoses = () => {
      this.moving = true;
    };
    session.onBodies = soon;
    session.onSwap = () => {
      this.goods.rebuild(session.prototypes, session.scene.prototypes);
      this.castMovers();
      this.gizmo.update();
      this.moving = true;
    };
    session.onPreview = (path, matrix) => {
      this.world.override(path, matrix);
      this.gizmo.update();
    };
    this.cleanups.push(session.scene.onChange((change) => this.sceneChanged(change)));
    if (session.scene.loaded) this.sceneChanged({ kind: "load" });
    this.renderer.setAnimationLoop((now) => this.tick(now));
  }

  dispose(): void {
    this.renderer.setAnimationLoop(null);
    for (const clean of this.cleanups) clean();
    this.controls.dispose();
    this.environment.contact.dispose();
    this.renderer.dispose();
  }

  invalidate(): void {
    this.dirty = true;
  }

  setTheme(theme: Theme): void {
    this.environment.setTheme(theme);
    this.invalidate();
  }

  /** Selection of this user or of others, gizmo mode or rights changed. */
  refreshSelection(accent: string): void {
    this.outline.set([
      ...this.session.users.map((u) => ({ paths: u.selection, color: u.color })),
      { paths: this.session.scene.selection, color: accent },
    ]);
    this.accent = accent;
    this.gizmo.update();
  }
  private accent = "#2dd4bf";

  /** Meshes are here and the line is in the picture. */
  get ready(): boolean {
    return this.framed && !this.rebuildDue;
  }

  /** World pose at which a prim is shown [m, stage axes]. */
  pose(path: string): { position: number[]; rotation: number[] } | null {
    const node = this.session.scene.prims.get(path);
    if (!node) return null;
    const position = new THREE.Vector3();
    const rotation = new THREE.Quaternion();
    this.world.shown(node).decompose(position, rotation, new THREE.Vector3());
    return { position: position.toArray(), rotation: rotation.toArray() };
  }

  /** Where a prim's origin is on the page [px]. */
  screenOf(path: string): { x: number; y: number } | null {
    const node = this.session.scene.prims.get(path);
    if (!node) return null;
    const bounds = this.host.getBoundingClientRect();
    const p = new THREE.Vector3().setFromMatrixPosition(this.world.shown(node)).project(this.camera);
    return { x: bounds.left + ((p.x + 1) / 2) * bounds.width, y: bounds.top + ((1 - p.y) / 2) * bounds.height };
  }

  setHeat(map: HeatMap | null): void {
    this.heatMap = map;
    this.heat.show(map);
    this.invalidate();
  }

  paintStates(): void {
    this.labels.paint();
    this.invalidate();
  }

  // ---- scene

  private sceneChanged(change: SceneChange): void {
    if (change.kind === "patch" && !change.structure) {
      this.world.refresh(change.changed);
      if (this.heatMap) this.heat.show(this.heatMap);
      this.labels.rebuild();
      this.gizmo.update();
    } else this.rebuildDue = true;
    this.invalidate();
  }

  private rebuild(): void {
    this.rebuildDue = false;
    const { scene, poses, prototypes } = this.session;
    this.materials.load(scene.materials);
    this.world.rebuild();
    if (poses.version >= 0) this.goods.rebuild(prototypes, scene.prototypes);
    const box = this.world.extent();
    if (!box.isEmpty()) {
      this.environment.setSun(this.world.sunDirection());
      this.environment.fit(box);
      if (!this.framed) {
        this.frameBoxes(this.world.parts(), "home", false);
        // Meshes that are still on their way would change what "all" is.
        this.framed = this.geometries.waiting === 0;
      }
    } else this.framed ||= this.geometries.waiting === 0 && this.width > 0;
    this.castMovers();
    this.labels.rebuild();
    this.heat.show(this.heatMap);
    this.refreshSelection(this.accent);
    this.moving = true;
  }

  // ---- frame loop

  private tick(now: number): void {
    if (now - this.lastRender < this.quality.level.interval) return;
    this.resize();
    this.fly(now);
    this.follow();
    this.controls.update();
    if (this.rebuildDue) this.rebuild();
    if (now > this.contactDue && this.geometries.waiting === 0) {
      this.drawContact();
      this.invalidate();
    }
    let moved = false;
    const { replay } = this.session;
    if (replay.advance(performance.now())) this.moving = true;
    if (this.moving) {
      this.moving = !replay.active && this.session.poses.sample(performance.now());
      this.world.followPoses();
      this.goods.followPoses();
      moved = true;
    }
    if (!this.dirty && !moved) {
      this.wasMoving = false;
      return;
    }
    this.dirty = false;
    if (this.wasMoving && this.quality.measure(now - this.lastRender, now)) this.applyQuality();
    this.wasMoving = true;
    this.lastRender = now;
    this.render();
  }

  private applyQuality(): void {
    this.quality.apply(this.renderer);
    this.environment.setShadows(this.quality.level.shadowSize);
    this.castMovers();
    this.shadowRevision = -1;
  }

  /** A shadow that stays where its thing has left is worse than none. */
  private castMovers(): void {
    const cast = this.quality.level.shadowEvery > 0;
    this.world.setMoversCast(cast);
    this.goods.setCast(cast);
  }

  private render(): void {
    const every = this.quality.level.shadowEvery;
    this.frame++;
    if (this.world.revision !== this.shadowRevision || (every > 0 && this.frame % every === 0)) {
      this.renderer.shadowMap.needsUpdate = true;
      if (this.world.revision !== this.shadowRevision) this.contactDue = performance.now() + CONTACT_AFTER_MS;
      this.shadowRevision = this.world.revision;
    }
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.render(this.scene, this.camera);
    this.outline.render(this.renderer, this.camera);
    this.labels.place(this.camera, this.host.clientWidth, this.host.clientHeight);
  }

  /** Contact shadows follow when the scene has come to rest: while something is dragged or loaded they would cost each frame. */
  private drawContact(): void {
    this.contactDue = Infinity;
    this.world.showMovers(false);
    this.goods.root.visible = false;
    this.environment.contact.draw(this.renderer, this.scene);
    this.goods.root.visible = true;
    this.world.showMovers(true);
  }

  private width = 0;
  private height = 0;
  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if ((width === this.width && height === this.height) || width === 0 || height === 0) return;
    this.width = width;
    this.height = height;
    this.quality.apply(this.renderer);
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (!this.framed) this.rebuildDue = true;
    this.invalidate();
  }

  // ---- camera

  private cameraMoved(): void {
    this.invalidate();
    this.onCamera(this.camera.quaternion);
    const camera = [...this.camera.position.toArray(), ...this.controls.target.toArray()];
    this.session.present({ camera: camera.map((v) => Math.round(v * 1e3) / 1e3) });
  }

  /** Look at prims; at the whole line where none are given. */
  focus(paths: string[], view?: View): void {
    const boxes = paths.length ? [this.world.bounds(paths)] : this.world.parts();
    this.frameBoxes(boxes, view ?? (paths.length ? null : "home"), true);
  }

  private frameBoxes(boxes: THREE.Box3[], view: View | null, animate: boolean): void {
    const box = boxes.reduce((all, b) => all.union(b), new THREE.Box3());
    if (box.isEmpty()) return;
    const size = box.getSize(new THREE.Vector3()).applyQuaternion(this.upright.clone().invert());
    const direction = view ? viewDirection(view, size).applyQuaternion(this.upright) : this.camera.position.clone().sub(this.controls.target);
    direction.normalize();
    const points = boxes.filter((b) => !b.isEmpty()).flatMap(corners);
    const { position, target, distance } = standFor(this.camera, points, direction, view === "home" ? HOME_FILL : 0.7);
    this.camera.near = Math.max(0.02, distance / 500);
    this.camera.far = Math.max(200, distance * 60);
    this.camera.updateProjectionMatrix();
    this.flyTo(position, target, animate);
  }

  private flyTo(position: THREE.Vector3, target: THREE.Vector3, animate: boolean): void {
    if (!animate || !this.controls.enableDamping) {
      this.camera.position.copy(position);
      this.controls.target.copy(target);
      this.controls.update();
      this.cameraMoved();
      return;
    }
    this.flight = { from: this.camera.position.clone(), to: position, target0: this.controls.target.clone(), target1: target, begin: performance.now() };
  }

  private fly(now: number): void {
    if (!this.flight) return;
    const { from, to, target0, target1, begin } = this.flight;
    const f = Math.min(1, Math.max(0, (now - begin) / FLY_MS));
    const eased = 1 - (1 - f) ** 3;
    this.camera.position.lerpVectors(from, to, eased);
    this.controls.target.lerpVectors(target0, target1, eased);
    if (f === 1) this.flight = null;
    this.invalidate();
  }

  /** Look through another person's camera until this one is moved; null ends it. */
  followUser(user: string | null): void {
    this.followed = user;
    this.invalidate();
  }

  private follow(): void {
    const camera = this.followed ? this.session.users.find((u) => u.session === this.followed)?.camera : undefined;
    if (!camera || camera.length < 6) return;
    const eye = new THREE.Vector3().fromArray(camera);
    const target = new THREE.Vector3().fromArray(camera, 3);
    if (eye.distanceToSquared(this.camera.position) < 1e-6 && target.distanceToSquared(this.controls.target) < 1e-6) return;
    this.camera.position.lerp(eye, 0.35);
    this.controls.target.lerp(target, 0.35);
    this.invalidate();
  }

  // ---- pointer

  private listen(canvas: HTMLCanvasElement): void {
    let down: { x: number; y: number } | null = null;
    const onDown = (event: PointerEvent) => {
      down = event.button === 0 && !this.gizmo.controls.axis ? { x: event.clientX, y: event.clientY } : null;
    };
    const onClick = (event: MouseEvent) => {
      if (!down || Math.hypot(event.clientX - down.x, event.clientY - down.y) > CLICK_SLACK_PX) return;
      const prim = this.pick(event.clientX, event.clientY);
      const many = event.shiftKey || event.ctrlKey || event.metaKey;
      if (!prim) {
        if (!many) this.session.scene.select([]);
        return;
      }
      const path = event.altKey || event.detail > 1 ? prim.path : partOf(prim).path;
      if (many) this.session.scene.toggle(path);
      else this.session.scene.select([path]);
    };
    canvas.addEventListener("pointerdown", onDown);
    canvas.addEventListener("click", onClick);
  }

  private aim(clientX: number, clientY: number): THREE.Raycaster {
    const bounds = this.host.getBoundingClientRect();
    this.pointer.set(((clientX - bounds.left) / bounds.width) * 2 - 1, 1 - ((clientY - bounds.top) / bounds.height) * 2);
    const ray = new THREE.Raycaster();
    ray.setFromCamera(this.pointer, this.camera);
    return ray;
  }

  /** The prim under the pointer; goods stand for their prototype. */
  pick(clientX: number, clientY: number): PrimNode | null {
    return pickPrim(this.aim(clientX, clientY), this.world, this.goods, this.session);
  }

  /** Where a pointer meets the ground, in the local units of a parent prim (the stage where there is none). */
  groundPoint(clientX: number, clientY: number, parent: PrimNode | null): number[] {
    const ray = this.aim(clientX, clientY).ray;
    const hit = ray.intersectPlane(new THREE.Plane(this.camera.up.clone(), 0), new THREE.Vector3());
    return hit ? this.toLocal(hit, parent) : this.groundTarget(parent);
  }

  /** The middle of the view on the ground, in the local units of a parent prim. */
  groundTarget(parent: PrimNode | null): number[] {
    return this.toLocal(this.controls.target.clone().projectOnPlane(this.camera.up), parent);
  }

  private toLocal(point: THREE.Vector3, parent: PrimNode | null): number[] {
    const m = this.session.scene.metersPerUnit;
    const toParent = (parent ? this.world.matrix(parent).clone() : new THREE.Matrix4().makeScale(m, m, m)).invert();
    return point.applyMatrix4(toParent).toArray().map((v) => Math.round(v * 1e4) / 1e4);
  }
}
