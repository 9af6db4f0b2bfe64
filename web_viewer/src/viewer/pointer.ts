/** What the pointer does in the picture: select, select with a rectangle, measure. */
import * as THREE from "three";
import type { PrimNode } from "../state/scene.svelte";
import type { Session } from "../state/session.svelte";
import { rectOf, screenRect, takes } from "./boxselect";
import { partOf } from "./picking";
import type { Snap } from "./snapping";
import type { World } from "./world";

const CLICK_SLACK_PX = 4;

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
    if (event.pointerType !== "touch" && (event.shiftKey || this.tool === "select")) {
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
    scene.select(event.shiftKey && this.tool === "select" ? [...new Set([...scene.selection, ...found])] : found);
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

  private onClick(event: MouseEvent): void {
    if (!this.down || Math.hypot(event.clientX - this.down.x, event.clientY - this.down.y) > CLICK_SLACK_PX) return;
    if (this.tool === "measure") {
      const snap = this.aim.snap(event.clientX, event.clientY);
      if (snap) this.aim.measured(snap);
      return;
    }
    const { scene } = this.session;
    const prim = this.aim.pick(event.clientX, event.clientY);
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
