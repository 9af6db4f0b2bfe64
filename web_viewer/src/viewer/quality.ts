/** How much picture this machine can afford: steps down when frames are late, up again when there is time to spare. */
import type * as THREE from "three";

export interface Level {
  /** Upper bound of the pixel ratio. */
  ratio: number;
  shadowSize: number;
  /** Shadows are redrawn every so many frames; 0: only when the scene changes, and what moves has a soft spot under it instead. */
  shadowEvery: number;
  /** Light without reflections, and hard shadows. */
  plain: boolean;
}

const LEVELS: Level[] = [
  { ratio: 2, shadowSize: 4096, shadowEvery: 1, plain: false },
  { ratio: 1.25, shadowSize: 2048, shadowEvery: 1, plain: false },
  { ratio: 1, shadowSize: 2048, shadowEvery: 3, plain: false },
  { ratio: 1, shadowSize: 2048, shadowEvery: 0, plain: true },
  { ratio: 0.75, shadowSize: 1024, shadowEvery: 0, plain: true },
];
/** Where a processor draws, the page around the picture needs it, too. */
const SOFTWARE_INTERVAL_MS = 33;
const SOFTWARE_LEVEL = 3;
const LATE_MS = 42;
const EARLY_MS = 19;
const JUDGED_OVER = 24;
/** After stepping down, wait this long before trying more again [ms]; twice as long each time that more was too much. */
const PATIENCE_MS = 20_000;
/** Late within this time of having stepped up [ms], and more was too much. */
const TRIAL_MS = 10_000;

/** True where the graphics are computed by the processor. */
export function isSoftware(context: WebGL2RenderingContext | WebGLRenderingContext): boolean {
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

/** What the last page in this browser found, so that the next one need not ask a context of its own, which takes long. */
const REMEMBERED = "twin.graphics";

/** True where the graphics are computed by the processor, as far as is known before the picture has a context. */
export function expectSoftware(): boolean {
  const known = localStorage.getItem(REMEMBERED);
  if (known) return known === "software";
  const probe = document.createElement("canvas").getContext("webgl2");
  if (!probe) throw new Error("This browser offers no WebGL 2, so the 3D view cannot be shown.");
  const software = isSoftware(probe);
  probe.getExtension("WEBGL_lose_context")?.loseContext();
  rememberGraphics(software);
  return software;
}

export function rememberGraphics(software: boolean): void {
  localStorage.setItem(REMEMBERED, software ? "software" : "card");
}

export class Quality {
  private index: number;
  private readonly first: number;
  private frames = 0;
  private late = 0;
  private early = 0;
  private steppedDown = -Infinity;
  private steppedUp = -Infinity;
  private patience = PATIENCE_MS;

  /** ``choice``: "best" and "fast" stay as they are, "auto" follows the frames. */
  constructor(
    readonly software: boolean,
    readonly choice: "auto" | "best" | "fast" = "auto",
  ) {
    this.first = software ? SOFTWARE_LEVEL : 0;
    this.index = { auto: software ? SOFTWARE_LEVEL : 1, best: software ? 1 : 0, fast: software ? LEVELS.length - 1 : SOFTWARE_LEVEL }[choice];
  }

  get level(): Level {
    return LEVELS[this.index];
  }

  /** Least time between frames [ms]. */
  get interval(): number {
    return this.software ? SOFTWARE_INTERVAL_MS : 0;
  }

  /** Smooth edges cost a processor half as much again. */
  get antialias(): boolean {
    return !this.level.plain;
  }

  ratio(): number {
    return Math.min(window.devicePixelRatio || 1, this.level.ratio);
  }

  /** Judge a frame by the time since the one before it, both part of one motion; true if the level changed. */
  measure(elapsed: number, now: number): boolean {
    if (this.choice !== "auto") return false;
    const spare = this.interval;
    this.frames++;
    if (elapsed > LATE_MS + 2.2 * spare) this.late++;
    else if (elapsed < EARLY_MS + spare) this.early++;
    if (this.frames < JUDGED_OVER) return false;
    const { late, early } = this;
    this.frames = this.late = this.early = 0;
    if (late > JUDGED_OVER / 2 && this.index < LEVELS.length - 1) {
      this.index++;
      // a picture that changes its looks forth and back is worse than a plain one
      this.patience = now - this.steppedUp < TRIAL_MS ? 2 * this.patience : PATIENCE_MS;
      this.steppedDown = now;
      return true;
    }
    if (early > JUDGED_OVER * 0.9 && this.index > this.first && now - this.steppedDown > this.patience) {
      this.index--;
      this.steppedUp = now;
      return true;
    }
    return false;
  }

  apply(renderer: THREE.WebGLRenderer): void {
    renderer.setPixelRatio(this.ratio());
  }
}
