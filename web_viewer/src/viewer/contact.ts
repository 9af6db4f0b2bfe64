/**
 * The soft darkness where things stand on the ground: their height above it is drawn once from below, blurred, and laid
 * on the floor. Costs nothing per frame, so that it is there on every machine.
 */
import * as THREE from "three";
import { FullScreenQuad } from "three/addons/postprocessing/Pass.js";

/** What is higher than this above the ground casts no contact shadow [m]. */
const REACH_M = 0.9;
/** Blur, standard deviation of both passes [m]. */
const BLUR_M = 0.11;
const SPREAD = 6;

/** The floor is looked at in so many cells each way: those without a shadow are not drawn. */
const CELLS = 64;
/** Alpha of 255 below which nothing is seen. */
const FAINT = 3;

const VERTEX = "varying vec2 at; void main() { at = uv; gl_Position = vec4(position.xy, 1.0, 1.0); }";
const BLUR = /* glsl */ `
uniform sampler2D source;
uniform vec2 step;
varying vec2 at;
void main() {
  float sum = 0.0;
  float weights = 0.0;
  for (int i = -${SPREAD}; i <= ${SPREAD}; i++) {
    float x = float(i) / ${(SPREAD / 2.2).toFixed(2)};
    float w = exp(-0.5 * x * x);
    sum += w * texture2D(source, at + step * float(i)).a;
    weights += w;
  }
  gl_FragColor = vec4(0.0, 0.0, 0.0, sum / weights);
}`;

export class ContactShadow {
  readonly plane: THREE.Mesh<THREE.PlaneGeometry, THREE.MeshBasicMaterial>;
  private readonly camera = new THREE.OrthographicCamera(-1, 1, 1, -1, 0, REACH_M);
  private readonly height: THREE.MeshDepthMaterial;
  private readonly targets: THREE.WebGLRenderTarget[];
  private readonly quad: FullScreenQuad;
  private readonly blur = new THREE.ShaderMaterial({
    vertexShader: VERTEX,
    fragmentShader: BLUR,
    uniforms: { source: { value: null as THREE.Texture | null }, step: { value: new THREE.Vector2() } },
    depthTest: false,
    depthWrite: false,
  });
  private size = new THREE.Vector2(1, 1);

  /** ``side``: pixels of the picture along each edge. */
  constructor(
    private readonly upright: THREE.Quaternion,
    side: number,
  ) {
    this.targets = [0, 1].map(() => new THREE.WebGLRenderTarget(side, side));
    this.quad = new FullScreenQuad(this.blur);
    this.height = new THREE.MeshDepthMaterial({ side: THREE.DoubleSide });
    // Dark at the ground, nothing at the far end.
    this.height.onBeforeCompile = (shader) => {
      shader.fragmentShader = shader.fragmentShader.replace(
        "gl_FragColor = vec4( vec3( 1.0 - fragCoordZ ), opacity );",
        "gl_FragColor = vec4( vec3( 0.0 ), pow( 1.0 - fragCoordZ, 1.6 ) );",
      );
    };
    const geometry = new THREE.PlaneGeometry(1, 1, CELLS, CELLS).rotateX(-Math.PI / 2);
    const material = new THREE.MeshBasicMaterial({
      map: this.targets[0].texture,
      transparent: true,
      depthWrite: false,
      toneMapped: false,
      polygonOffset: true,
      polygonOffsetFactor: -2,
      polygonOffsetUnits: -4,
    });
    this.plane = new THREE.Mesh(geometry, material);
    this.plane.renderOrder = 2;
    this.plane.quaternion.copy(upright);
  }

  set strength(value: number) {
    this.plane.material.opacity = value;
  }

  /** Not where a section has taken away what stood there. */
  cut(plane: THREE.Plane | null): void {
    const { material } = this.plane;
    material.clippingPlanes = plane && [plane];
    material.needsUpdate = true;
  }

  /** Lay it under a box [m, stage axes]. */
  fit(box: THREE.Box3): void {
    const back = this.upright.clone().invert();
    const center = box.getCenter(new THREE.Vector3()).applyQuaternion(back);
    const size = box.getSize(new THREE.Vector3()).applyQuaternion(back);
    this.size.set(Math.abs(size.x) + 1.5, Math.abs(size.z) + 1.5);
    this.plane.scale.set(this.size.x, 1, this.size.y);
    this.plane.position.set(center.x, 0.004, center.z).applyQuaternion(this.upright);
    this.camera.left = -this.size.x / 2;
    this.camera.right = this.size.x / 2;
    // Seen from below, the picture is a mirror image: top and bottom change places.
    this.camera.top = -this.size.y / 2;
    this.camera.bottom = this.size.y / 2;
    this.camera.updateProjectionMatrix();
    // Looks up from just above the floor.
    this.camera.position.set(center.x, 0.006, center.z).applyQuaternion(this.upright);
    this.camera.quaternion.setFromAxisAngle(new THREE.Vector3(1, 0, 0), Math.PI / 2).premultiply(this.upright);
  }

  /** Draw it anew from what ``root`` holds; what moves should be hidden meanwhile. */
  draw(renderer: THREE.WebGLRenderer, scene: THREE.Scene): void {
    const [target, other] = this.targets;
    const { autoClear, shadowMap } = renderer;
    const shadows = shadowMap.enabled;
    const background = scene.background;
    shadowMap.enabled = false;
    scene.background = null;
    scene.overrideMaterial = this.height;
    this.plane.visible = false;
    renderer.autoClear = true;
    renderer.setClearColor(0x000000, 0);
    renderer.setRenderTarget(target);
    renderer.render(scene, this.camera);
    scene.overrideMaterial = null;
    scene.background = background;
    const pass = (from: THREE.WebGLRenderTarget, to: THREE.WebGLRenderTarget, x: number, y: number) => {
      this.blur.uniforms.source.value = from.texture;
      this.blur.uniforms.step.value.set(x, y);
      renderer.setRenderTarget(to);
      this.quad.render(renderer);
    };
    for (const share of [1, 0.45]) {
      const step = (2.2 * BLUR_M * share) / SPREAD;
      pass(target, other, step / this.size.x, 0);
      pass(other, target, 0, step / this.size.y);
    }
    this.plane.visible = true;
    this.leaveOutEmpty(renderer, target);
    renderer.setRenderTarget(null);
    renderer.autoClear = autoClear;
    shadowMap.enabled = shadows;
  }

  /** Keep the cells of the plane in which there is a shadow: laying nothing over a whole floor costs as much as a floor. */
  private leaveOutEmpty(renderer: THREE.WebGLRenderer, target: THREE.WebGLRenderTarget): void {
    const { width, height } = target;
    const pixels = new Uint8Array(4 * width * height);
    renderer.readRenderTargetPixels(target, 0, 0, width, height, pixels);
    this.plane.geometry.setIndex(cellsWithShadow(pixels, width, height));
  }

  dispose(): void {
    for (const target of this.targets) target.dispose();
  }
}

/** Triangles of a plane of ``CELLS`` x ``CELLS`` (rows from the far end, as three.js numbers them) that have something in them. */
export function cellsWithShadow(pixels: Uint8Array, width: number, height: number): number[] {
  const index: number[] = [];
  for (let row = 0; row < CELLS; row++) {
    // The first row of the plane has v = 1, the first row of pixels v = 0. A pixel more on each side, for the filter.
    const y0 = Math.max(0, Math.floor(height * (1 - (row + 1) / CELLS)) - 1);
    const y1 = Math.min(height, Math.ceil(height * (1 - row / CELLS)) + 1);
    for (let column = 0; column < CELLS; column++) {
      const x0 = Math.max(0, Math.floor((width * column) / CELLS) - 1);
      const x1 = Math.min(width, Math.ceil((width * (column + 1)) / CELLS) + 1);
      let seen = false;
      for (let y = y0; y < y1 && !seen; y++) for (let x = x0; x < x1 && !seen; x++) seen = pixels[4 * (y * width + x) + 3] >= FAINT;
      if (!seen) continue;
      const a = row * (CELLS + 1) + column;
      const [b, c, d] = [a + CELLS + 1, a + CELLS + 2, a + 1];
      index.push(a, b, d, b, c, d);
    }
  }
  return index;
}
