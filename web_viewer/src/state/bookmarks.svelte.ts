/** Views and moments that people want to find again, shared by all who work on the project. */
import * as net from "../net/attention";
import { msOfNs } from "../net/http";
import type { Viewpoint } from "../viewer/camera";

export interface Bookmark {
  id: number;
  name: string;
  user: string;
  /** Moment [ms UTC]; null: none. */
  time: number | null;
  view: Viewpoint | null;
}

export function bookmarkOf(row: net.BookmarkRow): Bookmark {
  const { id, text, user, camera } = row;
  const view = camera.length === 6 ? { position: camera.slice(0, 3), target: camera.slice(3) } : null;
  return { id, name: text, user, time: msOfNs(row.time_ns) || null, view };
}

/** "View 3": the first number that none of ``taken`` has. */
export function freeName(stem: string, taken: readonly { name: string }[]): string {
  let n = taken.length + 1;
  while (taken.some((b) => b.name === `${stem} ${n}`)) n++;
  return `${stem} ${n}`;
}

/** What of the session bookmarks need. */
interface Crew {
  readonly me: { session: string; role: string } | null;
  problem(text: string): void;
}

export class Bookmarks {
  list = $state.raw<Bookmark[]>([]);

  constructor(private readonly crew: Crew) {}

  get views(): Bookmark[] {
    return this.list.filter((b) => b.view !== null && b.time === null);
  }

  get moments(): Bookmark[] {
    return this.list.filter((b) => b.time !== null);
  }

  get may(): boolean {
    return this.crew.me !== null && this.crew.me.role !== "viewer";
  }

  changed(): void {
    void this.try(async () => (this.list = (await net.getBookmarks()).map(bookmarkOf)));
  }

  /** Keep a view, or a moment [ms UTC] with what is seen of it; null where it was refused. */
  async add(view: Viewpoint | null, time: number | null = null): Promise<Bookmark | null> {
    if (!this.may) {
      this.crew.problem("As viewer you can go to bookmarks, but not keep new ones: they are everybody's.");
      return null;
    }
    const text = time === null ? freeName("View", this.views) : freeName("Mark", this.moments);
    const camera = view ? [...view.position, ...view.target] : [];
    let made: Bookmark | null = null;
    await this.try(async () => {
      made = bookmarkOf(await net.addBookmark({ text, time_ns: Math.round((time ?? 0) * 1e6), camera, session: this.crew.me?.session ?? "" }));
      this.list = [...this.list.filter((b) => b.id !== made?.id), made].sort((a, b) => (a.time ?? 0) - (b.time ?? 0) || a.id - b.id);
    });
    return made;
  }

  rename(bookmark: Bookmark, name: string): Promise<void> {
    return this.try(async () => {
      if (name.trim() && name.trim() !== bookmark.name) await net.renameBookmark(bookmark.id, name.trim());
    });
  }

  remove(bookmark: Bookmark): Promise<void> {
    return this.try(() => net.deleteBookmark(bookmark.id));
  }

  private async try(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.crew.problem(error instanceof Error ? error.message : String(error));
    }
  }
}
