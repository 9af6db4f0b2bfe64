/**
 * What stands still, drawn in a few calls: shapes of one-coloured materials are copied into large buffers, their colour,
 * roughness and metalness beside each vertex.
 *
 * A hall is made of hundreds of small parts in as many materials, and a call for each costs more than its triangles. The
 * instanced meshes stay as they are for picking, outlines and covers, but are not drawn.
 */
import * as THREE from "three";

/** What is merged: one instance of a shape. */
export interface Piece {
  geometry: THREE.BufferGeometry;
  /** One for each group of the shape, or one for all. */
  materials: THREE.Material[];
  /** Local to world. */
  matrix: THREE.Matrix4;
  casts: boolean;
  receives: boolean;
}

type OneColour = THREE.MeshLambertMaterial | THREE.MeshStandardMaterial;

interface Place {
  chunk: Chunk;
  /** First vertex. */
  at: number;
  geometry: THREE.BufferGeometry;
}

interface Chunk {
  mesh: THREE.Mesh;
  position: THREE.BufferAttribute;
  normal: THREE.BufferAttribute;
}

/** Side of the cells in which what is outside the picture is left out [m]. */
const CELL_M = 30;
/** Shapes beyond this stay instanced: copying them would cost more memory than it saves calls. */
const MOST_TRIANGLES = 4_000;
/** All copies together. */
const MOST_COPIED = 600_000;

const triangles = (g: THREE.BufferGeometry): number => (g.index ? g.index.count : (g.attributes.position?.count ?? 0)) / 3;

/** Whether a material can be told by a colour, a roughness and a metalness. */
export function oneColour(material: THREE.Material): material is OneColour {
  if (!(material instanceof THREE.MeshLambertMaterial || material instanceof THREE.MeshStandardMaterial)) return false;
  if (material instanceof THREE.MeshPhysicalMaterial || material.transparent || material.alphaTest > 0 || material.vertexColors) return false;
  if (material.emissive.getHex() !== 0) return false;
  const { map, normalMap, aoMap, emissiveMap, alphaMap } = material;
  const textures = [map, normalMap, aoMap, emissiveMap, alphaMap];
  if (material instanceof THREE.MeshStandardMaterial) textures.push(material.roughnessMap, material.metalnessMap);
  return textures.every((t) => t === null);
}

/**
 * Make a material read colour, roughness and metalness from the vertices. All corners of a triangle have the same, so that
 * nothing is interpolated: where a processor draws, that would be a fifth of the picture's cost.
 */
export function readsVertices(material: OneColour): void {
  material.color.setScalar(1);
  const lit = material instanceof THREE.MeshStandardMaterial;
  const names: [kind: string, attribute: string, varying: string][] = [["vec3", "color", "vPaint"]];
  if (lit) names.push(["vec2", "surface", "vSurface"]);
  const passed = names.map(([kind, , varying]) => `\nflat varying ${kind} ${varying};`).join("");
  const read = names.map(([kind, attribute]) => `\nattribute ${kind} ${attribute};`).join("");
  const given = names.map(([, attribute, varying]) => `\n${varying} = ${attribute};`).join("");
  material.onBeforeCompile = (shader) => {
    shader.vertexShader = shader.vertexShader
      .replace("#include <common>", `#include <common>${read}${passed}`)
      .replace("#include <begin_vertex>", `#include <begin_vertex>${given}`);
    shader.fragmentShader = shader.fragmentShader
      .replace("#include <common>", `#include <common>${passed}`)
      .replace("#include <color_fragment>", "diffuseColor.rgb *= vPaint;")
      .replace("#include <roughnessmap_fragment>", "float roughnessFactor = vSurface.x;")
      .replace("#include <metalnessmap_fragment>", "float metalnessFactor = vSurface.y;");
  };
  material.customProgramCacheKey = () => "merged";
}

export class Merged<Key> {
  readonly root = new THREE.Group();
  private readonly places = new Map<Key, Place>();
  private copied = 0;

  /** ``material``: what draws merged shapes seen from one side, or both. */
  constructor(private readonly material: (side: THREE.Side) => THREE.Material) {
    this.root.matrixAutoUpdate = false;
  }

  /** Whether so many instances of a shape are worth merging. */
  takes(geometry: THREE.BufferGeometry, materials: THREE.Material[], count: number): boolean {
    if (!geometry.attributes.normal || !materials.every(oneColour) || materials.some((m) => m.side !== materials[0].side)) return false;
    const n = triangles(geometry);
    if (n > MOST_TRIANGLES || this.copied + n * count > MOST_COPIED) return false;
    this.copied += n * count;
    return true;
  }

  clear(): void {
    for (const child of this.root.children) if (child instanceof THREE.Mesh) child.geometry.dispose();
    this.root.clear();
    this.places.clear();
    this.copied = 0;
  }

  build(pieces: Map<Key, Piece>): void {
    const groups = new Map<string, [Key, Piece][]>();
    for (const [key, piece] of pieces) {
      const e = piece.matrix.elements;
      const cell = [e[12], e[13], e[14]].map((x) => Math.floor(x / CELL_M));
      const group = [piece.materials[0].side, piece.casts, piece.receives, ...cell].join(" ");
      const list = groups.get(group);
      if (list) list.push([key, piece]);
      else groups.set(group, [[key, piece]]);
    }
    for (const list of groups.values()) this.addChunk(list);
  }

  private addChunk(list: [Key, Piece][]): void {
    const vertices = list.reduce((n, [, p]) => n + p.geometry.attributes.position.count, 0);
    const indices = list.reduce((n, [, p]) => n + 3 * triangles(p.geometry), 0);
    const attribute = (size: number) => new THREE.BufferAttribute(new Float32Array(size * vertices), size);
    const [position, normal, color] = [attribute(3), attribute(3), attribute(3)];
    const surface = new THREE.BufferAttribute(new Uint16Array(2 * vertices), 2, true);
    const index = new THREE.BufferAttribute(new Uint32Array(indices), 1);
    const [, first] = list[0];
    const made = new THREE.BufferGeometry();
    for (const [name, a] of Object.entries({ position, normal, color, surface })) made.setAttribute(name, a);
    made.setIndex(index);
    const mesh = new THREE.Mesh(made, this.material(first.materials[0].side));
    mesh.castShadow = first.casts;
    mesh.receiveShadow = first.receives;
    mesh.matrixAutoUpdate = false;
    const chunk: Chunk = { mesh, position, normal };
    let at = 0;
    let next = 0;
    for (const [key, { geometry, materials, matrix }] of list) {
      const n = geometry.attributes.position.count;
      const place = { chunk, at, geometry };
      this.places.set(key, place);
      write(place, matrix);
      const paint = (vertex: number, material: OneColour) => {
        color.setXYZ(at + vertex, material.color.r, material.color.g, material.color.b);
        if (material instanceof THREE.MeshStandardMaterial) surface.setXY(at + vertex, material.roughness, material.metalness);
      };
      const own = geometry.index;
      const count = 3 * triangles(geometry);
      for (let i = 0; i < count; i++) index.array[next + i] = at + (own ? own.getX(i) : i);
      for (let v = 0; v < n; v++) paint(v, materials[0] as OneColour);
      if (materials.length > 1) {
        // Vertices on the border of two groups are there twice: each belongs to one.
        for (const g of geometry.groups) {
          const material = materials[g.materialIndex ?? 0] as OneColour | undefined;
          if (material) for (let i = g.start; i < Math.min(count, g.start + g.count); i++) paint(own ? own.getX(i) : i, material);
        }
      }
      at += n;
      next += count;
    }
    made.computeBoundingSphere();
    this.root.add(mesh);
  }

  /** An instance stands elsewhere now; false if it was not merged. */
  move(key: Key, matrix: THREE.Matrix4): boolean {
    const place = this.places.get(key);
    if (!place) return false;
    write(place, matrix);
    place.chunk.mesh.frustumCulled = false;
    for (const attribute of [place.chunk.position, place.chunk.normal]) {
      attribute.addUpdateRange(3 * place.at, 3 * place.geometry.attributes.position.count);
      attribute.needsUpdate = true;
    }
    return true;
  }
}

const point = new THREE.Vector3();
const turn = new THREE.Matrix3();

function write({ chunk, at, geometry }: Place, matrix: THREE.Matrix4): void {
  const { position, normal } = geometry.attributes;
  turn.getNormalMatrix(matrix);
  for (let v = 0; v < position.count; v++) {
    point.fromBufferAttribute(position, v).applyMatrix4(matrix);
    chunk.position.setXYZ(at + v, point.x, point.y, point.z);
    point.fromBufferAttribute(normal, v).applyMatrix3(turn).normalize();
    chunk.normal.setXYZ(at + v, point.x, point.y, point.z);
  }
}
