/** Physics made visible: contact points with their normals, bodies in the colour of their island, sleepers dimmed. */
import * as THREE from "three";
import { getPhysics, type PhysicsDoc } from "../net/http";
import type { Viewport } from "./viewport";

const EVERY_MS = 200;
const CONTACT = new THREE.Color(0xffd23f);
const SLEEP = 0.35;
/** Of a normal: one that carries nothing, and how much longer it is for each newton second [m]. */
const SHORTEST = 0.06;
const PER_IMPULSE = 0.5;
const LONGEST = 0.4;
const EDGES = [0, 1, 1, 3, 3, 2, 2, 0, 4, 5, 5, 7, 7, 6, 6, 4, 0, 4, 1, 5, 2, 6, 3, 7];

/** Neighbouring numbers get colours that are far apart (golden angle). */
export function islandColor(island: number, asleep: boolean): THREE.Color {
  const color = new THREE.Color().setHSL((island * 0.618034) % 1, 0.75, 0.55);
  return asleep ? color.multiplyScalar(SLEEP) : color;
}

/** Corner pairs of the edges of every body's bound, and a colour for each corner. */
export function boxLines(bodies: PhysicsDoc["bodies"]): { position: Float32Array; color: Float32Array } {
  const count = bodies.island.length;
  const position = new Float32Array(count * EDGES.length * 3);
  const color = new Float32Array(count * EDGES.length * 3);
  const at = new THREE.Vector3();
  const turn = new THREE.Quaternion();
  const corners = Array.from({ length: 8 }, () => new THREE.Vector3());
  for (let i = 0, n = 0; i < count; i++) {
    at.fromArray(bodies.position, 3 * i);
    turn.fromArray(bodies.rotation, 4 * i);
    const [x, y, z] = bodies.half.slice(3 * i, 3 * i + 3);
    corners.forEach((c, k) => c.set(k & 1 ? x : -x, k & 2 ? y : -y, k & 4 ? z : -z).applyQuaternion(turn).add(at));
    const tone = islandColor(bodies.island[i], bodies.asleep[i] !== 0);
    for (const k of EDGES) {
      corners[k].toArray(position, n);
      tone.toArray(color, n);
      n += 3;
    }
  }
  return { position, color };
}

/** From each contact point along its normal, longer where it carries more. */
export function normalLines(contacts: PhysicsDoc["contacts"]): Float32Array {
  const count = contacts.impulse.length;
  const out = new Float32Array(count * 6);
  for (let i = 0; i < count; i++) {
    const length = Math.min(SHORTEST + PER_IMPULSE * contacts.impulse[i], LONGEST);
    for (let k = 0; k < 3; k++) {
      out[6 * i + k] = contacts.point[3 * i + k];
      out[6 * i + 3 + k] = contacts.point[3 * i + k] + length * contacts.normal[3 * i + k];
    }
  }
  return out;
}

class PhysicsOverlay {
  readonly root = new THREE.Group();
  private readonly over = { depthTest: false, transparent: true };
  private readonly points = new THREE.Points(new THREE.BufferGeometry(), new THREE.PointsMaterial({ ...this.over, color: CONTACT, size: 5, sizeAttenuation: false }));
  private readonly normals = new THREE.LineSegments(new THREE.BufferGeometry(), new THREE.LineBasicMaterial({ ...this.over, color: CONTACT }));
  private readonly boxes = new THREE.LineSegments(new THREE.BufferGeometry(), new THREE.LineBasicMaterial({ ...this.over, vertexColors: true }));

  constructor() {
    for (const part of [this.boxes, this.normals, this.points]) {
      part.frustumCulled = false;
      part.renderOrder = 10;
      this.root.add(part);
    }
  }

  show(doc: PhysicsDoc): void {
    const { position, color } = boxLines(doc.bodies);
    this.fill(this.boxes, { position, color });
    this.fill(this.normals, { position: normalLines(doc.contacts) });
    this.fill(this.points, { position: new Float32Array(doc.contacts.point) });
  }

  private fill(part: THREE.Points | THREE.LineSegments, values: Record<string, Float32Array>): void {
    part.geometry.dispose();
    part.geometry = new THREE.BufferGeometry();
    for (const [name, array] of Object.entries(values)) part.geometry.setAttribute(name, new THREE.BufferAttribute(array, 3));
  }

  dispose(): void {
    this.root.removeFromParent();
    for (const part of [this.boxes, this.normals, this.points]) {
      part.geometry.dispose();
      part.material.dispose();
    }
  }
}

/** In words what is drawn. */
export function summary(doc: PhysicsDoc): string {
  const asleep = doc.bodies.asleep.filter((a) => a !== 0).length;
  const count = (n: number, what: string) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const bodies = doc.bodies.island.length === 1 ? "1 body" : `${doc.bodies.island.length} bodies`;
  const rest = doc.left_out > 0 ? `, ${doc.left_out} more not drawn` : "";
  return `${count(doc.contacts.impulse.length, "contact")}, ${bodies} in ${count(new Set(doc.bodies.island).size, "island")}, ${asleep} asleep${rest}`;
}

/** Draw the physics until the returned function is called; while it is off nothing is asked for. */
export function showPhysics(viewport: Viewport, told: (text: string) => void, failed: (text: string) => void): () => void {
  const overlay = new PhysicsOverlay();
  viewport.world.root.add(overlay.root);
  let timer = 0;
  let over = false;
  const ask = async () => {
    try {
      const doc = await getPhysics();
      if (over) return;
      overlay.show(doc);
      told(summary(doc));
      viewport.invalidate();
      timer = window.setTimeout(() => void ask(), EVERY_MS);
    } catch (error) {
      if (!over) failed(`The physics cannot be shown: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  void ask();
  return () => {
    over = true;
    clearTimeout(timer);
    overlay.dispose();
    told("");
    viewport.invalidate();
  };
}
