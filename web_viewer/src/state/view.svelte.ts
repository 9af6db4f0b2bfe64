/** How this person looks at the scene: what is hidden here only, the section, heat maps, bookmarks. Nobody else sees it. */
import type { Viewpoint } from "../viewer/camera";
import type { HeatMap } from "../viewer/heat";
import type { SectionState } from "../viewer/section";
import { heatChoices, heatOf, type HeatChoice } from "./heat";
import type { LiveStore } from "./live.svelte";
import { isWithin, type SceneStore } from "./scene.svelte";

export type QualityChoice = "auto" | "best" | "fast";

export interface Bookmark extends Viewpoint {
  name: string;
}

const stored = (key: string): string | null => localStorage.getItem(`twin.${key}`);
const store = (key: string, value: string) => localStorage.setItem(`twin.${key}`, value);

function readBookmarks(stage: string): Bookmark[] {
  try {
    const kept: unknown = JSON.parse(stored(`bookmarks ${stage}`) ?? "[]");
    return Array.isArray(kept) ? (kept as Bookmark[]).filter((b) => b.name && b.position.length === 3 && b.target.length === 3) : [];
  } catch {
    // Written by hand or by another version: begin with none.
    return [];
  }
}

export class ViewState {
  hidden = $state.raw<string[]>([]);
  isolated = $state.raw<string[] | null>(null);
  section = $state<SectionState | null>(null);
  quality = $state<QualityChoice>((["best", "fast"] as const).find((q) => q === stored("quality")) ?? "auto");
  /** Without perspective. */
  flat = $state(stored("flat") === "on");
  bookmarks = $state.raw<Bookmark[]>([]);
  recording = $state(false);
  measurements = $state(0);
  /** Contacts, islands and sleepers are drawn over the picture. */
  physics = $state(false);
  /** What the heat map tells; null: none, or one of a study. */
  heatChoice = $state.raw<HeatChoice | null>(null);

  constructor(
    private readonly scene: SceneStore,
    private readonly live: LiveStore,
  ) {}

  /** Whether a prim is shown to this person. */
  shows(path: string): boolean {
    if (this.isolated && !this.isolated.some((p) => isWithin(path, p))) return false;
    return this.hidden.length === 0 || !this.hidden.some((p) => isWithin(path, p));
  }

  hide(paths: string[]): void {
    this.hidden = [...new Set([...this.hidden, ...paths])];
  }

  /** Show these alone; again, or with none: everything. */
  isolate(paths: string[]): void {
    this.isolated = this.isolated || paths.length === 0 ? null : paths;
  }

  showAll(): void {
    this.hidden = [];
    this.isolated = null;
  }

  get partial(): boolean {
    return this.hidden.length > 0 || this.isolated !== null;
  }

  setQuality(choice: QualityChoice): void {
    this.quality = choice;
    store("quality", choice);
  }

  toggleFlat(): void {
    this.flat = !this.flat;
    store("flat", this.flat ? "on" : "off");
  }

  toggleSection(): void {
    this.section = this.section ? null : { axis: "X", share: 0.5, flipped: false };
  }

  loadBookmarks(): void {
    this.bookmarks = readBookmarks(this.scene.stage);
  }

  saveBookmark(viewpoint: Viewpoint, name = ""): Bookmark {
    let n = this.bookmarks.length + 1;
    while (this.bookmarks.some((b) => b.name === `View ${n}`)) n++;
    const bookmark = { ...viewpoint, name: name || `View ${n}` };
    this.keep([...this.bookmarks, bookmark]);
    return bookmark;
  }

  renameBookmark(bookmark: Bookmark, name: string): void {
    if (name.trim()) this.keep(this.bookmarks.map((b) => (b === bookmark ? { ...b, name: name.trim().slice(0, 40) } : b)));
  }

  removeBookmark(bookmark: Bookmark): void {
    this.keep(this.bookmarks.filter((b) => b !== bookmark));
  }

  private keep(bookmarks: Bookmark[]): void {
    this.bookmarks = bookmarks;
    store(`bookmarks ${this.scene.stage}`, JSON.stringify(bookmarks));
  }

  /** What a heat map can tell of this line. */
  get heatChoices(): HeatChoice[] {
    return heatChoices(this.scene.nodes, this.live.kpis, this.scene.signals);
  }

  /** The chosen heat map with the values of now; null where none is chosen or nothing is known. */
  heatNow(levels: number[] | null): HeatMap | null {
    return this.heatChoice && heatOf(this.heatChoice, this.scene.nodes, this.live.kpis, this.live.latest, levels);
  }
}
