/** Shapes of prims: mesh buffers from the server, analytic shapes made here. */
import * as THREE from "three";
import { getAsset } from "../net/assets";
import type { Geometry } from "../protocol/messages.gen";

const MESH_MAGIC = 0x314d5754; // "TWM1" read as a little-endian u32
const HAS_UV = 1;
const HAS_COLOR = 2;

/** What tells shapes apart; equal keys are drawn from one buffer. */
export function geometryKey(g: Geometry): string {
  if (g.kind === "mesh") return `mesh ${g.mesh}`;
  return [g.kind, g.size, g.center, g.radius, g.height, g.axis].join(" ");
}

/** Decode a "TWM1" mesh buffer: header, groups, positions, normals, optional uv, optional colours, indices. */
export function decodeMesh(data: ArrayBuffer): THREE.BufferGeometry {
  const head = new DataView(data);
  if (data.byteLength < 20 || head.getUint32(0, true) !== MESH_MAGIC) throw new RangeError("not a mesh buffer");
  const [vertices, indices, groups, flags] = [4, 8, 12, 16].map((at) => head.getUint32(at, true));
  const geometry = new THREE.BufferGeometry();
  let at = 20;
  for (let i = 0; i < groups; i++, at += 12) {
    geometry.addGroup(head.getUint32(at, true), head.getUint32(at + 4, true), head.getUint32(at + 8, true));
  }
  const floats = (n: number) => {
    const array = new Float32Array(data, at, n);
    at += 4 * n;
    return array;
  };
  geometry.setAttribute("position", new THREE.BufferAttribute(floats(3 * vertices), 3));
  geometry.setAttribute("normal", new THREE.BufferAttribute(floats(3 * vertices), 3));
  if (flags & HAS_UV) geometry.setAttribute("uv", new THREE.BufferAttribute(floats(2 * vertices), 2));
  if (flags & HAS_COLOR) geometry.setAttribute("color", new THREE.BufferAttribute(floats(3 * vertices), 3));
  geometry.setIndex(new THREE.BufferAttribute(new Uint32Array(data, at, indices), 1));
  return geometry;
}

/** three.js builds round shapes along +Y; turn them onto the axis that the prim names. */
function turn(geometry: THREE.BufferGeometry, axis: string): THREE.BufferGeometry {
  if (axis === "X") geometry.rotateZ(-Math.PI / 2);
  else if (axis !== "Y") geometry.rotateX(Math.PI / 2);
  return geometry;
}

function plane(g: Geometry, axis: string): THREE.BufferGeometry {
  const geometry = new THREE.PlaneGeometry(g.size?.[0] ?? 1, g.size?.[1] ?? 1);
  if (axis === "X") geometry.rotateY(Math.PI / 2);
  else if (axis === "Y") geometry.rotateX(-Math.PI / 2);
  return geometry;
}

function analytic(g: Geometry): THREE.BufferGeometry {
  const [x = 1, y = 1, z = 1] = g.size ?? [];
  const radius = g.radius ?? 0;
  const height = g.height ?? 0;
  const axis = g.axis ?? "Z";
  switch (g.kind) {
    case "cube":
      return new THREE.BoxGeometry(x, y, z);
    case "sphere":
      return new THREE.SphereGeometry(radius, 32, 20);
    case "cylinder":
      return turn(new THREE.CylinderGeometry(radius, radius, height, 32), axis);
    case "cone":
      return turn(new THREE.ConeGeometry(radius, height, 32), axis);
    case "capsule":
      return turn(new THREE.CapsuleGeometry(radius, height, 8, 24), axis);
    case "plane":
      return plane(g, axis);
    case "bounds": {
      const [cx = 0, cy = 0, cz = 0] = g.center ?? [];
      return new THREE.BoxGeometry(x, y, z).translate(cx, cy, cz);
    }
    default:
      throw new RangeError(`unknown shape "${g.kind}"`);
  }
}

/** The same shape with its triangles listed the other way round: a mirror then makes them face outwards. */
export function turnedOver(geometry: THREE.BufferGeometry): THREE.BufferGeometry {
  const turned = geometry.clone();
  const index = turned.getIndex();
  if (!index) return turned;
  for (let i = 0; i < index.count; i += 3) {
    const second = index.getX(i + 1);
    index.setX(i + 1, index.getX(i + 2));
    index.setX(i + 2, second);
  }
  return turned;
}

export class GeometryCache {
  private readonly ready = new Map<string, THREE.BufferGeometry>();
  private readonly loading = new Set<string>();

  /** ``arrived``: a mesh came; ``failed``: it will not. */
  constructor(
    private readonly arrived: () => void,
    private readonly failed: (message: string) => void,
  ) {}

  /** The buffer of a shape, or null while it is on its way; ``mirrored``: for prims whose scale turns it inside out. */
  get(g: Geometry, mirrored = false): THREE.BufferGeometry | null {
    if (mirrored) {
      const key = `mirrored ${geometryKey(g)}`;
      const known = this.ready.get(key);
      if (known) return known;
      const plain = this.get(g);
      const turned = plain && turnedOver(plain);
      if (turned) this.ready.set(key, turned);
      return turned;
    }
    const key = geometryKey(g);
    const known = this.ready.get(key);
    if (known) return known;
    if (g.kind !== "mesh") {
      const made = analytic(g);
      this.ready.set(key, made);
      return made;
    }
    if (!this.loading.has(key)) void this.load(key, g.mesh ?? "");
    return null;
  }

  /** Meshes still on their way. */
  get waiting(): number {
    return this.loading.size;
  }

  private async load(key: string, hash: string): Promise<void> {
    this.loading.add(key);
    try {
      this.ready.set(key, decodeMesh(await getAsset(hash)));
    } catch (error) {
      // An empty shape in its place: the rest of the scene is drawn, and the person is told.
      this.ready.set(key, new THREE.BufferGeometry().setAttribute("position", new THREE.BufferAttribute(new Float32Array(0), 3)));
      this.failed(`A mesh could not be loaded: ${error instanceof Error ? error.message : String(error)}`);
    }
    this.loading.delete(key);
    this.arrived();
  }
}
