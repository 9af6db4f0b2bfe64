import { afterEach, describe, expect, it, vi } from "vitest";
import { Alarms, alarmOf, merged } from "../src/state/alarms.svelte";
import { bookmarkOf, freeName } from "../src/state/bookmarks.svelte";

const MS = "000000";
const row = (id: number, end: string, acked = "0") => ({
  id,
  key: `down /M${id}`,
  kind: "down",
  severity: "error",
  path: `/M${id}`,
  text: `M${id} is down`,
  begin_ns: `5${MS}`,
  end_ns: end,
  acked_ns: acked,
  acked_by: acked === "0" ? "" : "Anna",
});

describe("alarms", () => {
  it("are read from HTTP, where times are text, and from the socket", () => {
    const lasting = alarmOf(row(1, "0"));
    expect([lasting.begin, lasting.end, lasting.acked]).toEqual([5, null, null]);
    const over = alarmOf({ ...row(1, "0"), begin_ns: 5e6, end_ns: 9e6, acked_ns: 7e6, acked_by: "Anna" });
    expect([over.begin, over.end, over.acked]).toEqual([5, 9, { by: "Anna", at: 7 }]);
  });

  it("stay in order, and what is told again replaces what was known", () => {
    const list = [row(3, "0"), row(1, "0")].map(alarmOf);
    const next = merged(list, [row(2, "0"), row(3, `9${MS}`, `8${MS}`)].map(alarmOf));
    expect(next.map((a) => [a.id, a.end, a.acked?.by])).toEqual([
      [3, 9, "Anna"],
      [2, null, undefined],
      [1, null, undefined],
    ]);
  });
});

describe("alarms that are told while those of before are fetched", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("are kept, and newer than the answer", async () => {
    let answer: (response: Response) => void = () => {};
    const asked = (url: string) => (url.includes("alarms") ? new Promise<Response>((done) => (answer = done)) : Promise.resolve(Response.json([])));
    vi.stubGlobal("fetch", asked);
    const problems: string[] = [];
    const alarms = new Alarms({ me: null, problem: (text) => problems.push(text) });
    alarms.changed([{ ...row(1, "0"), begin_ns: 5e6, end_ns: 0, acked_ns: 0 }]);
    alarms.follow();
    alarms.changed([{ ...row(3, "0"), begin_ns: 8e6, end_ns: 0, acked_ns: 0 }]);
    answer(Response.json([row(2, `9${MS}`), row(1, `7${MS}`)]));
    await vi.waitFor(() => expect(alarms.list.map((a) => [a.id, a.end])).toEqual([[3, null], [2, 9], [1, 7]]));
    expect(problems).toEqual([]);
  });
});

describe("bookmarks", () => {
  const doc = { id: 4, text: "Robot", user: "Anna", made_ns: `1${MS}` };
  it("are a moment, a view, or both", () => {
    expect(bookmarkOf({ ...doc, time_ns: "0", camera: [1, 2, 3, 4, 5, 6] })).toMatchObject({ time: null, view: { position: [1, 2, 3], target: [4, 5, 6] } });
    expect(bookmarkOf({ ...doc, time_ns: `12${MS}`, camera: [] })).toMatchObject({ time: 12, view: null });
  });
  it("get a name that nobody has used", () => {
    expect(freeName("View", [])).toBe("View 1");
    expect(freeName("View", [{ name: "View 2" }])).toBe("View 3");
  });
});
