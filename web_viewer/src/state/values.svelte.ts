/** What the signals said at the moment that the time bar shows. */
import { getValuesAt } from "../net/http";
import { signalKey } from "./live.svelte";

/** Asked for at most so often [ms]. */
const EVERY_MS = 200;

export interface ValueThen {
  value: number | string | boolean | null;
  quality: number;
  /** [ms UTC] */
  time: number;
  origin: string;
}

export class ValuesThen {
  /** By signal; of the moment ``at``. */
  latest = $state.raw<ReadonlyMap<string, ValueThen>>(new Map());
  /** [ms UTC] */
  at = $state(0);
  private asked = -1;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly problem: (text: string) => void) {}

  look(time: number): void {
    this.asked = time;
    this.timer ??= setTimeout(() => void this.ask(), this.at === 0 ? 0 : EVERY_MS);
  }

  leave(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asked = -1;
    this.at = 0;
    this.latest = new Map();
  }

  private async ask(): Promise<void> {
    const time = this.asked;
    try {
      const rows = await getValuesAt(time);
      if (this.asked >= 0) {
        this.latest = new Map(rows.map((r) => [signalKey(r.prim, r.name), { value: r.value, quality: r.quality, time: Number(r.time_ns) / 1e6, origin: r.origin }]));
        this.at = time;
      }
    } catch (error) {
      this.problem(`The values of that moment are not known: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.timer = undefined;
    if (this.asked >= 0 && this.asked !== time) this.look(this.asked);
  }
}
