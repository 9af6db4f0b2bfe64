/** How this person looks at the scene: what is hidden here only, the section, heat maps. Nobody else sees it. */
import type { HeatMap } from "../viewer/heat";
import type { SectionState } from "../viewer/section";
import { heatChoices, heatOf, type HeatChoice } from "./heat";
import type { LiveStore } from "./live.svelte";
import { isWithin, type Now, type SceneStore } from "./scene.svelte";

export type QualityChoice = "auto" | "best" | "fast";

const stored = (key: string): string | null => localStorage.getItem(`twin.${key}`);
const store = (key: string, value: string) => localStorage.setItem(`twin.${key}`, value);

export class ViewState {
  hidden = $state.raw<string[]>([]);
  isolated = $state.raw<string[] | null>(null);
  section = $state<SectionState | null>(null);
  quality = $state<QualityChoice>((["best", "fast"] as const).find((q) => q === stored("quality")) ?? "auto");
  /** Without perspective. */
  flat = $state(stored("flat") === "on");
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

  moved(now: Now): void {
    this.hidden = this.hidden.map(now);
    this.isolated = this.isolated?.map(now) ?? null;
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

  /** What a heat map can tell of this line. */
  get heatChoices(): HeatChoice[] {
    return heatChoices(this.scene.nodes, this.live.kpis, this.scene.signals);
  }

  /** The chosen heat map with the values of now; null where none is chosen or nothing is known. */
  heatNow(levels: number[] | null): HeatMap | null {
    return this.heatChoice && heatOf(this.heatChoice, this.scene.nodes, this.live.kpis, this.live.latest, levels);
  }
}
