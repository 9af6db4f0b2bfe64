import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TwinSocket, type LinkState } from "../src/net/socket";

class Wire {
  static readonly OPEN = 1;
  static made: Wire[] = [];
  readyState = 0;
  bufferedAmount = 0;
  sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  constructor() {
    Wire.made.push(this);
  }
  send(data: unknown): void {
    this.sent.push(data);
  }
  close(): void {
    this.readyState = 3;
  }
  /** What the server does. */
  accept(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(): void {
    this.onmessage?.({ data: new ArrayBuffer(1) });
  }
}

const unanswered = () => new Promise((_, reject) => setTimeout(() => reject(new Error("timeout")), 3000));

function connected(reach: () => Promise<unknown>) {
  const states: [LinkState, string][] = [];
  let messages = 0;
  let asked = 0;
  const socket: TwinSocket = new TwinSocket("ws://twin", {
    opened: () => socket.settled(),
    message: () => messages++,
    state: (state, _wait, reason) => states.push([state, reason]),
    ping: () => void socket.send(new Uint8Array([1])),
    reach: () => {
      asked++;
      return reach();
    },
  });
  socket.connect();
  const wire = Wire.made[0];
  wire.accept();
  const talk = async (seconds: number) => {
    for (let i = 0; i < 5 * seconds; i++) {
      wire.say();
      await vi.advanceTimersByTimeAsync(200);
    }
  };
  return { socket, wire, states, talk, messages: () => messages, asked: () => asked };
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Wire);
  Wire.made = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("TwinSocket", () => {
  it("takes a server that speaks for there, and lets it know that it is here", async () => {
    const { wire, states, talk, asked } = connected(unanswered);
    await talk(21);
    expect([states.at(-1)?.[0], asked()]).toEqual(["open", 0]);
    expect(wire.sent.length).toBe(4);
  });

  it("gives a silent connection up and makes another, to which nothing of the old one comes", async () => {
    const { wire, states, talk, messages } = connected(unanswered);
    await talk(5);
    const before = messages();
    await vi.advanceTimersByTimeAsync(7500);
    expect(states.at(-1)).toEqual(["waiting", "the server does not answer"]);
    wire.say();
    expect([messages(), wire.readyState]).toEqual([before, 3]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(Wire.made.length).toBe(2);
    expect(states.at(-1)?.[0], "still lost until it is back").toBe("waiting");
    Wire.made[1].accept();
    expect(states.at(-1)?.[0]).toBe("open");
  });

  it("waits for a long message while the network is there, and longer the next time", async () => {
    const { states } = connected(() => Promise.resolve());
    await vi.advanceTimersByTimeAsync(14_000);
    expect(states.at(-1)?.[0]).toBe("open");
    await vi.advanceTimersByTimeAsync(4000);
    expect(states.at(-1)).toEqual(["waiting", "nothing came over the connection"]);
    Wire.made[1].accept();
    await vi.advanceTimersByTimeAsync(28_000);
    expect([states.at(-1)?.[0], Wire.made.length]).toEqual(["open", 2]);
  });

  it("does not believe what is left of a connection where the browser has no network", async () => {
    vi.stubGlobal("navigator", { onLine: false });
    const { socket, states, talk } = connected(() => Promise.reject(new TypeError("Failed to fetch")));
    await talk(1);
    socket.networkChanged(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(states.at(-1)?.[0]).toBe("waiting");
    vi.stubGlobal("navigator", { onLine: true });
    socket.networkChanged(true);
    expect(Wire.made.length, "at once").toBe(2);
  });
});
