/**
 * What a section cuts is filled: where more back faces than front faces of closed shapes lie behind the plane, the plane is
 * inside of something, and is drawn there, hatched.
 */
import * as THREE from "three";

/** Shapes beyond this are not looked at, and stay open. */
const MOST_TRIANGLES = 60_000;
/** Corners nearer than this are one [m of the shape]. */
const WELD = 1e-5;

const closedness = new WeakMap<THREE.BufferGeometry, boolean>();

/** Whether each edge of a shape lies between two triangles: only then is there an inside. */
export function isClosed(geometry: THREE.BufferGeometry): boolean {
  let known = closedness.get(geometry);
  if (known === undefined) closedness.set(geometry, (known = findClosed(geometry)));
  return known;
}

function findClosed(geometry: THREE.BufferGeometry): boolean {
  const position = geometry.attributes.position as THREE.BufferAttribute | undefined;
  const count = geometry.index?.count ?? position?.count ?? 0;
  if (!position || count < 12 || count > 3 * MOST_TRIANGLES) return false;
  const corners = new Map<string, number>();
  const corner = new Uint32Array(position.count);
  for (let i = 0; i < position.count; i++) {
    const key = [position.getX(i), position.getY(i), position.getZ(i)].map((v) => Math.round(v / WELD)).join();
    let id = corners.get(key);
    if (id === undefined) corners.set(key, (id = corners.size));
    corner[i] = id;
  }
  // Each edge once in each direction.
  const open = new Map<number, number>();
  for (let t = 0; t + 2 < count; t += 3) {
    const at = [0, 1, 2].map((k) => corner[geometry.index ? geometry.index.getX(t + k) : t + k]);
    if (at[0] === at[1] || at[1] === at[2] || at[2] === at[0]) continue;
    for (let k = 0; k < 3; k++) {
      const [a, b] = [at[k], at[(k + 1) % 3]];
      const key = Math.min(a, b) * corners.size + Math.max(a, b);
      open.set(key, (open.get(key) ?? 0) + (a < b ? 1 : -1));
    }
  }
  for (const sum of open.values()) if (sum !== 0) return false;
  return true;
}

function counting(side: THREE.Side, op: THREE.StencilOp): THREE.MeshBasicMaterial {
  return new THREE.MeshBasicMaterial({
    side,
    depthWrite: false,
    depthTest: false,
    colorWrite: false,
    stencilWrite: true,
    stencilFunc: THREE.AlwaysStencilFunc,
    stencilFail: op,
    stencilZFail: op,
    stencilZPass: op,
  });
}

const HATCH = /* glsl */ `
varying vec2 at;
void main() {
  float s = fract((at.x + at.y) * 12.0);
  vec3 color = mix(vec3(0.93, 0.42, 0.20), vec3(0.70, 0.26, 0.10), step(0.72, s));
  gl_FragColor = vec4(color, 1.0);
  #include <colorspace_fragment>
}`;

export class SectionCaps {
  private readonly shapes = new THREE.Scene();
  private readonly cover = new THREE.Scene();
  private readonly backs = counting(THREE.BackSide, THREE.IncrementWrapStencilOp);
  private readonly fronts = counting(THREE.FrontSide, THREE.DecrementWrapStencilOp);
  private readonly quad: THREE.Mesh;
  private pairs: { source: THREE.InstancedMesh; copy: THREE.InstancedMesh }[] = [];

  constructor() {
    const material = new THREE.ShaderMaterial({
      vertexShader: "varying vec2 at; void main() { at = (modelMatrix * vec4(position, 0.0)).xy + (modelMatrix * vec4(position, 0.0)).z * vec2(1.0, 0.0); gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }",
      fragmentShader: HATCH,
      side: THREE.DoubleSide,
      stencilWrite: true,
      stencilRef: 0,
      stencilFunc: THREE.NotEqualStencilFunc,
      stencilFail: THREE.KeepStencilOp,
      stencilZFail: THREE.KeepStencilOp,
      stencilZPass: THREE.KeepStencilOp,
    });
    this.quad = new THREE.Mesh(new THREE.PlaneGeometry(1, 1), material);
    this.quad.frustumCulled = false;
    this.cover.add(this.quad);
    this.shapes.matrixWorldAutoUpdate = false;
  }

  /** What may be cut, and where; nothing where ``plane`` is null. Call again whenever the meshes were made anew. */
  set(plane: THREE.Plane | null, box: THREE.Box3, meshes: THREE.InstancedMesh[]): void {
    this.shapes.clear();
    this.pairs = [];
    if (!plane) return;
    for (const source of meshes) {
      if (!isClosed(source.geometry)) continue;
      const copy = new THREE.InstancedMesh(source.geometry, this.backs, 0);
      copy.instanceMatrix = source.instanceMatrix;
      copy.frustumCulled = false;
      this.pairs.push({ source, copy });
      this.shapes.add(copy);
    }
    this.backs.clippingPlanes = this.fronts.clippingPlanes = [plane];
    const center = box.getCenter(new THREE.Vector3());
    plane.projectPoint(center, this.quad.position);
    this.quad.quaternion.setFromUnitVectors(new THREE.Vector3(0, 0, 1), plane.normal);
    this.quad.scale.setScalar(box.getSize(new THREE.Vector3()).length() + 1);
  }

  /** Draw over the picture that was drawn with the same camera. */
  render(renderer: THREE.WebGLRenderer, camera: THREE.Camera): void {
    if (this.pairs.length === 0) return;
    for (const { source, copy } of this.pairs) copy.count = source.count;
    const { autoClear } = renderer;
    const shadows = renderer.shadowMap.enabled;
    renderer.autoClear = renderer.shadowMap.enabled = false;
    for (const material of [this.backs, this.fronts]) {
      this.shapes.overrideMaterial = material;
      renderer.render(this.shapes, camera);
    }
    renderer.render(this.cover, camera);
    renderer.autoClear = autoClear;
    renderer.shadowMap.enabled = shadows;
  }
}
