/** Names and states that float over the nodes of the line, and the other people's cameras: plain HTML over the picture. */
import * as THREE from "three";
import type { Session } from "../state/session.svelte";
import { NODE_STATES } from "../state/live.svelte";
import { baseName } from "../ui/format";
import type { World } from "./world";

interface Label {
  element: HTMLButtonElement;
  chip: HTMLElement;
  level: HTMLElement;
  path: string;
  anchor: THREE.Vector3;
  /** Lower goes first where two would overlap. */
  rank: number;
  width: number;
  shownState: number;
  shownLevel: number;
  shownMark: string;
}

const RANKS: Record<string, number> = { station: 0, source: 1, sink: 1, buffer: 2, router: 3, fleet: 3, conveyor: 4 };
const HEIGHT = 24;
/** Levels are written anew at most this often [ms]: each time the layer of all labels is painted. States are shown at once. */
const LEVELS_EVERY_MS = 1000;

export class Labels {
  private labels: Label[] = [];
  private readonly viewers = new Map<string, HTMLElement>();
  private readonly projected = new THREE.Vector3();
  private levelsAt = -Infinity;

  constructor(
    private readonly layer: HTMLElement,
    private readonly world: World,
    private readonly session: Session,
  ) {}

  /** Make the labels anew: nodes or what they look like changed. */
  rebuild(): void {
    for (const label of this.labels) label.element.remove();
    this.labels = this.session.scene.nodes.flatMap((node) => {
      const box = this.world.bounds([node.path], "stage");
      const prim = this.session.scene.prims.get(node.path);
      if (!prim) return [];
      const anchor = box.isEmpty() ? new THREE.Vector3().setFromMatrixPosition(this.world.matrix(prim)) : topOf(box, this.session.scene.upAxis);
      return [this.make(node.path, node.kind, anchor)];
    });
    this.labels.sort((a, b) => a.rank - b.rank);
    this.paint();
  }

  private make(path: string, kind: string, anchor: THREE.Vector3): Label {
    const element = document.createElement("button");
    element.className = `node-label kind-${kind}`;
    element.tabIndex = -1;
    element.title = `${kind} ${path}`;
    const chip = document.createElement("i");
    const name = document.createElement("span");
    name.textContent = baseName(path);
    const level = document.createElement("b");
    element.append(chip, name, level);
    element.addEventListener("click", () => this.session.scene.select([path]));
    this.layer.append(element);
    const rank = RANKS[kind] ?? 5;
    return { element, chip, level, path, anchor, rank, width: 0, shownState: -1, shownLevel: -1, shownMark: "" };
  }

  private paintMark(): void {
    const mark = this.session.ui.heat?.mark;
    for (const label of this.labels) {
      const text = mark?.path === label.path ? mark.text : "";
      if (text === label.shownMark) continue;
      label.shownMark = text;
      label.width = 0;
      label.element.dataset.mark = text;
      label.element.classList.toggle("marked", text !== "");
    }
  }

  /** States and levels as they are now. */
  paint(): void {
    this.paintMark();
    const states = this.session.nodeStates;
    if (!states) return;
    const index = new Map(this.session.scene.nodes.map((n, i) => [n.path, i]));
    const now = performance.now();
    const levels = this.session.replay.active || now - this.levelsAt >= LEVELS_EVERY_MS;
    if (levels) this.levelsAt = now;
    for (const label of this.labels) {
      const i = index.get(label.path) ?? -1;
      const state = states.state[i] ?? 6;
      const level = states.level[i] ?? 0;
      if (state !== label.shownState) {
        label.chip.style.background = NODE_STATES[state]?.color ?? "";
        label.element.dataset.state = String(state);
        label.shownState = state;
      }
      if (level !== label.shownLevel && (levels || label.shownLevel < 0)) {
        label.level.textContent = level > 0 ? String(level) : "";
        label.shownLevel = level;
        label.width = 0;
      }
    }
  }

  /** Put every label where its node is seen; of two that would overlap, the more telling one stays. */
  place(camera: THREE.PerspectiveCamera, width: number, height: number): void {
    this.layer.classList.toggle("labels-off", !this.session.ui.labels);
    this.placeViewers(camera, width, height);
    if (!this.session.ui.labels) return;
    const taken: [number, number, number, number][] = [];
    const selected = new Set(this.session.scene.selection);
    const first = (label: Label) => Number(selected.has(label.path)) + 2 * Number(label.shownMark !== "");
    const ordered = [...this.labels].sort((a, b) => first(b) - first(a));
    for (const label of ordered) {
      const { element } = label;
      const at = this.screen(label.anchor, camera, width, height);
      if (!at) {
        element.style.visibility = "hidden";
        continue;
      }
      if (label.width === 0) label.width = element.offsetWidth;
      const left = Math.round(at[0] - label.width / 2);
      const top = Math.round(at[1] - HEIGHT - 10);
      const box: [number, number, number, number] = [left - 3, top - 2, left + label.width + 3, top + HEIGHT + 2];
      const free = !taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1]);
      element.style.visibility = free ? "visible" : "hidden";
      if (!free) continue;
      taken.push(box);
      element.classList.toggle("selected", selected.has(label.path));
      element.style.transform = `translate(${left}px, ${top}px)`;
    }
  }

  private screen(point: THREE.Vector3, camera: THREE.Camera, width: number, height: number): [number, number] | null {
    const p = this.projected.copy(point).project(camera);
    if (p.z > 1 || p.z < -1 || Math.abs(p.x) > 1.05 || Math.abs(p.y) > 1.05) return null;
    return [((p.x + 1) / 2) * width, ((1 - p.y) / 2) * height];
  }

  /** Where the others look from. */
  private placeViewers(camera: THREE.PerspectiveCamera, width: number, height: number): void {
    const seen = new Set<string>();
    for (const user of this.session.users) {
      if (user.camera.length < 6) continue;
      const at = this.screen(new THREE.Vector3().fromArray(user.camera), camera, width, height);
      if (!at) continue;
      seen.add(user.session);
      let element = this.viewers.get(user.session);
      if (!element) {
        element = document.createElement("div");
        element.className = "viewer-label";
        this.viewers.set(user.session, element);
        this.layer.append(element);
      }
      element.textContent = user.name;
      element.style.setProperty("--who", user.color);
      element.style.transform = `translate(${Math.round(at[0])}px, ${Math.round(at[1])}px)`;
    }
    for (const [id, element] of this.viewers) {
      if (seen.has(id)) continue;
      element.remove();
      this.viewers.delete(id);
    }
  }
}

function topOf(box: THREE.Box3, upAxis: string): THREE.Vector3 {
  const point = box.getCenter(new THREE.Vector3());
  if (upAxis === "Y") point.y = box.max.y;
  else point.z = box.max.z;
  return point;
}
