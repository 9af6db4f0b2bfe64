/**
 * This user's changes that the server has not yet confirmed, and where they put things meanwhile.
 *
 * The server orders all edits; the author's echo is the acknowledgement. Between sending and the scene patch of that
 * sequence number, the local matrices of an edit lie over the scene, so that what was dragged does not jump back.
 */
import type { Edit, Op, Redo, Undo } from "../protocol/messages.gen";

export type Request = Edit | Undo | Redo;

interface Entry {
  request: Request;
  matrices: Map<string, number[]>;
  /** Sequence number once the server has confirmed it; its patch is still to come. */
  seq: number | null;
}

export class PendingEdits {
  private readonly entries = new Map<number, Entry>();
  private last: number;

  /** Operation ids rise across reloads of a tab that keeps its session, so the first one is taken from the clock. */
  constructor(firstOpid: number = Date.now()) {
    this.last = firstOpid;
  }

  edit(txn: Op[], label: string, baseSeq: number, matrices: Map<string, number[]> = new Map()): Edit {
    const request: Edit = { t: "edit", opid: ++this.last, base_seq: baseSeq, txn, label };
    this.entries.set(request.opid, { request, matrices, seq: null });
    return request;
  }

  step(kind: "undo" | "redo"): Undo | Redo {
    const request: Undo | Redo = { t: kind, opid: ++this.last };
    this.entries.set(request.opid, { request, matrices: new Map(), seq: null });
    return request;
  }

  /** The server's echo; true if it was ours and not known yet. */
  confirm(opid: number, seq: number): boolean {
    const entry = this.entries.get(opid);
    if (!entry || entry.seq !== null) return false;
    if (entry.matrices.size === 0) this.entries.delete(opid);
    else entry.seq = seq;
    return true;
  }

  /** The server said no: what it refused, or undefined. */
  refuse(opid: number): Request | undefined {
    const entry = this.entries.get(opid);
    this.entries.delete(opid);
    return entry?.request;
  }

  /** The scene now holds everything up to ``seq``; returns the paths whose overlay ended. */
  applied(seq: number): string[] {
    const freed: string[] = [];
    for (const [opid, entry] of this.entries) {
      if (entry.seq !== null && entry.seq <= seq) {
        freed.push(...entry.matrices.keys());
        this.entries.delete(opid);
      }
    }
    return freed;
  }

  /** What must be sent again after a reconnect, oldest first; the server knows those that it has by their opid. */
  unconfirmed(): Request[] {
    return [...this.entries.values()].filter((e) => e.seq === null).map((e) => e.request);
  }

  /** Give all up: the session is another one, so sending again could apply them twice. Returns what was not confirmed. */
  abandon(): Request[] {
    const lost = this.unconfirmed();
    this.entries.clear();
    return lost;
  }

  /** Prims that unconfirmed edits are about. */
  paths(): Set<string> {
    return new Set(this.unconfirmed().flatMap((r) => (r.t === "edit" ? r.txn.map((op) => op.path) : [])));
  }

  /** Prims have other names now: what lies over the scene goes along. */
  moved(now: (path: string) => string): void {
    for (const entry of this.entries.values()) entry.matrices = new Map([...entry.matrices].map(([path, matrix]) => [now(path), matrix]));
  }

  /** Local matrix (16, row-major) that a pending edit gives to a prim; the newest wins. */
  matrix(path: string): number[] | undefined {
    let found: number[] | undefined;
    for (const entry of this.entries.values()) found = entry.matrices.get(path) ?? found;
    return found;
  }

  get size(): number {
    return this.unconfirmed().length;
  }
}
