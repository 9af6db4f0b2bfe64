/** Distances between points that a person picks, drawn over the picture. */
import * as THREE from "three";
import { formatLength } from "../ui/format";
import type { Snap } from "./snapping";

export interface Measurement {
  from: THREE.Vector3;
  to: THREE.Vector3;
}

interface Shown {
  line: THREE.Line;
  label: HTMLElement;
  middle: THREE.Vector3;
}

const COLOR = 0xffb020;

/** Distance, and its parts along the axes of the stage where it is along none of them [m]. */
export function describe({ from, to }: Measurement): { distance: string; parts: string } {
  const d = to.clone().sub(from);
  const along = d.toArray().filter((v) => Math.abs(v) > 5e-4).length;
  const parts = along > 1 ? ["ΔX", "ΔY", "ΔZ"].map((name, i) => `${name} ${formatLength(d.toArray()[i])}`).join(" · ") : "";
  return { distance: formatLength(d.length()), parts };
}

export class Measure {
  readonly root = new THREE.Group();
  readonly done: Measurement[] = [];
  private start: THREE.Vector3 | null = null;
  private readonly shown: Shown[] = [];
  private readonly rubber: Shown;
  private readonly marker: HTMLElement;
  private at: Snap | null = null;

  constructor(private readonly layer: HTMLElement) {
    this.rubber = this.make();
    this.rubber.line.visible = false;
    this.marker = document.createElement("div");
    this.marker.className = "snap-marker";
    layer.append(this.marker);
    this.root.renderOrder = 10;
  }

  private make(): Shown {
    const geometry = new THREE.BufferGeometry().setAttribute("position", new THREE.BufferAttribute(new Float32Array(6), 3));
    const line = new THREE.Line(geometry, new THREE.LineBasicMaterial({ color: COLOR, depthTest: false, transparent: true, toneMapped: false }));
    line.renderOrder = 10;
    line.frustumCulled = false;
    this.root.add(line);
    const label = document.createElement("div");
    label.className = "measure-label";
    this.layer.append(label);
    return { line, label, middle: new THREE.Vector3() };
  }

  private put(shown: Shown, m: Measurement): void {
    const position = shown.line.geometry.attributes.position as THREE.BufferAttribute;
    position.setXYZ(0, ...m.from.toArray());
    position.setXYZ(1, ...m.to.toArray());
    position.needsUpdate = true;
    shown.line.visible = true;
    shown.middle.copy(m.from).add(m.to).multiplyScalar(0.5);
    const { distance, parts } = describe(m);
    shown.label.textContent = distance;
    if (parts) {
      const small = document.createElement("small");
      small.textContent = parts;
      shown.label.append(small);
    }
  }

  /** Where the pointer would put the next point; null: nowhere. */
  hover(snap: Snap | null): void {
    this.at = snap;
    if (this.start && snap) this.put(this.rubber, { from: this.start, to: snap.point });
  }

  /** Take a point; the second one makes a measurement, which is returned. */
  pick(snap: Snap): Measurement | null {
    if (!this.start) {
      this.start = snap.point.clone();
      return null;
    }
    const measurement = { from: this.start, to: snap.point.clone() };
    const shown = this.make();
    shown.label.dataset.testid = "measurement";
    this.put(shown, measurement);
    this.shown.push(shown);
    this.done.push(measurement);
    this.drop();
    return measurement;
  }

  /** Give up the point that was picked; false if there was none. */
  drop(): boolean {
    const had = this.start !== null;
    this.start = null;
    this.rubber.line.visible = false;
    return had;
  }

  clear(): void {
    this.drop();
    this.at = null;
    this.done.length = 0;
    for (const { line, label } of this.shown) {
      line.geometry.dispose();
      this.root.remove(line);
      label.remove();
    }
    this.shown.length = 0;
  }

  /** Put the texts where their lines are seen. */
  place(toScreen: (p: THREE.Vector3) => { x: number; y: number } | null): void {
    for (const shown of [...this.shown, this.rubber]) {
      const at = shown.line.visible ? toScreen(shown.middle) : null;
      shown.label.style.display = at ? "" : "none";
      // Above the line, which is what was measured.
      if (at) shown.label.style.transform = `translate(${Math.round(at.x)}px, ${Math.round(at.y)}px) translate(-50%, calc(-100% - 10px))`;
    }
    const at = this.at ? toScreen(this.at.point) : null;
    this.marker.style.display = at ? "" : "none";
    if (!at || !this.at) return;
    this.marker.dataset.kind = this.at.kind;
    this.marker.style.transform = `translate(${Math.round(at.x)}px, ${Math.round(at.y)}px) translate(-50%, -50%)`;
  }
}
