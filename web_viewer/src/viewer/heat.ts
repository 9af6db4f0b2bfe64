/** A heat map: prims are covered with a colour that tells a value. */
import * as THREE from "three";
import type { World } from "./world";

export interface HeatMap {
  title: string;
  /** By prim path. */
  values: ReadonlyMap<string, number>;
  low: number;
  high: number;
  unit: string;
  /** What values are multiplied by when they are shown. */
  scale: number;
  /** A prim that its label points out, and in which words. */
  mark?: { path: string; text: string };
}

/** Blue, green, yellow, red: lightness rises and falls with the value, so that it reads without colour, too. */
const STOPS: [number, THREE.Color][] = [
  [0, new THREE.Color(0x2c5fc9)],
  [0.4, new THREE.Color(0x1fb5a3)],
  [0.7, new THREE.Color(0xf2c230)],
  [1, new THREE.Color(0xe2342f)],
];
export const HEAT_CSS = `linear-gradient(90deg, ${STOPS.map(([at, c]) => `#${c.getHexString()} ${at * 100}%`).join(", ")})`;

export function heatColor(share: number): THREE.Color {
  const s = Math.min(1, Math.max(0, share));
  const next = Math.max(1, STOPS.findIndex(([at]) => at >= s));
  const [a, from] = STOPS[next - 1];
  const [b, to] = STOPS[next];
  return from.clone().lerp(to, (s - a) / (b - a));
}

export class Heat {
  readonly root = new THREE.Group();
  private readonly made = new Map<string, { material: THREE.MeshLambertMaterial; meshes: THREE.InstancedMesh[] }>();

  constructor(private readonly world: World) {
    this.root.matrixAutoUpdate = false;
  }

  /** Cover prims; null uncovers them. ``anew``: the meshes under the covers may be others now. */
  show(map: HeatMap | null, anew = true): void {
    for (const [path, { material, meshes }] of [...this.made]) {
      if (map?.values.has(path) && !anew) continue;
      for (const mesh of meshes) {
        this.root.remove(mesh);
        mesh.dispose();
      }
      material.dispose();
      this.made.delete(path);
    }
    if (!map) return;
    for (const [path, value] of map.values) {
      const color = heatColor((value - map.low) / (map.high - map.low || 1));
      const known = this.made.get(path);
      if (known) known.material.color.copy(color);
      else this.made.set(path, this.cover(path, color));
    }
  }

  private cover(path: string, color: THREE.Color) {
    const material = new THREE.MeshLambertMaterial({
      color,
      transparent: true,
      opacity: 0.82,
      depthWrite: false,
      polygonOffset: true,
      polygonOffsetFactor: -2,
      polygonOffsetUnits: -2,
    });
    const shapes = new Map<THREE.BufferGeometry, THREE.Matrix4[]>();
    for (const { batch, index, geometry, body } of this.world.drawsUnder(path)) {
      if (body) continue;
      const matrix = new THREE.Matrix4();
      batch.mesh.getMatrixAt(index, matrix);
      const known = shapes.get(geometry);
      if (known) known.push(matrix);
      else shapes.set(geometry, [matrix]);
    }
    const meshes = [...shapes].map(([geometry, matrices]) => {
      const mesh = new THREE.InstancedMesh(geometry, material, matrices.length);
      matrices.forEach((m, i) => mesh.setMatrixAt(i, m));
      this.root.add(mesh);
      return mesh;
    });
    return { material, meshes };
  }
}
