import { afterEach, describe, expect, it, vi } from "vitest";
import { getAsset, groups, Parts, prefetchAssets } from "../src/net/assets";

const hash = (n: number) => (n * 2654435761 % 2 ** 32).toString(16).padStart(8, "0").repeat(8);
const bytes = (...n: number[]) => new Uint8Array(n);

afterEach(() => vi.unstubAllGlobals());

describe("groups", () => {
  it("are the same for the same hashes, and one changes where one is added", () => {
    const hashes = Array.from({ length: 136 }, (_, i) => hash(i));
    const before = groups(hashes);
    expect(before.flat().sort()).toEqual([...hashes].sort());
    expect(before.length).toBeLessThan(10);
    expect(groups([...hashes].reverse())).toEqual(before);
    const known = new Set(before.map(String));
    expect(groups([...hashes, hash(500)]).filter((g) => !known.has(String(g))).length).toBe(1);
  });

  it("stay within the server's limit", () => {
    const alike = Array.from({ length: 250 }, (_, i) => `00${hash(i).slice(2)}`);
    expect(groups(alike).map((g) => g.length)).toEqual([100, 100, 50]);
  });
});

describe("Parts", () => {
  it("hands out each as it comes, however the answer is cut up", () => {
    const answer = [3, 0, 0, 0, 7, 8, 9, 0, 255, 255, 255, 255, 4, 0, 0, 0, 1, 2, 3, 4];
    for (let cut = 1; cut < answer.length; cut++) {
      const got: [string, number[] | null][] = [];
      const parts = new Parts(["a", "b", "c"], (name, data) => got.push([name, data && [...new Uint8Array(data)]]));
      for (let at = 0; at < answer.length; at += cut) parts.add(bytes(...answer.slice(at, at + cut)));
      expect(got).toEqual([["a", [7, 8, 9]], ["b", null], ["c", [1, 2, 3, 4]]]);
      expect(parts.done).toBe(true);
    }
  });
});

describe("getAsset", () => {
  it("asks once for many, alone for large ones, and alone for all where one is missing", async () => {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (path: string) => {
      asked.push(path);
      if (!path.includes("ids=")) return path.endsWith("gone") ? Response.json({ detail: "no such asset" }, { status: 404 }) : new Response(bytes(9));
      if (path.includes("gone")) return Response.json({ detail: "no such asset: gone" }, { status: 404 });
      return new Response(bytes(1, 0, 0, 0, 5, 0, 0, 0, 255, 255, 255, 255, 1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0));
    });
    prefetchAssets(["a1", "a2", "a3", "a4"]);
    const got = await Promise.all(["a1", "a2", "a3", "a4"].map(async (h) => [...new Uint8Array(await getAsset(h))]));
    expect(got).toEqual([[5], [9], [6], [7]]);
    expect(asked).toEqual(["/api/assets?ids=a1,a2,a3,a4", "/api/assets/a2"]);
    const some = ["b1", "b2", "b3", "gone"].map((h) => getAsset(h).then((d) => d.byteLength, (e: Error) => e.message));
    expect(await Promise.all(some)).toEqual([1, 1, 1, "no such asset"]);
  });
});
