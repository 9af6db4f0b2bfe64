/** The yardstick: what the page draws, drawn by three.js and nothing else. ``window.bare(drawing)`` begins, ``keep`` has it draw, ``drawn`` counts frames. */
import * as THREE from "three";
import { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";

export interface Drawing {
  width: number;
  height: number;
  ratio: number;
  antialias: boolean;
  toneMapping: THREE.ToneMapping;
  exposure: number;
  shadowType: THREE.ShadowMapType;
  /** Shadows are drawn anew for every frame. */
  shadowEachFrame: boolean;
  camera: { fov: number; near: number; far: number; position: number[]; quaternion: number[] };
  sun: { color: number; intensity: number; position: number[]; target: number[]; size: number; reach: number; near: number; far: number; cast: boolean };
  sky: { color: number; ground: number; intensity: number; position: number[] } | null;
  fill: { color: number; intensity: number; position: number[] } | null;
  /** Strength of the light of the surroundings; null: none. */
  environment: number | null;
  geometries: { position: number[]; normal: number[]; uv: number[] | null; index: number[] | null; groups: { start: number; count: number; materialIndex: number }[] }[];
  materials: { type: string; color: number; opacity: number; transparent: boolean; depthWrite: boolean; side: THREE.Side; metalness: number; roughness: number; emissive: number; emissiveIntensity: number }[];
  meshes: { geometry: number; materials: number[]; matrices: number[]; count: number; cast: boolean; receive: boolean; moves: boolean; culled: boolean }[];
}

declare global {
  interface Window {
    bare: (drawing: Drawing) => void;
    drawn: number;
    keep: boolean;
    context: WebGLRenderingContext | WebGL2RenderingContext;
  }
}

function light(from: { color: number; intensity: number; position: number[] }): THREE.DirectionalLight {
  const made = new THREE.DirectionalLight(from.color, from.intensity);
  made.position.fromArray(from.position);
  return made;
}

window.drawn = 0;
window.bare = (d) => {
  const renderer = new THREE.WebGLRenderer({ antialias: d.antialias, alpha: true });
  renderer.setPixelRatio(d.ratio);
  renderer.setSize(d.width, d.height);
  renderer.toneMapping = d.toneMapping;
  renderer.toneMappingExposure = d.exposure;
  renderer.shadowMap.enabled = true;
  renderer.shadowMap.type = d.shadowType;
  renderer.shadowMap.autoUpdate = d.shadowEachFrame;
  renderer.shadowMap.needsUpdate = true;
  document.body.append(renderer.domElement);
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(d.camera.fov, d.width / d.height, d.camera.near, d.camera.far);
  camera.position.fromArray(d.camera.position);
  camera.quaternion.fromArray(d.camera.quaternion);
  const sun = light(d.sun);
  sun.target.position.fromArray(d.sun.target);
  sun.castShadow = d.sun.cast;
  sun.shadow.mapSize.setScalar(d.sun.size);
  Object.assign(sun.shadow.camera, { left: -d.sun.reach, bottom: -d.sun.reach, right: d.sun.reach, top: d.sun.reach, near: d.sun.near, far: d.sun.far });
  scene.add(sun, sun.target);
  if (d.sky) {
    const sky = new THREE.HemisphereLight(d.sky.color, d.sky.ground, d.sky.intensity);
    sky.position.fromArray(d.sky.position);
    scene.add(sky);
  }
  if (d.environment !== null) {
    const pmrem = new THREE.PMREMGenerator(renderer);
    scene.environment = pmrem.fromScene(new RoomEnvironment(), 0.03).texture;
    scene.environmentIntensity = d.environment;
  }
  if (d.fill) scene.add(light(d.fill));
  const geometries = d.geometries.map((g) => {
    const made = new THREE.BufferGeometry();
    made.setAttribute("position", new THREE.BufferAttribute(Float32Array.from(g.position), 3));
    made.setAttribute("normal", new THREE.BufferAttribute(Float32Array.from(g.normal), 3));
    if (g.uv) made.setAttribute("uv", new THREE.BufferAttribute(Float32Array.from(g.uv), 2));
    if (g.index) made.setIndex(new THREE.BufferAttribute(Uint32Array.from(g.index), 1));
    for (const { start, count, materialIndex } of g.groups) made.addGroup(start, count, materialIndex);
    return made;
  });
  const materials = d.materials.map(({ type, metalness, roughness, emissive, ...common }) => {
    if (type === "MeshBasicMaterial") return new THREE.MeshBasicMaterial({ color: common.color, opacity: common.opacity, transparent: common.transparent, depthWrite: common.depthWrite, side: common.side });
    return type === "MeshLambertMaterial" ? new THREE.MeshLambertMaterial({ ...common, emissive }) : new THREE.MeshStandardMaterial({ ...common, emissive, metalness, roughness });
  });
  const moving: THREE.InstancedMesh[] = [];
  for (const m of d.meshes) {
    const list = m.materials.map((i) => materials[i]);
    const mesh = new THREE.InstancedMesh(geometries[m.geometry], list.length > 1 ? list : list[0], Math.max(1, m.count));
    mesh.instanceMatrix.array.set(m.matrices);
    mesh.count = m.count;
    mesh.castShadow = m.cast;
    mesh.receiveShadow = m.receive;
    mesh.frustumCulled = m.culled;
    if (m.moves) moving.push(mesh);
    scene.add(mesh);
  }
  window.context = renderer.getContext();
  renderer.setAnimationLoop(() => {
    if (!window.keep) return;
    for (const mesh of moving) mesh.instanceMatrix.needsUpdate = true;
    renderer.render(scene, camera);
    window.drawn++;
  });
};
