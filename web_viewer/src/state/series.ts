/** What a chart draws: history and live values joined, with gaps where nothing is known, and bands of poor quality. */
import { qualityOf, type Quality } from "../ui/format";
import type { Track } from "./live.svelte";

/** Stretch of time [ms UTC]. */
export type Span = readonly [from: number, to: number];

export interface Band {
  from: number;
  to: number;
  quality: Exclude<Quality, "good">;
}

export interface Drawn {
  /** [ms UTC], rising. */
  time: number[];
  value: (number | null)[];
  bands: Band[];
  /** Samples with a value. */
  points: number;
}

export interface DrawOptions {
  window: Span;
  /** When the twin was running, rising; outside of these nothing was recorded. Empty: not known. */
  runs: readonly Span[];
  /** Values hold until the next one; no sample means no change, not no data. */
  stepped: boolean;
  /** Until when the last value holds [ms UTC]; 0: it does not. */
  holdUntil: number;
  /** The server thinned the samples to about one in this time [ms]. */
  thinned: number;
}

/** A pause this many times the usual one is a gap. */
const UNUSUAL = 6;
const SHORTEST_GAP_MS = 3000;
/** A restart is seen as a gap from this length on; the first samples of a run come a moment before it is noted. */
const SHORTEST_STOP_MS = 2000;

/** History, and behind its end what has arrived live. */
export function joined(history: Track, live: Track): Track {
  const end = history.time.at(-1) ?? -Infinity;
  let from = live.time.length;
  while (from > 0 && live.time[from - 1] > end) from--;
  if (from === live.time.length) return history;
  return {
    time: [...history.time, ...live.time.slice(from)],
    value: [...history.value, ...live.value.slice(from)],
    quality: [...history.quality, ...live.quality.slice(from)],
  };
}

/** First index with ``time[index] >= t``. */
export function indexAt(time: readonly number[], t: number): number {
  let low = 0;
  let high = time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time[middle] < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The last value at or before ``t``, with its quality; null before the first. */
export function valueAt(track: Track, t: number): { value: number | null; quality: number } | null {
  const i = indexAt(track.time, t + 1e-6) - 1;
  return i < 0 ? null : { value: track.value[i], quality: track.quality[i] };
}

/** Times between the runs, when nothing could be recorded. */
export function stops(runs: readonly Span[]): Span[] {
  const out: Span[] = [];
  for (let i = 1; i < runs.length; i++) {
    const [from, to] = [runs[i - 1][1], runs[i][0]];
    if (to - from > SHORTEST_STOP_MS) out.push([from, to]);
  }
  return out;
}

/** The usual time between samples [ms]: the median, Infinity where there are too few to say. */
function usualStep(time: readonly number[]): number {
  if (time.length < 8) return Infinity;
  const steps = time.slice(1).map((t, i) => t - time[i]);
  return steps.sort((a, b) => a - b)[steps.length >> 1];
}

export function drawn(track: Track, options: DrawOptions): Drawn {
  const [from, to] = options.window;
  // One sample before the window, so that the line enters from the edge.
  const first = Math.max(0, indexAt(track.time, from) - 1);
  const last = Math.min(track.time.length, indexAt(track.time, to) + 1);
  const time = track.time.slice(first, last);
  const value = track.value.slice(first, last);
  const quality = track.quality.slice(first, last);
  const halts = stops(options.runs);
  const longest = options.stepped ? Infinity : Math.max(UNUSUAL * usualStep(time), SHORTEST_GAP_MS, 3 * options.thinned);
  const out: Drawn = { time: [], value: [], bands: [], points: 0 };
  const add = (t: number, v: number | null) => {
    out.time.push(t);
    out.value.push(v);
  };
  for (let i = 0; i < time.length; i++) {
    const t = time[i];
    const v = value[i];
    if (v !== null && t >= from && t <= to) out.points++;
    add(t, v);
    const kind = qualityOf(quality[i]);
    const open = i + 1 === time.length;
    const end = open ? Math.max(options.holdUntil, t) : time[i + 1];
    if (kind !== "good") {
      const before = out.bands.at(-1);
      if (before && before.quality === kind && before.to >= t) before.to = end;
      else out.bands.push({ from: t, to: end, quality: kind });
    }
    if (v === null) continue;
    const halt = halts.find((h) => Math.min(h[1], end) - Math.max(h[0], t) > SHORTEST_STOP_MS);
    if (halt || (!open && end - t > longest)) {
      // A value that holds is drawn up to the moment at which nothing more was recorded.
      if (halt && longest === Infinity && halt[0] > t) add(halt[0], v);
      add(Math.min(end, (out.time.at(-1) ?? t) + 0.5), null);
    } else if (open && end > t && end - t <= longest) add(end, v);
  }
  return out;
}

/** Ticks of a time axis as a person reads them: the longer the window, the coarser. */
export function timeLabels(seconds: readonly number[]): string[] {
  if (seconds.length === 0) return [];
  const span = seconds[seconds.length - 1] - seconds[0];
  const step = seconds.length > 1 ? seconds[1] - seconds[0] : 60;
  const two = (n: number) => String(n).padStart(2, "0");
  const month = (d: Date) => d.toLocaleString("en-GB", { month: "short" });
  return seconds.map((s) => {
    const d = new Date(s * 1000);
    if (span > 300 * 86400) return `${month(d)} ${d.getFullYear()}`;
    if (step >= 86400) return `${d.getDate()} ${month(d)}`;
    if (span > 20 * 3600) return `${d.getDate()} ${month(d)} ${two(d.getHours())}:${two(d.getMinutes())}`;
    return `${two(d.getHours())}:${two(d.getMinutes())}${step < 60 ? `:${two(d.getSeconds())}` : ""}`;
  });
}

/** A stretch of time in one state. */
export interface Stretch {
  from: number;
  to: number;
  state: number;
}

/** Columns of a signal that tells states by number, as stretches; where nothing is known there is none. The last one ends with the columns. */
export function stretches(time: readonly number[], value: readonly (number | null)[]): Stretch[] {
  const out: Stretch[] = [];
  let open = false;
  for (let i = 0; i < time.length; i++) {
    const state = value[i];
    const last = out.at(-1);
    if (open && last) last.to = time[i];
    if (state !== null && !(open && last?.state === state)) out.push({ from: time[i], to: time[i], state });
    open = state !== null;
  }
  return out;
}

/** The value of columns that have no other; null: they have, or none at all. */
export function onlyValue(value: readonly (number | null)[]): number | null {
  let only: number | null = null;
  for (const v of value) {
    if (v === null) continue;
    if (only !== null && v !== only) return null;
    only = v;
  }
  return only;
}

/** Ticks of a value axis: multiples of ``step``, or the one value that there is. */
export function ticksOf(low: number, high: number, step: number, only: number | null): number[] {
  if (only !== null) return [only];
  const out: number[] = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) out.push(Number((n * step).toPrecision(12)));
  return out;
}
