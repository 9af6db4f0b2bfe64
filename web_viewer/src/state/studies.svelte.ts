/** What-if studies: what is to be varied, and what came out. */
import { addStudy, deleteStudy, getStudies, getStudy, runStudyAgain, type StudyBottleneck, type StudyDocument, type StudyEntry, type StudyFigure, type StudyRequest, type StudyStart } from "../net/http";
import type { PropertyDoc } from "../protocol/messages.gen";
import { baseName, formatNumber, propertyLabel } from "../ui/format";

/** A property that a study varies. */
export interface Varied {
  /** "<prim>.<property>" */
  attribute: string;
  type: string;
  current: number | null;
  mode: "values" | "range";
  /** "2, 4, 8" */
  text: string;
  low: string;
  high: string;
  steps: string;
}

const WHOLE = /^u?(int|char)/;
const MOST_VALUES = 50;
const POLL_MS = 800;

export const isVariable = (type: string): boolean => /^(double|float|half|u?int(64)?|uchar)$/.test(type);

/** Whether a study may vary a property: a number of the line, and not what a device says. */
export const varies = (p: PropertyDoc): boolean => !p.relationship && isVariable(p.type) && p.name.startsWith("twin:") && !p.name.startsWith("twin:signal:");

/** "/Line/B1.twin:buffer:capacity" as "B1 capacity". */
export function attributeLabel(attribute: string): string {
  const dot = attribute.indexOf(".");
  return `${baseName(attribute.slice(0, dot))} ${propertyLabel(attribute.slice(dot + 1)).label}`;
}

const number = (text: string): number => (text.trim() === "" ? NaN : Number(text.trim().replace("−", "-")));

/**
 * The values that a parameter takes, the present one first: every study compares with things as they are.
 * A message where what was typed makes no sense.
 */
export function sweepValues(varied: Varied): number[] | { problem: string } {
  const name = attributeLabel(varied.attribute);
  let values: number[];
  if (varied.mode === "values") {
    const parts = varied.text.split(/[,;\s]+/).filter((p) => p !== "");
    if (parts.length === 0) return { problem: `${name}: no values are given` };
    values = parts.map(number);
    const wrong = parts.find((_, i) => !Number.isFinite(values[i]));
    if (wrong !== undefined) return { problem: `${name}: “${wrong}” is no number` };
  } else {
    const [low, high, steps] = [number(varied.low), number(varied.high), number(varied.steps)];
    if (!Number.isFinite(low) || !Number.isFinite(high) || low >= high) return { problem: `${name}: the lowest value must be below the highest` };
    if (!Number.isInteger(steps) || steps < 2 || steps > MOST_VALUES) return { problem: `${name}: 2 to ${MOST_VALUES} values are possible` };
    values = Array.from({ length: steps }, (_, i) => Number((low + ((high - low) * i) / (steps - 1)).toPrecision(12)));
    if (WHOLE.test(varied.type)) values = values.map(Math.round);
  }
  if (WHOLE.test(varied.type) && values.some((v) => !Number.isInteger(v))) return { problem: `${name} takes whole numbers` };
  if (varied.current !== null) values = [varied.current, ...values];
  return [...new Set(values)];
}

/** How fast a machine is: all its times of one cycle change together. */
export interface Pace {
  path: string;
  /** Numbers [s] that make up a cycle, by property, as they are now. */
  times: Record<string, number>;
  /** "-10, 10": faster by so many per cent, slower where negative. */
  text: string;
}

const CYCLE = "twin:station:cycleTime:";

/** What makes up one cycle of a machine where that is more than one number, the ends and the mode of a triangular time; null elsewhere. */
export function cycleTimes(properties: readonly Pick<PropertyDoc, "name" | "value">[]): Record<string, number> | null {
  // Types of goods with times of their own would keep their pace: the choice would not do what it says.
  if (properties.some((p) => p.name.startsWith(`${CYCLE}type:`))) return null;
  if (properties.find((p) => p.name === `${CYCLE}distribution`)?.value !== "triangular") return null;
  const parts = ["min", "mode", "max"].flatMap((end) => properties.find((p) => p.name === CYCLE + end && typeof p.value === "number") ?? []);
  return parts.length === 3 ? Object.fromEntries(parts.map((p) => [p.name, p.value as number])) : null;
}

/** Every value that a point differs by from the stage as it is: what its scenario sets, and what was swept. */
export const changesOf = (document: StudyDocument | null, point: { scenario: string; parameters: Record<string, unknown> }): Record<string, unknown> => ({
  ...document?.summary?.sets?.[point.scenario],
  ...point.parameters,
});

/** The scenarios of a change of pace, the line as it is first; a message where what was typed makes no sense. */
export function paceScenarios(pace: Pace): Record<string, { set?: Record<string, number> }> | { problem: string } {
  const name = baseName(pace.path);
  const parts = pace.text.split(/[,;\s%]+/).filter((p) => p !== "");
  if (parts.length === 0) return { problem: `${name}: no per cent are given` };
  const out: Record<string, { set?: Record<string, number> }> = { "as-is": {} };
  for (const part of parts) {
    const percent = number(part.replace(/^\+/, ""));
    if (!Number.isFinite(percent) || percent <= -100) return { problem: `${name}: “${part}” is no change of pace in per cent, above −100` };
    if (percent === 0) continue;
    // Faster by p %: so many more cycles in the same time, each of them shorter by 1 / (1 + p / 100).
    const set = Object.fromEntries(Object.entries(pace.times).map(([property, time]) => [`${pace.path}.${property}`, Number((time / (1 + percent / 100)).toPrecision(9))]));
    out[`${name} ${formatNumber(Math.abs(percent), 4)} % ${percent > 0 ? "faster" : "slower"}`] = { set };
  }
  return out;
}

/** Lowest and highest end of the intervals of a figure over the points; null where nothing is known. */
export function reach(figures: (StudyFigure | undefined)[]): [number, number] | null {
  const ends = figures.flatMap((f) => (f && f.mean !== null ? [f.mean - (f.half_width ?? 0), f.mean + (f.half_width ?? 0)] : []));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** What a point differs by from what it is compared with; undefined for the baseline itself. */
export function differenceOf(document: StudyDocument, point: { scenario: string; parameters: Record<string, unknown> }) {
  return document.summary?.comparisons.find((c) => c.scenario === point.scenario && same(c.parameters, point.parameters));
}

/** Utilisation of every station at a point, by prim path. */
export function utilisation(kpis: Record<string, StudyFigure>): Map<string, number> {
  const out = new Map<string, number>();
  for (const [name, figure] of Object.entries(kpis)) {
    if (name.startsWith("/") && name.endsWith(":utilisation") && figure.mean !== null) out.set(name.slice(0, -":utilisation".length), figure.mean);
  }
  return out;
}

/** Where the whole of a figure is better smaller; elsewhere more is better. The report judges alike. */
const LESS_IS_BETTER = new Set(["wip", "lead_time", "lead_time_p95", "energy_per_item"]);

/** Whether a proven difference of a figure is for the better. */
export const isBetter = (kpi: string, difference: number): boolean => difference > 0 !== LESS_IS_BETTER.has(kpi);

/**
 * What holds the line back, as the study's report says it: the station that its neighbours wait for (Kuo, Lim and Meerkov 1996),
 * by what the study ranked; waiting for people is waiting too. Null where no station's shares are known.
 */
export function bottleneck(ranked: readonly StudyBottleneck[] | undefined): { path: string; clear: boolean; why: string } | null {
  if (!ranked?.length) return null;
  const percent = (share: number) => `${Math.round(100 * share)} %`;
  const people = (b: StudyBottleneck) => (b.waiting_crew >= 0.005 ? `, waits for people ${percent(b.waiting_crew)}` : "");
  const [first] = ranked;
  if (first.starved > 0.05 && Math.max(...ranked.map((b) => b.blocked)) < 0.02) {
    const busiest = ranked.reduce((a, b) => (b.active > a.active ? b : a));
    return { path: busiest.path, clear: false, why: `Goods come slower than the stations could work: even this one is busy ${percent(busiest.active)} of the time${people(busiest)}` };
  }
  const busy = `is busy ${percent(first.active)} of the time${people(first)}`;
  return { path: first.path, clear: first.arrows_end_here, why: first.arrows_end_here ? `Its neighbours wait for it: it ${busy}` : `No station clearly holds the line back; this one ${busy}` };
}

/** Futures of now are asked for hours and need no warm-up: what they begin with is no start-up. */
const USUAL = { empty: { horizon: "8 h", warmup: "1 h" }, now: { horizon: "2 h", warmup: "0 h" } } as const;

/** What a value may be, ends included. */
export interface Limits {
  low: number;
  high: number;
}
const ANY: Limits = { low: -Infinity, high: Infinity };

/** What a property may be while the others of its prim stay: its own range, and the order min, mode, max of a distribution. */
export function limitsOf(property: { name: string; low?: number | null; high?: number | null }, others: readonly { name: string; value?: unknown }[]): Limits {
  const limits = { low: property.low ?? -Infinity, high: property.high ?? Infinity };
  const [, prefix, part] = /^(.*:)(min|mode|max)$/.exec(property.name) ?? [];
  if (prefix === undefined) return limits;
  const of = (name: string) => others.find((o) => o.name === prefix + name && typeof o.value === "number")?.value as number | undefined;
  const below = { min: [], mode: ["min"], max: ["min", "mode"] }[part as "min"].map(of);
  const above = { min: ["mode", "max"], mode: ["max"], max: [] }[part as "min"].map(of);
  for (const v of below) if (v !== undefined) limits.low = Math.max(limits.low, v);
  for (const v of above) if (v !== undefined) limits.high = Math.min(limits.high, v);
  return limits;
}

export class Studies {
  list = $state.raw<StudyEntry[]>([]);
  /** The study that is shown; null: a new one is being made. */
  shown = $state<string | null>(null);
  document = $state.raw<StudyDocument | null>(null);
  varied = $state<Varied[]>([]);
  /** One machine that the next study has at other paces. */
  pace = $state<Pace | null>(null);
  name = $state("");
  start = $state<StudyStart>("empty");
  horizon = $state<string>(USUAL.empty.horizon);
  warmup = $state<string>(USUAL.empty.warmup);
  replications = $state("32");
  busy = $state(false);

  private timer: ReturnType<typeof setTimeout> | undefined;
  private watched = false;

  constructor(private readonly problem: (text: string) => void) {}

  /** Choose what the next study begins with; durations that nobody has changed become the usual ones of that choice. */
  startWith(start: StudyStart): void {
    const [old, usual] = [USUAL[this.start], USUAL[start]];
    this.start = start;
    if (this.horizon === old.horizon) this.horizon = usual.horizon;
    if (this.warmup === old.warmup) this.warmup = usual.warmup;
  }

  /** Add a property to what the next study varies, or take it away; the values that are proposed keep within ``limits``. */
  vary(path: string, property: string, type: string, value: unknown, limits: Limits = ANY): void {
    const attribute = `${path}.${property}`;
    if (this.varied.some((v) => v.attribute === attribute)) {
      this.varied = this.varied.filter((v) => v.attribute !== attribute);
      return;
    }
    const current = typeof value === "number" ? value : null;
    const wide = current ? [current / 2, current * 2] : [1, 2];
    const around = wide.map((v) => Math.min(Math.max(v, limits.low), limits.high));
    const tidy = (v: number) => String(WHOLE.test(type) ? Math.max(1, Math.round(v)) : Number(v.toPrecision(3)));
    this.varied = [...this.varied, { attribute, type, current, mode: "values", text: around.map(tidy).join(", "), low: tidy(around[0]), high: tidy(around[1]), steps: "5" }];
    this.shown = null;
  }

  /** Prims have other names now: what is to be varied goes along. */
  moved(now: (path: string) => string): void {
    this.varied = this.varied.map((v) => {
      const dot = v.attribute.indexOf(".");
      return { ...v, attribute: now(v.attribute.slice(0, dot)) + v.attribute.slice(dot) };
    });
    if (this.pace) this.pace = { ...this.pace, path: now(this.pace.path) };
  }

  isVaried(path: string, property: string): boolean {
    return this.varied.some((v) => v.attribute === `${path}.${property}`);
  }

  /** Values by attribute, or what is wrong. */
  sweep(): Record<string, number[]> | { problem: string } {
    const out: Record<string, number[]> = {};
    for (const varied of this.varied) {
      const values = sweepValues(varied);
      if (!Array.isArray(values)) return values;
      out[varied.attribute] = values;
    }
    return out;
  }

  async run(): Promise<void> {
    const sweep = this.sweep();
    if ("problem" in sweep && typeof sweep.problem === "string") return this.problem(sweep.problem);
    const pace = this.pace;
    const scenarios = pace ? paceScenarios(pace) : undefined;
    if (scenarios && "problem" in scenarios && typeof scenarios.problem === "string") return this.problem(scenarios.problem);
    const twice = pace && this.varied.find((v) => Object.keys(pace.times).some((t) => v.attribute === `${pace.path}.${t}`));
    if (twice) return this.problem(`${attributeLabel(twice.attribute)} is varied alone and by the machine's pace: take one of them away`);
    const replications = number(this.replications);
    const name = this.name.trim() || ([...(pace ? [`${baseName(pace.path)} pace`] : []), ...this.varied.map((v) => attributeLabel(v.attribute))].join(", ") || "As it is");
    await this.act(async () => {
      const { id } = await addStudy({
        name: name.slice(0, 80),
        start: this.start,
        sweep: sweep as Record<string, number[]>,
        ...(scenarios ? { scenarios: scenarios as NonNullable<StudyRequest["scenarios"]> } : {}),
        run: { horizon: this.horizon, warmup: this.warmup, seed: 1 },
        replications,
        kpis: ["throughput", "wip", "lead_time", "energy_per_item"],
      });
      this.shown = id;
      this.name = "";
    });
  }

  again = (id: string) => this.act(() => runStudyAgain(id));

  stop = (id: string) =>
    this.act(async () => {
      const { state } = await deleteStudy(id);
      if (state === "removed" && this.shown === id) {
        this.shown = null;
        this.document = null;
      }
    });

  private async act(work: () => Promise<unknown>): Promise<void> {
    this.busy = true;
    try {
      await work();
    } catch (error) {
      this.problem(error instanceof Error ? error.message : String(error));
    }
    this.busy = false;
    await this.refresh();
  }

  show(id: string | null): void {
    this.shown = id;
    if (id !== this.document?.id) this.document = null;
    void this.refresh();
  }

  /** Follow what runs for as long as the panel is open. */
  watch(): () => void {
    this.watched = true;
    void this.refresh();
    return () => {
      this.watched = false;
      clearTimeout(this.timer);
    };
  }

  private async refresh(): Promise<void> {
    clearTimeout(this.timer);
    try {
      this.list = await getStudies();
      if (this.shown) {
        const id = this.shown;
        const document = await getStudy(id);
        if (this.shown === id) this.document = document;
      }
    } catch (error) {
      this.problem(`The studies cannot be read: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    const going = this.list.some((s) => s.state === "queued" || s.state === "running");
    if (this.watched && going) this.timer = setTimeout(() => void this.refresh(), POLL_MS);
  }
}
