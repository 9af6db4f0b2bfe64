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

/** What a prim is called now. */
export type Now = (path: string) => string;

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
  /** Somebody wants a prim pointed out: what is selected next goes to them instead. ``id`` says who. */
  picking = $state.raw<{ id: symbol; take: (path: string) => void } | null>(null);
  /** Rows of the stage tree that are open. */
  readonly expanded = new SvelteSet<string>();

  private readonly listeners = new Set<(change: SceneChange) => void>();
  private readonly followers = new Set<(now: Now) => void>();
  /** Where edits have moved prims to; their patch is still to come. */
  private moves: { from: string; to: string }[] = [];

  onChange(listener: (change: SceneChange) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Told of new names and places of prims, in time for what is kept by path to go along before anything is shown anew. */
  onMove(follower: (now: Now) => void): () => void {
    this.followers.add(follower);
    return () => this.followers.delete(follower);
  }

  get primary(): string | null {
    return this.selection.at(-1) ?? null;
  }

  load(doc: SceneDoc): void {
    this.prims.clear();
    this.roots = [];
    const follow = this.follow();
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
    follow();
    this.changed({ kind: "load" });
  }

  /** An edit has moved prims: when its patch comes, they stay selected and open. */
  moved(from: string, to: string): void {
    this.moves.push({ from, to });
  }

  patch(patch: ScenePatch): void {
    let structure = patch.removed.length > 0;
    const follow = this.follow();
    for (const path of patch.removed) this.drop(path);
    structure = this.dropUnnamed(patch) || structure;
    if (patch.materials.length > 0) {
      this.materials = patch.materials;
      structure = true;
    }
    if (patch.nodes.length > 0) this.nodes = patch.nodes;
    if (patch.signals.length > 0) this.signals = patch.signals;
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
    this.arrange(patch);
    follow();
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
    const { picking } = this;
    const pointed = next.findLast((p) => !this.selection.includes(p)) ?? next.at(-1);
    if (picking) {
      if (pointed === undefined) return; // beside everything: once more
      this.picking = null;
      return picking.take(pointed);
    }
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

  /** What is selected and open, to be put where it has moved to once that is there; the moves are done with then. */
  private follow(): () => void {
    const moves = this.moves.splice(0);
    if (moves.length === 0) return () => undefined;
    const now: Now = (path) => moves.reduce((p, { from, to }) => (isWithin(p, from) ? to + p.slice(from.length) : p), path);
    const [opened, selected] = [[...this.expanded].map(now), this.selection.map(now)];
    return () => {
      for (const path of opened) if (this.prims.has(path)) this.expanded.add(path);
      this.selection = selected;
      this.signals = this.signals.map((s) => ({ ...s, prim: now(s.prim) }));
      for (const follower of this.followers) follower(now);
    };
  }

  /** Take away what a patch leaves out of what it tells whole: it went while this page was not connected. True: there was some. */
  private dropUnnamed({ order, prims }: ScenePatch): boolean {
    const roots = Object.keys(order).flatMap((path) => this.prims.get(path) ?? []);
    if (roots.length === 0) return false;
    const named = new Set(prims.map((doc) => doc.path));
    const gone: string[] = [];
    for (const stack = roots; stack.length > 0; ) {
      for (const child of stack.pop()?.children ?? []) {
        if (named.has(child.path)) stack.push(child);
        else gone.push(child.path);
      }
    }
    for (const path of gone) this.drop(path);
    return gone.length > 0;
  }

  /** Put what a patch brings where it stands in the tree; a reload must show nothing else. */
  private arrange({ order, prims }: ScenePatch): void {
    const below = new Map<PrimNode, PrimNode[]>();
    const next = new Map<PrimNode[], Map<string, PrimNode>>();
    let root = "";
    for (const { path } of prims) {
      const node = this.prims.get(path);
      if (!node) continue;
      if (path in order) {
        root = path;
        const siblings = this.siblings(node);
        const placed = next.get(siblings) ?? new Map<string, PrimNode>();
        next.set(siblings, placed.set(order[path], node));
      } else if (node.parent && root && isWithin(path, root)) {
        const children = below.get(node.parent);
        if (children) children.push(node);
        else below.set(node.parent, [node]);
      }
    }
    for (const [siblings, placed] of next) {
      const moving = new Set(placed.values());
      const rest = siblings.filter((node) => !moving.has(node));
      siblings.length = 0;
      /** Those that stand in a row before a sibling that is in its place, or at the end. */
      const before = (name: string): PrimNode[] => {
        const row: PrimNode[] = [];
        for (let node = placed.get(name); node; node = placed.get(node.name)) row.push(node);
        return row.reverse();
      };
      for (const node of rest) siblings.push(...before(node.name), node);
      siblings.push(...before(""));
    }
    for (const [parent, children] of below) parent.children = children;
  }

  private siblings(node: PrimNode): PrimNode[] {
    return node.parent?.children ?? this.roots;
  }

  private drop(path: string): void {
    const node = this.prims.get(path);
    if (!node) return;
    const siblings = this.siblings(node);
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
