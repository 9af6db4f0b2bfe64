/**
 * The scene as the edits had it at the moment that the time bar shows.
 *
 * While nobody has edited since that moment the scene of now is the one of then, and nothing is loaded.
 */
import { getEditsAt, getPastScene, msOfNs } from "../net/http";
import type { SceneDoc } from "../protocol/messages.gen";

/** Where a scene is shown. */
export interface Shelf {
  show(doc: SceneDoc): void;
  /** Show the scene of now again. */
  showNow(): void;
  problem(text: string): void;
}

export class Then {
  /** The edit after which the shown scene stands; null: the scene of now. */
  seq: number | null = null;
  bodies: string[] = [];
  prototypes: string[] = [];
  /** From when until when the edits stood as they are known [ms UTC]. */
  private from = 0;
  private until = 0;
  private asking = false;
  private wanted: number | null = null;

  constructor(private readonly shelf: Shelf) {}

  /** Have the scene of ``time`` [ms UTC] shown, as soon as it is there; whether it is. */
  look(time: number): boolean {
    if (time >= this.from && time < this.until) return true;
    this.wanted = time;
    if (!this.asking) void this.ask();
    return false;
  }

  /** Somebody has edited, just now [ms UTC]. */
  edited(time: number): void {
    if (this.until === Infinity) this.until = time;
  }

  leave(): void {
    this.from = this.until = 0;
    this.wanted = null;
    if (this.seq === null) return;
    this.seq = null;
    this.shelf.showNow();
  }

  private async ask(): Promise<void> {
    this.asking = true;
    try {
      while (this.wanted !== null) {
        const time: number = this.wanted;
        const held = await getEditsAt(time);
        const now = held.until_ns === "0";
        const target = now ? null : held.seq;
        const doc = target !== null && target !== this.seq ? await getPastScene(target) : null;
        if (this.wanted === null) break; // gone live meanwhile
        [this.from, this.until] = [msOfNs(held.from_ns), now ? Infinity : msOfNs(held.until_ns)];
        if (doc) {
          this.seq = doc.seq;
          this.bodies = tableOf(doc);
          this.prototypes = doc.prototypes.map((p) => p.path);
          this.shelf.show(doc);
        } else if (now && this.seq !== null) {
          this.seq = null;
          this.shelf.showNow();
        }
        if (this.wanted === time) this.wanted = null;
      }
    } catch (error) {
      this.wanted = null;
      this.shelf.problem(`The edits of that moment cannot be shown: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.asking = false;
  }
}

/** Paths by body id. */
function tableOf(doc: SceneDoc): string[] {
  const table: string[] = [];
  for (const prim of doc.prims) if (prim.body !== undefined && prim.body >= 0) table[prim.body] = prim.path;
  return Array.from(table, (path) => path ?? "");
}
