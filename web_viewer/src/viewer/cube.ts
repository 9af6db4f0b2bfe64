/** The cube in the corner that shows, and changes, from where one looks. */

export type Vec = readonly [number, number, number];

export interface CubeFace {
  name: string;
  /** Direction towards the viewer of somebody who looks at this face, stage axes. */
  direction: Vec;
  /** Corners on the screen, x right, y down, of a cube with half edge 1. */
  polygon: [number, number][];
  /** Unit steps along the text's line and down, on the screen. */
  right: [number, number];
  down: [number, number];
  /** How much it faces the viewer, 0 to 1. */
  facing: number;
}

export interface CubeCorner {
  direction: Vec;
  at: [number, number];
  depth: number;
}

/** A direction as the camera sees it: turned by the inverse of its rotation (xyzw). */
export function seen([x, y, z]: Vec, rotation: readonly number[]): Vec {
  const [qx, qy, qz, qw] = [-rotation[0], -rotation[1], -rotation[2], rotation[3]];
  const tx = 2 * (qy * z - qz * y);
  const ty = 2 * (qz * x - qx * z);
  const tz = 2 * (qx * y - qy * x);
  return [x + qw * tx + qy * tz - qz * ty, y + qw * ty + qz * tx - qx * tz, z + qw * tz + qx * ty - qy * tx];
}

const cross = (a: Vec, b: Vec): Vec => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

/** Faces by name: the direction they look, and which way is up on them. */
function faces(zUp: boolean): { name: string; direction: Vec; up: Vec }[] {
  // Named in the plan of a hall: its front is where Y (Z where Y is up) is least (greatest).
  const turn = ([x, y, z]: Vec): Vec => (zUp ? [x, y, z] : [x, z, -y]);
  return [
    { name: "Top", direction: turn([0, 0, 1]), up: turn([0, 1, 0]) },
    { name: "Bottom", direction: turn([0, 0, -1]), up: turn([0, -1, 0]) },
    { name: "Front", direction: turn([0, -1, 0]), up: turn([0, 0, 1]) },
    { name: "Back", direction: turn([0, 1, 0]), up: turn([0, 0, 1]) },
    { name: "Right", direction: turn([1, 0, 0]), up: turn([0, 0, 1]) },
    { name: "Left", direction: turn([-1, 0, 0]), up: turn([0, 0, 1]) },
  ];
}

/** The faces that are seen, the one that faces the viewer most last. */
export function cubeFaces(rotation: readonly number[], zUp: boolean): CubeFace[] {
  return faces(zUp)
    .map(({ name, direction, up }) => {
      const side = cross(up, direction);
      const [n, u, s] = [seen(direction, rotation), seen(up, rotation), seen(side, rotation)];
      const corner = (a: number, b: number): [number, number] => [n[0] + a * s[0] + b * u[0], -(n[1] + a * s[1] + b * u[1])];
      return {
        name,
        direction,
        polygon: [corner(-1, 1), corner(1, 1), corner(1, -1), corner(-1, -1)],
        right: [s[0], -s[1]] as [number, number],
        down: [-u[0], u[1]] as [number, number],
        facing: n[2],
      };
    })
    .filter((face) => face.facing > 0.02)
    .sort((a, b) => a.facing - b.facing);
}

/** The corners that are seen. */
export function cubeCorners(rotation: readonly number[]): CubeCorner[] {
  const out: CubeCorner[] = [];
  for (const x of [-1, 1]) {
    for (const y of [-1, 1]) {
      for (const z of [-1, 1]) {
        const p = seen([x, y, z], rotation);
        if (p[2] > 0.3) out.push({ direction: [x, y, z], at: [p[0], -p[1]], depth: p[2] });
      }
    }
  }
  return out;
}
