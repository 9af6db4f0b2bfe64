/** What a person can do with the scene; toolbar, tree and keys all come through here. */
import { getPrim } from "../net/http";
import type { Op } from "../protocol/messages.gen";
import { baseName } from "../ui/format";
import type { Viewport } from "../viewer/viewport";
import type { PrimNode } from "./scene.svelte";
import type { Session } from "./session.svelte";
import { exitOfCurve, exitOfZone, joinOps, placedAt, type Exit } from "./snap";

const named = (nodes: PrimNode[]): string => (nodes.length === 1 ? nodes[0].name : `${nodes.length} prims`);

export class Commands {
  viewport: Viewport | null = null;

  constructor(private readonly session: Session) {}

  remove(): void {
    const nodes = this.session.scene.topmost();
    if (nodes.length === 0) return;
    this.session.edit(nodes.map((n) => ({ kind: "remove_prim", path: n.path })), `Delete ${named(nodes)}`);
  }

  /** Copies beside the originals, offset by their own width so that both can be seen; selected once they exist. */
  duplicate(): void {
    const { scene } = this.session;
    const nodes = scene.topmost();
    if (nodes.length === 0) return;
    const txn: Op[] = [];
    const made: string[] = [];
    for (const node of nodes) {
      const path = scene.freePath(node.parent?.path ?? "", node.name);
      txn.push({ kind: "add_prim", path, value: { copy: node.path } });
      const matrix = node.doc.matrix ?? [];
      if (matrix.length === 16) {
        const width = this.viewport?.world.bounds([node.path]);
        const step = width && !width.isEmpty() ? (width.max.x - width.min.x) * 1.1 : 1;
        const parentScale = this.viewport?.world.parentMatrix(node).getMaxScaleOnAxis() ?? 1;
        const at = [matrix[12] + step / parentScale, matrix[13], matrix[14]];
        txn.push({ kind: "set_field", path, field: "xformOp:translate", value: ["double3", at] });
      }
      made.push(path);
    }
    this.session.edit(txn, `Duplicate ${named(nodes)}`);
    this.selectOnceThere(made);
  }

  /** Show or hide for everybody. */
  toggleVisibility(paths: string[]): void {
    const nodes = paths.flatMap((p) => this.session.scene.prims.get(p) ?? []);
    if (nodes.length === 0) return;
    const hide = nodes.some((n) => n.doc.visible !== false);
    const value = ["token", hide ? "invisible" : "inherited"];
    this.session.edit(
      nodes.map((n) => ({ kind: "set_field", path: n.path, field: "visibility", value })),
      `${hide ? "Hide" : "Show"} ${named(nodes)}`,
    );
  }

  rename(node: PrimNode, name: string): void {
    const parent = node.parent?.path ?? "";
    const path = `${parent}/${name}`;
    if (name === node.name || !name) return;
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      return this.session.ui.toast("warning", `"${name}" is no prim name: letters, digits and _, not a digit first.`);
    }
    if (this.session.scene.prims.has(path)) return this.session.ui.toast("warning", `${path} exists already.`);
    this.session.edit([{ kind: "move_prim", path: node.path, value: path }], `Rename ${node.name} to ${name}`);
    this.selectOnceThere([path]);
  }

  /**
   * Put a part of the library into the scene: behind the selected node where it is one itself, else at a place on the
   * screen or in the middle of the view.
   */
  add(asset: string, name: string, at?: { x: number; y: number }): void {
    const { scene } = this.session;
    const part = scene.library.find((p) => p.asset === asset);
    const after = scene.selection.length === 1 ? scene.prims.get(scene.selection[0]) : undefined;
    if (!at && part?.node && part.node !== "source" && after && this.goesOn(after)) {
      this.addBehind(after, asset, name, part.node).catch((error: unknown) =>
        this.session.ui.toast("error", `${name} could not be added: ${error instanceof Error ? error.message : String(error)}`),
      );
      return;
    }
    const parent = scene.roots.find((r) => r.doc.type === "Xform" || r.doc.type === "Scope") ?? scene.roots[0] ?? null;
    const stem = name || baseName(asset).replace(/\.[^.]*$/, "");
    const path = scene.freePath(parent?.path ?? "", stem);
    const place = at ? this.viewport?.groundPoint(at.x, at.y, parent) : this.viewport?.groundTarget(parent);
    const txn: Op[] = [{ kind: "add_prim", path, value: { type: "Xform", reference: asset, name: baseName(path) } }];
    if (place) txn.push({ kind: "set_field", path, field: "xformOp:translate", value: ["double3", place] });
    this.session.edit(txn, `Add ${stem}`);
    this.selectOnceThere([path]);
  }

  /** Whether goods leave a prim towards another one. */
  goesOn(prim: PrimNode): boolean {
    const kind = this.session.scene.nodes.find((n) => n.path === prim.path)?.kind;
    return kind !== undefined && kind !== "sink" && kind !== "fleet" && this.session.scene.upAxis === "Z";
  }

  /** A part of the line, end to end with the one before it. */
  private async addBehind(after: PrimNode, asset: string, name: string, node: string): Promise<void> {
    const { scene } = this.session;
    const detail = await getPrim(after.path);
    const targets = (property: string): string[] => {
      const value = detail.properties.find((p) => p.name === property)?.value;
      return Array.isArray(value) ? value.map(String) : [];
    };
    let exit: Exit | null = null;
    const [curve] = targets("twin:conveyor:path");
    if (curve) {
      const points = (await getPrim(curve)).properties.find((p) => p.name === "points")?.value;
      if (Array.isArray(points)) exit = exitOfCurve(points as number[][]);
    }
    const zone = scene.prims.get(targets("twin:node:zone")[0] ?? "");
    if (!exit && zone?.doc.matrix?.length === 16) exit = exitOfZone(zone.doc.matrix, zone.doc.geometry?.size ?? [1, 1, 1]);
    if (!exit) exit = { at: [1, 0, 0], along: [1, 0, 0] };
    const matrix = after.doc.matrix?.length === 16 ? after.doc.matrix : [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const path = scene.freePath(after.parent?.path ?? "", name || baseName(asset).replace(/\.[^.]*$/, ""));
    const add: Op = { kind: "add_prim", path, value: { type: "Xform", reference: asset, name: baseName(path) } };
    this.session.edit(joinOps(path, add, node, after.path, targets("twin:next"), placedAt(exit, matrix)), `Add ${baseName(path)} behind ${after.name}`);
    this.selectOnceThere([path]);
  }

  frame(all = false): void {
    this.viewport?.focus(all ? [] : this.session.scene.selection);
  }

  togglePlay(): void {
    this.session.control(this.session.live.clock?.state === "running" ? "pause" : "play");
  }

  private selectOnceThere(paths: string[]): void {
    const { scene } = this.session;
    const stop = scene.onChange(() => {
      if (!paths.every((p) => scene.prims.has(p))) return;
      stop();
      scene.select(paths);
    });
    // Refused edits never get there.
    setTimeout(stop, 5000);
  }
}

export interface Key {
  keys: string;
  does: string;
  group: string;
}

export const KEYS: Key[] = [
  { group: "Tools", keys: "W", does: "Move" },
  { group: "Tools", keys: "E", does: "Rotate" },
  { group: "Tools", keys: "R", does: "Scale" },
  { group: "Tools", keys: "X", does: "World or local axes" },
  { group: "Tools", keys: "N", does: "Snap on or off" },
  { group: "View", keys: "F", does: "Frame the selection" },
  { group: "View", keys: "A", does: "Frame the whole line" },
  { group: "View", keys: "1 2 3", does: "Top, front, right" },
  { group: "View", keys: "L", does: "Labels on or off" },
  { group: "View", keys: "B", does: "Bottom panel on or off" },
  { group: "Edit", keys: "Ctrl Z", does: "Undo your own last change" },
  { group: "Edit", keys: "Ctrl Y", does: "Redo it" },
  { group: "Edit", keys: "Ctrl D", does: "Duplicate" },
  { group: "Edit", keys: "Del", does: "Delete" },
  { group: "Edit", keys: "H", does: "Hide or show, for everybody" },
  { group: "Edit", keys: "F2", does: "Rename (in the stage tree)" },
  { group: "Twin", keys: "Space", does: "Play or pause" },
  { group: "Twin", keys: ".", does: "One step" },
  { group: "Twin", keys: "P", does: "Replay the last minute, or stop it" },
  { group: "Twin", keys: "[ ]", does: "Ten seconds back or forth" },
  { group: "Twin", keys: "Home", does: "Go live" },
  { group: "Find", keys: "/", does: "Search the stage" },
  { group: "Find", keys: "Esc", does: "Clear the selection, close" },
  { group: "Find", keys: "?", does: "This list" },
  { group: "Mouse", keys: "Click", does: "Select; Shift adds, double click takes the detail" },
  { group: "Mouse", keys: "Drag", does: "Orbit; right button pans, wheel zooms" },
];

/** True where keys belong to what is being typed or operated, not to the scene. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function handleKey(event: KeyboardEvent, session: Session, commands: Commands): void {
  if (event.defaultPrevented) return;
  const { ui, scene } = session;
  if (event.key === "Escape") {
    if (isTyping(event.target)) (event.target as HTMLElement).blur();
    else if (ui.help) ui.help = false;
    else scene.select([]);
    return;
  }
  if (isTyping(event.target) || session.phase !== "ready") return;
  const command = event.ctrlKey || event.metaKey;
  const onButton = event.target instanceof HTMLElement && /^(BUTTON|A)$/.test(event.target.tagName);
  const actions: Record<string, () => void> = command
    ? {
        z: () => (event.shiftKey ? session.redo() : session.undo()),
        y: () => session.redo(),
        d: () => commands.duplicate(),
      }
    : {
        w: () => (ui.gizmo = "translate"),
        e: () => (ui.gizmo = "rotate"),
        r: () => (ui.gizmo = "scale"),
        x: () => (ui.gizmoSpace = ui.gizmoSpace === "world" ? "local" : "world"),
        n: () => (ui.snap = !ui.snap),
        f: () => commands.frame(),
        a: () => commands.frame(true),
        "1": () => commands.viewport?.focus(scene.selection, "top"),
        "2": () => commands.viewport?.focus(scene.selection, "front"),
        "3": () => commands.viewport?.focus(scene.selection, "right"),
        l: () => ui.setLabels(!ui.labels),
        b: () => ui.setBottomOpen(!ui.bottomOpen),
        p: () => session.replay.toggle(),
        "[": () => session.replay.seek((session.replay.active ? session.replay.cursor : Date.now()) - 10_000),
        "]": () => session.replay.active && session.replay.seek(session.replay.cursor + 10_000),
        home: () => session.replay.live(),
        h: () => commands.toggleVisibility(scene.selection),
        delete: () => commands.remove(),
        backspace: () => commands.remove(),
        ".": () => session.control("step"),
        "?": () => (ui.help = !ui.help),
        "/": () => {
          ui.leftTab = "stage";
          requestAnimationFrame(() => document.querySelector<HTMLInputElement>("#stage-search")?.focus());
        },
        // A focused button is pressed with the space bar.
        ...(onButton ? {} : { " ": () => commands.togglePlay() }),
      };
  const action = actions[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
}
