/** Prims on the system clipboard: text that another tab, also of another twin, can paste. */
import type { Op } from "../protocol/messages.gen";

export interface Clip {
  twin: "clip";
  version: number;
  /** Of the scene that it comes from: pasted there, links to other prims hold. */
  epoch: string;
  stage: string;
  unit: number;
  up: string;
  prims: { name: string; path: string; ops: Op[] }[];
  left_out: string[];
}

/** What a text on the clipboard is, or null where it is none of ours. */
export function readClip(text: string): Clip | null {
  if (!text.startsWith("{") || !text.includes('"twin":"clip"')) return null;
  try {
    const clip = JSON.parse(text) as Clip;
    const whole = clip.twin === "clip" && clip.version === 1 && Array.isArray(clip.prims) && Array.isArray(clip.left_out);
    return whole && clip.left_out.every((l) => typeof l === "string") && clip.prims.every((p) => isPrim(p, clip.prims.length)) ? clip : null;
  } catch {
    return null;
  }
}

const PLACE = /^\$(\d+)(\/.*)?$/;

/** Whether part of a clip is as the server writes it: whatever is on the clipboard may have been made to look like one. */
function isPrim(prim: unknown, count: number): boolean {
  const { name, ops } = (prim ?? {}) as Partial<Clip["prims"][number]>;
  const within = (path: unknown) => typeof path === "string" && Number(PLACE.exec(path)?.[1] ?? count) < count;
  const links = (value: unknown) => Array.isArray(value) && value.every((target) => typeof target === "string" && (!target.startsWith("$") || within(target)));
  return typeof name === "string" && Array.isArray(ops) && ops.length > 0 && ops.every((op: Op | null) => typeof op?.kind === "string" && within(op.path) && (op.kind !== "set_relationship" || links(op.value)));
}

/** Prims outside of a clip that its links go to. */
export function outsideOf(clip: Clip): string[] {
  const targets = clip.prims.flatMap(({ ops }) => ops.flatMap((op) => (op.kind === "set_relationship" ? (op.value as string[]) : [])));
  return [...new Set(targets.filter((target) => !target.startsWith("$")))];
}

/** The operations that make a clip's prims at new places. ``known``: prims that links to outside of the clip may go to. */
export function pasteOps(clip: Clip, places: string[], known: (path: string) => boolean): Op[] {
  const moved = (text: string): string | null => {
    const found = PLACE.exec(text);
    if (found) return places[Number(found[1])] + (found[2] ?? "");
    return known(text) ? text : null;
  };
  return clip.prims.flatMap(({ ops }) =>
    ops.flatMap((op): Op[] => {
      const path = moved(op.path);
      if (path === null) return [];
      if (op.kind !== "set_relationship") return [{ ...op, path }];
      const targets = (op.value as string[]).flatMap((target) => moved(target) ?? []);
      return targets.length > 0 || (op.value as string[]).length === 0 ? [{ ...op, path, value: targets }] : [];
    }),
  );
}

/** Put text on the system clipboard; browsers allow it in few ways without encryption. */
export async function writeClipboard(text: string): Promise<void> {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not let this page write to the clipboard");
}
