import { describe, expect, it } from "vitest";
import { msOfNs } from "../src/net/http";
import { formatClock, formatNumber, formatSpread, formatUnit, primName, propertyLabel, qualityName, qualityOf } from "../src/ui/format";

describe("format", () => {
  it("shows numbers with three significant digits and readable thousands", () => {
    expect([0, 1, 0.01234, 12.3456, 1234.5, -42, 98765].map((n) => formatNumber(n))).toEqual([
      "0", "1", "0.0123", "12.3", "1\u202f235", "−42", "98\u202f765",
    ]);
    expect(formatNumber(1.5e9)).toBe("1.50e+9");
    expect(formatNumber(Infinity)).toBe("∞");
  });

  it("shows an interval in the unit of what it is of", () => {
    expect([formatSpread(2.6, 138.6, "s"), formatSpread(2.6, 90, "s"), formatSpread(360, 7200, "s"), formatSpread(2.6, 138.6, "J")]).toEqual(["0.043", "2.6", "0.1", "2.6"]);
  });

  it("shows simulated time as a clock", () => {
    expect(formatClock(3725.9)).toBe("01:02:05");
    expect(formatClock(90000)).toBe("1d 01:00:00");
  });

  it("reads OPC UA status codes by severity and name", () => {
    expect([0, 0x40900000, 0x80310000].map(qualityOf)).toEqual(["good", "uncertain", "bad"]);
    expect(qualityName(0x80310000)).toBe("Bad: no communication");
    expect(qualityName(0x80ff0000)).toBe("Bad (0x80ff0000)");
  });

  it("turns schema names into words and UCUM into signs", () => {
    expect(propertyLabel("twin:station:cycleTime:mean")).toEqual({ group: "twin:station", label: "cycle time mean" });
    expect(propertyLabel("xformOp:rotateXYZ").label).toBe("rotate XYZ");
    expect(propertyLabel("visibility")).toEqual({ group: "", label: "visibility" });
    expect([formatUnit("Cel"), formatUnit("1"), formatUnit("m/s"), formatUnit("1/h")]).toEqual(["°C", "", "m/s", "/h"]);
  });

  it("makes names of prims out of what people call machines", () => {
    const typed = ["Filler 2", " Füller (neu) ", "2nd_belt", "_hidden", "Straße/3", "—"];
    expect(typed.map(primName)).toEqual(["Filler_2", "Fuller_neu", "_2nd_belt", "_hidden", "Strasse_3", ""]);
  });

  it("reads nanoseconds that a number cannot hold", () => {
    expect(msOfNs("1764000000123456789")).toBeCloseTo(1764000000123.456, 3);
  });
});
