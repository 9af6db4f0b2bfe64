/** A point of a study as a layer of USD, or as edits of the shared scene. */
import type { Op } from "../protocol/messages.gen";

export interface Setting {
  /** "<prim>.<property>" */
  attribute: string;
  /** Sdf type. */
  type: string;
  value: unknown;
}

export const splitAttribute = (attribute: string): { path: string; property: string } => {
  const dot = attribute.indexOf(".");
  return { path: attribute.slice(0, dot), property: attribute.slice(dot + 1) };
};

function usdValue(value: unknown, type: string): string {
  if (typeof value === "number") return /^(double|float|half)/.test(type) && !Number.isFinite(value) ? (value > 0 ? "inf" : "-inf") : String(value);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (Array.isArray(value)) return `[${value.map((v) => usdValue(v, type.replace("[]", ""))).join(", ")}]`;
  return JSON.stringify(value);
}

interface Branch {
  children: Map<string, Branch>;
  lines: string[];
}

/** USDA text of overrides, to lie over the stage that the study varied (``twin study`` takes it under ``layers``). */
export function scenarioLayer(settings: readonly Setting[], doc: string): string {
  const root: Branch = { children: new Map(), lines: [] };
  for (const { attribute, type, value } of settings) {
    const { path, property } = splitAttribute(attribute);
    let branch = root;
    for (const name of path.split("/").filter(Boolean)) {
      let child = branch.children.get(name);
      if (!child) branch.children.set(name, (child = { children: new Map(), lines: [] }));
      branch = child;
    }
    branch.lines.push(`${type} ${property} = ${usdValue(value, type)}`);
  }
  const write = ({ children, lines }: Branch, indent: string): string =>
    [
      ...lines.map((line) => `${indent}${line}\n`),
      ...[...children].map(([name, child]) => `${indent}over "${name}"\n${indent}{\n${write(child, `${indent}    `)}${indent}}\n`),
    ].join("");
  return `#usda 1.0\n(\n    doc = ${JSON.stringify(doc.replace(/[\n\r]+/g, " "))}\n)\n\n${write(root, "")}`;
}

/** The same as one edit. */
export function scenarioOps(settings: readonly Setting[]): Op[] {
  return settings.map(({ attribute, type, value }) => {
    const { path, property } = splitAttribute(attribute);
    return { kind: "set_field", path, field: property, value: [type, value] };
  });
}
