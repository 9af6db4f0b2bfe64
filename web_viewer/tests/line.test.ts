import { afterEach, describe, expect, it, vi } from "vitest";
import { Disconnected, line, request } from "../src/net/line";

afterEach(() => {
  line.up = true;
  line.doubt = null;
  vi.unstubAllGlobals();
});

/** A fetch that hangs until it is given up, and answers once ``there`` is set. */
function network() {
  const state = { there: false, asked: [] as string[] };
  const answer = (path: string, { signal, method = "GET" }: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      state.asked.push(`${method} ${path}`);
      if (state.there) return resolve(new Response("fine"));
      signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    });
  vi.stubGlobal("fetch", answer);
  return state;
}

describe("request", () => {
  it("asks again, once the connection is back, for what is only read", async () => {
    const state = network();
    line.doubt = () => undefined;
    const text = request("/a").then((r) => r.text());
    await Promise.resolve();
    line.up = false;
    const later = request("/b").then((r) => r.text());
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(state.asked).toEqual(["GET /a"]);
    state.there = true;
    line.up = true;
    expect(await Promise.all([text, later])).toEqual(["fine", "fine"]);
    expect(state.asked.sort()).toEqual(["GET /a", "GET /a", "GET /b"]);
  });

  it("never repeats what changes something", async () => {
    const state = network();
    const done = request("/a", { method: "POST" });
    line.up = false;
    await expect(done).rejects.toThrow("look whether it was done");
    await expect(request("/b", { method: "POST" })).rejects.toThrow("nothing has been done");
    expect(state.asked).toEqual(["POST /a"]);
  });

  it("says that the server cannot be reached where nobody watches the connection", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(request("/a")).rejects.toBeInstanceOf(Disconnected);
  });
});
