/** The composed stage as the server describes it, and what is selected in it. */
import { SvelteSet } from "svelte/reactivity";
import type { FindingDoc, LibraryPart, MaterialDoc, NodeDoc, PrimDoc, PrototypeDoc, SceneDoc, ScenePatch, SignalDoc } from "../protocol/messages.gen";
import { baseName } from "../ui/format";

export interface PrimNode {
  path: string;
  name: string;
  doc: PrimDoc;
  parent: PrimNode | null;
  children: PrimNode[];
  depth: number;
}

/** What a listener must redo: all of it, or these prims. ``structure``: more than matrices changed. */
export type SceneChange = { kind: "load" } | { kind: "patch"; changed: string[]; structure: boolean };

const parentPath = (path: string): string => path.slice(0, path.lastIndexOf("/"));

/** True if ``path`` is ``root`` or below it. */
export const isWithin = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);

export class SceneStore {
  readonly prims = new Map<string, PrimNode>();
  roots: PrimNode[] = [];
  materials: MaterialDoc[] = [];
  prototypes: PrototypeDoc[] = [];
  /** Raised on every change of the prims; panels read it to follow. */
  version = $state(0);
  loaded = $state(false);
  stage = $state("");
  epoch = $state("");
  seq = $state(0);
  upAxis = "Z";
  metersPerUnit = 1;
  nodes = $state.raw<NodeDoc[]>([]);
  signals = $state.raw<SignalDoc[]>([]);
  findings = $state.raw<FindingDoc[]>([]);
  library = $state.raw<LibraryPart[]>([]);
  /** Selected prim paths, the primary one last. */
  selection = $state.raw<string[]>([]);
  /** Rows of the stage tree that are open. */
  readonly expanded = new SvelteSet<string>();

  private readonly listeners = new Set<(change: SceneChange) => void>();
  /** Where edits have moved prims to; their patch is still to come. */
  private moves: { from: string; to: string }[] = [];

  onChange(listener: (change: SceneChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get primary(): string | null {
    return this.selection.at(-1) ?? null;
  }

  load(doc: SceneDoc): void {
    this.prims.clear();
    this.roots = [];
    this.moves = [];
    this.materials = doc.materials;
    this.prototypes = doc.prototypes;
    this.upAxis = doc.up_axis;
    this.metersPerUnit = doc.meters_per_unit;
    this.nodes = doc.nodes;
    this.signals = doc.signals;
    this.findings = doc.findings;
    this.library = doc.library;
    for (const prim of doc.prims) this.insert(prim);
    this.stage = doc.stage;
    this.epoch = doc.epoch;
    this.seq = doc.seq;
    if (!this.loaded) for (const root of this.roots) this.expanded.add(root.path);
    this.loaded = true;
    this.changed({ kind: "load" });
  }

  /** An edit has moved prims: when its patch comes, they stay selected and open, and keep their place in the tree. */
  moved(from: string, to: string): void {
    this.moves.push({ from, to });
  }

  patch(patch: ScenePatch): void {
    let structure = patch.removed.length > 0;
    const moves = this.moves.splice(0);
    const now = (path: string) => moves.reduce((p, { from, to }) => (isWithin(p, from) ? to + p.slice(from.length) : p), path);
    const opened = moves.length > 0 ? [...this.expanded].map(now) : [];
    const selected = this.selection.map(now);
    const places = moves.map(({ from, to }) => ({ to, place: parentPath(from) === parentPath(to) ? this.siblings(from).findIndex((n) => n.path === from) : -1 }));
    for (const path of patch.removed) this.drop(path);
    if (patch.materials.length > 0) {
      this.materials = patch.materials;
      structure = true;
    }
    if (patch.nodes.length > 0) this.nodes = patch.nodes;
    const nodes = patch.nodes.length > 0 ? indices(patch.nodes.map((n) => n.path)) : null;
    if (nodes) for (const prim of this.prims.values()) prim.doc.node = nodes.get(prim.path) ?? -1;
    for (const doc of patch.prims) {
      const known = this.prims.get(doc.path);
      if (!known) {
        this.insert(doc);
        structure = true;
      } else {
        structure ||= shapeOf(known.doc) !== shapeOf(doc);
        known.doc = doc;
      }
    }
    for (const { to, place } of places) this.putAt(to, place);
    if (moves.length > 0) {
      for (const path of opened) if (this.prims.has(path)) this.expanded.add(path);
      this.selection = selected;
    }
    this.seq = Math.max(this.seq, patch.seq);
    this.changed({ kind: "patch", changed: patch.prims.map((p) => p.path), structure });
  }

  /** Number the rigid bodies as the newest table does: an edit may have put one before others. Whoever draws is told of it elsewhere. */
  number(bodies: string[]): void {
    const ids = indices(bodies);
    for (const prim of this.prims.values()) prim.doc.body = ids.get(prim.path) ?? -1;
  }

  /** Content hashes of all meshes that are drawn. */
  meshes(): string[] {
    const drawn = [...[...this.prims.values()].map((n) => n.doc), ...this.prototypes.flatMap((p) => p.prims)];
    return [...new Set(drawn.flatMap((d) => d.geometry?.mesh ?? []))];
  }

  /** Select prims; unknown ones are left out. */
  select(paths: string[]): void {
    const next = paths.filter((p) => this.prims.has(p));
    if (next.length === this.selection.length && next.every((p, i) => p === this.selection[i])) return;
    this.selection = next;
    for (const path of next) this.reveal(path);
  }

  /** Add to the selection, or take away. */
  toggle(path: string): void {
    const without = this.selection.filter((p) => p !== path);
    this.select(without.length < this.selection.length ? without : [...without, path]);
  }

  /** Open the tree down to a prim. */
  reveal(path: string): void {
    for (let p = parentPath(path); p; p = parentPath(p)) this.expanded.add(p);
  }

  /** The selected prims, or others, without those below another one of them. */
  topmost(paths: string[] = this.selection): PrimNode[] {
    const all = new Set(paths);
    const below = (path: string): boolean => {
      for (let p = parentPath(path); p; p = parentPath(p)) if (all.has(p)) return true;
      return false;
    };
    return paths
      .filter((p) => !below(p))
      .flatMap((p) => this.prims.get(p) ?? []);
  }

  /** A path beside others that no prim has yet: Name, Name_2, Name_3. */
  freePath(parent: string, name: string, taken: ReadonlySet<string> = new Set()): string {
    const stem = name.replace(/[^A-Za-z0-9_]/g, "_").replace(/^(?=[0-9])/, "_") || "Prim";
    const free = (path: string) => !this.prims.has(path) && !taken.has(path);
    if (free(`${parent}/${stem}`)) return `${parent}/${stem}`;
    const base = stem.replace(/_\d+$/, "");
    let n = 2;
    while (!free(`${parent}/${base}_${n}`)) n++;
    return `${parent}/${base}_${n}`;
  }

  /** Hidden itself or below something hidden. */
  visible(node: PrimNode): boolean {
    for (let n: PrimNode | null = node; n; n = n.parent) if (n.doc.visible === false) return false;
    return true;
  }

  private insert(doc: PrimDoc): void {
    const parent = this.prims.get(parentPath(doc.path)) ?? null;
    const node: PrimNode = {
      path: doc.path,
      name: baseName(doc.path),
      doc,
      parent,
      children: [],
      depth: parent ? parent.depth + 1 : 0,
    };
    this.prims.set(doc.path, node);
    (parent ? parent.children : this.roots).push(node);
  }

  private siblings(path: string): PrimNode[] {
    return this.prims.get(parentPath(path))?.children ?? this.roots;
  }

  /** Give a prim that is there its place among its siblings; below 0 it stays where it is. */
  private putAt(path: string, place: number): void {
    const node = this.prims.get(path);
    if (!node || place < 0) return;
    const siblings = this.siblings(path);
    siblings.splice(siblings.indexOf(node), 1);
    siblings.splice(place, 0, node);
  }

  private drop(path: string): void {
    const node = this.prims.get(path);
    if (!node) return;
    const siblings = node.parent ? node.parent.children : this.roots;
    siblings.splice(siblings.indexOf(node), 1);
    const stack = [node];
    for (let n = stack.pop(); n; n = stack.pop()) {
      this.prims.delete(n.path);
      this.expanded.delete(n.path);
      stack.push(...n.children);
    }
  }

  private changed(change: SceneChange): void {
    this.version++;
    const kept = this.selection.filter((p) => this.prims.has(p));
    if (kept.length < this.selection.length) this.selection = kept;
    for (const listener of this.listeners) listener(change);
  }
}

const indices = (paths: string[]): Map<string, number> => new Map(paths.map((path, i) => [path, i]));

/** What of a prim decides which drawing it belongs to; everything but its matrix. */
function shapeOf(doc: PrimDoc): string {
  return JSON.stringify([doc.geometry, doc.light, doc.body ?? -1, doc.visible, doc.type]);
}
