/** How much picture this machine can afford: steps down when frames are late, up again when there is time to spare. */
import type * as THREE from "three";

export interface Level {
  /** Upper bound of the pixel ratio. */
  ratio: number;
  shadowSize: number;
  /** Shadows are redrawn every so many frames; 0: only when the scene changes, and what moves casts none. */
  shadowEvery: number;
  /** Least time between frames [ms]. */
  interval: number;
}

const LEVELS: Level[] = [
  { ratio: 2, shadowSize: 4096, shadowEvery: 1, interval: 0 },
  { ratio: 1.25, shadowSize: 2048, shadowEvery: 1, interval: 0 },
  { ratio: 1, shadowSize: 2048, shadowEvery: 3, interval: 16 },
  { ratio: 1, shadowSize: 2048, shadowEvery: 2, interval: 50 },
  { ratio: 0.75, shadowSize: 1024, shadowEvery: 0, interval: 90 },
];
const SOFTWARE_LEVEL = 3;
const LATE_MS = 42;
const EARLY_MS = 19;
const JUDGED_OVER = 24;
/** After stepping down, wait this long before trying more again [ms]. */
const PATIENCE_MS = 20_000;

/** True where the graphics are computed by the processor. */
export function isSoftware(context: WebGL2RenderingContext | WebGLRenderingContext): boolean {
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER));
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

export class Quality {
  private index: number;
  private readonly first: number;
  private frames = 0;
  private late = 0;
  private early = 0;
  private steppedDown = -Infinity;

  constructor(readonly software: boolean) {
    this.first = software ? SOFTWARE_LEVEL : 0;
    this.index = this.software ? SOFTWARE_LEVEL : 1;
  }

  get level(): Level {
    return LEVELS[this.index];
  }

  ratio(): number {
    return Math.min(window.devicePixelRatio || 1, this.level.ratio);
  }

  /** Judge a frame by the time since the one before it, both part of one motion; true if the level changed. */
  measure(elapsed: number, now: number): boolean {
    const spare = this.level.interval;
    this.frames++;
    if (elapsed > LATE_MS + 2.2 * spare) this.late++;
    else if (elapsed < EARLY_MS + spare) this.early++;
    if (this.frames < JUDGED_OVER) return false;
    const { late, early } = this;
    this.frames = this.late = this.early = 0;
    if (late > JUDGED_OVER / 2 && this.index < LEVELS.length - 1) {
      this.index++;
      this.steppedDown = now;
      return true;
    }
    if (early > JUDGED_OVER * 0.9 && this.index > this.first && now - this.steppedDown > PATIENCE_MS) {
      this.index--;
      return true;
    }
    return false;
  }

  apply(renderer: THREE.WebGLRenderer): void {
    renderer.setPixelRatio(this.ratio());
  }
}
