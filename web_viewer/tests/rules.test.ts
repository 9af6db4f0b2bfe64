import { describe, expect, it } from "vitest";
import type { RuleDoc } from "../src/protocol/messages.gen";
import { onlySetPoints, whyNot } from "../src/state/rules";

const rule = (path: string, field: string, role: string, users: string[] = []): RuleDoc => ({ id: 1, path, field, role, users, note: "", author: "", time_ns: 0 });
const RULES = [rule("/W/Line", "speed", "operator"), rule("/W/Line/Cell", "", "admin", ["Kim"]), rule("/W/Line/Cell/Door", "", "editor")];

describe("rules", () => {
  it("say why somebody may not change a property: the one about it first, then the nearest", () => {
    expect(whyNot(RULES, "/W/Line/Belt", "speed", "operator", "")).toBe("");
    expect(whyNot(RULES, "/W/Line/Belt", "length", "operator", "")).toContain("As operator");
    expect(whyNot(RULES, "/W/LineTwo", "speed", "operator", "")).toContain("As operator");
    expect(whyNot(RULES, "/W/Line/Cell/Arm", "size", "editor", "Ann")).toBe("/W/Line/Cell is reserved for: admin, Kim");
    expect(whyNot(RULES, "/W/Line/Cell/Arm", "size", "editor", "Kim")).toBe("");
    expect(whyNot(RULES, "/W/Line/Cell/Arm", "speed", "operator", "")).toBe("");
    expect(whyNot(RULES, "/W/Line/Cell/Door", "size", "editor", "Ann")).toBe("");
  });

  it("let an operator set what they name, and nothing else beside it", () => {
    const speed = { kind: "set_field", path: "/W/Line/Belt", field: "speed", value: ["double", 1] } as const;
    expect(onlySetPoints(RULES, [{ ...speed, value: ["double", 1] }], "operator", "")).toBe(true);
    expect(onlySetPoints(RULES, [{ ...speed, value: ["double", 1] }], "viewer", "")).toBe(false);
    expect(onlySetPoints(RULES, [{ ...speed, value: ["double", 1] }, { kind: "remove_prim", path: "/W/Line/Belt" }], "operator", "")).toBe(false);
  });
});
