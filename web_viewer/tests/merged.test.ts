import * as THREE from "three";
import { describe, expect, it } from "vitest";
import { cellsWithShadow } from "../src/viewer/contact";
import { Merged, oneColour, readsVertices, type Piece } from "../src/viewer/merged";

const red = new THREE.MeshLambertMaterial({ color: 0xff0000 });
const steel = new THREE.MeshStandardMaterial({ color: 0x808080, roughness: 0.25, metalness: 1 });

const piece = (geometry: THREE.BufferGeometry, material: THREE.Material, matrix: THREE.Matrix4): Piece => ({ geometry, materials: [material], matrix, casts: true, receives: true });

function merged(pieces: [string, Piece][]) {
  const made = new Merged<string>((side) => new THREE.MeshStandardMaterial({ side }));
  made.build(new Map(pieces));
  return { made, meshes: made.root.children as THREE.Mesh[] };
}

describe("merged shapes", () => {
  it("stand where their matrices put them, with normals that are unit and perpendicular", () => {
    const matrix = new THREE.Matrix4().compose(new THREE.Vector3(1, 2, 3), new THREE.Quaternion().setFromAxisAngle(new THREE.Vector3(0, 0, 1), 0.5), new THREE.Vector3(4, 1, 0.5));
    const box = new THREE.BoxGeometry(1, 1, 1);
    const { meshes } = merged([["/a", piece(box, red, matrix)]]);
    const { position, normal } = meshes[0].geometry.attributes;
    const at = (a: THREE.BufferAttribute | THREE.InterleavedBufferAttribute, i: number) => new THREE.Vector3().fromBufferAttribute(a, i);
    for (let i = 0; i < position.count; i++) {
      expect(at(position, i).distanceTo(at(box.attributes.position, i).applyMatrix4(matrix))).toBeLessThan(1e-5);
      expect(at(normal, i).length()).toBeCloseTo(1, 5);
    }
    // in the plane of each triangle
    const index = meshes[0].geometry.index as THREE.BufferAttribute;
    for (let t = 0; t < index.count; t += 3) {
      const edge = at(position, index.getX(t + 1)).sub(at(position, index.getX(t)));
      expect(edge.dot(at(normal, index.getX(t)))).toBeCloseTo(0, 4);
    }
  });

  it("keep colour, roughness and metalness of each, also of groups", () => {
    const two = new THREE.BoxGeometry(1, 1, 1);
    const { meshes } = merged([
      ["/a", piece(two, steel, new THREE.Matrix4())],
      ["/b", { ...piece(two, steel, new THREE.Matrix4()), materials: [steel, steel, steel, red, steel, steel] }],
    ]);
    const { color, surface } = meshes[0].geometry.attributes;
    expect([surface.getX(0), surface.getY(0)]).toEqual([expect.closeTo(0.25, 3), 1]);
    // the fourth face of the second box: its own four vertices
    const reds = Array.from({ length: color.count }, (_, i) => i).filter((i) => color.getX(i) > 0.99 && color.getY(i) < 0.01);
    expect(reds).toEqual([36, 37, 38, 39]);
  });

  it("follow a move, and only the one that moved", () => {
    const box = new THREE.BoxGeometry(1, 1, 1);
    const { made, meshes } = merged([["/a", piece(box, red, new THREE.Matrix4())], ["/b", piece(box, red, new THREE.Matrix4())]]);
    const before = [...meshes[0].geometry.attributes.position.array];
    expect(made.move("/b", new THREE.Matrix4().makeTranslation(7, 0, 0))).toBe(true);
    const after = [...meshes[0].geometry.attributes.position.array];
    expect(after.slice(0, 72)).toEqual(before.slice(0, 72));
    expect(after[72]).toBeCloseTo(before[72] + 7);
    expect(made.move("/c", new THREE.Matrix4())).toBe(false);
  });

  it("are kept apart in cells, so that what is outside the picture can be left out", () => {
    const box = new THREE.BoxGeometry(1, 1, 1);
    const { meshes } = merged([["/a", piece(box, red, new THREE.Matrix4())], ["/b", piece(box, red, new THREE.Matrix4().makeTranslation(100, 0, 0))]]);
    expect(meshes.map((m) => m.geometry.boundingSphere?.radius ?? 99).every((r) => r < 2)).toBe(true);
  });

  it("are one-coloured: no glass, textures, lamps, colours of their own", () => {
    expect([red, steel].every(oneColour)).toBe(true);
    for (const other of [
      new THREE.MeshLambertMaterial({ transparent: true, opacity: 0.4 }),
      new THREE.MeshStandardMaterial({ map: new THREE.Texture() }),
      new THREE.MeshStandardMaterial({ roughnessMap: new THREE.Texture() }),
      new THREE.MeshLambertMaterial({ emissive: 0x00ff00 }),
      new THREE.MeshLambertMaterial({ vertexColors: true }),
      new THREE.MeshPhysicalMaterial({ clearcoat: 1 }),
      new THREE.MeshBasicMaterial(),
    ]) expect(oneColour(other)).toBe(false);
  });

  it("need shaders in which three.js still has what is replaced", () => {
    const material = new THREE.MeshStandardMaterial();
    readsVertices(material);
    const shader = { vertexShader: THREE.ShaderLib.standard.vertexShader, fragmentShader: THREE.ShaderLib.standard.fragmentShader };
    material.onBeforeCompile(shader as THREE.WebGLProgramParametersWithUniforms, null as unknown as THREE.WebGLRenderer);
    expect(shader.vertexShader).toContain("vSurface = surface;");
    expect(shader.vertexShader).toContain("vPaint = color;");
    for (const half of [shader.vertexShader, shader.fragmentShader]) expect(half).toContain("flat varying vec3 vPaint;\nflat varying vec2 vSurface;");
    expect(shader.fragmentShader).toContain("diffuseColor.rgb *= vPaint;");
    expect(shader.fragmentShader).toContain("float roughnessFactor = vSurface.x;");
    expect(shader.fragmentShader).toContain("float metalnessFactor = vSurface.y;");
  });
});

describe("contact shadows", () => {
  it("are drawn in the cells that have one", () => {
    const pixels = new Uint8Array(4 * 128 * 128);
    expect(cellsWithShadow(pixels, 128, 128)).toEqual([]);
    // pixel (5, 127): the first row of the plane (the last of pixels), third column
    pixels[4 * (127 * 128 + 5) + 3] = 90;
    const index = cellsWithShadow(pixels, 128, 128);
    expect(index.slice(0, 6)).toContain(2);
    expect(index.length / 6).toBeLessThanOrEqual(4);
    expect(Math.max(...index)).toBeLessThan(65 * 3);
  });
});
