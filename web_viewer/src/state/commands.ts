/** What a person can do with the scene; toolbar, tree and keys all come through here. */
import { getClip, getPrim, HttpError } from "../net/http";
import type { Op } from "../protocol/messages.gen";
import { baseName, primName } from "../ui/format";
import { transformOps } from "../viewer/gizmo";
import type { WalkKey } from "../viewer/camera";
import { download, fileStem } from "../viewer/capture";
import type { Viewport } from "../viewer/viewport";
import type { Bookmark } from "./bookmarks.svelte";
import { outsideOf, pasteOps, readClip, writeClipboard, type Clip } from "./clip";
import type { HeatChoice } from "./heat";
import { isWithin, type PrimNode } from "./scene.svelte";
import type { Session } from "./session.svelte";
import { exitOfCurve, exitOfZone, joinOps, placedAt, type Exit } from "./snap";

const LONGEST_FILM_MS = 120_000;
/** Prims outside of a clip that the server is asked about. */
const MOST_LOOKED_UP = 50;
/** Prims of these types stand nowhere. */
const WITHOUT_PLACE = /^(|Scope|Material|Shader|NodeGraph|Physics.*|Render.*)$/;
const WALK_KEYS: Record<string, WalkKey> = { ArrowUp: "forward", ArrowDown: "back", ArrowLeft: "left", ArrowRight: "right", PageUp: "up", PageDown: "down" };
const WALK_LETTERS: Record<string, WalkKey> = { w: "forward", s: "back", a: "left", d: "right", e: "up", q: "down" };

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
    const coming = this.session.pending.paths(); // of a press a moment ago
    for (const node of nodes) {
      const path = scene.freePath(node.parent?.path ?? "", node.name, new Set([...made, ...coming]));
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

  /** Put the selection on the system clipboard, for this scene or another one. */
  async copy(): Promise<void> {
    const { scene, ui } = this.session;
    const nodes = scene.topmost();
    if (nodes.length === 0) return;
    try {
      await writeClipboard(await getClip(nodes.map((n) => n.path)));
      ui.toast("info", `${named(nodes)} copied: paste it here or into another twin.`);
    } catch (error) {
      ui.toast("error", `Not copied: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** What was copied, beside what is selected, else in the middle of the scene; true where the text is a clip. */
  paste(text: string): boolean {
    const { scene, ui } = this.session;
    const clip = readClip(text);
    if (!clip || clip.prims.length === 0) return false;
    if (clip.up !== scene.upAxis || Math.abs(clip.unit - scene.metersPerUnit) > 1e-9) {
      ui.toast("warning", `Not pasted: it comes from a stage with ${clip.up} up and a unit of ${clip.unit} m; here ${scene.upAxis} is up and the unit ${scene.metersPerUnit} m.`);
      return true;
    }
    void this.pasteClip(clip).catch((error: unknown) => ui.toast("error", `Not pasted: ${error instanceof Error ? error.message : String(error)}`));
    return true;
  }

  private async pasteClip(clip: Clip): Promise<void> {
    const { scene, ui } = this.session;
    const outside = outsideOf(clip);
    const known = new Set(clip.epoch === scene.epoch ? outside.filter((path) => scene.prims.has(path)) : []);
    // patterns of goods and the like are in the stage, but not among what is drawn
    const unseen = clip.epoch === scene.epoch ? outside.filter((path) => !known.has(path)).slice(0, MOST_LOOKED_UP) : [];
    const look = (path: string) =>
      getPrim(path).then(
        () => known.add(path),
        (error: unknown) => {
          if (!(error instanceof HttpError && error.status === 404)) throw error;
        },
      );
    await Promise.all(unseen.map(look));
    const root = scene.roots.find((r) => r.doc.type === "Xform" || r.doc.type === "Scope") ?? scene.roots[0];
    const beside = scene.primary ? scene.prims.get(scene.primary)?.parent : root;
    const taken = this.session.pending.paths();
    const places = clip.prims.map(({ name }) => {
      const path = scene.freePath(beside?.path ?? "", name, taken);
      taken.add(path);
      return path;
    });
    this.session.edit(pasteOps(clip, places, (path) => known.has(path)), `Paste ${clip.prims.length === 1 ? clip.prims[0].name : `${clip.prims.length} prims`}`);
    if (!this.session.canEdit) return; // that has been said
    this.selectOnceThere(places);
    const lost = [...clip.left_out, ...outside.filter((path) => !known.has(path)).map((path) => `links to ${path}`)];
    if (lost.length > 0) ui.toast("warning", `Left out, because it cannot be carried over: ${lost.slice(0, 5).join(", ")}${lost.length > 5 ? " and more" : ""}`);
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

  /** What is typed need not be a prim's name: spaces, accents and the like are written as one can have them. */
  rename(node: PrimNode, typed: string): void {
    const name = primName(typed);
    const path = `${node.parent?.path ?? ""}/${name}`;
    if (name === node.name || !typed.trim()) return;
    if (!name) return this.session.ui.toast("warning", `"${typed}" is no name: it needs letters or digits.`);
    if (this.session.scene.prims.has(path)) return this.session.ui.toast("warning", `${path} exists already.`);
    if (name !== typed.trim()) this.session.ui.toast("info", `It is called ${name}: names of prims are of letters, digits and _.`);
    this.session.edit([{ kind: "move_prim", path: node.path, value: path }], `Rename ${node.name} to ${name}`);
    this.selectOnceThere([path]);
  }

  /** Put prims below another one; they stay where they stand. */
  reparent(paths: string[], parent: PrimNode): void {
    const { scene, ui } = this.session;
    const nodes = scene.topmost(paths).filter((n) => n.parent !== parent);
    if (nodes.length === 0) return;
    if (nodes.some((n) => isWithin(parent.path, n.path))) return ui.toast("warning", "A prim cannot be put below itself.");
    const taken = new Set<string>();
    const places = nodes.map((node) => {
      const path = scene.freePath(parent.path, node.name, taken);
      taken.add(path);
      return path;
    });
    const txn = nodes.flatMap((node, i): Op[] => {
      const move: Op = { kind: "move_prim", path: node.path, value: places[i] };
      const world = this.viewport?.world;
      if (!world || WITHOUT_PLACE.test(node.doc.type ?? "")) return [move];
      const local = world.parentMatrix(node).clone().invert().multiply(world.matrix(node));
      return [move, ...transformOps(places[i], local, world.matrix(parent).clone().invert().multiply(world.matrix(node)))];
    });
    this.session.edit(txn, `Put ${named(nodes)} below ${parent.name}`);
    scene.expanded.add(parent.path); // where they have gone is to be seen
    this.selectOnceThere(places);
  }

  /**
   * Put a part of the library into the scene: behind the selected node where it is one itself, else at a place on the
   * screen or in the middle of the view. ``low``: the lowest corner of a mesh that stands on the ground.
   */
  add(asset: string, name: string, at?: { x: number; y: number }, low?: number[]): void {
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
    const up = scene.upAxis === "Y" ? 1 : 2;
    if (place && low) place[up] += Math.max(0, -low[up]); // a mesh around its own middle would be half in the ground
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
    setTimeout(stop, 30_000);
  }

  // ---- looking

  toggleMeasure(): void {
    const { ui } = this.session;
    this.viewport?.measure.drop();
    this.viewport?.hoverMeasure(null);
    ui.gizmo = ui.gizmo === "measure" ? "select" : "measure";
  }

  clearMeasurements(): void {
    this.viewport?.measure.clear();
    this.viewport?.invalidate();
    this.session.view.measurements = 0;
  }

  /** Close or give up the innermost thing that is open. */
  escape(): void {
    const { ui, view, scene } = this.session;
    if (ui.palette) ui.palette = false;
    else if (scene.picking) scene.picking = null;
    else if (ui.help) ui.help = false;
    else if (this.viewport?.measure.drop()) this.viewport.invalidate();
    else if (ui.gizmo === "measure") this.toggleMeasure();
    else if (scene.selection.length > 0) scene.select([]);
    else if (view.isolated) view.isolate([]);
  }

  showHeat(choice: HeatChoice | null): void {
    const { view, ui } = this.session;
    view.heatChoice = choice;
    ui.heat = choice ? view.heatNow(this.session.nodeStates?.level ?? null) : null;
    if (choice && !ui.heat) ui.toast("info", `${choice.label}: nothing is known yet.`);
  }

  /** Keep this view for everybody. */
  async bookmark(): Promise<Bookmark | null> {
    if (!this.viewport) return null;
    const made = await this.session.bookmarks.add(this.viewport.rig.viewpoint);
    if (made) this.session.ui.toast("info", `This view is kept as “${made.name}”, for everybody.`);
    return made;
  }

  /** Keep the moment that is shown, and what is seen of it, for everybody. */
  async mark(): Promise<void> {
    const { replay, bookmarks, ui } = this.session;
    const made = await bookmarks.add(this.viewport?.rig.viewpoint ?? null, replay.active ? replay.cursor : Date.now());
    if (made) ui.toast("info", `This moment is kept as “${made.name}”, for everybody.`);
  }

  /** Look at a moment or a view that was kept. */
  goTo(bookmark: Bookmark): void {
    if (bookmark.time !== null) this.session.replay.seek(bookmark.time);
    if (bookmark.view) this.viewport?.rig.goTo(bookmark.view);
  }

  goToBookmark(index: number): void {
    const bookmark = this.session.bookmarks.views[index];
    if (bookmark) this.goTo(bookmark);
  }

  /** Stand where a camera of the stage stands. */
  lookThrough(camera: PrimNode): void {
    const matrix = this.viewport?.world.matrix(camera);
    if (!matrix || !this.viewport) return;
    const e = matrix.elements;
    const position = [e[12], e[13], e[14]];
    const ahead = Math.hypot(e[8], e[9], e[10]) || 1;
    // Cameras look along -Z; how far away their subject is they need not say.
    const distance = Math.max(2, position[this.session.scene.upAxis === "Y" ? 1 : 2] * 2);
    this.viewport.rig.goTo({ position, target: position.map((p, i) => p - (e[8 + i] / ahead) * distance) });
  }

  async savePicture(): Promise<void> {
    const { scene, ui } = this.session;
    try {
      const picture = await this.viewport?.picture();
      if (picture) download(picture, `${fileStem(scene.stage, new Date())}.png`);
    } catch (error) {
      ui.toast("error", `The picture could not be saved: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async toggleFilm(): Promise<void> {
    const { scene, ui, view } = this.session;
    clearTimeout(this.filmTimer);
    try {
      if (!view.recording) {
        this.viewport?.startFilm();
        view.recording = true;
        this.filmTimer = setTimeout(() => void this.toggleFilm(), LONGEST_FILM_MS);
        return;
      }
      view.recording = false;
      const film = await this.viewport?.endFilm();
      if (film) download(film.blob, `${fileStem(scene.stage, new Date())}.${film.extension}`);
    } catch (error) {
      view.recording = false;
      ui.toast("error", `No film: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  private filmTimer: ReturnType<typeof setTimeout> | undefined;

  /** A key to walk with; false if it is none. Letters walk while the right button is held, as in games and other editors. */
  walk(event: KeyboardEvent, down: boolean): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return false;
    const onScene = !(event.target instanceof HTMLElement) || event.target === document.body || event.target.closest(".view") !== null;
    const key = WALK_KEYS[event.key] ?? (this.rightHeld || !down ? WALK_LETTERS[event.key.toLowerCase()] : undefined);
    if (!key || (down && !onScene)) return false;
    this.viewport?.rig.setWalking(key, down);
    return true;
  }
  rightHeld = false;
}
