/** What the rules of a project (twin/collab/rules.py) let one do: what the page greys out. The server decides in the end. */
import type { Op, RuleDoc } from "../protocol/messages.gen";

const ROLES = ["viewer", "operator", "editor", "admin"];
/** Kinds of edits that are about one property. */
const VALUES = new Set(["set_field", "block", "clear", "set_relationship", "list_edit"]);

const reaches = (role: string, needed: string) => ROLES.indexOf(role) >= ROLES.indexOf(needed);
const within = (path: string, above: string) => path === above || path.startsWith(above.endsWith("/") ? above : `${above}/`);

/**
 * Why somebody may not change a property, in words; empty where they may. The rule about the property counts before one
 * about the prim, then the nearest; where none stands, an editor is needed.
 */
export function whyNot(rules: readonly RuleDoc[], path: string, field: string, role: string, user: string): string {
  const found = rules.filter((r) => (r.field === "" || r.field === field) && within(path, r.path));
  const rank = (r: RuleDoc) => (r.field ? 1e6 : 0) + r.path.length;
  const rule = found.length > 0 ? found.reduce((a, b) => (rank(b) > rank(a) ? b : a)) : null;
  if (!rule) return reaches(role, "editor") ? "" : `As ${role} you can look, but not edit.`;
  if (reaches(role, rule.role) || rule.users.includes(user)) return "";
  return `${rule.field ? `${rule.path}.${rule.field}` : rule.path} is reserved for: ${[rule.role, ...rule.users].join(", ")}`;
}

/** Whether all that a transaction does is set values that rules let somebody set whose role is too low for other edits. */
export function onlySetPoints(rules: readonly RuleDoc[], txn: readonly Op[], role: string, user: string): boolean {
  return txn.length > 0 && reaches(role, "operator") && txn.every((op) => VALUES.has(op.kind) && whyNot(rules, op.path, op.field ?? "", role, user) === "");
}
