/** Where the panels are: at a side, below, or floating over the page. */

export type PanelId = "left" | "right" | "bottom";
export type Zone = "left" | "right" | "bottom";

export interface Dock {
  at: Zone | "float";
  /** Where it floats, when it does [px]. */
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Docks = Record<PanelId, Dock>;

export const PANELS: { id: PanelId; label: string }[] = [
  { id: "left", label: "Stage and library" },
  { id: "right", label: "Properties" },
  { id: "bottom", label: "Figures and lists" },
];

/** A panel let go this near to an edge of the page docks there [px]. */
const EDGE_PX = 48;
export const TOP_PX = 46;
const LEAST = { width: 240, height: 160 };

export const usualDocks = (): Docks => ({
  left: { at: "left", x: 60, y: 90, width: 320, height: 480 },
  right: { at: "right", x: 420, y: 90, width: 340, height: 480 },
  bottom: { at: "bottom", x: 120, y: 140, width: 760, height: 300 },
});

/** What was kept, as far as it can be read. */
export function readDocks(text: string | null): Docks {
  const docks = usualDocks();
  try {
    const kept = JSON.parse(text ?? "{}") as Partial<Record<PanelId, Partial<Dock>>>;
    for (const { id } of PANELS) {
      const { at, ...box } = kept[id] ?? {};
      if (at === "left" || at === "right" || at === "bottom" || at === "float") docks[id].at = at;
      for (const [name, value] of Object.entries(box)) if (name in docks[id] && Number.isFinite(value)) docks[id][name as "x"] = value;
    }
  } catch {
    // Written by hand or by another version: begin with the usual places.
  }
  return docks;
}

/** The zone at whose edge of a page a pointer is; null: none. */
export function zoneAt(x: number, y: number, page: { width: number; height: number }): Zone | null {
  if (x < EDGE_PX) return "left";
  if (x > page.width - EDGE_PX) return "right";
  return y > page.height - EDGE_PX ? "bottom" : null;
}

/** Where a panel that is dragged by a point of its upper edge floats: within the page. */
export function floatAt(dock: Dock, x: number, y: number, page: { width: number; height: number }): Dock {
  const width = Math.min(Math.max(dock.width, LEAST.width), page.width);
  const height = Math.min(Math.max(dock.height, LEAST.height), page.height - TOP_PX);
  const within = (v: number, low: number, high: number) => Math.round(Math.min(Math.max(v, low), Math.max(low, high)));
  return { at: "float", width, height, x: within(x, 0, page.width - width), y: within(y, TOP_PX, page.height - height) };
}

/** The place after the one that a panel is at. */
export function nextPlace(at: Dock["at"]): Dock["at"] {
  const places: Dock["at"][] = ["left", "right", "bottom", "float"];
  return places[(places.indexOf(at) + 1) % places.length];
}

/** CSS of a panel; panels in one zone share it evenly. ``--left``, ``--right`` and ``--bottom`` are what the zones take. */
export function styleOf(id: PanelId, docks: Docks, open: PanelId[]): string {
  const dock = docks[id];
  if (dock.at === "float") return `left: ${dock.x}px; top: ${dock.y}px; width: ${dock.width}px; height: ${dock.height}px`;
  const beside = open.filter((p) => docks[p].at === dock.at);
  const i = Math.max(0, beside.indexOf(id));
  const n = Math.max(1, beside.length);
  if (dock.at === "bottom") {
    const room = "(100% - var(--left) - var(--right))";
    return `bottom: 0; height: var(--bottom); left: calc(var(--left) + ${room} * ${i} / ${n}); width: calc(${room} / ${n})`;
  }
  const room = `(100% - ${TOP_PX}px)`;
  return `${dock.at}: 0; width: var(--${dock.at}); top: calc(${TOP_PX}px + ${room} * ${i} / ${n}); height: calc(${room} / ${n})`;
}
