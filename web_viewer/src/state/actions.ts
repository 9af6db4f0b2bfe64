/** Everything that has a key or can be found in the command palette, in one list. */
import type { Commands } from "./commands";
import type { Session } from "./session.svelte";
import { nextPlace, PANELS } from "./docks";
import type { BottomTab, Tool } from "./ui.svelte";

export interface Action {
  group: string;
  does: string;
  /** As on the keyboard, parts divided by spaces; empty: only in the palette. */
  keys?: string;
  /** As ``comboOf`` names it; several may do the same. */
  on?: string[];
  run: () => void;
  /** Pressed again and again while the key is held. */
  repeats?: boolean;
}

/** Mouse and tree, which are no actions but belong into the list of keys. */
export const GESTURES = [
  { group: "Mouse", does: "Select; Shift adds, double click takes the detail", keys: "Click" },
  { group: "Mouse", does: "Orbit; right button pans, wheel zooms", keys: "Drag" },
  { group: "Mouse", does: "Select with a box: rightwards what is within, leftwards what it touches; Ctrl adds", keys: "Shift Drag" },
  { group: "View", does: "Walk; PgUp and PgDn rise and sink. W A S D too, with the right button held", keys: "← ↑ ↓ →" },
  { group: "Edit", does: "Paste what was copied, here or in another twin", keys: "Ctrl V" },
  { group: "Edit", does: "Rename (in the stage tree)", keys: "F2" },
  { group: "Edit", does: "Put below another prim, where it stands (in the stage tree)", keys: "Drag" },
];

/** "ctrl+z", "shift+1", "alt+h", "w": what was pressed, the same on every layout. */
export function comboOf(event: Pick<KeyboardEvent, "key" | "code" | "ctrlKey" | "metaKey" | "altKey" | "shiftKey">): string {
  const digit = /^Digit(\d)$/.exec(event.code ?? "")?.[1];
  const key = event.shiftKey && digit ? digit : event.key.toLowerCase();
  const plain = /^[a-z0-9]$/.test(key) || key.length > 1;
  // What Shift makes of a sign (?) is in the sign already.
  const shift = event.shiftKey && plain ? "shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${event.altKey ? "alt+" : ""}${shift}${key}`;
}

export function actionsOf(session: Session, commands: Commands): Action[] {
  const { ui, scene, view, replay } = session;
  const tool = (mode: Tool) => () => (ui.gizmo = mode);
  const tab = (does: string, id: BottomTab): Action => ({
    group: "Panels",
    does: `Open ${does}`,
    run: () => {
      ui.bottomTab = id;
      ui.setBottomOpen(true);
    },
  });
  const focusSearch = () => {
    ui.leftTab = "stage";
    ui.setLeftOpen(true);
    requestAnimationFrame(() => document.querySelector<HTMLInputElement>("#stage-search")?.focus());
  };
  const step = (ms: number) => () => {
    if (replay.active || ms < 0) replay.seek((replay.active ? replay.cursor : Date.now()) + ms);
  };
  return [
    { group: "Tools", does: "Select", keys: "Q", on: ["q"], run: tool("select") },
    { group: "Tools", does: "Move", keys: "W", on: ["w"], run: tool("translate") },
    { group: "Tools", does: "Rotate", keys: "E", on: ["e"], run: tool("rotate") },
    { group: "Tools", does: "Scale", keys: "R", on: ["r"], run: tool("scale") },
    { group: "Tools", does: "Measure", keys: "M", on: ["m"], run: () => commands.toggleMeasure() },
    { group: "Tools", does: "Section on or off", keys: "C", on: ["c"], run: () => view.toggleSection() },
    { group: "Tools", does: "World or local axes", keys: "X", on: ["x"], run: () => (ui.gizmoSpace = ui.gizmoSpace === "world" ? "local" : "world") },
    { group: "Tools", does: "Snap on or off", keys: "N", on: ["n"], run: () => (ui.snap = !ui.snap) },
    { group: "View", does: "Frame the selection", keys: "F", on: ["f"], run: () => commands.frame() },
    { group: "View", does: "Frame the whole line", keys: "A", on: ["a"], run: () => commands.frame(true) },
    { group: "View", does: "Look from above", keys: "1", on: ["1"], run: () => commands.viewport?.focus(scene.selection, "top") },
    { group: "View", does: "Look from the front", keys: "2", on: ["2"], run: () => commands.viewport?.focus(scene.selection, "front") },
    { group: "View", does: "Look from the right", keys: "3", on: ["3"], run: () => commands.viewport?.focus(scene.selection, "right") },
    { group: "View", does: "With or without perspective", keys: "O", on: ["o"], run: () => view.toggleFlat() },
    { group: "View", does: "Go to a bookmark", keys: "Shift 1…9", on: [], run: () => commands.goToBookmark(0) },
    { group: "View", does: "Keep this view as a bookmark", keys: "Shift B", on: ["shift+b"], run: () => void commands.bookmark() },
    { group: "View", does: "Labels on or off", keys: "L", on: ["l"], run: () => ui.setLabels(!ui.labels) },
    { group: "View", does: "Physics on or off: contacts, islands, who sleeps", run: () => (view.physics = !view.physics) },
    { group: "View", does: "Show the selection alone, here only", keys: "I", on: ["i"], run: () => view.isolate(scene.selection) },
    { group: "View", does: "Hide the selection, here only", keys: "Shift H", on: ["shift+h"], run: () => view.hide(scene.selection) },
    { group: "View", does: "Show everything again", keys: "Alt H", on: ["alt+h"], run: () => view.showAll() },
    { group: "View", does: "Save a picture", run: () => void commands.savePicture() },
    { group: "View", does: "Record a film, or end it", run: () => void commands.toggleFilm() },
    { group: "View", does: "Light or dark", run: () => ui.setTheme(ui.theme === "dark" ? "light" : "dark") },
    { group: "Edit", does: "Undo your own last change", keys: "Ctrl Z", on: ["ctrl+z"], run: () => session.undo(), repeats: true },
    { group: "Edit", does: "Redo it", keys: "Ctrl Y", on: ["ctrl+y", "ctrl+shift+z"], run: () => session.redo(), repeats: true },
    { group: "Edit", does: "Duplicate", keys: "Ctrl D", on: ["ctrl+d"], run: () => commands.duplicate() },
    { group: "Edit", does: "Copy, for this twin or another", keys: "Ctrl C", on: ["ctrl+c"], run: () => void commands.copy() },
    { group: "Edit", does: "Delete", keys: "Del", on: ["delete", "backspace"], run: () => commands.remove() },
    { group: "Edit", does: "Hide or show, for everybody", keys: "H", on: ["h"], run: () => commands.toggleVisibility(scene.selection) },
    { group: "Twin", does: "Play or pause", keys: "Space", on: [" "], run: () => commands.togglePlay() },
    { group: "Twin", does: "One step", keys: ".", on: ["."], run: () => session.control("step"), repeats: true },
    { group: "Twin", does: "Back to the beginning", run: () => session.control("reset") },
    { group: "Twin", does: "Replay the last minute, or stop it", keys: "P", on: ["p"], run: () => replay.toggle() },
    { group: "Twin", does: "Ten seconds back", keys: "[", on: ["["], run: step(-10_000), repeats: true },
    { group: "Twin", does: "Ten seconds on", keys: "]", on: ["]"], run: step(10_000), repeats: true },
    { group: "Twin", does: "Five minutes back", keys: "{", on: ["{"], run: step(-300_000) },
    { group: "Twin", does: "Mark this moment", keys: "K", on: ["k"], run: () => void commands.mark() },
    { group: "Twin", does: "Go live", keys: "Home", on: ["home"], run: () => replay.live() },
    { group: "Find", does: "Find anything, do anything", keys: "Ctrl K", on: ["ctrl+k", "ctrl+p"], run: () => (ui.palette = true) },
    { group: "Find", does: "Search the stage", keys: "/", on: ["/"], run: focusSearch },
    { group: "Find", does: "List of keys", keys: "?", on: ["?"], run: () => (ui.help = !ui.help) },
    { group: "Panels", does: "Stage and library on or off", keys: "Shift S", on: ["shift+s"], run: () => ui.setLeftOpen(!ui.leftOpen) },
    { group: "Panels", does: "Properties on or off", keys: "Shift P", on: ["shift+p"], run: () => ui.setRightOpen(!ui.rightOpen) },
    { group: "Panels", does: "Bottom panel on or off", keys: "B", on: ["b"], run: () => ui.setBottomOpen(!ui.bottomOpen) },
    ...PANELS.map(({ id, label }): Action => ({ group: "Panels", does: `Put ${label.toLowerCase()} at the next place: left, right, below, floating`, run: () => ui.dock(id, nextPlace(ui.docks[id].at)) })),
    { group: "Panels", does: "Put all panels back", run: () => ui.resetDocks() },
    { group: "Panels", does: "Start the tour", run: () => (ui.tour = 0) },
    tab("key figures and charts", "figures"),
    tab("what-if studies", "whatif"),
    tab("the table of the line", "stations"),
    tab("alarms", "alarms"),
    tab("the activity", "activity"),
    tab("connectors", "connectors"),
    tab("findings", "findings"),
  ];
}

/** True where keys belong to what is being typed or operated, not to the scene. */
function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

export function handleKey(event: KeyboardEvent, session: Session, commands: Commands, actions: Action[]): void {
  if (event.defaultPrevented) return;
  const { ui } = session;
  const combo = comboOf(event);
  if (event.key === "Escape") {
    // A modal dialog is closed by the browser; what is selected behind it stays.
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) (event.target as HTMLElement).blur();
    else commands.escape();
    return;
  }
  if (session.phase !== "ready" || ui.palette) return;
  const everywhere = combo === "ctrl+k";
  if (isTyping(event.target) && !everywhere) return;
  if (commands.walk(event, true)) return event.preventDefault();
  // A focused button is pressed with the space bar.
  if (combo === " " && event.target instanceof HTMLElement && /^(BUTTON|A|SUMMARY)$/.test(event.target.tagName)) return;
  const bookmark = /^shift\+([1-9])$/.exec(combo)?.[1];
  if (bookmark) return commands.goToBookmark(Number(bookmark) - 1);
  // Text that somebody has marked is what they mean to copy.
  if (combo === "ctrl+c" && (window.getSelection()?.toString() || session.scene.selection.length === 0)) return;
  const action = actions.find((a) => a.on?.includes(combo));
  if (!action || (event.repeat && !action.repeats)) return;
  event.preventDefault();
  action.run();
}

/** The browser gives the clipboard's text to whoever pastes, and to nobody else. */
export function handlePaste(event: ClipboardEvent, session: Session, commands: Commands): void {
  if (event.defaultPrevented || session.phase !== "ready" || isTyping(event.target)) return;
  if (commands.paste(event.clipboardData?.getData("text/plain") ?? "")) event.preventDefault();
}
