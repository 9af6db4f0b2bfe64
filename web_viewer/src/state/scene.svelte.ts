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

  patch(patch: ScenePatch): void {
    let structure = patch.removed.length > 0;
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

  /** The selected prims without those below another selected one. */
  topmost(): PrimNode[] {
    return this.selection
      .filter((p) => !this.selection.some((q) => q !== p && isWithin(p, q)))
      .flatMap((p) => this.prims.get(p) ?? []);
  }

  /** A path beside others that no prim has yet: Name, Name_2, Name_3. */
  freePath(parent: string, name: string): string {
    const stem = name.replace(/[^A-Za-z0-9_]/g, "_").replace(/^(?=[0-9])/, "_") || "Prim";
    if (!this.prims.has(`${parent}/${stem}`)) return `${parent}/${stem}`;
    const base = stem.replace(/_\d+$/, "");
    let n = 2;
    while (this.prims.has(`${parent}/${base}_${n}`)) n++;
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
