/** Which values a heat map can show, and the map of one of them. */
import type { Kpi, NodeDoc, SignalDoc } from "../protocol/messages.gen";
import { formatUnit } from "../ui/format";
import type { HeatMap } from "../viewer/heat";
import { chartable, signalKey, type LatestSignal } from "./live.svelte";

export interface HeatChoice {
  kind: "kpi" | "signal" | "level";
  name: string;
  label: string;
  unit: string;
}

const KPI_LABELS: Record<string, string> = {
  utilisation: "Utilisation",
  blocked: "Blocked",
  starved: "Starved",
  down: "Down",
  setup: "Set-up",
  oee: "OEE",
  availability: "Availability",
  effectiveness: "Effectiveness",
  quality: "Quality",
  mean_level: "Mean level",
};

/** Every key figure of machines, every signal that more than one prim may have, and the level now. */
export function heatChoices(nodes: readonly NodeDoc[], kpis: ReadonlyMap<string, Kpi>, signals: readonly SignalDoc[]): HeatChoice[] {
  const out: HeatChoice[] = [];
  const seen = new Set<string>();
  for (const [name, , unit] of kpis.values()) {
    const kpi = name.startsWith("/") ? name.slice(name.lastIndexOf(":") + 1) : "";
    if (!kpi || seen.has(kpi)) continue;
    seen.add(kpi);
    out.push({ kind: "kpi", name: kpi, label: KPI_LABELS[kpi] ?? kpi.replace(/_/g, " "), unit });
  }
  if (nodes.length > 0) out.push({ kind: "level", name: "level", label: "Pieces inside", unit: "" });
  const named = new Map<string, SignalDoc>();
  for (const signal of signals) if (!named.has(signal.name)) named.set(signal.name, signal);
  for (const signal of named.values()) out.push({ kind: "signal", name: signal.name, label: `Signal ${signal.name}`, unit: signal.unit });
  return out;
}

/** Values by prim path with a scale: shares of time from 0 to 100 %, others between their least and greatest. */
export function heatOf(
  choice: HeatChoice,
  nodes: readonly NodeDoc[],
  kpis: ReadonlyMap<string, Kpi>,
  latest: ReadonlyMap<string, LatestSignal>,
  levels: number[] | null,
): HeatMap | null {
  const values = new Map<string, number>();
  if (choice.kind === "level") nodes.forEach((node, i) => levels?.[i] !== undefined && values.set(node.path, levels[i]));
  else if (choice.kind === "kpi") {
    for (const node of nodes) {
      const value = kpis.get(`${node.path}:${choice.name}`)?.[1];
      if (typeof value === "number") values.set(node.path, value);
    }
  } else {
    for (const [key, { value, quality }] of latest) {
      const prim = key.slice(0, key.lastIndexOf(":"));
      const number = quality >>> 31 ? null : chartable(value);
      if (number !== null && key === signalKey(prim, choice.name)) values.set(prim, number);
    }
  }
  if (values.size === 0) return null;
  const share = choice.kind === "kpi" && choice.unit === "1" && choice.name !== "mean_level";
  const all = [...values.values()];
  let [low, high] = share ? [0, 1] : [Math.min(...all), Math.max(...all)];
  if (choice.kind === "level" || choice.name === "mean_level") low = 0;
  if (high <= low) high = low + (Math.abs(low) || 1);
  return { title: choice.label, values, low, high, unit: share ? "%" : formatUnit(choice.unit), scale: share ? 100 : 1 };
}
