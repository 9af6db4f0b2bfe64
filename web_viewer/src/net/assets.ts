/**
 * Meshes and textures by content hash. Those that are asked for in one turn are fetched in a few requests instead of one each: over
 * a line of 400 ms a hundred small ones would take as long as what is in them many times over.
 */
import { answer } from "./http";
import { line, request } from "./line";

export const assetUrl = (hash: string) => `/api/assets/${encodeURIComponent(hash)}`;

/** At most so many in one request, about: more would keep the first of them waiting for the last. */
const TOGETHER = 64;
/** The server's limit. */
const MOST = 100;
/** Fewer are asked for alone: what an edit brings is then found in the browser's cache, whatever it was asked for with. */
const FEW = 4;
/** Stands for the size of what the server does not send together with others. */
const ALONE = 0xffffffff;

interface Wanted {
  give(data: ArrayBuffer): void;
  fail(error: unknown): void;
}

const early = new Map<string, Promise<ArrayBuffer>>();
let turn = new Map<string, Wanted>();

async function alone(hash: string): Promise<ArrayBuffer> {
  return (await answer(await request(assetUrl(hash)))).arrayBuffer();
}

const askAlone = (hash: string, { give, fail }: Wanted) => void alone(hash).then(give, fail);

/**
 * Hashes in groups. A group holds those that begin with the same bits, in order, so that the same request comes again at the next
 * visit, and what an edit has added or taken away changes one group only.
 */
export function groups(hashes: string[]): string[][] {
  let bits = 0;
  while (bits < 8 && hashes.length > TOGETHER << bits) bits++;
  const found = new Map<number, string[]>();
  for (const hash of [...hashes].sort()) {
    const key = parseInt(hash.slice(0, 2), 16) >> (8 - bits);
    const group = found.get(key);
    if (group) group.push(hash);
    else found.set(key, [hash]);
  }
  return [...found.values()].flatMap((group) => Array.from({ length: Math.ceil(group.length / MOST) }, (_, i) => group.slice(i * MOST, (i + 1) * MOST)));
}

/** Takes an answer for several apart while it comes: what has come is handed out at once. */
export class Parts {
  private held = new Uint8Array(0);
  private next = 0;

  constructor(
    private readonly hashes: string[],
    private readonly give: (hash: string, data: ArrayBuffer | null) => void,
  ) {}

  get done(): boolean {
    return this.next === this.hashes.length;
  }

  add(piece: Uint8Array): void {
    const all = new Uint8Array(this.held.length + piece.length);
    all.set(this.held);
    all.set(piece, this.held.length);
    const view = new DataView(all.buffer);
    let at = 0;
    while (!this.done && all.length - at >= 4) {
      const size = view.getUint32(at, true);
      if (size === ALONE) {
        at += 4;
        this.give(this.hashes[this.next++], null);
        continue;
      }
      const end = at + 4 + Math.ceil(size / 4) * 4;
      if (end > all.length) break;
      this.give(this.hashes[this.next++], all.buffer.slice(at + 4, at + 4 + size));
      at = end;
    }
    this.held = all.subarray(at);
  }
}

async function together(hashes: string[], wanted: Map<string, Wanted>): Promise<void> {
  const left = new Map(hashes.map((hash) => [hash, wanted.get(hash)]));
  const give = (hash: string, data: ArrayBuffer | null) => {
    if (data === null) return;
    left.get(hash)?.give(data);
    left.delete(hash);
  };
  try {
    await request(`/api/assets?ids=${hashes.join(",")}`, {}, async (response) => {
      const reader = (await answer(response)).body?.getReader();
      const parts = new Parts(hashes, give);
      for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
        line.heard();
        parts.add(next.value);
      }
    });
  } finally {
    // Large ones, and all of them where one is not there: which one, its own answer says.
    for (const [hash, who] of left) if (who) askAlone(hash, who);
  }
}

/** Ask for what has been asked for in this turn. */
function send(): void {
  const wanted = turn;
  turn = new Map();
  if (wanted.size < FEW) for (const [hash, who] of wanted) askAlone(hash, who);
  else for (const group of groups([...wanted.keys()])) void together(group, wanted).catch(() => undefined); // asked for alone, each says what is wrong
}

function fetchAsset(hash: string): Promise<ArrayBuffer> {
  return new Promise((give, fail) => {
    if (turn.size === 0) queueMicrotask(send);
    const before = turn.get(hash);
    turn.set(hash, {
      give: (data) => (before?.give(data), give(data)),
      fail: (error) => (before?.fail(error), fail(error)),
    });
  });
}

/** Begin to fetch what will be asked for in a moment; a failure is told to who asks. */
export function prefetchAssets(hashes: string[]): void {
  for (const hash of hashes) {
    const coming = fetchAsset(hash);
    coming.catch(() => undefined);
    early.set(hash, coming);
  }
  send(); // not after whatever else this turn gives rise to
}

export function getAsset(hash: string): Promise<ArrayBuffer> {
  const coming = early.get(hash) ?? fetchAsset(hash);
  early.delete(hash);
  return coming;
}
