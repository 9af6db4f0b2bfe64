import * as THREE from "three";
import { describe, expect, it } from "vitest";
import { decodeMesh } from "../src/viewer/geometry";
import { transformOps, xformOps } from "../src/viewer/gizmo";

/** Local matrix as USD composes [translate, rotateXYZ, scale] (row vectors: p * S * Rx * Ry * Rz * T), as three's matrix. */
function usd(translate: number[], degrees: number[], scale: number[]): THREE.Matrix4 {
  const r = degrees.map(THREE.MathUtils.degToRad);
  return new THREE.Matrix4()
    .makeTranslation(translate[0], translate[1], translate[2])
    .multiply(new THREE.Matrix4().makeRotationZ(r[2]))
    .multiply(new THREE.Matrix4().makeRotationY(r[1]))
    .multiply(new THREE.Matrix4().makeRotationX(r[0]))
    .multiply(new THREE.Matrix4().makeScale(scale[0], scale[1], scale[2]));
}

describe("transforms", () => {
  it("reads back the three ops that USD would compose", () => {
    const ops = xformOps(usd([1, -2, 3], [20, 30, 40], [1, 2, 0.5]));
    ops.translate.forEach((v, i) => expect(v).toBeCloseTo([1, -2, 3][i], 5));
    ops.rotate.forEach((v, i) => expect(v).toBeCloseTo([20, 30, 40][i], 4));
    ops.scale.forEach((v, i) => expect(v).toBeCloseTo([1, 2, 0.5][i], 5));
  });

  it("writes only what changed, so that a move does not touch another's rotation", () => {
    const before = usd([0, 0, 0], [0, 0, 90], [1, 1, 1]);
    expect(transformOps("/A", before, usd([1, 0, 0], [0, 0, 90], [1, 1, 1]))).toEqual([
      { kind: "set_field", path: "/A", field: "xformOp:translate", value: ["double3", [1, 0, 0]] },
    ]);
    expect(transformOps("/A", before, usd([0, 0, 0], [0, 0, 45], [1, 1, 1])).map((o) => o.field)).toEqual(["xformOp:rotateXYZ"]);
    expect(transformOps("/A", before, before)).toEqual([]);
  });
});

describe("decodeMesh", () => {
  it("reads groups, positions, normals, uv and indices", () => {
    const data = new ArrayBuffer(20 + 12 + 4 * (9 + 9 + 6 + 3));
    const view = new DataView(data);
    [0x314d5754, 3, 3, 1, 1, 0, 3, 1].forEach((v, i) => view.setUint32(4 * i, v, true));
    [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1].forEach((v, i) => view.setFloat32(32 + 4 * i, v, true));
    [0, 1, 2].forEach((v, i) => view.setUint32(32 + 96 + 4 * i, v, true));
    const mesh = decodeMesh(data);
    expect(mesh.groups).toEqual([{ start: 0, count: 3, materialIndex: 1 }]);
    expect([...mesh.getAttribute("position").array]).toEqual([0, 0, 0, 1, 0, 0, 0, 1, 0]);
    expect([...mesh.getAttribute("uv").array]).toEqual([0, 0, 1, 0, 0, 1]);
    expect([...(mesh.index?.array ?? [])]).toEqual([0, 1, 2]);
    expect(() => decodeMesh(new ArrayBuffer(20))).toThrow(RangeError);
    expect(() => decodeMesh(data.slice(0, 100))).toThrow(RangeError);
  });
});
