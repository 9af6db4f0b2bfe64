/** Where goods leave a node, so that the next machine can be set down there: belts end to end. */
import type { Op } from "../protocol/messages.gen";

/** Place and direction of travel; ``at`` is where the next part's origin goes. Z up. */
export interface Exit {
  at: number[];
  along: number[];
}

/** End of the curve that goods follow; the next part stands as high above or below as the curve climbs. */
export function exitOfCurve(points: number[][]): Exit | null {
  const last = points.at(-1);
  const before = points.at(-2);
  if (!last || !before) return null;
  return { at: [last[0], last[1], last[2] - points[0][2]], along: [last[0] - before[0], last[1] - before[1], 0] };
}

/** End of a straight node that runs along +X: the far side of its zone, a box of ``size`` under ``matrix`` (row vectors). */
export function exitOfZone(matrix: number[], size: number[]): Exit {
  const reach = [0, 1, 2].reduce((sum, row) => sum + Math.abs(matrix[4 * row]) * (size[row] ?? 1) * 0.5, 0);
  return { at: [matrix[12] + reach, matrix[13], 0], along: [1, 0, 0] };
}

/** An exit in the coordinates of the node's parent; the turn about Z in degrees. */
export function placedAt(exit: Exit, matrix: number[]): { translate: number[]; turn: number } {
  const turned = (v: number[], w: number) => [0, 1, 2].map((i) => v[0] * matrix[i] + v[1] * matrix[4 + i] + v[2] * matrix[8 + i] + w * matrix[12 + i]);
  const tidy = (v: number) => Math.round(v * 1e4) / 1e4 + 0;
  const along = turned(exit.along, 0);
  // Curves are drawn with straight pieces: their last one is a little off the true direction.
  const turn = Math.round((Math.atan2(along[1], along[0]) * 180) / Math.PI / 5) * 5;
  return { translate: turned(exit.at, 1).map(tidy), turn: turn + 0 };
}

/** Operations that put a node of the library behind another one, and ahead of what followed it. */
export function joinOps(path: string, add: Op, node: string, after: string, followers: string[], place: { translate: number[]; turn: number }): Op[] {
  const ops: Op[] = [
    add,
    { kind: "set_field", path, field: "xformOp:translate", value: ["double3", place.translate] },
    { kind: "set_field", path, field: "xformOp:rotateXYZ", value: ["float3", [0, 0, place.turn]] },
    { kind: "set_relationship", path: after, field: "twin:next", value: [path] },
  ];
  if (node !== "sink" && followers.length > 0) ops.push({ kind: "set_relationship", path, field: "twin:next", value: followers });
  return ops;
}
