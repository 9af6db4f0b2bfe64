/** A websocket that comes back: full-jitter back-off, binary messages only, close codes told apart. */

export type LinkState = "connecting" | "open" | "waiting" | "outdated" | "unauthorised" | "closed";

/** The server speaks another version of the protocol. */
const CLOSE_PROTOCOL = 4409;
/** The token is no longer good. */
const CLOSE_UNAUTHORISED = 4401;
const LONGEST_WAIT_MS = 10_000;
/** A preview or presence is not worth a queue: dropped while the socket is this far behind [bytes]. */
const LOSSY_BACKLOG = 64 * 1024;

export interface SocketEvents {
  opened(): void;
  message(data: ArrayBuffer): void;
  state(state: LinkState, retryInMs: number, reason: string): void;
}

export class TwinSocket {
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  constructor(
    private readonly url: string,
    private readonly events: SocketEvents,
  ) {}

  connect(): void {
    if (this.stopped) return;
    clearTimeout(this.timer);
    this.events.state("connecting", 0, "");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => this.events.opened();
    socket.onmessage = (event: MessageEvent<ArrayBuffer>) => this.events.message(event.data);
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.closed(event);
    };
  }

  /** The handshake is done: the next failure starts again with a short wait. */
  settled(): void {
    this.attempt = 0;
    this.events.state("open", 0, "");
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
    const old = this.socket;
    this.socket = null;
    old?.close();
    this.attempt = 0;
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private closed(event: CloseEvent): void {
    if (this.stopped) return this.events.state("closed", 0, event.reason);
    if (event.code === CLOSE_PROTOCOL) return this.events.state("outdated", 0, event.reason);
    if (event.code === CLOSE_UNAUTHORISED) return this.events.state("unauthorised", 0, event.reason);
    const ceiling = Math.min(LONGEST_WAIT_MS, 300 * 2 ** this.attempt++);
    const wait = 150 + Math.random() * ceiling;
    this.events.state("waiting", wait, event.reason);
    this.timer = setTimeout(() => this.connect(), wait);
  }
}
