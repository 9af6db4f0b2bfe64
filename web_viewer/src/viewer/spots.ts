/** Soft dark spots under goods, where real shadows of what moves would cost too much. */
import * as THREE from "three";

/** Of the shadow's darkness in its middle. */
const STRENGTH = 0.5;
/** Wider than what casts it. */
const SPREAD = 1.35;
/** Above what the goods lie on [m]. */
const LIFT_M = 0.004;
const PIXELS = 64;

function softSquare(): THREE.CanvasTexture {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = PIXELS;
  const draw = canvas.getContext("2d");
  const image = draw?.createImageData(PIXELS, PIXELS);
  if (draw && image) {
    const edge = (t: number) => THREE.MathUtils.smoothstep(1 - Math.abs(t), 0, 0.45);
    for (let y = 0; y < PIXELS; y++) {
      for (let x = 0; x < PIXELS; x++) {
        const at = (v: number) => (2 * (v + 0.5)) / PIXELS - 1;
        image.data[4 * (y * PIXELS + x) + 3] = 255 * STRENGTH * edge(at(x)) * edge(at(y));
      }
    }
    draw.putImageData(image, 0, 0);
  }
  return new THREE.CanvasTexture(canvas);
}

/** One spot for each good of a prototype. */
export class Spots {
  readonly mesh: THREE.InstancedMesh;
  private readonly relative = new THREE.Matrix4();

  /** ``box``: what a good takes in the frame of its body [m]; ``up``: which axis is up there. */
  constructor(box: THREE.Box3, up: "Y" | "Z", capacity: number, material: THREE.Material) {
    this.mesh = new THREE.InstancedMesh(new THREE.PlaneGeometry(1, 1), material, capacity);
    this.mesh.instanceMatrix.setUsage(THREE.DynamicDrawUsage);
    this.mesh.frustumCulled = false;
    this.mesh.renderOrder = 3;
    this.mesh.count = 0;
    const size = box.getSize(new THREE.Vector3()).multiplyScalar(SPREAD);
    const center = box.getCenter(new THREE.Vector3());
    if (up === "Z") this.relative.compose(new THREE.Vector3(center.x, center.y, box.min.z + LIFT_M), new THREE.Quaternion(), new THREE.Vector3(size.x, size.y, 1));
    else {
      const lay = new THREE.Quaternion().setFromAxisAngle(new THREE.Vector3(1, 0, 0), -Math.PI / 2);
      this.relative.compose(new THREE.Vector3(center.x, box.min.y + LIFT_M, center.z), lay, new THREE.Vector3(size.x, size.z, 1));
    }
  }

  put(index: number, frame: THREE.Matrix4, scratch: THREE.Matrix4): void {
    this.mesh.setMatrixAt(index, scratch.multiplyMatrices(frame, this.relative));
  }

  static material(): THREE.Material {
    return new THREE.MeshBasicMaterial({ map: softSquare(), transparent: true, depthWrite: false, toneMapped: false, polygonOffset: true, polygonOffsetFactor: -1, polygonOffsetUnits: -2 });
  }
}
