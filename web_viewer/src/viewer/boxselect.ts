/** Selecting with a rectangle: rightwards what lies within it, leftwards what it touches. */
import * as THREE from "three";
import { corners } from "./framing";

export interface Rect {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The rectangle between two points of the screen, and whether it was drawn leftwards. */
export function rectOf(from: { x: number; y: number }, to: { x: number; y: number }): Rect & { touching: boolean } {
  return {
    left: Math.min(from.x, to.x),
    right: Math.max(from.x, to.x),
    top: Math.min(from.y, to.y),
    bottom: Math.max(from.y, to.y),
    touching: to.x < from.x,
  };
}

/** What a box covers on the screen; null where a part of it is behind the camera. */
export function screenRect(box: THREE.Box3, toScreen: (p: THREE.Vector3) => { x: number; y: number } | null): Rect | null {
  const rect: Rect = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (const corner of corners(box)) {
    const at = toScreen(corner);
    if (!at) return null;
    rect.left = Math.min(rect.left, at.x);
    rect.right = Math.max(rect.right, at.x);
    rect.top = Math.min(rect.top, at.y);
    rect.bottom = Math.max(rect.bottom, at.y);
  }
  return rect;
}

export function takes(drawn: Rect & { touching: boolean }, thing: Rect): boolean {
  if (drawn.touching) return thing.left < drawn.right && thing.right > drawn.left && thing.top < drawn.bottom && thing.bottom > drawn.top;
  return thing.left >= drawn.left && thing.right <= drawn.right && thing.top >= drawn.top && thing.bottom <= drawn.bottom;
}
