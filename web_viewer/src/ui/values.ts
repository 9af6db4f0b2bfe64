/** Property values between the wire, the editors and what a person types. */

export type Editor = "bool" | "number" | "text" | "choice" | "vector" | "color" | "list" | "none";

const SCALARS = new Set(["int", "uint", "uchar", "int64", "uint64", "half", "float", "double", "timecode"]);
const WHOLE = new Set(["int", "uint", "uchar", "int64", "uint64"]);
const VECTOR = /^(?:(?:float|double|half|int)[234]|(?:point|vector|normal|texCoord)[23][fdh]|quat[fdh])$/;
const COLOR = /^color[34][fdh]$/;
/** Longer arrays are shown, not edited. */
const LONGEST_LIST = 24;

/** Which editor fits a property of an Sdf type. */
export function editorFor(type: string, value: unknown, allowed: string[]): Editor {
  if (type === "bool") return "bool";
  if (type === "token" && allowed.length > 0) return "choice";
  if (type === "string" || type === "token" || type === "asset") return "text";
  if (SCALARS.has(type)) return unsafe(type, value) ? "none" : "number";
  if (COLOR.test(type)) return "color";
  if (VECTOR.test(type)) return "vector";
  if (type.endsWith("[]")) {
    const element = type.slice(0, -2);
    const known = SCALARS.has(element) || ["token", "string", "bool"].includes(element);
    const short = value === null || value === undefined || (Array.isArray(value) && value.length <= LONGEST_LIST);
    return known && short ? "list" : "none";
  }
  return "none";
}

/** A 64-bit integer that JSON could not carry exactly must not be written back changed. */
const unsafe = (type: string, value: unknown): boolean =>
  type.endsWith("int64") && typeof value === "number" && !Number.isSafeInteger(value);

/** Numbers of a vector type. */
export function componentCount(type: string): number {
  if (type.startsWith("quat")) return 4;
  return Number(/[234]/.exec(type)?.[0] ?? 3);
}

/** Component names of a vector type; quaternions are w x y z, as USD writes them. */
export function componentNames(type: string): string[] {
  if (type.startsWith("quat")) return ["w", "x", "y", "z"];
  return ["x", "y", "z", "w"].slice(0, componentCount(type));
}

/** What a person typed as a number of this type; a message where it is none. */
export function parseNumber(text: string, type: string): number | { problem: string } {
  const value = Number(text.trim().replace(",", ".").replace("−", "-"));
  if (text.trim() === "" || !Number.isFinite(value)) return { problem: `"${text}" is no number` };
  if (WHOLE.has(type) && !Number.isInteger(value)) return { problem: `${type} takes whole numbers only` };
  if ((type.startsWith("u") && value < 0) || !Number.isSafeInteger(Math.trunc(value))) return { problem: `${text} is out of the range of ${type}` };
  return value;
}

/** A comma-separated list as an array of the element type; a message where it does not fit. */
export function parseList(text: string, type: string): unknown[] | { problem: string } {
  const element = type.slice(0, -2);
  const parts = text.split(",").map((p) => p.trim());
  if (parts.length === 1 && parts[0] === "") return [];
  if (!SCALARS.has(element) && element !== "bool") return parts;
  const out: unknown[] = [];
  for (const part of parts) {
    if (element === "bool") {
      if (part !== "true" && part !== "false") return { problem: `"${part}" is neither true nor false` };
      out.push(part === "true");
      continue;
    }
    const value = parseNumber(part, element);
    if (typeof value !== "number") return value;
    out.push(value);
  }
  return out;
}

/** Numbers of a value that should be a vector. */
export const numbersOf = (value: unknown): number[] => (Array.isArray(value) ? value.map(Number) : []);

/** Linear 0..1 to the #rrggbb (sRGB) of a colour input. */
export function hexOfLinear(rgb: number[]): string {
  return `#${rgb
    .slice(0, 3)
    .map((v) => {
      const c = Math.min(1, Math.max(0, v));
      const s = c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055;
      return Math.round(255 * s)
        .toString(16)
        .padStart(2, "0");
    })
    .join("")}`;
}

/** The #rrggbb of a colour input as linear 0..1. */
export function linearOfHex(hex: string): number[] {
  return [1, 3, 5].map((i) => {
    const s = parseInt(hex.slice(i, i + 2), 16) / 255;
    const c = s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    return Math.round(c * 1e5) / 1e5;
  });
}
