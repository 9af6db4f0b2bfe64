/** UsdPreviewSurface materials as three.js physically based ones. */
import * as THREE from "three";
import { assetUrl } from "../net/http";
import type { MaterialDoc } from "../protocol/messages.gen";

/** Lamps, screens and windows are lit in a bright hall: their own light must beat what falls on them. */
const GLOW = 2.4;

export class MaterialCache {
  private docs: MaterialDoc[] = [];
  private readonly made = new Map<string, THREE.Material>();
  private section: THREE.Plane[] = [];
  private readonly textures = new Map<string, THREE.Texture>();
  private readonly loader = new THREE.TextureLoader();

  /** ``plain``: cheap to light and without reflections, for processors that must do what a graphics card does elsewhere. */
  constructor(
    private plain: boolean,
    private readonly arrived: () => void,
  ) {}

  /** All materials are made anew when they are asked for next; true if that is a change. */
  setPlain(plain: boolean): boolean {
    if (plain === this.plain) return false;
    this.plain = plain;
    for (const material of this.made.values()) material.dispose();
    this.made.clear();
    return true;
  }

  /** Cut everything along a plane; null ends it. */
  setSection(plane: THREE.Plane | null): void {
    const began = plane !== null && this.section.length === 0;
    const ended = plane === null && this.section.length > 0;
    if (plane && !began) this.section[0].copy(plane);
    else this.section = plane ? [plane.clone()] : [];
    if (began || ended) for (const material of this.made.values()) this.cut(material);
  }

  /** The inside of what is cut is seen. */
  private cut(material: THREE.Material): void {
    const open = this.section.length > 0;
    material.userData.side ??= material.side;
    material.side = open ? THREE.DoubleSide : (material.userData.side as THREE.Side);
    material.clippingPlanes = open ? this.section : null;
    material.needsUpdate = true;
  }

  /** A new list of materials; those that changed are made anew. */
  load(docs: MaterialDoc[]): void {
    for (const [key, material] of this.made) {
      const index = Number(key.split(" ")[0]);
      if (JSON.stringify(this.docs[index]) === JSON.stringify(docs[index])) continue;
      material.dispose();
      this.made.delete(key);
    }
    this.docs = docs;
  }

  /** Material by index in the scene's list (-1: none), one- or two-sided. */
  get(index: number, doubleSided: boolean, kind: string): THREE.Material {
    const key = `${index} ${doubleSided} ${kind === "bounds"}`;
    let material = this.made.get(key);
    if (!material) {
      material = kind === "bounds" ? placeholder() : this.make(this.docs[index], doubleSided);
      if (this.section.length > 0) this.cut(material);
      this.made.set(key, material);
    }
    return material;
  }

  private make(doc: MaterialDoc | undefined, doubleSided: boolean): THREE.Material {
    const opacity = doc?.opacity ?? 1;
    const color = doc?.color ?? [0.6, 0.6, 0.6];
    const common = {
      color: new THREE.Color(color[0], color[1], color[2]),
      opacity,
      transparent: opacity < 1,
      depthWrite: opacity >= 1,
      side: doubleSided ? THREE.DoubleSide : THREE.FrontSide,
    };
    const material = this.plain
      ? new THREE.MeshLambertMaterial(common)
      : new THREE.MeshStandardMaterial({ ...common, metalness: doc?.metallic ?? 0, roughness: doc?.roughness ?? 0.6 });
    const [r = 0, g = 0, b = 0] = doc?.emissive ?? [];
    material.emissive.setRGB(r, g, b);
    material.emissiveIntensity = GLOW;
    if (doc?.color_texture) {
      material.map = this.texture(doc.color_texture, THREE.SRGBColorSpace);
      material.color.setScalar(1);
    }
    if (doc?.normal_texture) material.normalMap = this.texture(doc.normal_texture, THREE.NoColorSpace);
    return material;
  }

  private texture(hash: string, space: THREE.ColorSpace): THREE.Texture {
    let texture = this.textures.get(hash);
    if (!texture) {
      texture = this.loader.load(assetUrl(hash), this.arrived);
      texture.colorSpace = space;
      texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
      texture.anisotropy = 4;
      this.textures.set(hash, texture);
    }
    return texture;
  }
}

/** What cannot be drawn is shown as the space that it takes. */
function placeholder(): THREE.Material {
  return new THREE.MeshBasicMaterial({ color: 0xd97706, wireframe: true, transparent: true, opacity: 0.6 });
}
