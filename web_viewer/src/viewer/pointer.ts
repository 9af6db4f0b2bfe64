/** What the pointer does in the picture: select, select with a rectangle, measure. */
import * as THREE from "three";
import type { PrimNode } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import { rectOf, screenRect, takes } from "./boxselect";
import { partOf } from "./picking";
import type { Snap } from "./snapping";
import type { World } from "./world";

const CLICK_SLACK_PX = 4;
/** A click that misses a thin machine by so much still means it [px], unless another thing was met. */
const REACHES_PX = [6, 12];
const AROUND = [[1, 0], [-1, 0], [0, 1], [0, -1], [0.7, 0.7], [-0.7, 0.7], [0.7, -0.7], [-0.7, -0.7]];
/** What is larger than this share of the scene is what things stand on. */
const GROUND_SHARE = 0.4;

/** What the pointer needs of the picture. */
export interface Aim {
  readonly world: World;
  pick(clientX: number, clientY: number): PrimNode | null;
  snap(clientX: number, clientY: number): Snap | null;
  /** Pixels of the picture; null behind the camera. */
  toScreen(point: THREE.Vector3): { x: number; y: number } | null;
  /** A handle of the gizmo is under the pointer, or held. */
  readonly gizmoBusy: boolean;
  orbit(on: boolean): void;
  measured(snap: Snap): void;
  hoverMeasure(snap: Snap | null): void;
}

export class PointerTools {
  private down: { x: number; y: number } | null = null;
  private boxFrom: { x: number; y: number } | null = null;
  private pending: { x: number; y: number } | null = null;
  private readonly box = document.createElement("div");
  private readonly cleanup = new AbortController();

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly host: HTMLElement,
    private readonly session: Session,
    private readonly aim: Aim,
  ) {
    this.box.className = "select-box";
    this.box.style.display = "none";
    host.append(this.box);
    const { signal } = this.cleanup;
    // Before the controls of the camera hear of it.
    canvas.addEventListener("pointerdown", (e) => this.onDown(e), { signal, capture: true });
    window.addEventListener("pointermove", (e) => this.onMove(e), { signal });
    window.addEventListener("pointerup", (e) => this.onUp(e), { signal });
    canvas.addEventListener("click", (e) => this.onClick(e), { signal });
    canvas.addEventListener("pointerleave", () => this.hover(null), { signal });
  }

  dispose(): void {
    this.cleanup.abort();
    this.box.remove();
  }

  private get tool() {
    return this.session.ui.gizmo;
  }

  private local(event: MouseEvent): { x: number; y: number } {
    const bounds = this.host.getBoundingClientRect();
    return { x: event.clientX - bounds.left, y: event.clientY - bounds.top };
  }

  private onDown(event: PointerEvent): void {
    if (event.button !== 0 || this.aim.gizmoBusy) {
      this.down = null;
      return;
    }
    this.down = { x: event.clientX, y: event.clientY };
    if (event.pointerType !== "touch" && event.shiftKey) {
      this.boxFrom = this.local(event);
      this.aim.orbit(false);
    }
  }

  private onMove(event: PointerEvent): void {
    if (this.boxFrom) {
      const rect = rectOf(this.boxFrom, this.local(event));
      const { style } = this.box;
      style.display = rect.right - rect.left + rect.bottom - rect.top > 2 * CLICK_SLACK_PX ? "" : "none";
      style.left = `${rect.left}px`;
      style.top = `${rect.top}px`;
      style.width = `${rect.right - rect.left}px`;
      style.height = `${rect.bottom - rect.top}px`;
      this.box.classList.toggle("touching", rect.touching);
    } else if (this.tool === "measure" && event.target === this.canvas && event.buttons === 0) this.hover({ x: event.clientX, y: event.clientY });
  }

  private hover(at: { x: number; y: number } | null): void {
    if (this.tool === "measure") {
      this.pending = at;
      if (!at) this.aim.hoverMeasure(null);
      else this.aim.orbit(true);
    }
  }

  /** Look for a corner at most once a picture: a pointer sends many more moves than that. */
  advance(): void {
    if (!this.pending) return;
    this.aim.hoverMeasure(this.aim.snap(this.pending.x, this.pending.y));
    this.pending = null;
  }

  private onUp(event: PointerEvent): void {
    if (!this.boxFrom) return;
    const rect = rectOf(this.boxFrom, this.local(event));
    const drawn = this.box.style.display !== "none";
    this.boxFrom = null;
    this.box.style.display = "none";
    this.aim.orbit(true);
    if (!drawn) return;
    const found = this.within(rect);
    const { scene } = this.session;
    scene.select(event.ctrlKey || event.metaKey ? [...new Set([...scene.selection, ...found])] : found);
  }

  /** Parts in a rectangle of the screen. */
  private within(rect: ReturnType<typeof rectOf>): string[] {
    const parts = new Set<PrimNode>();
    for (const node of this.aim.world.drawnPrims()) {
      // Floors and walls are the ground that things stand on, not things.
      if (node.doc.geometry?.kind !== "plane") parts.add(partOf(node));
    }
    const out: string[] = [];
    for (const part of parts) {
      const covered = screenRect(this.aim.world.bounds([part.path]), (p) => this.aim.toScreen(p));
      if (covered && takes(rect, covered)) out.push(part.path);
    }
    return out;
  }

  /** What a click is about: what is under the pointer, or, on the ground or beside everything, the machine next to it. */
  private meant(x: number, y: number): PrimNode | null {
    const met = this.aim.pick(x, y);
    if (met && !this.isGround(partOf(met))) return met;
    for (const reach of REACHES_PX) {
      for (const [dx, dy] of AROUND) {
        const near = this.aim.pick(x + reach * dx, y + reach * dy);
        if (near && (partOf(near).doc.node ?? -1) >= 0) return near;
      }
    }
    return met;
  }

  private isGround(part: PrimNode): boolean {
    if ((part.doc.node ?? -1) >= 0 || (part.doc.body ?? -1) >= 0) return false;
    const size = (box: THREE.Box3) => (box.isEmpty() ? 0 : box.getSize(new THREE.Vector3()).length());
    const all = this.session.scene.roots.map((r) => r.path);
    return size(this.aim.world.bounds([part.path])) > GROUND_SHARE * size(this.aim.world.bounds(all));
  }

  private onClick(event: MouseEvent): void {
    if (!this.down || Math.hypot(event.clientX - this.down.x, event.clientY - this.down.y) > CLICK_SLACK_PX) return;
    if (this.tool === "measure") {
      const snap = this.aim.snap(event.clientX, event.clientY);
      if (snap) this.aim.measured(snap);
      return;
    }
    const { scene } = this.session;
    const prim = this.meant(event.clientX, event.clientY);
    const many = event.shiftKey || event.ctrlKey || event.metaKey;
    if (!prim) {
      if (!many) scene.select([]);
      return;
    }
    const path = event.altKey || event.detail > 1 ? prim.path : partOf(prim).path;
    if (many) scene.toggle(path);
    else scene.select([path]);
  }
}
