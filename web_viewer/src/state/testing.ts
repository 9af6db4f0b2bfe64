/** A small handle for tests and for the curious at the console. */
import type { Commands } from "./commands";
import type { Viewport } from "../viewer/viewport";
import type { PrimNode } from "./scene.svelte";
import type { Session } from "./session.svelte";

export interface TwinHandle {
  /** Scene drawn, connection up. */
  readonly ready: boolean;
  readonly seq: number;
  readonly selected: string | null;
  /** Paths of all prims as the stage tree lists them. */
  readonly tree: string[];
  readonly session: string;
  readonly simTime: number;
  /** "live", or where the time bar stands [ms UTC]. */
  readonly moment: "live" | number;
  /** Look at a moment [ms UTC]. */
  seek(time: number): void;
  /** Nothing of the moment that is looked at is still being fetched. */
  readonly settled: boolean;
  /** Looking back: the edit after which the shown scene stands; null where it is that of now. */
  readonly editThen: number | null;
  /** Looking back: moment [ms UTC] and values by signal, as the panels show them. */
  valuesThen(): { at: number; values: Record<string, number | string | boolean | null> };
  /** Goods that are drawn now. */
  goodsVisible(): number;
  /** The goods that are drawn: by slot what, position [m] and rotation (xyzw). */
  goods(): Record<number, { prototype: string; pose: number[] }>;
  select(path: string): void;
  /** World position [m] and rotation (xyzw) at which a prim is shown, stage axes; null if there is no such prim. */
  pose(path: string): { position: number[]; rotation: number[] } | null;
  /** Where a prim's origin is on the screen [px of the page]; null if there is no such prim. */
  screen(path: string): { x: number; y: number } | null;
  /** The picture itself; null where there is none. */
  readonly viewport: Viewport | null;
}

declare global {
  interface Window {
    __twin: TwinHandle;
  }
}

export function exposeForTests(session: Session, commands: Commands): void {
  window.__twin = {
    get ready() {
      return session.phase === "ready" && session.link === "open" && (commands.viewport?.ready ?? false);
    },
    get seq() {
      return session.scene.seq;
    },
    get selected() {
      return session.scene.primary;
    },
    get tree() {
      const below = (nodes: PrimNode[]): string[] => nodes.flatMap((node) => [node.path, ...below(node.children)]);
      return below(session.scene.roots);
    },
    get session() {
      return session.me?.session ?? "";
    },
    get simTime() {
      return session.live.clock?.sim_time ?? 0;
    },
    get moment() {
      return session.replay.active ? session.replay.cursor : "live";
    },
    seek: (time) => session.replay.seek(time),
    get settled() {
      const { replay, then, valuesThen } = session;
      return !replay.active || (!replay.loading && replay.drawnAt === replay.cursor && then.look(replay.cursor) && valuesThen.at === replay.cursor);
    },
    get editThen() {
      return session.then.seq;
    },
    valuesThen: () => ({ at: session.valuesThen.at, values: Object.fromEntries([...session.valuesThen.latest].map(([key, v]) => [key, v.value])) }),
    goods: () => {
      const { goods, prototype } = session.poses;
      return Object.fromEntries([...prototype.keys()].filter((i) => prototype[i] > 0).map((i) => [i, { prototype: session.prototypes[prototype[i] - 1], pose: [...goods.subarray(7 * i, 7 * i + 7)] }]));
    },
    goodsVisible: () => session.poses.visibleGoods,
    select: (path) => session.scene.select([path]),
    pose: (path) => commands.viewport?.pose(path) ?? null,
    get viewport() {
      return commands.viewport;
    },
    screen: (path) => commands.viewport?.screenOf(path) ?? null,
  };
}
