import * as THREE from "three";
import { describe, expect, it } from "vitest";
import { comboOf } from "../src/state/actions";
import { best, rate } from "../src/state/find";
import { heatChoices, heatOf } from "../src/state/heat";
import { scenarioLayer, scenarioOps } from "../src/state/scenario";
import type { StudyBottleneck } from "../src/net/http";
import { bottleneck, isBetter } from "../src/state/studies.svelte";
import { formatLength } from "../src/ui/format";
import { rectOf, screenRect, takes } from "../src/viewer/boxselect";
import { fileStem } from "../src/viewer/capture";
import { cubeCorners, cubeFaces } from "../src/viewer/cube";
import { describe as describeMeasurement } from "../src/viewer/measure";
import { sectionPlane } from "../src/viewer/section";
import { alignStep, featureEdges, snapTo } from "../src/viewer/snapping";

const v = (x: number, y: number, z: number) => new THREE.Vector3(x, y, z);

describe("snapping", () => {
  const edges = featureEdges(new THREE.BoxGeometry(2, 2, 2));
  const away = new THREE.Matrix4().makeTranslation(10, 0, 0);
  // Looking down Z, a hundred pixels a metre.
  const toScreen = (p: THREE.Vector3) => ({ x: 100 * p.x, y: -100 * p.y });

  it("knows the twelve edges of a box, and no diagonals", () => {
    expect(edges.length / 6).toBe(12);
  });

  it("takes a corner near the pointer before an edge, an edge before the surface", () => {
    const corner = snapTo(edges, away, v(10.95, 0.95, 1), { x: 1095, y: -95 }, toScreen, 0.3);
    expect(corner.kind).toBe("corner");
    expect(corner.point.toArray()).toEqual([11, 1, 1]);
    const edge = snapTo(edges, away, v(10.2, 0.96, 1), { x: 1020, y: -96 }, toScreen, 0.3);
    expect(edge.kind).toBe("edge");
    expect(edge.point.distanceTo(v(10.2, 1, 1))).toBeLessThan(1e-9);
    const surface = snapTo(edges, away, v(10.1, 0.1, 1), { x: 1010, y: -10 }, toScreen, 0.3);
    expect(surface).toEqual({ kind: "surface", point: v(10.1, 0.1, 1) });
  });

  it("leaves the corners of the far side alone", () => {
    const far = snapTo(edges, away, v(10.95, 0.95, 1), { x: 1095, y: -95 }, toScreen, 0.05);
    expect(far.kind).toBe("surface");
  });

  it("joins the nearest of ends within reach", () => {
    expect(alignStep([0, 3], [3.08, 9], 0.12)).toBeCloseTo(0.08);
    expect(alignStep([0, 3], [3.2], 0.12)).toBe(0);
  });
});

describe("measuring", () => {
  it("gives the distance, and its parts where it is not along an axis", () => {
    expect(describeMeasurement({ from: v(0, 0, 0), to: v(0, 2.5, 0) })).toEqual({ distance: "2.500 m", parts: "" });
    const slant = describeMeasurement({ from: v(1, 0, 0), to: v(0.6, 0.3, 0) });
    expect(slant.distance).toBe("500 mm");
    expect(slant.parts).toBe("ΔX −400 mm · ΔY 300 mm · ΔZ 0 mm");
  });
  it("writes lengths as drawings do", () => {
    expect([0, 0.0123, 0.9999, 12.3456, -1234.5].map(formatLength)).toEqual(["0 mm", "12.3 mm", "1.000 m", "12.346 m", "−1\u202f234.500 m"]);
  });
});

describe("section", () => {
  const box = new THREE.Box3(v(-4, 0, 0), v(4, 2, 6));
  it("keeps what lies below the plane, or above it", () => {
    const { plane, at } = sectionPlane({ axis: "X", share: 0.75, flipped: false }, box);
    expect(at).toBe(2);
    expect([plane.distanceToPoint(v(1, 0, 0)) > 0, plane.distanceToPoint(v(3, 0, 0)) > 0]).toEqual([true, false]);
    const { plane: other } = sectionPlane({ axis: "Z", share: 0.5, flipped: true }, box);
    expect([other.distanceToPoint(v(0, 0, 2)) > 0, other.distanceToPoint(v(0, 0, 4)) > 0]).toEqual([false, true]);
  });
});

describe("box selection", () => {
  const thing = { left: 10, top: 10, right: 20, bottom: 20 };
  it("takes what is within when drawn rightwards, what it touches when drawn leftwards", () => {
    expect(takes(rectOf({ x: 0, y: 0 }, { x: 30, y: 30 }), thing)).toBe(true);
    expect(takes(rectOf({ x: 0, y: 0 }, { x: 15, y: 30 }), thing)).toBe(false);
    expect(takes(rectOf({ x: 15, y: 30 }, { x: 0, y: 0 }), thing)).toBe(true);
    expect(takes(rectOf({ x: 5, y: 30 }, { x: 0, y: 0 }), thing)).toBe(false);
  });
  it("knows what a box covers, and nothing of one behind the camera", () => {
    const rect = screenRect(new THREE.Box3(v(0, 0, 0), v(1, 2, 3)), (p) => ({ x: p.x, y: -p.y }));
    expect([rect?.left, rect?.right, rect?.top, rect?.bottom].map((n) => (n ?? NaN) + 0)).toEqual([0, 1, -2, 0]);
    expect(screenRect(new THREE.Box3(v(0, 0, 0), v(1, 1, 1)), (p) => (p.z > 0 ? null : { x: 0, y: 0 }))).toBeNull();
  });
});

describe("view cube", () => {
  const front = new THREE.Quaternion().setFromAxisAngle(v(1, 0, 0), Math.PI / 2).toArray();
  it("shows the side that is looked at, with its text upright", () => {
    const [face, ...others] = cubeFaces(front, true).reverse();
    expect(face.name).toBe("Front");
    expect(others).toEqual([]);
    expect(face.right.map((n) => Math.round(n) + 0)).toEqual([1, 0]);
    expect(face.down.map((n) => Math.round(n) + 0)).toEqual([0, 1]);
    expect(face.direction).toEqual([0, -1, 0]);
  });
  it("names the sides of a stage with Y up", () => {
    expect(cubeFaces([0, 0, 0, 1], false).map((f) => f.name)).toEqual(["Front"]);
    expect(cubeCorners([0, 0, 0, 1]).length).toBe(4);
  });
});

describe("finding", () => {
  const names = ["SealerFeed", "Sealer", "InfeedA", "Frame the selection", "Checkweigher weight"];
  const find = (query: string) => best(names, query, (n) => n, 10);
  it("puts beginnings before middles and short before long", () => {
    expect(find("seal")).toEqual(["Sealer", "SealerFeed"]);
    expect(find("feed")).toEqual(["SealerFeed", "InfeedA"]);
  });
  it("takes words in any order and initials", () => {
    expect(find("weight check")).toEqual(["Checkweigher weight"]);
    expect(find("sf")).toEqual(["SealerFeed"]);
    expect(find("xyz")).toEqual([]);
    expect(rate("anything", [])).toBe(0);
  });
});

describe("keys", () => {
  const key = (key: string, code = "", more: Partial<KeyboardEvent> = {}) => comboOf({ key, code, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
  it("names combinations the same on every layout", () => {
    expect(key("w")).toBe("w");
    expect(key("Z", "KeyZ", { ctrlKey: true, shiftKey: true })).toBe("ctrl+shift+z");
    expect(key("!", "Digit1", { shiftKey: true })).toBe("shift+1");
    expect(key("?", "Minus", { shiftKey: true })).toBe("?");
    expect(key("k", "KeyK", { metaKey: true })).toBe("ctrl+k");
  });
});

describe("heat", () => {
  const nodes = [{ path: "/L/A", kind: "station", next: [] }, { path: "/L/B", kind: "buffer", next: [] }];
  const kpis = new Map([["wip", ["wip", 3, "1"]], ["/L/A:utilisation", ["/L/A:utilisation", 0.8, "1"]]] as [string, [string, number, string]][]);
  const signals = [{ prim: "/L/A", name: "temperature", unit: "Cel", role: "measurement" }];
  it("offers key figures of machines, levels and signals", () => {
    expect(heatChoices(nodes, kpis, signals).map((c) => c.name)).toEqual(["utilisation", "level", "temperature"]);
  });
  it("shows shares from 0 to 100 % and levels from 0", () => {
    const [share, level, signal] = heatChoices(nodes, kpis, signals);
    expect(heatOf(share, nodes, kpis, new Map(), null)).toMatchObject({ low: 0, high: 1, scale: 100, unit: "%" });
    const levels = heatOf(level, nodes, kpis, new Map(), [2, 7]);
    expect([levels?.low, levels?.high, levels?.values.get("/L/B")]).toEqual([0, 7, 7]);
    const latest = new Map([["/L/A:temperature", { value: 60, quality: 0, time: 0, origin: "" }]]);
    expect(heatOf(signal, nodes, kpis, latest, null)?.values.get("/L/A")).toBe(60);
    expect(heatOf(signal, nodes, kpis, new Map([["/L/A:temperature", { value: 60, quality: 0x80000000, time: 0, origin: "" }]]), null)).toBeNull();
  });
});

describe("a point of a study", () => {
  const settings = [
    { attribute: "/World/Line/B1.twin:buffer:capacity", type: "int", value: 12 },
    { attribute: "/World/Line/M.twin:station:cycleTime:mean", type: "double", value: 2.5 },
    { attribute: "/World/Line/M.twin:station:blocking", type: "token", value: 'a "b"' },
  ];
  it("is written as overrides", () => {
    expect(scenarioLayer(settings, 'More\n"buffer"')).toBe(
      [
        "#usda 1.0", "(", '    doc = "More \\"buffer\\""', ")", "", 'over "World"', "{", '    over "Line"', "    {", '        over "B1"', "        {",
        "            int twin:buffer:capacity = 12", "        }", '        over "M"', "        {", "            double twin:station:cycleTime:mean = 2.5",
        '            token twin:station:blocking = "a \\"b\\""', "        }", "    }", "}", "",
      ].join("\n"),
    );
  });
  it("is applied as one edit", () => {
    expect(scenarioOps(settings)[0]).toEqual({ kind: "set_field", path: "/World/Line/B1", field: "twin:buffer:capacity", value: ["int", 12] });
  });
  it("names the bottleneck that its report names, and waiting for people", () => {
    const of = (path: string, active: number, more: Partial<StudyBottleneck> = {}): StudyBottleneck => ({ path, active, blocked: 0.1, starved: 0.02, waiting_crew: 0, arrows_end_here: true, ...more });
    expect(bottleneck([of("/B", 0.5, { waiting_crew: 0.3 }), of("/A", 0.9)])).toEqual({ path: "/B", clear: true, why: "Its neighbours wait for it: it is busy 50 % of the time, waits for people 30 %" });
    expect(bottleneck([of("/B", 0.5, { arrows_end_here: false })])?.clear).toBe(false);
    expect(bottleneck([of("/B", 0.3, { starved: 0.6, blocked: 0 }), of("/A", 0.4, { blocked: 0 })])).toMatchObject({ path: "/A", clear: false });
    expect(bottleneck(undefined)).toBeNull();
  });
  it("tells better from worse", () => {
    expect([isBetter("throughput", 2), isBetter("throughput", -2), isBetter("lead_time", -2), isBetter("wip", 2)]).toEqual([true, false, true, false]);
  });
});

it("files are named after the stage and the moment", () => {
  expect(fileStem("packaging_line/scene.usda", new Date(2026, 10, 25, 9, 5, 7))).toBe("packaging_line 2026-11-25 09.05.07");
  expect(fileStem("plant.usdc", new Date(2026, 0, 1))).toBe("plant 2026-01-01 00.00.00");
});
