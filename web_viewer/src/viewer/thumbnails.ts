/** Small pictures of the parts of the library, drawn once with the renderer of the page. */
import * as THREE from "three";
import { getPart } from "../net/http";
import type { Geometry, PrimDoc, SceneDoc } from "../protocol/messages.gen";
import { standFor } from "./framing";
import { GeometryCache } from "./geometry";
import { MaterialCache } from "./materials";

const PIXELS = 144;
/** Waiting for meshes of a part ends here [ms]. */
const PATIENCE_MS = 10_000;

const made = new Map<string, string>();

/** The picture of a part as a data URL; throws what went wrong. */
export async function thumbnail(renderer: THREE.WebGLRenderer, asset: string): Promise<string> {
  const known = made.get(asset);
  if (known) return known;
  const doc = await getPart(asset);
  const url = await draw(renderer, doc);
  made.set(asset, url);
  return url;
}

function matrixOf(doc: PrimDoc): THREE.Matrix4 {
  const matrix = new THREE.Matrix4();
  return doc.matrix?.length === 16 ? matrix.fromArray(doc.matrix) : matrix;
}

async function meshes(doc: SceneDoc): Promise<{ geometries: GeometryCache; wanted: Geometry[] }> {
  const wanted = doc.prims.flatMap((p) => (p.geometry && p.visible !== false ? [p.geometry] : []));
  let wake = () => undefined as void;
  let problem = "";
  const geometries = new GeometryCache(() => wake(), (message) => (problem = message));
  for (const g of wanted) geometries.get(g);
  const end = performance.now() + PATIENCE_MS;
  while (geometries.waiting > 0 && performance.now() < end) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, 500);
    });
  }
  if (problem) throw new Error(problem);
  return { geometries, wanted };
}

async function draw(renderer: THREE.WebGLRenderer, doc: SceneDoc): Promise<string> {
  const { geometries } = await meshes(doc);
  const materials = new MaterialCache(true, () => undefined);
  materials.load(doc.materials);
  const scene = new THREE.Scene();
  const worlds = new Map<string, THREE.Matrix4>();
  const hidden = new Set<string>();
  const box = new THREE.Box3();
  for (const prim of doc.prims) {
    const parent = prim.path.slice(0, prim.path.lastIndexOf("/"));
    const world = matrixOf(prim).premultiply(worlds.get(parent) ?? new THREE.Matrix4());
    worlds.set(prim.path, world);
    if (prim.visible === false || hidden.has(parent)) hidden.add(prim.path);
    const geometry = prim.geometry && !hidden.has(prim.path) ? geometries.get(prim.geometry) : null;
    if (!geometry || !prim.geometry) continue;
    const { kind, double_sided: doubleSided = kind === "plane" } = prim.geometry;
    const list = (prim.geometry.materials?.length ? prim.geometry.materials : [-1]).map((m) => materials.get(m, doubleSided, kind));
    const mesh = new THREE.Mesh(geometry, geometry.groups.length > 0 && kind === "mesh" ? list : list[0]);
    mesh.matrixAutoUpdate = false;
    mesh.matrix.copy(world);
    mesh.castShadow = mesh.receiveShadow = false;
    if (!geometry.boundingBox) geometry.computeBoundingBox();
    if (geometry.boundingBox) box.union(geometry.boundingBox.clone().applyMatrix4(world));
    scene.add(mesh);
  }
  if (box.isEmpty()) throw new Error("the part draws nothing");
  const upright = new THREE.Quaternion();
  if (doc.up_axis !== "Y") upright.setFromAxisAngle(new THREE.Vector3(1, 0, 0), Math.PI / 2);
  const turned = (x: number, y: number, z: number) => new THREE.Vector3(x, y, z).applyQuaternion(upright);
  const camera = new THREE.PerspectiveCamera(24, 1, 0.01, 1e5);
  camera.up.copy(turned(0, 1, 0));
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => new THREE.Vector3(i & 1 ? box.max.x : box.min.x, i & 2 ? box.max.y : box.min.y, i & 4 ? box.max.z : box.min.z));
  const { position, target } = standFor(camera, corners, turned(0.6, 0.55, 1).normalize(), 0.94);
  camera.position.copy(position);
  camera.lookAt(target);
  const sky = new THREE.HemisphereLight(0xffffff, 0x8a93a0, 1.9);
  sky.position.copy(turned(0, 1, 0));
  const sun = new THREE.DirectionalLight(0xffffff, 2.2);
  sun.position.copy(turned(0.5, 1, 0.8));
  scene.add(sky, sun);
  const url = shoot(renderer, scene, camera);
  scene.traverse((o) => o instanceof THREE.Mesh && o.geometry instanceof THREE.BufferGeometry && o.geometry.dispose());
  return url;
}

function shoot(renderer: THREE.WebGLRenderer, scene: THREE.Scene, camera: THREE.Camera): string {
  const target = new THREE.WebGLRenderTarget(PIXELS, PIXELS, { colorSpace: THREE.SRGBColorSpace, samples: 4 });
  const shadows = renderer.shadowMap.enabled;
  renderer.shadowMap.enabled = false;
  renderer.setRenderTarget(target);
  renderer.setClearColor(0x000000, 0);
  renderer.clear();
  renderer.render(scene, camera);
  const pixels = new Uint8Array(4 * PIXELS * PIXELS);
  renderer.readRenderTargetPixels(target, 0, 0, PIXELS, PIXELS, pixels);
  renderer.setRenderTarget(null);
  renderer.shadowMap.enabled = shadows;
  target.dispose();
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PIXELS;
  const context = canvas.getContext("2d");
  const image = context?.createImageData(PIXELS, PIXELS);
  if (!context || !image) throw new Error("this browser offers no 2D canvas");
  // A render target is in linear light and upside down.
  const srgb = (v: number) => 255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);
  for (let y = 0; y < PIXELS; y++) {
    for (let x = 0; x < PIXELS; x++) {
      const from = 4 * ((PIXELS - 1 - y) * PIXELS + x);
      const to = 4 * (y * PIXELS + x);
      for (let c = 0; c < 3; c++) image.data[to + c] = srgb(pixels[from + c] / 255);
      image.data[to + 3] = pixels[from + 3];
    }
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}
