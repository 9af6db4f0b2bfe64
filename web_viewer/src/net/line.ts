/**
 * Requests over a line that may break.
 *
 * What is only read waits for the connection and is asked for again when it is back, so that whoever shows it need not care.
 * What changes something is never repeated unasked.
 */

/** The server cannot be reached. */
export class Disconnected extends Error {}

const TRIES = 3;
const PAUSE_MS = 500;

class Line {
  /** Told of everything that comes from the server. */
  heard: () => void = () => undefined;
  /** Told that a request has failed; null where nobody watches the connection, and waiting would have no end. */
  doubt: (() => void) | null = null;

  private lost = false;
  private requests = new AbortController();
  private returned: Promise<void> = Promise.resolve();
  private resume: () => void = () => undefined;

  get up(): boolean {
    return !this.lost;
  }

  /** Whether the server can be reached. What hangs when it no longer can is given up: it would hold up what is asked later. */
  set up(up: boolean) {
    if (up === !this.lost) return;
    this.lost = !up;
    if (up) this.resume();
    else {
      this.returned = new Promise((resolve) => (this.resume = resolve));
      this.requests.abort();
      this.requests = new AbortController();
    }
  }

  get signal(): AbortSignal {
    return this.requests.signal;
  }

  /** Resolves when the server can be reached. */
  get back(): Promise<void> {
    return this.returned;
  }
}

export const line = new Line();

/** The answer, whole; each piece of it is a sign of life. */
async function whole(response: Response): Promise<Response> {
  line.heard();
  if (!response.body) return response;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    line.heard();
    pieces.push(next.value);
  }
  const { status, statusText, headers } = response;
  return new Response(status === 204 || status === 304 ? null : new Blob(pieces), { status, statusText, headers });
}

/** The answer of the server, whatever it says. Throws ``Disconnected``; a GET does so only where the connection seems to be there. */
export async function request<T = Response>(path: string, init: RequestInit = {}, read: (response: Response) => Promise<T> = whole as (r: Response) => Promise<T>): Promise<T> {
  const reads = (init.method ?? "GET") === "GET";
  if (!reads && !line.up) throw new Disconnected("There is no connection to the server: nothing has been done.");
  for (let tries = 1; ; tries++) {
    if (reads && !line.up) await line.back;
    const { signal } = line;
    try {
      return await read(await fetch(path, { credentials: "same-origin", signal, ...init }));
    } catch (error) {
      if (!(error instanceof TypeError || signal.aborted)) throw error;
      if (!signal.aborted) line.doubt?.();
      if (!reads) throw new Disconnected("The connection was lost before the server answered: look whether it was done.");
      if (signal.aborted) tries = 0; // once the connection is back
      else if (tries >= TRIES || !line.doubt) throw new Disconnected("The server cannot be reached.");
      else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * tries));
    }
  }
}
