/** Where one looks from: orbiting, flights to what is to be seen, keys to walk, following another person. */
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { corners, standFor, viewDirection, type View } from "./framing";
import { Lens } from "./lens";

const FLY_MS = 320;
/** Share of the picture that the line takes in the first view. */
const HOME_FILL = 0.92;
/** Walking with the keys crosses the distance to what is looked at in this time [s]. */
const WALK_S = 1.6;

/** A place to look from: position and target of the camera [m, stage axes]. */
export interface Viewpoint {
  position: number[];
  target: number[];
}

export type WalkKey = "forward" | "back" | "left" | "right" | "up" | "down";

export class CameraRig {
  readonly camera = new Lens(38, 1, 0.05, 2000);
  readonly controls: OrbitControls;
  /** Turns three's Y up to what the stage calls up. */
  readonly upright = new THREE.Quaternion();
  private flight: { from: THREE.Vector3; to: THREE.Vector3; target0: THREE.Vector3; target1: THREE.Vector3; begin: number } | null = null;
  private readonly walking = new Set<WalkKey>();
  private lastWalk = 0;
  followed: string | null = null;

  constructor(
    canvas: HTMLCanvasElement,
    upAxis: string,
    private readonly moved: () => void,
    /** Camera of another person, six numbers; empty if unknown. */
    private readonly cameraOf: (user: string) => number[],
  ) {
    if (upAxis !== "Y") this.upright.setFromAxisAngle(new THREE.Vector3(1, 0, 0), Math.PI / 2);
    this.camera.up.set(0, 1, 0).applyQuaternion(this.upright);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.zoomToCursor = true;
    this.controls.addEventListener("change", moved);
    this.controls.addEventListener("start", () => {
      this.followed = null;
      this.flight = null;
    });
  }

  /** On its way nowhere. */
  get still(): boolean {
    return this.flight === null && this.walking.size === 0;
  }

  /** One picture later; true if the camera is on its way somewhere. */
  advance(now: number): boolean {
    const flying = this.fly(now) || this.follow() || this.walk(now);
    this.controls.update();
    return flying;
  }

  /** Look at boxes [m, stage axes] from where one is, or from a named side. */
  frame(boxes: THREE.Box3[], view: View | null, animate: boolean): void {
    const box = boxes.reduce((all, b) => all.union(b), new THREE.Box3());
    if (box.isEmpty()) return;
    const size = box.getSize(new THREE.Vector3()).applyQuaternion(this.upright.clone().invert());
    const direction = view ? viewDirection(view, size, this.camera.flat).applyQuaternion(this.upright) : this.camera.position.clone().sub(this.controls.target);
    this.frameFrom(boxes, direction, view === "home" ? HOME_FILL : 0.7, animate);
  }

  /** Look at boxes against a direction (stage axes); ``fill``: share of the picture that they may take. */
  frameFrom(boxes: THREE.Box3[], direction: THREE.Vector3, fill: number, animate: boolean): void {
    // Straight down has no side that is up.
    const up = this.camera.up.clone();
    if (Math.abs(direction.clone().normalize().dot(up)) > 0.9999) direction = direction.clone().addScaledVector(new THREE.Vector3(0, 0, 1).applyQuaternion(this.upright), 1e-4);
    const points = boxes.filter((b) => !b.isEmpty()).flatMap(corners);
    if (points.length === 0) return;
    const { position, target, distance } = standFor(this.camera, points, direction.normalize(), fill);
    this.setReach(distance);
    this.flyTo(position, target, animate);
  }

  /** Look with perspective or without; what is looked at keeps its size. */
  setFlat(flat: boolean): void {
    const { camera, controls } = this;
    if (flat === camera.flat) return;
    const back = camera.position.clone().sub(controls.target);
    if (!flat) camera.position.copy(controls.target).add(back.setLength(camera.likeDistance));
    camera.setFlat(flat, back.length());
    controls.maxPolarAngle = Math.PI * (flat ? 0.5 : 0.495);
    controls.update();
    this.moved();
  }

  private setReach(distance: number): void {
    this.camera.near = Math.max(0.02, distance / 500);
    this.camera.far = Math.max(200, distance * 60);
    this.camera.updateProjectionMatrix();
  }

  get viewpoint(): Viewpoint {
    const tidy = (v: THREE.Vector3) => v.toArray().map((x) => Math.round(x * 1e3) / 1e3);
    return { position: tidy(this.camera.position), target: tidy(this.controls.target) };
  }

  goTo(viewpoint: Viewpoint, animate = true): void {
    const position = new THREE.Vector3().fromArray(viewpoint.position);
    const target = new THREE.Vector3().fromArray(viewpoint.target);
    this.setReach(position.distanceTo(target));
    this.flyTo(position, target, animate);
  }

  private flyTo(position: THREE.Vector3, target: THREE.Vector3, animate: boolean): void {
    this.followed = null;
    if (this.camera.flat) this.camera.fitTo(position.distanceTo(target));
    if (!animate || !this.controls.enableDamping) {
      this.camera.position.copy(position);
      this.controls.target.copy(target);
      this.controls.update();
      this.moved();
      return;
    }
    this.flight = { from: this.camera.position.clone(), to: position, target0: this.controls.target.clone(), target1: target, begin: performance.now() };
    this.moved();
  }

  private fly(now: number): boolean {
    if (!this.flight) return false;
    const { from, to, target0, target1, begin } = this.flight;
    const f = Math.min(1, Math.max(0, (now - begin) / FLY_MS));
    const eased = 1 - (1 - f) ** 3;
    this.camera.position.lerpVectors(from, to, eased);
    this.controls.target.lerpVectors(target0, target1, eased);
    if (f === 1) this.flight = null;
    return true;
  }

  private follow(): boolean {
    const camera = this.followed ? this.cameraOf(this.followed) : [];
    if (camera.length < 6) return false;
    const eye = new THREE.Vector3().fromArray(camera);
    const target = new THREE.Vector3().fromArray(camera, 3);
    if (eye.distanceToSquared(this.camera.position) < 1e-6 && target.distanceToSquared(this.controls.target) < 1e-6) return false;
    this.camera.position.lerp(eye, 0.35);
    this.controls.target.lerp(target, 0.35);
    return true;
  }

  /** A key to walk with went down or up. */
  setWalking(key: WalkKey, on: boolean): void {
    // A letter that let go did not walk: what it began, such as a flight to the whole line, goes on.
    if (!on && !this.walking.has(key)) return;
    if (on && this.walking.size === 0) this.lastWalk = performance.now();
    if (on) this.walking.add(key);
    else this.walking.delete(key);
    this.followed = null;
    this.flight = null;
    this.moved();
  }

  stopWalking(): void {
    this.walking.clear();
  }

  private walk(now: number): boolean {
    if (this.walking.size === 0) return false;
    const elapsed = Math.min(0.2, Math.max(0, now - this.lastWalk) / 1000);
    this.lastWalk = now;
    const { camera, controls } = this;
    const ahead = controls.target.clone().sub(camera.position);
    const speed = Math.max(0.5, ahead.length()) / WALK_S;
    const forward = ahead.projectOnPlane(camera.up).normalize();
    const side = forward.clone().cross(camera.up);
    const step = new THREE.Vector3();
    const has = (key: WalkKey) => Number(this.walking.has(key));
    step.addScaledVector(forward, has("forward") - has("back"));
    step.addScaledVector(side, has("right") - has("left"));
    step.addScaledVector(camera.up, has("up") - has("down"));
    step.multiplyScalar(speed * elapsed);
    camera.position.add(step);
    controls.target.add(step);
    return true;
  }
}
