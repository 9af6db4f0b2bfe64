/**
 * Outlines of what is selected, here and by others: the shapes are drawn flat into a mask, and a second pass draws the
 * mask's edge over the picture. Shows through what stands in front, costs nothing while nothing is selected.
 */
import * as THREE from "three";
import { FullScreenQuad } from "three/addons/postprocessing/Pass.js";
import type { World } from "./world";

/** Parts outlined one by one; a larger selection is still shown, with its first parts. */
const MOST_PARTS = 600;

const FRAGMENT = /* glsl */ `
uniform sampler2D mask;
uniform vec2 texel;
varying vec2 at;
void main() {
  vec4 here = texture2D(mask, at);
  vec4 edge = vec4(0.0);
  float cover = 0.0;
  for (int i = 0; i < 8; i++) {
    float angle = float(i) * 0.785398;
    vec4 near = texture2D(mask, at + vec2(cos(angle), sin(angle)) * texel);
    edge = near.a > edge.a ? near : edge;
    cover += near.a;
  }
  if (here.a > 0.5) gl_FragColor = vec4(here.rgb, 0.05);
  else if (cover > 0.1) gl_FragColor = vec4(edge.rgb / max(edge.a, 0.01), min(1.0, 0.5 * cover));
  else discard;
}`;

export interface Outlined {
  paths: string[];
  color: string;
}

export class Outline {
  private readonly scene = new THREE.Scene();
  private readonly target = new THREE.WebGLRenderTarget(1, 1, { depthBuffer: true });
  private readonly quad: FullScreenQuad;
  private readonly uniforms = { mask: { value: this.target.texture }, texel: { value: new THREE.Vector2() } };
  private entries: { mesh: THREE.Mesh; source: THREE.InstancedMesh; index: number }[] = [];

  constructor(private readonly world: World) {
    this.scene.matrixWorldAutoUpdate = false;
    this.quad = new FullScreenQuad(
      new THREE.ShaderMaterial({
        vertexShader: "varying vec2 at; void main() { at = uv; gl_Position = vec4(position.xy, 1.0, 1.0); }",
        fragmentShader: FRAGMENT,
        uniforms: this.uniforms,
        transparent: true,
        depthTest: false,
        depthWrite: false,
        toneMapped: false,
      }),
    );
  }

  /** What to outline; later groups lie over earlier ones. Call again whenever the meshes were made anew. */
  set(groups: Outlined[]): void {
    this.scene.clear();
    this.entries = [];
    for (const { paths, color } of groups) {
      const material = new THREE.MeshBasicMaterial({ side: THREE.DoubleSide, toneMapped: false });
      material.color.setStyle(color, THREE.LinearSRGBColorSpace);
      for (const path of paths) {
        for (const { batch, index, geometry } of this.world.drawsUnder(path)) {
          if (this.entries.length >= MOST_PARTS) return;
          const mesh = new THREE.Mesh(geometry, material);
          mesh.matrixAutoUpdate = false;
          mesh.frustumCulled = false;
          this.entries.push({ mesh, source: batch.mesh, index });
          this.scene.add(mesh);
        }
      }
    }
  }

  /** Draw over the picture. */
  render(renderer: THREE.WebGLRenderer, camera: THREE.Camera): void {
    if (this.entries.length === 0) return;
    const size = renderer.getDrawingBufferSize(new THREE.Vector2());
    if (this.target.width !== size.x || this.target.height !== size.y) this.target.setSize(size.x, size.y);
    const width = 2.0 * Math.max(1, renderer.getPixelRatio());
    this.uniforms.texel.value.set(width / size.x, width / size.y);
    for (const { mesh, source, index } of this.entries) {
      source.getMatrixAt(index, mesh.matrix);
      mesh.matrixWorld.copy(mesh.matrix);
    }
    const autoClear = renderer.autoClear;
    const shadows = renderer.shadowMap.enabled;
    renderer.shadowMap.enabled = false;
    renderer.setRenderTarget(this.target);
    renderer.setClearColor(0x000000, 0);
    renderer.clear();
    renderer.render(this.scene, camera);
    renderer.setRenderTarget(null);
    renderer.autoClear = false;
    this.quad.render(renderer);
    renderer.autoClear = autoClear;
    renderer.shadowMap.enabled = shadows;
  }
}
