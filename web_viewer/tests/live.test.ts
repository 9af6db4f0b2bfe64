import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Clock, SignalBatch } from "../src/protocol/messages.gen";
import { LiveStore } from "../src/state/live.svelte";

const clock = (sim_time: number, state: Clock["state"] = "running"): Clock => ({ t: "clock", state, rate: 1, sim_time, achieved: 1 }) as Clock;
const signal = (value: number): SignalBatch => ({ t: "signals", values: [["/A", "speed", value, 0, value * 1e9, "simulated"]] }) as unknown as SignalBatch;

describe("what panels are told of the running twin", () => {
  beforeEach(() => void vi.useFakeTimers({ now: 10_100 }));
  afterEach(() => void vi.useRealTimers());

  it("comes all at once with a full second, whenever in it the values came", () => {
    const live = new LiveStore();
    live.onClock(clock(1));
    live.onKpis(1, [["wip", 3, ""]]);
    vi.advanceTimersByTime(900);
    const second = live.second;
    live.onKpis(2, [["wip", 4, ""]]);
    vi.advanceTimersByTime(150);
    live.onClock(clock(2));
    live.onSignals(signal(5));
    vi.advanceTimersByTime(800);
    expect([live.clock?.sim_time, live.kpis.get("wip")?.[1], live.second]).toEqual([1, 3, second]);
    expect(live.latest.get("/A:speed")?.value).toBe(5);
    vi.advanceTimersByTime(100);
    expect([live.clock?.sim_time, live.kpis.get("wip")?.[1], live.second]).toEqual([2, 4, second + 1]);
    const { tick } = live;
    vi.advanceTimersByTime(5000);
    expect([live.tick, live.second]).toEqual([tick, second + 1]);
  });

  it("says at once that somebody stopped the clock, and what it then says does not go back", () => {
    const live = new LiveStore();
    live.onClock(clock(1));
    live.onClock(clock(2));
    live.onClock(clock(3, "paused"));
    expect(live.clock).toMatchObject({ sim_time: 3, state: "paused" });
    live.onClock(clock(3.1, "paused"));
    expect(live.clock?.sim_time).toBe(3.1);
    vi.advanceTimersByTime(3000);
    expect(live.clock?.sim_time).toBe(3.1);
  });

  it("tells of signals within half a second", () => {
    const live = new LiveStore();
    vi.advanceTimersByTime(1300);
    live.onSignals(signal(1));
    const { tick } = live;
    vi.advanceTimersByTime(500);
    expect(live.tick).toBe(tick + 1);
  });

  it("keeps what the signals of a renamed prim have said", () => {
    const live = new LiveStore();
    live.onSignals(signal(1));
    live.moved((path) => (path === "/A" ? "/W/B" : path));
    live.onSignals({ t: "signals", values: [["/W/B", "speed", 2, 0, 2e9, "simulated"]] } as unknown as SignalBatch);
    expect([live.track("/W/B:speed").value, live.latest.has("/A:speed")]).toEqual([[1, 2], false]);
  });
});
