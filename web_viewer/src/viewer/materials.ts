/** UsdPreviewSurface materials as three.js physically based ones. */
import * as THREE from "three";
import { assetUrl } from "../net/assets";
import type { MaterialDoc } from "../protocol/messages.gen";
import { readsVertices } from "./merged";

/** Lamps, screens and windows are lit in a bright hall: their own light must beat what falls on them. */
const GLOW = 2.4;

const WRAPS: Record<string, THREE.Wrapping> = {
  repeat: THREE.RepeatWrapping,
  clamp: THREE.ClampToEdgeWrapping,
  mirror: THREE.MirroredRepeatWrapping,
};

export class MaterialCache {
  private docs: MaterialDoc[] = [];
  /** What each says, apart from its name: parts of the library bring the same steel along a hundred times. */
  private contents: string[] = [];
  private readonly made = new Map<string, { material: THREE.Material; content: string }>();
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
    for (const { material } of this.made.values()) material.dispose();
    this.made.clear();
    return true;
  }

  /** Cut everything along a plane; null ends it. */
  setSection(plane: THREE.Plane | null): void {
    const began = plane !== null && this.section.length === 0;
    const ended = plane === null && this.section.length > 0;
    if (plane && !began) this.section[0].copy(plane);
    else this.section = plane ? [plane.clone()] : [];
    if (began || ended) for (const { material } of this.made.values()) this.cut(material);
  }

  /** The inside of what is cut is seen. */
  private cut(material: THREE.Material): void {
    const open = this.section.length > 0;
    material.userData.side ??= material.side;
    material.side = open ? THREE.DoubleSide : (material.userData.side as THREE.Side);
    material.clippingPlanes = open ? this.section : null;
    material.clipShadows = open;
    material.needsUpdate = true;
  }

  /** A new list of materials; those that are in use no more are let go. */
  load(docs: MaterialDoc[]): void {
    this.docs = docs;
    this.contents = docs.map((doc) => JSON.stringify({ ...doc, path: "" }));
    const kept = new Set(this.contents);
    for (const [key, { material, content }] of this.made) {
      if (content === "" || kept.has(content)) continue;
      material.dispose();
      this.made.delete(key);
    }
  }

  /** Material by index in the scene's list (-1: none), one- or two-sided. */
  get(index: number, doubleSided: boolean, kind: string): THREE.Material {
    const content = kind === "bounds" ? "" : (this.contents[index] ?? "");
    return this.keep(`${content} ${doubleSided} ${kind === "bounds"}`, content, () => (kind === "bounds" ? placeholder() : this.make(this.docs[index], doubleSided)));
  }

  /** What draws shapes that carry their colours themselves. */
  forMerged(side: THREE.Side): THREE.Material {
    return this.keep(`merged ${side}`, "", () => {
      const material = this.plain ? new THREE.MeshLambertMaterial({ side }) : new THREE.MeshStandardMaterial({ side });
      readsVertices(material);
      return material;
    });
  }

  private keep(key: string, content: string, make: () => THREE.Material): THREE.Material {
    const known = this.made.get(key);
    if (known) return known.material;
    const material = make();
    if (this.section.length > 0) this.cut(material);
    this.made.set(key, { material, content });
    return material;
  }

  private make(doc: MaterialDoc | undefined, doubleSided: boolean): THREE.Material {
    const opacity = doc?.opacity ?? 1;
    const color = doc?.color ?? [0.6, 0.6, 0.6];
    const common = {
      vertexColors: doc?.vertex_colors ?? false,
      alphaTest: doc?.opacity_threshold ?? 0,
      color: new THREE.Color(color[0], color[1], color[2]),
      opacity,
      transparent: opacity < 1,
      depthWrite: opacity >= 1,
      side: doubleSided ? THREE.DoubleSide : THREE.FrontSide,
    };
    const material = this.plain
      ? new THREE.MeshLambertMaterial(common)
      : new (doc?.clearcoat ? THREE.MeshPhysicalMaterial : THREE.MeshStandardMaterial)({ ...common, metalness: doc?.metallic ?? 0, roughness: doc?.roughness ?? 0.6 });
    const [r = 0, g = 0, b = 0] = doc?.emissive ?? [];
    material.emissive.setRGB(r, g, b);
    material.emissiveIntensity = GLOW;
    if (material instanceof THREE.MeshPhysicalMaterial) {
      material.clearcoat = doc?.clearcoat ?? 0;
      material.clearcoatRoughness = doc?.clearcoat_roughness ?? 0;
    }
    if (doc) this.addTextures(material, doc);
    return material;
  }

  private addTextures(material: THREE.MeshLambertMaterial | THREE.MeshStandardMaterial, doc: MaterialDoc): void {
    const image = (hash: string | undefined, space: THREE.ColorSpace) => (hash ? this.texture(hash, space, doc) : null);
    material.map = image(doc.color_texture, THREE.SRGBColorSpace);
    if (material.map) material.color.setScalar(1);
    material.normalMap = image(doc.normal_texture, THREE.NoColorSpace);
    if (material instanceof THREE.MeshStandardMaterial) {
      material.roughnessMap = image(doc.roughness_texture, THREE.NoColorSpace);
      material.metalnessMap = image(doc.metallic_texture, THREE.NoColorSpace);
    }
    material.aoMap = image(doc.occlusion_texture, THREE.NoColorSpace);
    material.emissiveMap = image(doc.emissive_texture, THREE.SRGBColorSpace);
    if (doc.opacity_texture && doc.opacity_texture === doc.color_texture) {
      // the picture's own alpha, which the colour map brings along
      material.transparent = !material.alphaTest;
    } else if (doc.opacity_texture) {
      material.alphaMap = image(doc.opacity_texture, THREE.NoColorSpace);
      material.transparent = !material.alphaTest;
    }
  }

  private texture(hash: string, space: THREE.ColorSpace, doc: MaterialDoc): THREE.Texture {
    const key = [hash, space, doc.uv, doc.wrap].join(" ");
    let texture = this.textures.get(key);
    if (!texture) {
      texture = this.loader.load(assetUrl(hash), this.arrived);
      texture.colorSpace = space;
      [texture.wrapS, texture.wrapT] = [doc.wrap?.[0], doc.wrap?.[1]].map((w) => WRAPS[w ?? "repeat"] ?? THREE.RepeatWrapping);
      if (doc.uv?.length === 5) {
        const [turn, u, v, du, dv] = doc.uv;
        const [cos, sin] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
        texture.matrixAutoUpdate = false;
        texture.matrix.set(u * cos, -v * sin, du, u * sin, v * cos, dv, 0, 0, 1);
      }
      texture.anisotropy = 4;
      this.textures.set(key, texture);
    }
    return texture;
  }
}

/** What cannot be drawn is shown as the space that it takes. */
function placeholder(): THREE.Material {
  return new THREE.MeshBasicMaterial({ color: 0xd97706, wireframe: true, transparent: true, opacity: 0.6 });
}
