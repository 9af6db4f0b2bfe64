import { describe, expect, it } from "vitest";
import { attributeLabel, cycleTimes, limitsOf, paceScenarios, reach, Studies, sweepValues, utilisation, type Varied } from "../src/state/studies.svelte";

const varied = (v: Partial<Varied>): Varied => ({
  attribute: "/World/Line/Spiral.twin:buffer:capacity",
  type: "int",
  current: 8,
  mode: "values",
  text: "",
  low: "",
  high: "",
  steps: "",
  ...v,
});

describe("proposed values", () => {
  const triangular = [
    { name: "twin:station:cycleTime:mean", value: null },
    { name: "twin:station:cycleTime:min", value: 21 },
    { name: "twin:station:cycleTime:mode", value: 24 },
    { name: "twin:station:cycleTime:max", value: 31 },
  ];
  const proposed = (property: { name: string; value: number; low?: number; high?: number }) => {
    const studies = new Studies(() => undefined);
    studies.vary("/M", property.name, "double", property.value, limitsOf(property, triangular));
    return studies.varied[0]?.text;
  };
  it("keep a distribution possible", () => {
    expect(proposed({ name: "twin:station:cycleTime:min", value: 21 })).toBe("10.5, 24");
    expect(proposed({ name: "twin:station:cycleTime:mode", value: 24 })).toBe("21, 31");
    expect(proposed({ name: "twin:station:cycleTime:max", value: 31 })).toBe("24, 62");
  });
  it("keep within the range of the schema, and are half and double elsewhere", () => {
    expect(proposed({ name: "twin:station:scrapRate", value: 0.7, low: 0, high: 1 })).toBe("0.35, 1");
    expect(proposed({ name: "twin:conveyor:speed", value: 0.5 })).toBe("0.25, 1");
  });
});

describe("sweepValues", () => {
  it("puts what is now first and says nothing twice", () => {
    expect(sweepValues(varied({ text: "2, 4, 8; 16" }))).toEqual([8, 2, 4, 16]);
  });
  it("spreads a range evenly, in whole numbers where the type asks for them", () => {
    expect(sweepValues(varied({ mode: "range", low: "2", high: "9", steps: "3", current: null }))).toEqual([2, 6, 9]);
    expect(sweepValues(varied({ mode: "range", low: "0.1", high: "0.5", steps: "5", type: "double", current: 0.3 }))).toEqual([0.3, 0.1, 0.2, 0.4, 0.5]);
  });
  it("says what is wrong, by the name that a person knows", () => {
    expect(sweepValues(varied({ text: "2, x" }))).toEqual({ problem: "Spiral capacity: “x” is no number" });
    expect(sweepValues(varied({ text: "2.5" }))).toEqual({ problem: "Spiral capacity takes whole numbers" });
    expect(sweepValues(varied({ text: " " }))).toHaveProperty("problem");
    expect(sweepValues(varied({ mode: "range", low: "9", high: "2", steps: "3" }))).toHaveProperty("problem");
    expect(sweepValues(varied({ mode: "range", low: "1", high: "2", steps: "9999" }))).toHaveProperty("problem");
  });
});

describe("results", () => {
  it("reaches over the ends of all intervals", () => {
    const f = (mean: number | null, half_width: number | null) => ({ mean, half_width, unit: "1" });
    expect(reach([f(10, 1), f(20, 5), undefined, f(null, null), f(5, null)])).toEqual([5, 25]);
    expect(reach([f(null, null)])).toBeNull();
  });
  it("takes utilisation of stations from the figures of a point", () => {
    const kpis = { throughput: { mean: 1, half_width: 0, unit: "1/h" }, "/L/M1:utilisation": { mean: 0.7, half_width: 0, unit: "1" }, "/L/M1:blocked": { mean: 0.1, half_width: 0, unit: "1" } };
    expect([...utilisation(kpis)]).toEqual([["/L/M1", 0.7]]);
  });
  it("names attributes shortly", () => {
    expect(attributeLabel("/World/Line/Palletiser.twin:station:cycleTime:mode")).toBe("Palletiser cycle time mode");
  });
});

describe("what a study begins with", () => {
  it("brings its usual durations, and leaves alone those that somebody chose", () => {
    const studies = new Studies(() => {});
    studies.startWith("now");
    expect([studies.horizon, studies.warmup]).toEqual(["2 h", "0 h"]);
    studies.horizon = "45 min";
    studies.startWith("empty");
    expect([studies.horizon, studies.warmup]).toEqual(["45 min", "1 h"]);
  });
});

describe("the pace of a machine", () => {
  const triangular = [
    { name: "twin:station:cycleTime:distribution", value: "triangular" },
    { name: "twin:station:cycleTime:min", value: 2.2 },
    { name: "twin:station:cycleTime:mode", value: 3.3 },
    { name: "twin:station:cycleTime:max", value: 5.5 },
  ];
  it("changes the whole cycle", () => {
    const times = cycleTimes(triangular);
    const [min, mode, max] = ["min", "mode", "max"].map((end) => `/L/M.twin:station:cycleTime:${end}`);
    expect(paceScenarios({ path: "/L/M", times: times ?? {}, text: "+10, -50 0" })).toEqual({
      "as-is": {},
      "M 10 % faster": { set: { [min]: 2, [mode]: 3, [max]: 5 } },
      "M 50 % slower": { set: { [min]: 4.4, [mode]: 6.6, [max]: 11 } },
    });
    expect(paceScenarios({ path: "/L/M", times: times ?? {}, text: "-100" })).toHaveProperty("problem");
    expect(paceScenarios({ path: "/L/M", times: times ?? {}, text: "" })).toHaveProperty("problem");
  });
  it("is offered only where one choice is the whole of it", () => {
    expect(cycleTimes(triangular.slice(1))).toBeNull();
    expect(cycleTimes([...triangular, { name: "twin:station:cycleTime:type:large", value: 3 }])).toBeNull();
  });
});
