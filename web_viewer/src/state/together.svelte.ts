/** Working with others: versions, proposals, comments, who is working on what, and edits that did not get through. */
import { msOfNs } from "../net/http";
import type { Request } from "../net/pending";
import * as net from "../net/together";
import type { CommentDoc, Edited, Op, RuleDoc } from "../protocol/messages.gen";
import type { Session } from "./session.svelte";

const HOLD_MS = 4000;
/** A queue of edits that outlives a reload of the page; the tab's own. */
const KEPT = "twin.unsent";

interface Kept {
  session: string;
  epoch: string;
  edits: { txn: Op[]; label: string }[];
}

export interface Thread {
  first: net.Comment;
  answers: net.Comment[];
}

/** Whether a prim is no longer where it was. */
function takesAway(op: Op): boolean {
  return op.kind === "remove_prim" || op.kind === "move_prim" || (op.kind === "set_metadata" && op.field === "active" && op.value === false);
}

export class Together {
  versions = $state.raw<net.Version[]>([]);
  proposals = $state.raw<net.Proposal[]>([]);
  comments = $state.raw<net.Comment[]>([]);
  rules = $state.raw<RuleDoc[]>([]);
  /** Edits of before a reload that nobody confirmed, for the person to decide about. */
  unsent = $state.raw<{ txn: Op[]; label: string }[]>([]);

  private held = new Map<string, ReturnType<typeof setTimeout>>();
  private warned = new Set<string>();

  constructor(private readonly session: Session) {}

  get threads(): Thread[] {
    const threads = new Map<number, Thread>();
    for (const c of this.comments) if (c.parent === 0) threads.set(c.id, { first: c, answers: [] });
    for (const c of this.comments) threads.get(c.parent)?.answers.push(c);
    return [...threads.values()].reverse();
  }

  get openThreads(): number {
    return this.comments.filter((c) => c.parent === 0 && msOfNs(c.resolved_ns) === 0).length;
  }

  /** Fetch what is not told by the socket. */
  open(): void {
    for (const what of ["versions", "proposals", "comments", "rules"]) this.changed(what);
    void this.try(async () => {
      const past = await net.getActivity(Number.MAX_SAFE_INTEGER);
      const known = new Set(this.session.activity.map((a) => a.seq));
      const older = past
        .filter((e) => !known.has(e.seq))
        .map((e) => ({ key: `${e.seq}`, seq: e.seq, time: msOfNs(e.time_ns), user: e.session === this.session.me?.session ? "You" : e.user, color: "", kind: e.kind, label: e.label, paths: [] }));
      this.session.activity = [...this.session.activity, ...older].sort((a, b) => b.seq - a.seq);
    });
  }

  changed(what: string): void {
    void this.try(async () => {
      if (what === "versions") this.versions = await net.getVersions();
      else if (what === "proposals") this.proposals = await net.getProposals();
      else if (what === "comments") this.comments = await net.getComments();
      else if (what === "rules") this.rules = await net.getRules();
      else if (what === "library") await this.session.refetch();
    });
  }

  commented(comment: CommentDoc): void {
    const known = this.comments.some((c) => c.id === comment.id);
    const others = this.comments.filter((c) => c.id !== comment.id);
    this.comments = comment.deleted ? others : [...others, comment].sort((a, b) => a.id - b.id);
    if (!known && !comment.deleted && comment.user !== this.session.me?.name) {
      this.session.ui.toast("info", `${comment.user}: ${comment.text}`, comment.path);
    }
  }

  /** Do something that may be refused; true if it was done. */
  async try(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.session.ui.toast("error", error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  // ---- who works on what: advice, not locks

  /** We work on these: said for a few seconds after each touch. */
  hold(paths: string[]): void {
    for (const path of paths) {
      const other = this.session.users.find((u) => u.holding.some((h) => h === path || h.startsWith(`${path}/`) || path.startsWith(`${h}/`)));
      if (other && !this.warned.has(path)) {
        this.warned.add(path);
        setTimeout(() => this.warned.delete(path), 10_000);
        this.session.ui.toast("info", `${other.name} is working on this too: the later change counts.`, path);
      }
      clearTimeout(this.held.get(path));
      this.held.set(path, setTimeout(() => this.letGo(path), HOLD_MS));
    }
    this.session.present({ holding: [...this.held.keys()] });
  }

  private letGo(path: string): void {
    this.held.delete(path);
    this.session.present({ holding: [...this.held.keys()] });
  }

  // ---- edits that did not get through as they were meant

  /** Somebody else has edited: what of it would surprise us. */
  told(message: Edited): void {
    const { ui, scene } = this.session;
    this.overtaken(message);
    if (message.kind === "merge" || message.kind === "restore") ui.toast("info", `${message.user}: ${message.label}`);
    const selected = scene.primary;
    if (!selected) return;
    const of = message.txn.find((op) => takesAway(op) && (selected === op.path || selected.startsWith(`${op.path}/`)));
    if (of?.kind === "move_prim") ui.toast("info", `${message.user} has moved or renamed what you have selected.`, String(of.value));
    else if (of) ui.toast("info", `${message.user} has taken away what you had selected.`, of.path);
  }

  /** Somebody else's edit came first where one of ours is still on its way. */
  private overtaken(message: Edited): void {
    const mine = this.session.pending.paths();
    // of what was taken away the refusal tells
    const both = [...new Set(message.txn.filter((op) => !takesAway(op)).map((op) => op.path))].filter((path) => mine.has(path));
    if (both.length > 0) this.session.ui.toast("info", `${message.user} has just changed this as well; yours comes after it.`, both[0]);
  }

  refused(request: Request | undefined, why: string, path: string): void {
    const what = request?.t === "edit" && request.label ? `"${request.label}" was refused: ${why}` : why.charAt(0).toUpperCase() + why.slice(1);
    this.session.ui.toast("error", what, path);
  }

  /** Edits of a session or epoch that is gone may or may not have arrived: only the person can say. */
  offerAgain(lost: Request[]): void {
    this.unsent = [...this.unsent, ...lost.flatMap((r) => (r.t === "edit" ? [{ txn: r.txn, label: r.label ?? "" }] : []))];
    this.remind();
    this.keep();
  }

  private remind(): void {
    if (this.unsent.length === 0) return;
    const names = this.unsent.map((e) => e.label || "an edit").join(", ");
    this.session.ui.toast("warning", `Not confirmed by the server, look before you apply it again: ${names}`, "", {
      label: "Apply again",
      run: () => this.applyAgain(),
    });
  }

  applyAgain(): void {
    const edits = this.unsent;
    this.unsent = [];
    for (const e of edits) this.session.edit(e.txn, e.label);
    this.keep();
  }

  dropUnsent(): void {
    this.unsent = [];
    this.keep();
  }

  /** What is not confirmed yet survives a reload of this tab. */
  keep(): void {
    const { me, pending } = this.session;
    if (!me) return;
    const waiting = pending.unconfirmed().flatMap((r) => (r.t === "edit" ? [{ txn: r.txn, label: r.label ?? "" }] : []));
    const edits = [...this.unsent, ...waiting];
    if (edits.length === 0) return this.kept(null);
    try {
      this.kept(JSON.stringify({ session: me.session, epoch: me.epoch, edits } satisfies Kept));
    } catch {
      // A browser keeps five million characters or so for a page: it goes on without, and says so where that lasts.
      this.kept(null);
      this.tooMuch ??= setTimeout(() => {
        this.tooMuch = undefined;
        if (this.session.pending.size > 0) this.session.ui.toast("warning", "So much is not sent yet that it would be lost with this tab: leave it open until it is.");
      }, 2000);
    }
  }
  private tooMuch: ReturnType<typeof setTimeout> | undefined;

  private kept(text: string | null): void {
    if (text === null) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, text);
  }

  /** After a reload: what was waiting then is offered, never sent unasked. */
  keepOver(first: boolean): void {
    const text = first ? sessionStorage.getItem(KEPT) : null;
    if (!text) return;
    const kept = JSON.parse(text) as Kept;
    // A duplicated tab brings this along as well, but is another session.
    if (kept.session === this.session.me?.session) this.unsent = kept.edits;
    this.remind();
  }
}
