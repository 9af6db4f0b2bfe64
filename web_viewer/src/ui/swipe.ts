/** A panel that a finger pushes out at its side. */

export interface Swipe {
  to: "left" | "right";
  on: boolean;
  done: () => void;
}

/** So far a finger goes along before it is a swipe, and more than twice as far as across [px]. */
const FAR_PX = 60;

/** Whether a finger that went by (dx, dy) [px] has swiped to a side. */
export const swiped = (to: Swipe["to"], dx: number, dy: number): boolean => (to === "left" ? -dx : dx) >= FAR_PX && Math.abs(dx) > 2 * Math.abs(dy);

/** For ``use:``; fields and lists that are scrolled along keep the finger. */
export function swipe(node: HTMLElement, options: Swipe) {
  let from: { x: number; y: number } | null = null;
  const keeps = (target: EventTarget | null): boolean => {
    for (let e = target instanceof Element ? target : null; e && e !== node; e = e.parentElement) {
      if (e.matches("input, textarea, select") || e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === "auto") return true;
    }
    return false;
  };
  const start = (event: TouchEvent) => {
    const [touch] = event.touches;
    from = options.on && event.touches.length === 1 && !keeps(event.target) ? { x: touch.clientX, y: touch.clientY } : null;
  };
  const end = (event: TouchEvent) => {
    const [touch] = event.changedTouches;
    if (from && swiped(options.to, touch.clientX - from.x, touch.clientY - from.y)) options.done();
    from = null;
  };
  node.addEventListener("touchstart", start, { passive: true });
  node.addEventListener("touchend", end, { passive: true });
  return {
    update(next: Swipe) {
      options = next;
    },
    destroy() {
      node.removeEventListener("touchstart", start);
      node.removeEventListener("touchend", end);
    },
  };
}
