/** Numbers, times and qualities as people read them. */

/** Three significant digits without exponent where a person expects none; thin spaces between thousands. */
export function formatNumber(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e7 || size < 1e-4) return value.toExponential(digits - 1).replace("-", "−");
  const decimals = Math.max(0, Math.min(6, digits - 1 - Math.floor(Math.log10(size))));
  const [whole, fraction] = size.toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const trimmed = fraction?.replace(/0+$/, "");
  return (value < 0 ? "−" : "") + grouped + (trimmed ? `.${trimmed}` : "");
}

/** Any value of a signal or property, short. */
export function formatValue(value: unknown): string {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e7 ? formatInteger(value) : formatNumber(value, 4);
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return value.map(formatValue).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
}

const formatInteger = (value: number): string =>
  (value < 0 ? "−" : "") + String(Math.abs(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Simulated seconds as h:mm:ss, with days in front once there are any. */
export function formatClock(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const days = Math.floor(s / 86400);
  return `${days ? `${days}d ` : ""}${two(Math.floor(s / 3600) % 24)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** Seconds as a duration with the unit that fits. */
export function formatDuration(seconds: number): { value: string; unit: string } {
  if (seconds >= 5400) return { value: formatNumber(seconds / 3600), unit: "h" };
  if (seconds >= 120) return { value: formatNumber(seconds / 60), unit: "min" };
  return { value: formatNumber(seconds), unit: "s" };
}

/** Half an interval [unit] beside the value that it is of, in the unit that the value is shown in where seconds become minutes. */
export function formatSpread(half: number, of: number, unit: string): string {
  const size = Math.abs(of);
  const per = unit !== "s" || size < 120 ? 1 : size < 5400 ? 60 : 3600;
  return formatNumber(half / per, 2);
}

/** Metres as they are read off a drawing: millimetres below a metre, to the millimetre above. */
export function formatLength(metres: number): string {
  const size = Math.abs(metres);
  const sign = metres < -5e-5 ? "−" : "";
  if (size < 0.9995) return `${sign}${formatNumber(Math.round(size * 1e4) / 10, 4)} mm`;
  const [whole, fraction] = size.toFixed(3).split(".");
  return `${sign}${whole.replace(/\B(?=(\d{3})+$)/g, "\u202f")}.${fraction} m`;
}

/** UCUM to what is written on an instrument. */
export function formatUnit(unit: string): string {
  const known: Record<string, string> = { "1": "", Cel: "°C", "%": "%", "{item}": "", deg: "°", Ohm: "Ω", "1/h": "/h", um: "µm" };
  return known[unit] ?? unit.replace(/\.(?=[A-Za-z])/g, "·").replace(/\{[^}]*\}/g, "").replace(/^1\//, "/");
}

export type Quality = "good" | "uncertain" | "bad";

/** Severity of an OPC UA status code (its two highest bits). */
export function qualityOf(status: number): Quality {
  const severity = status >>> 30;
  return severity === 0 ? "good" : severity === 1 ? "uncertain" : "bad";
}

const QUALITY_NAMES: Record<number, string> = {
  0x00000000: "Good",
  0x40000000: "Uncertain",
  0x40900000: "Uncertain: last usable value",
  0x80000000: "Bad",
  0x80310000: "Bad: no communication",
  0x80890000: "Bad: configuration",
  0x803c0000: "Bad: out of range",
};

export function qualityName(status: number): string {
  const name = QUALITY_NAMES[status >>> 0];
  if (name) return name;
  const general = { good: "Good", uncertain: "Uncertain", bad: "Bad" }[qualityOf(status)];
  return `${general} (0x${(status >>> 0).toString(16).padStart(8, "0")})`;
}

/** Last part of a prim path. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** "twin:station:cycleTime:mean" as "cycle time mean", within the group "twin:station". */
export function propertyLabel(name: string): { group: string; label: string } {
  const parts = name.split(":");
  const head = parts[0] === "twin" && parts.length > 2 ? 2 : parts.length > 1 ? 1 : 0;
  const words = parts
    .slice(head)
    .join(" ")
    .replace(/([a-z])([A-Z]+)/g, (_, a: string, b: string) => `${a} ${b.length > 1 ? b : b.toLowerCase()}`);
  return { group: parts.slice(0, head).join(":"), label: words };
}

/** How long ago, in words. */
export function ago(ms: number): string {
  const s = Math.max(0, ms / 1000);
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return `${Math.floor(s / 3600)} h ago`;
}

/** The name of a prim that is nearest to what somebody typed; empty where nothing of it can stand in one. */
export function primName(typed: string): string {
  const plain = typed.normalize("NFD").replace(/\p{M}/gu, "").replaceAll("ß", "ss");
  const name = plain.replace(/^[^A-Za-z0-9_]+|[^A-Za-z0-9_]+$/g, "").replace(/[^A-Za-z0-9_]+/g, "_");
  return /^[0-9]/.test(name) ? `_${name}` : name;
}
