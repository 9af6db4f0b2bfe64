import { BufferGeometry } from "three";
import { describe, expect, it } from "vitest";
import { decodeMesh, turnedOver } from "../src/viewer/geometry";

/** A triangle as the server sends it, with texture coordinates and colours. */
function buffer(): ArrayBuffer {
  const numbers = { head: [0x314d5754, 3, 3, 1, 3], group: [0, 3, 1], floats: [0, 0, 0, 1, 0, 0, 0, 1, 0, ...Array(3).fill([0, 0, 1]).flat(), 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1], index: [0, 1, 2] };
  const bytes = new ArrayBuffer(4 * (8 + numbers.floats.length + 3));
  new Uint32Array(bytes, 0, 8).set([...numbers.head, ...numbers.group]);
  new Float32Array(bytes, 32, numbers.floats.length).set(numbers.floats);
  new Uint32Array(bytes, 32 + 4 * numbers.floats.length, 3).set(numbers.index);
  return bytes;
}

describe("decodeMesh", () => {
  it("reads positions, normals, texture coordinates, colours and groups", () => {
    const mesh = decodeMesh(buffer());
    expect([...mesh.getAttribute("position").array]).toEqual([0, 0, 0, 1, 0, 0, 0, 1, 0]);
    expect([...mesh.getAttribute("uv").array]).toEqual([0, 0, 1, 0, 0, 1]);
    expect([...mesh.getAttribute("color").array]).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
    expect(mesh.groups).toEqual([{ start: 0, count: 3, materialIndex: 1 }]);
  });

  it("refuses what is no mesh", () => {
    expect(() => decodeMesh(new ArrayBuffer(40))).toThrow(RangeError);
    expect(() => decodeMesh(buffer().slice(0, 80))).toThrow(RangeError);
  });
});

describe("turnedOver", () => {
  it("lists triangles the other way round and leaves the original alone", () => {
    const mesh = decodeMesh(buffer());
    expect([...(turnedOver(mesh).getIndex()?.array ?? [])]).toEqual([0, 2, 1]);
    expect([...(mesh.getIndex()?.array ?? [])]).toEqual([0, 1, 2]);
    expect(turnedOver(new BufferGeometry()).getIndex()).toBeNull();
  });
});
