/** A camera that can look without perspective, from the same place in the same direction, so that lengths can be compared. */
import * as THREE from "three";

export class Lens extends THREE.PerspectiveCamera {
  /** Half the height that is seen without perspective, before zoom [m]. */
  private half = 1;
  /** As three.js asks a camera without perspective for them. */
  left = -1;
  right = 1;
  top = 1;
  bottom = -1;

  get flat(): boolean {
    return !this.isPerspectiveCamera;
  }

  /** With or without perspective; what is at ``distance`` keeps its size [m]. */
  setFlat(flat: boolean, distance: number): void {
    Object.assign(this, { isPerspectiveCamera: !flat, isOrthographicCamera: flat });
    this.fitTo(distance);
  }

  /** Show what is at a distance [m] as large as with perspective. */
  fitTo(distance: number): void {
    this.half = distance * Math.tan(THREE.MathUtils.degToRad(this.fov / 2));
    this.zoom = 1;
    this.updateProjectionMatrix();
  }

  /** The distance [m] at which a camera with perspective would see things as large. */
  get likeDistance(): number {
    return this.half / this.zoom / Math.tan(THREE.MathUtils.degToRad(this.fov / 2));
  }

  /** Height of the picture where things are at a distance [m]. */
  heightAt(distance: number): number {
    return this.flat ? (2 * this.half) / this.zoom : 2 * distance * Math.tan(THREE.MathUtils.degToRad(this.fov / 2));
  }

  override updateProjectionMatrix(): void {
    // Called by the constructor before there are fields, too: then with perspective.
    if (!this.flat || this.half === undefined) return super.updateProjectionMatrix();
    this.top = this.half;
    this.bottom = -this.half;
    this.right = this.half * this.aspect;
    this.left = -this.right;
    const h = this.half / this.zoom;
    const w = h * this.aspect;
    // What is beside or behind the place of the camera is in the picture as well.
    this.projectionMatrix.makeOrthographic(-w, w, h, -h, -this.far, this.far, this.coordinateSystem);
    this.projectionMatrixInverse.copy(this.projectionMatrix).invert();
  }
}
