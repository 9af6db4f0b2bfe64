/** What only this browser knows: theme, messages to the person, which panels are open. */

import type { HeatMap } from "../viewer/heat";
import { keyMoved } from "./live.svelte";
import { floatAt, readDocks, usualDocks, type Dock, type Docks, type PanelId, type Zone } from "./docks";

export type Theme = "dark" | "light";
export type Tool = "select" | "translate" | "rotate" | "scale" | "measure";

export type BottomTab = "together" | "figures" | "whatif" | "stations" | "alarms" | "activity" | "connectors" | "findings";

export interface Toast {
  id: number;
  level: "info" | "warning" | "error";
  text: string;
  path: string;
  action?: { label: string; run: () => void };
  /** Stays until somebody takes it up or away; then this is done. */
  answered?: () => void;
}

/** An offer that nobody takes up goes away, unless it waits for an answer. */
const OFFER_MS = 30_000;
const TOAST_MS = { info: 4000, warning: 9000, error: 15000 };

const stored = (key: string): string | null => localStorage.getItem(`twin.${key}`);
const store = (key: string, value: string) => localStorage.setItem(`twin.${key}`, value);

const numberOr = (text: string | null, otherwise: number): number => {
  const value = Number(text);
  return text !== null && Number.isFinite(value) ? value : otherwise;
};

/** On a tablet the panels at the sides lie over the picture, one at a time, and are closed until they are wanted. */
export const NARROW = "(max-width: 1200px)";
const roomy = typeof matchMedia === "undefined" || !matchMedia(NARROW).matches;

export class UiStore {
  theme = $state<Theme>(stored("theme") === "light" ? "light" : "dark");
  userName = $state(stored("name") ?? "");
  toasts = $state.raw<Toast[]>([]);
  help = $state(false);
  palette = $state(false);
  labels = $state(stored("labels") !== "off");
  /** What a press in the picture does; nothing can be moved by accident until somebody asks for a tool that moves. */
  gizmo = $state<Tool>("select");
  gizmoSpace = $state<"world" | "local">("world");
  snap = $state(false);
  leftTab = $state<"stage" | "library" | "layers">("stage");
  bottomTab = $state<BottomTab>("figures");
  leftWidth = $state(numberOr(stored("left"), 280));
  rightWidth = $state(numberOr(stored("right"), 330));
  bottomHeight = $state(numberOr(stored("bottom"), 256));
  bottomOpen = $state(stored("bottomOpen") !== "off");
  /** Panels at the sides lie over the picture. */
  narrow = $state(!roomy);
  leftOpen = $state(roomy && stored("leftOpen") !== "off");
  rightOpen = $state(roomy && stored("rightOpen") !== "off");
  /** Where the panels are. */
  docks = $state.raw<Docks>(readDocks(stored("docks")));
  /** Where a panel that is being dragged would go. */
  dropZone = $state<Zone | null>(null);
  /** Step of the guided tour; null: none. */
  tour = $state<number | null>(null);
  charts = $state.raw<string[] | null>(stored("charts") ? (JSON.parse(stored("charts") ?? "[]") as string[]) : null);

  /** Stretch of time that charts show [ms]; 0: all that is recorded. */
  chartRange = $state(numberOr(stored("chartRange"), 600_000));
  /** Prims covered with colours that tell a value. */
  heat = $state.raw<HeatMap | null>(null);
  /** Signal whose chart fills the page. */
  largeChart = $state<string | null>(null);

  private nextToast = 1;

  setChartRange(ms: number): void {
    this.chartRange = ms;
    store("chartRange", String(ms));
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    store("theme", theme);
    document.documentElement.dataset.theme = theme;
  }

  setUserName(name: string): void {
    this.userName = name;
    store("name", name);
  }

  setLabels(on: boolean): void {
    this.labels = on;
    store("labels", on ? "on" : "off");
  }

  setBottomOpen(on: boolean): void {
    // Folded, it is a strip with its tabs below the picture, wherever it was.
    if (!on && this.docks.bottom.at !== "bottom") {
      this.docks = { ...this.docks, bottom: { ...this.docks.bottom, at: "bottom" } };
      store("docks", JSON.stringify(this.docks));
    }
    this.bottomOpen = on;
    store("bottomOpen", on ? "on" : "off");
  }

  setLeftOpen(on: boolean): void {
    this.leftOpen = on;
    if (this.narrow) this.rightOpen &&= !on;
    else store("leftOpen", on ? "on" : "off");
  }

  setRightOpen(on: boolean): void {
    this.rightOpen = on;
    if (this.narrow) this.leftOpen &&= !on;
    else store("rightOpen", on ? "on" : "off");
  }

  /** The page has become too narrow for panels beside the picture, or wide enough again. */
  setNarrow(narrow: boolean): void {
    if (narrow === this.narrow) return;
    this.narrow = narrow;
    this.leftOpen = !narrow && stored("leftOpen") !== "off";
    this.rightOpen = !narrow && stored("rightOpen") !== "off";
  }

  endTour(): void {
    this.tour = null;
  }

  /** Offered until it is taken up or away; later it is in the help and the command palette. */
  offerTour(): void {
    if (stored("tour") === "seen") return;
    this.toast("info", "New here?", "", { label: "Take the one-minute tour", run: () => (this.tour = 0) }, () => store("tour", "seen"));
  }

  setCharts(keys: string[]): void {
    this.charts = keys;
    store("charts", JSON.stringify(keys));
  }

  /** Prims have other names now: charts stay open, and keep their places. */
  moved(now: (path: string) => string): void {
    const charts = this.charts?.map((key) => keyMoved(key, now));
    if (charts?.some((key, i) => key !== this.charts?.[i])) this.setCharts(charts);
    if (this.largeChart) this.largeChart = keyMoved(this.largeChart, now);
  }

  /** Put a panel at a side, below, or let it float; remembered. */
  dock(panel: PanelId, at: Dock["at"]): void {
    const dock = this.docks[panel];
    const place = at === "float" ? floatAt(dock, dock.x, dock.y, { width: innerWidth, height: innerHeight }) : { ...dock, at };
    this.docks = { ...this.docks, [panel]: place };
    store("docks", JSON.stringify(this.docks));
    ({ left: () => this.setLeftOpen(true), right: () => this.setRightOpen(true), bottom: () => this.setBottomOpen(true) })[panel]();
  }

  /** A floating panel has another size [px]. */
  resizeFloat(panel: PanelId, width: number, height: number): void {
    const dock = this.docks[panel];
    if (dock.at !== "float" || (dock.width === width && dock.height === height)) return;
    this.docks = { ...this.docks, [panel]: { ...dock, width, height } };
    store("docks", JSON.stringify(this.docks));
  }

  resetDocks(): void {
    this.docks = usualDocks();
    store("docks", JSON.stringify(this.docks));
  }

  saveLayout(): void {
    store("left", String(this.leftWidth));
    store("right", String(this.rightWidth));
    store("bottom", String(this.bottomHeight));
  }

  toast(level: Toast["level"], text: string, path = "", action?: Toast["action"], answered?: Toast["answered"]): void {
    // The same words twice are one message: a fault that repeats must not fill the screen.
    const others = this.toasts.filter((t) => t.text !== text);
    const toast: Toast = { id: this.nextToast++, level, text, path, action, answered };
    const passing = others.filter((t) => !t.answered);
    this.toasts = [...others.filter((t) => t.answered), ...passing.slice(-4), toast];
    if (answered) return;
    if (!action || level === "info") setTimeout(() => this.dismiss(toast.id), action ? OFFER_MS : TOAST_MS[level]);
  }

  dismiss(id: number): void {
    this.toasts.find((t) => t.id === id)?.answered?.();
    this.toasts = this.toasts.filter((t) => t.id !== id);
  }
}
