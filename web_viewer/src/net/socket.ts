/**
 * A websocket that comes back: full-jitter back-off, binary messages only, close codes told apart.
 *
 * It notices by itself that the network is cut, which no close tells of. The server speaks several times a second, also while
 * the twin stands; where it is silent it is asked, over the socket and beside it. Only what comes counts as a sign of life.
 */

export type LinkState = "connecting" | "open" | "waiting" | "outdated" | "unauthorised";

/** The server speaks another version of the protocol. */
const CLOSE_PROTOCOL = 4409;
/** The token is no longer good. */
const CLOSE_UNAUTHORISED = 4401;
const LONGEST_WAIT_MS = 10_000;
/** A preview or presence is not worth a queue: dropped while the socket is this far behind [bytes]. */
const LOSSY_BACKLOG = 64 * 1024;
/** After so long without a word the server is asked for one [ms]. States of the line come five times a second. */
const QUIET_MS = 3000;
/** So long the answer may take [ms]: over a line of 400 ms it takes 0.8 s, a new connection included. */
const ANSWER_MS = 3000;
/** The network is there, but nothing comes here: it may be one large message that takes so long [ms], or the connection is dead. */
const STALLED_MS = 15_000;
const LONGEST_STALL_MS = 120_000;
const CALM_MS = 300_000;
/** The server is told at least this often that somebody is here [ms]; after 15 s the others no longer see who is not. */
const SIGN_MS = 5000;
const LOOK_MS = 1000;

export interface SocketEvents {
  opened(): void;
  message(data: ArrayBuffer): void;
  state(state: LinkState, retryInMs: number, reason: string): void;
  /** Send a message that is answered at once. */
  ping(): void;
  /** Ask the server for anything beside the socket; resolves with any answer. */
  reach(signal: AbortSignal): Promise<unknown>;
}

export class TwinSocket {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private stopped = false;
  private heardAt = 0;
  private signedAt = 0;
  private lookedAt = 0;
  private settledAt = Infinity;
  private asking = false;
  /** Doubled when it was too short: a message that was cut off takes as long the next time. */
  private patience = STALLED_MS;

  constructor(
    private readonly url: string,
    private readonly events: SocketEvents,
  ) {}

  connect(): void {
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.attempt === 0) this.events.state("connecting", 0, "");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heardAt = this.lookedAt = performance.now();
    socket.onopen = () => {
      this.heard();
      this.events.opened();
    };
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => {
      this.heard();
      this.events.message(event.data);
      this.sign(); // not by a timer alone, which a hidden tab seldom gets
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.drop();
      this.closed(event);
    };
    this.watch ??= setInterval(() => this.look(), LOOK_MS);
  }

  /** The handshake is done: the next failure starts again with a short wait. */
  settled(): void {
    this.attempt = 0;
    this.settledAt = performance.now();
    this.events.state("open", 0, "");
  }

  /** Something has come from the server, here or by HTTP: the network is there. */
  heard(): void {
    this.heardAt = performance.now();
  }

  /** Send now; false when there is no connection. */
  send(bytes: Uint8Array<ArrayBuffer>, lossy = false): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    if (lossy && this.socket.bufferedAmount > LOSSY_BACKLOG) return false;
    this.socket.send(bytes);
    return true;
  }

  /** Drop this connection and make a new one at once. */
  reconnect(): void {
    this.drop();
    this.attempt = 0;
    this.connect();
  }

  /** The browser says that the network has come or gone: it is looked at now. */
  networkChanged(online: boolean): void {
    if (this.socket) void this.ask();
    else if (online) this.retry();
  }

  /** Try again now instead of after the back-off. */
  retry(): void {
    if (!this.socket && this.timer !== undefined) this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    clearInterval(this.watch);
    this.drop();
  }

  private drop(): void {
    const old = this.socket;
    this.socket = null;
    this.settledAt = Infinity;
    if (!old) return;
    old.onopen = old.onmessage = null; // what it still brings would be out of order
    old.close();
  }

  private look(): void {
    const now = performance.now();
    const late = now - this.lookedAt > 3 * LOOK_MS;
    this.lookedAt = now;
    if (!this.socket) return;
    // A page that stood still, hidden or asleep, has not read what came meanwhile.
    if (late) this.heardAt = Math.max(this.heardAt, now - QUIET_MS);
    const quiet = now - this.heardAt;
    if (now - this.settledAt > CALM_MS) this.patience = STALLED_MS;
    if (quiet >= this.patience) {
      this.patience = Math.min(2 * this.patience, LONGEST_STALL_MS);
      this.lost("nothing came over the connection");
    } else if (quiet >= QUIET_MS) void this.ask();
    else this.sign();
  }

  /** Give a sign of life, if it is time for one. Whatever else is sent may be for a process in between. */
  private sign(): void {
    if (performance.now() - this.signedAt < SIGN_MS) return;
    this.signedAt = performance.now();
    this.events.ping();
  }

  /** Whether the server can be reached; if not, this connection is given up. */
  private async ask(): Promise<void> {
    const socket = this.socket;
    if (this.asking || !socket) return;
    this.asking = true;
    const before = this.heardAt;
    if (socket.readyState === WebSocket.OPEN) this.events.ping();
    try {
      await this.events.reach(AbortSignal.timeout(ANSWER_MS));
    } catch {
      // Without a network nothing new can be fetched, even where an old connection still brings something.
      const cut = this.heardAt === before || navigator.onLine === false;
      if (cut && this.socket === socket) this.lost("the server does not answer");
    }
    this.asking = false;
  }

  private lost(reason: string): void {
    this.drop();
    this.again(reason);
  }

  private closed(event: CloseEvent): void {
    if (event.code === CLOSE_PROTOCOL) return this.events.state("outdated", 0, event.reason);
    if (event.code === CLOSE_UNAUTHORISED) return this.events.state("unauthorised", 0, event.reason);
    this.again(event.reason);
  }

  private again(reason: string): void {
    const ceiling = Math.min(LONGEST_WAIT_MS, 300 * 2 ** this.attempt++);
    const wait = 150 + Math.random() * ceiling;
    this.events.state("waiting", wait, reason);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), wait);
  }
}
