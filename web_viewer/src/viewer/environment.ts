/** Light, sky and ground: what makes a scene look like a place. */
import * as THREE from "three";
import { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
import type { Theme } from "../state/ui.svelte";
import { ContactShadow } from "./contact";

const GRID_VERTEX = /* glsl */ `
varying vec2 place;
varying vec2 far;
uniform vec2 center;
uniform float radius;
void main() {
  // The plane is scaled and moved, the lines stay on whole metres.
  far = position.xz;
  place = center + radius * far;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
}`;

/** Lines every metre and every ten, one pixel wide at any distance, fading out from the middle of the scene. */
const GRID_FRAGMENT = /* glsl */ `
varying vec2 place;
varying vec2 far;
uniform vec3 color;
uniform float strength;
void main() {
  float near = 1.0 - dot(far, far);
  if (near <= 0.0) {
    gl_FragColor = vec4(0.0);
    return;
  }
  // As few divisions as can be: where a processor draws, this is a tenth of the picture's cost.
  vec2 pixel = max(fwidth(place), vec2(1e-6));
  vec2 perMetre = 1.0 / pixel;
  float coarse = max(pixel.x, pixel.y);
  vec2 one = abs(fract(place - 0.5) - 0.5) * perMetre;
  vec2 ten = abs(fract(0.1 * place - 0.5) - 0.5) * (10.0 * perMetre);
  float thin = max(0.0, 1.0 - min(one.x, one.y)) * clamp(1.0 - 2.5 * coarse, 0.0, 1.0);
  float bold = max(0.0, 1.0 - min(ten.x, ten.y)) * clamp(1.0 - 0.25 * coarse, 0.0, 1.0);
  // Nothing is discarded: what a floor of the stage hides is then not computed at all.
  gl_FragColor = vec4(color, max(0.32 * thin, bold) * near * near * (3.0 - 2.0 * near) * strength);
}`;

/** The hall is lit the same in both themes, a little softer on a dark page. */
const LOOK = {
  dark: { exposure: 0.9, environment: 0.58, sun: 2.6, grid: new THREE.Color(0x8fa3bf), gridStrength: 0.34, shadow: 0.42, contact: 0.75 },
  light: { exposure: 0.96, environment: 0.64, sun: 2.7, grid: new THREE.Color(0x475569), gridStrength: 0.3, shadow: 0.2, contact: 0.6 },
};
/** The grid and the ground lie so far below zero: a floor of the stage hides them [m]. */
const BELOW_M = 0.012;

export class Environment {
  readonly contact: ContactShadow;
  readonly sun = new THREE.DirectionalLight(0xfff4e6, 2.3);
  private readonly grid: THREE.Mesh<THREE.PlaneGeometry, THREE.ShaderMaterial>;
  private readonly ground: THREE.Mesh<THREE.PlaneGeometry, THREE.ShadowMaterial>;
  private sunDirection = new THREE.Vector3(0.45, 1, 0.35).normalize();

  constructor(
    private readonly scene: THREE.Scene,
    private readonly renderer: THREE.WebGLRenderer,
    /** Turns three's Y up to what the stage calls up. */
    private readonly upright: THREE.Quaternion,
    /** Without reflections: making the map of the surroundings takes a processor several seconds. */
    plain: boolean,
  ) {
    this.sunDirection.applyQuaternion(upright);
    if (!plain) {
      const pmrem = new THREE.PMREMGenerator(renderer);
      scene.environment = pmrem.fromScene(new RoomEnvironment(), 0.03).texture;
      scene.environmentRotation.setFromQuaternion(upright);
      pmrem.dispose();
    }
    this.addPlainLight();

    this.sun.castShadow = true;
    this.sun.shadow.bias = -0.0004;
    this.sun.shadow.normalBias = 0.02;
    this.sun.shadow.radius = 3;
    scene.add(this.sun, this.sun.target);

    const plane = new THREE.PlaneGeometry(2, 2).rotateX(-Math.PI / 2);
    this.grid = new THREE.Mesh(
      plane,
      new THREE.ShaderMaterial({
        vertexShader: GRID_VERTEX,
        fragmentShader: GRID_FRAGMENT,
        transparent: true,
        depthWrite: false,
        side: THREE.DoubleSide,
        uniforms: {
          color: { value: new THREE.Color() },
          center: { value: new THREE.Vector2() },
          radius: { value: 50 },
          strength: { value: 0.3 },
        },
      }),
    );
    this.grid.renderOrder = 1;
    this.ground = new THREE.Mesh(plane, new THREE.ShadowMaterial({ opacity: 0.3, depthWrite: false }));
    this.ground.receiveShadow = true;
    this.contact = new ContactShadow(upright, plain ? 512 : 1024);
    scene.add(this.contact.plane);
    this.grid.quaternion.copy(upright);
    this.ground.quaternion.copy(upright);
    scene.add(this.grid, this.ground);
  }

  private readonly sky = new THREE.HemisphereLight(0xf4f7ff, 0x9a948c, 1);
  private readonly fill = new THREE.DirectionalLight(0xe6eeff, 0.5);

  private addPlainLight(): void {
    this.sky.position.set(0, 1, 0).applyQuaternion(this.upright);
    this.fill.position.set(-0.8, 0.35, 0.9).applyQuaternion(this.upright);
    this.scene.add(this.sky, this.fill);
    this.setPlain(this.scene.environment === null);
  }

  /** Without reflections the light of the surroundings comes as two colours and a weak sun from behind. */
  setPlain(plain: boolean): void {
    this.sky.visible = this.fill.visible = plain || this.scene.environment === null;
    const type = plain ? THREE.BasicShadowMap : THREE.PCFShadowMap;
    if (this.renderer.shadowMap.type === type) return;
    this.renderer.shadowMap.type = type;
    this.dropShadowMap();
  }

  private dropShadowMap(): void {
    this.sun.shadow.map?.dispose();
    this.sun.shadow.map = null;
  }

  setTheme(theme: Theme): void {
    const look = LOOK[theme];
    this.sky.intensity = 3.6 * look.environment;
    this.fill.intensity = 1.5 * look.environment;
    this.renderer.toneMappingExposure = look.exposure;
    this.scene.environmentIntensity = look.environment;
    this.sun.intensity = look.sun;
    this.grid.material.uniforms.color.value = look.grid;
    this.grid.material.uniforms.strength.value = look.gridStrength;
    this.ground.material.opacity = look.shadow;
    this.contact.strength = look.contact;
  }

  /** Side of the shadow map; 0 turns shadows off. */
  setShadows(size: number): void {
    this.sun.castShadow = size > 0;
    if (size > 0 && this.sun.shadow.mapSize.x !== size) {
      this.sun.shadow.mapSize.set(size, size);
      this.dropShadowMap();
    }
  }

  /** Light from a distant light of the stage, if it has one; ``direction`` is where it comes from. */
  setSun(direction: THREE.Vector3 | null): void {
    const up = new THREE.Vector3(0, 1, 0).applyQuaternion(this.upright);
    if (direction && direction.dot(up) > 0.2) this.sunDirection.copy(direction).normalize();
  }

  /** Fit shadows, ground and grid to the line; ``floored``: the stage has a floor of its own, on which shadows fall. */
  fit(box: THREE.Box3, floored: boolean): void {
    this.ground.visible = !floored;
    const sphere = box.getBoundingSphere(new THREE.Sphere());
    const r = Math.max(2, sphere.radius * 1.08);
    this.sun.position.copy(sphere.center).addScaledVector(this.sunDirection, 2 * r + 5);
    this.sun.target.position.copy(sphere.center);
    const camera = this.sun.shadow.camera;
    camera.left = camera.bottom = -r;
    camera.right = camera.top = r;
    camera.near = 0.5;
    camera.far = 4 * r + 10;
    camera.updateProjectionMatrix();
    const reach = Math.max(30, r * (floored ? 2.2 : 3.2));
    const center = sphere.center.clone().applyQuaternion(this.upright.clone().invert());
    this.grid.scale.setScalar(reach);
    this.grid.position.set(center.x, -BELOW_M, center.z).applyQuaternion(this.upright);
    // Shadows reach as far as the light's own picture of the scene does, where that meets the ground.
    const low = -BELOW_M - 0.002;
    const light = this.sunDirection.clone().applyQuaternion(this.upright.clone().invert());
    const rise = (center.y - low) / light.y;
    this.ground.scale.setScalar(r / light.y);
    this.ground.position.set(center.x - rise * light.x, low, center.z - rise * light.z).applyQuaternion(this.upright);
    this.contact.fit(box);
    this.grid.material.uniforms.center.value.set(center.x, center.z);
    this.grid.material.uniforms.radius.value = reach;
  }
}
