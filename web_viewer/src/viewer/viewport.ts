/** The picture: light, frame loop, what is under the pointer. No framework in here; panels talk to it through the session. */
import * as THREE from "three";
import type { PrimNode, SceneChange } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import type { Theme } from "../state/ui.svelte";
import { CameraRig } from "./camera";
import { compose, Recorder, type Scenery } from "./capture";
import { SectionCaps } from "./caps";
import { Environment } from "./environment";
import type { View } from "./framing";
import { GeometryCache } from "./geometry";
import { Gizmo } from "./gizmo";
import { Goods } from "./goods";
import { Heat, type HeatMap } from "./heat";
import { Labels } from "./labels";
import { MaterialCache } from "./materials";
import { Measure } from "./measure";
import { Outline } from "./outline";
import { pickHit, type Hit } from "./picking";
import { PointerTools } from "./pointer";
import { expectSoftware, isSoftware, Quality, rememberGraphics } from "./quality";
import { SectionFrame, sectionPlane, type SectionState } from "./section";
import { featureEdges, snapTo, type Snap } from "./snapping";
import { World } from "./world";

const CONTACT_AFTER_MS = 300;
/** While meshes arrive one by one, the picture is made anew this often at most [ms]. */
const REBUILD_EVERY_MS = 700;
/** The first picture waits this long for meshes at most [ms]. */
const FIRST_WAIT_MS = 2500;
/** Corners count within this distance of the surface point, in pixels of the picture. */
const SNAP_REACH_PX = 26;

export class Viewport {
  readonly world: World;
  readonly goods: Goods;
  readonly rig: CameraRig;
  readonly gizmo: Gizmo;
  readonly quality: Quality;
  readonly measure: Measure;
  readonly renderer: THREE.WebGLRenderer;
  /** Told of each new camera pose, for the view cube. */
  onCamera: (rotation: THREE.Quaternion) => void = () => undefined;
  /** Told once the first picture is there. */
  onFirstPicture: () => void = () => undefined;
  onMeasured: () => void = () => undefined;

  private readonly scene = new THREE.Scene();
  private readonly environment: Environment;
  private readonly geometries: GeometryCache;
  readonly materials: MaterialCache;
  private readonly outline: Outline;
  readonly heat: Heat;
  private heatMap: HeatMap | null = null;
  private readonly labels: Labels;
  private readonly pointer: PointerTools;
  private readonly sectionFrame = new SectionFrame();
  private readonly caps = new SectionCaps();
  private section: SectionState | null = null;
  private sectionCut: THREE.Plane | null = null;
  private film: Recorder | null = null;
  private readonly begun = performance.now();
  private dirty = true;
  private moving = false;
  private rebuildDue = false;
  private rebuilt = -Infinity;
  private framed = false;
  private pictured = false;
  private shadowRevision = -1;
  private contactDue = Infinity;
  private frame = 0;
  private lastRender = 0;
  private wasMoving = false;
  private readonly cleanups: (() => void)[] = [];

  constructor(
    private readonly host: HTMLElement,
    private readonly labelLayer: HTMLElement,
    private readonly session: Session,
  ) {
    const canvas = document.createElement("canvas");
    host.prepend(canvas);
    const expected = new Quality(expectSoftware(), session.view.quality);
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: expected.antialias, alpha: true, stencil: true, powerPreference: "high-performance" });
    const software = isSoftware(this.renderer.getContext());
    rememberGraphics(software);
    this.quality = new Quality(software, session.view.quality);
    this.renderer.toneMapping = THREE.NeutralToneMapping;
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.autoUpdate = false;
    this.renderer.localClippingEnabled = true;
    this.rig = new CameraRig(canvas, session.scene.upAxis, () => this.cameraMoved(), (user) => session.users.find((u) => u.session === user)?.camera ?? []);
    this.environment = new Environment(this.scene, this.renderer, this.rig.upright, this.quality.level.plain);
    this.environment.setPlain(this.quality.level.plain);
    this.environment.setShadows(this.quality.level.shadowSize);

    const soon = () => {
      this.rebuildDue = true;
      this.invalidate();
    };
    this.geometries = new GeometryCache(soon, (message) => session.ui.toast("error", message));
    this.materials = new MaterialCache(this.quality.level.plain, () => this.invalidate());
    this.world = new World(session.scene, this.geometries, this.materials, session, (path) => session.pending.matrix(path), (path) => session.view.shows(path));
    this.goods = new Goods(this.geometries, this.materials, session);
    this.heat = new Heat(this.world);
    this.scene.add(this.world.root);
    this.world.root.add(this.goods.root, this.heat.root);
    this.outline = new Outline(this.world);
    this.labels = new Labels(labelLayer, this.world, session);
    this.measure = new Measure(labelLayer);
    this.scene.add(this.measure.root, this.sectionFrame.root);
    this.gizmo = new Gizmo(this.rig.camera, canvas, this.scene, this.world, session, () => this.invalidate());
    this.gizmo.controls.addEventListener("dragging-changed", (event) => {
      this.rig.controls.enabled = !event.value;
    });
    this.pointer = new PointerTools(canvas, host, session, this);

    session.onPoses = () => {
      this.moving = true;
    };
    session.onBodies = soon;
    session.onSwap = () => {
      this.goods.rebuild(session.prototypes, session.scene.prototypes);
      this.castMovers();
      if (this.section) this.setSection(this.section);
      this.gizmo.update();
      this.moving = true;
    };
    session.onPreview = (path, matrix) => {
      this.world.override(path, matrix);
      this.gizmo.update();
    };
    this.cleanups.push(session.scene.onChange((change) => this.sceneChanged(change)), session.scene.onMove((now) => this.gizmo.moved(now)));
    if (session.scene.loaded) this.sceneChanged({ kind: "load" });
    this.renderer.setAnimationLoop((now) => this.tick(now));
  }

  dispose(): void {
    this.renderer.setAnimationLoop(null);
    for (const clean of this.cleanups) clean();
    this.pointer.dispose();
    this.rig.controls.dispose();
    this.environment.contact.dispose();
    this.renderer.dispose();
    this.renderer.domElement.remove();
    this.labelLayer.replaceChildren();
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

  /** Where a point is in the picture [CSS px]; null behind the camera. */
  toScreen(point: THREE.Vector3): { x: number; y: number } | null {
    const p = point.clone().project(this.rig.camera);
    return Math.abs(p.z) > 1 ? null : { x: ((p.x + 1) / 2) * this.width, y: ((1 - p.y) / 2) * this.height };
  }

  /** Where a prim's origin is on the page [px]. */
  screenOf(path: string): { x: number; y: number } | null {
    const node = this.session.scene.prims.get(path);
    const at = node ? this.toScreen(new THREE.Vector3().setFromMatrixPosition(this.world.shown(node))) : null;
    const bounds = this.host.getBoundingClientRect();
    return at && { x: bounds.left + at.x, y: bounds.top + at.y };
  }

  setHeat(map: HeatMap | null): void {
    this.heatMap = map;
    this.heat.show(map, false);
    this.invalidate();
  }

  setSection(state: SectionState | null): void {
    this.section = state;
    const box = this.world.everything();
    this.sectionCut = state && !box.isEmpty() ? sectionPlane(state, box).plane : null;
    this.materials.setSection(this.sectionCut);
    this.environment.contact.cut(this.sectionCut);
    this.goods.cut(this.sectionCut);
    this.sectionFrame.set(state, box);
    this.caps.set(this.sectionCut, box, [...this.world.meshes, ...this.goods.meshes]);
    this.renderer.shadowMap.needsUpdate = true;
    this.invalidate();
  }

  /** Without perspective, or with it. */
  setFlat(flat: boolean): void {
    this.rig.setFlat(flat);
    this.invalidate();
  }

  /** What this person hides or isolates changed. */
  refreshShown(): void {
    this.rebuildDue = true;
    this.rebuilt = -Infinity;
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
    } else this.refreshShown();
    if (change.kind === "patch" || this.gizmo.dragging) this.gizmo.update();
    this.invalidate();
  }

  /** Many meshes on their way: not a new picture for each. */
  private get holdBack(): boolean {
    const now = performance.now();
    if (this.geometries.waiting === 0) return false;
    return now - this.rebuilt < REBUILD_EVERY_MS || (!this.pictured && this.rebuilt > 0 && now - this.begun < FIRST_WAIT_MS);
  }

  private rebuild(): void {
    this.rebuildDue = false;
    this.rebuilt = performance.now();
    const { scene, poses, prototypes } = this.session;
    this.materials.load(scene.materials);
    this.world.rebuild();
    if (poses.version >= 0) this.goods.rebuild(prototypes, scene.prototypes);
    const box = this.world.extent();
    if (!box.isEmpty()) {
      this.environment.setSun(this.world.sunDirection());
      this.environment.fit(box, this.world.hasFloor(box, scene.upAxis === "Y" ? "y" : "z"));
      if (!this.framed) {
        this.rig.frame(this.world.parts(), "home", false);
        // Meshes that are still on their way would change what "all" is.
        this.framed = this.geometries.waiting === 0;
      }
    } else this.framed ||= this.geometries.waiting === 0 && this.width > 0;
    this.castMovers();
    this.labels.rebuild();
    this.heat.show(this.heatMap);
    if (this.section) this.setSection(this.section);
    this.refreshSelection(this.accent);
    this.moving = true;
  }

  // ---- frame loop

  private tick(now: number): void {
    if (now - this.lastRender < this.quality.interval) return;
    this.resize();
    if (this.rig.advance(now)) this.invalidate();
    this.pointer.advance();
    if (this.rebuildDue && !this.holdBack) this.rebuild();
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
    if ((!this.dirty && !moved) || (!this.pictured && this.geometries.waiting > 0 && this.holdBack)) {
      this.wasMoving = false;
      return;
    }
    this.dirty = false;
    if (this.wasMoving && this.quality.measure(now - this.lastRender, now)) this.applyQuality();
    this.wasMoving = true;
    this.lastRender = now;
    this.render();
    if (this.film) compose(this.film.canvas, this.scenery());
    if (!this.pictured && this.framed) {
      this.pictured = true;
      this.onFirstPicture();
    }
  }

  private applyQuality(): void {
    const { level } = this.quality;
    this.quality.apply(this.renderer);
    this.environment.setPlain(level.plain);
    this.environment.setShadows(level.shadowSize);
    if (this.materials.setPlain(level.plain)) this.refreshShown();
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
    this.renderer.render(this.scene, this.rig.camera);
    this.caps.render(this.renderer, this.rig.camera);
    this.outline.render(this.renderer, this.rig.camera);
    this.labels.place(this.rig.camera, this.width, this.height);
    this.measure.place((p) => this.toScreen(p));
  }

  /** Contact shadows follow when the scene has come to rest: while something is dragged or loaded they would cost each frame. */
  private drawContact(): void {
    this.contactDue = Infinity;
    this.world.showMovers(false);
    this.goods.root.visible = this.heat.root.visible = false;
    this.environment.contact.draw(this.renderer, this.scene);
    this.goods.root.visible = this.heat.root.visible = true;
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
    this.rig.camera.aspect = width / height;
    this.rig.camera.updateProjectionMatrix();
    if (!this.framed) this.rebuildDue = true;
    this.invalidate();
  }

  private cameraMoved(): void {
    this.invalidate();
    this.onCamera(this.rig.camera.quaternion);
    const { position, target } = this.rig.viewpoint;
    this.session.present({ camera: [...position, ...target] });
  }

  /** Look at prims; at the whole line where none are given. */
  focus(paths: string[], view?: View): void {
    this.rig.frame(this.boxes(paths), view ?? (paths.length ? null : "home"), true);
  }

  /** Look at what is selected, or the line, against a direction in the stage's axes. */
  look(direction: readonly [number, number, number]): void {
    this.rig.frameFrom(this.boxes(this.session.scene.selection), new THREE.Vector3(...direction), 0.7, true);
  }

  private boxes(paths: string[]): THREE.Box3[] {
    return paths.length ? [this.world.bounds(paths)] : this.world.parts();
  }

  // ---- pictures and films

  private scenery(): Scenery {
    const style = getComputedStyle(document.documentElement);
    const labels = this.session.ui.labels ? [...this.labelLayer.children] : this.labelLayer.querySelectorAll(".measure-label");
    return {
      canvas: this.renderer.domElement,
      background: ["--sky-1", "--sky-2", "--sky-3"].map((name) => style.getPropertyValue(name).trim()),
      labels: [...labels].filter((e): e is HTMLElement => e instanceof HTMLElement && !e.classList.contains("snap-marker")),
      width: this.width,
      height: this.height,
    };
  }

  /** What is seen, as a PNG with at least two pixels for one of the page. */
  async picture(): Promise<Blob> {
    const ratio = this.renderer.getPixelRatio();
    this.renderer.setPixelRatio(Math.max(2, window.devicePixelRatio));
    this.render();
    const canvas = document.createElement("canvas");
    compose(canvas, this.scenery());
    this.renderer.setPixelRatio(ratio);
    this.invalidate();
    return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture could not be written"))), "image/png"));
  }

  startFilm(): void {
    this.film = new Recorder();
    this.render();
    compose(this.film.canvas, this.scenery());
    this.film.start();
  }

  /** End the film that was begun: its data and the ending of its name. */
  async endFilm(): Promise<{ blob: Blob; extension: string } | null> {
    const { film } = this;
    this.film = null;
    return film && { blob: await film.stop(), extension: film.extension };
  }

  // ---- what is under the pointer

  get gizmoBusy(): boolean {
    return this.gizmo.controls.axis !== null;
  }

  orbit(on: boolean): void {
    this.rig.controls.enabled = on;
  }

  measured(snap: Snap): void {
    this.measure.pick(snap);
    this.onMeasured();
    this.invalidate();
  }

  hoverMeasure(snap: Snap | null): void {
    this.measure.hover(snap);
    this.invalidate();
  }

  private aim(clientX: number, clientY: number): THREE.Raycaster {
    const bounds = this.host.getBoundingClientRect();
    const at = new THREE.Vector2(((clientX - bounds.left) / bounds.width) * 2 - 1, 1 - ((clientY - bounds.top) / bounds.height) * 2);
    const ray = new THREE.Raycaster();
    ray.setFromCamera(at, this.rig.camera);
    return ray;
  }

  private hit(clientX: number, clientY: number): Hit | null {
    return pickHit(this.aim(clientX, clientY), this.world, this.goods, this.session, this.sectionCut);
  }

  /** The prim under the pointer; goods stand for their prototype. */
  pick(clientX: number, clientY: number): PrimNode | null {
    return this.hit(clientX, clientY)?.prim ?? null;
  }

  /** The corner, edge or surface point under the pointer; a point of the ground where nothing is. */
  snap(clientX: number, clientY: number): Snap | null {
    const hit = this.hit(clientX, clientY);
    if (!hit) {
      const point = this.onGround(clientX, clientY);
      return point && { kind: "surface", point };
    }
    const matrix = new THREE.Matrix4();
    hit.mesh.getMatrixAt(hit.instance, matrix);
    const bounds = this.host.getBoundingClientRect();
    const pixel = this.rig.camera.heightAt(hit.distance) / this.height;
    const pointer = { x: clientX - bounds.left, y: clientY - bounds.top };
    return snapTo(featureEdges(hit.mesh.geometry), matrix, hit.point, pointer, (p) => this.toScreen(p), SNAP_REACH_PX * pixel);
  }

  private onGround(clientX: number, clientY: number): THREE.Vector3 | null {
    return this.aim(clientX, clientY).ray.intersectPlane(new THREE.Plane(this.rig.camera.up.clone(), 0), new THREE.Vector3());
  }

  /** Where a pointer meets the ground, in the local units of a parent prim (the stage where there is none). */
  groundPoint(clientX: number, clientY: number, parent: PrimNode | null): number[] {
    const hit = this.onGround(clientX, clientY);
    return hit ? this.toLocal(hit, parent) : this.groundTarget(parent);
  }

  /** The middle of the view on the ground, in the local units of a parent prim. */
  groundTarget(parent: PrimNode | null): number[] {
    return this.toLocal(this.rig.controls.target.clone().projectOnPlane(this.rig.camera.up), parent);
  }

  private toLocal(point: THREE.Vector3, parent: PrimNode | null): number[] {
    const m = this.session.scene.metersPerUnit;
    const toParent = (parent ? this.world.matrix(parent).clone() : new THREE.Matrix4().makeScale(m, m, m)).invert();
    return point.applyMatrix4(toParent).toArray().map((v) => Math.round(v * 1e4) / 1e4);
  }
}
