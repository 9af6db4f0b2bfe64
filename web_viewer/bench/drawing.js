// Run in the page: what it draws just now, as bare.ts takes it.
() => {
  const v = window.__twin.viewport;
  const { renderer, environment, rig } = v;
  const geometries = new Map();
  const materials = new Map();
  const keyOf = (map, thing) => (map.has(thing) ? map.get(thing) : (map.set(thing, map.size), map.size - 1));
  const meshes = [];
  // What the page copied together it shows by other meshes; here each instance counts.
  const shown = new Set(v.world.meshes);
  v.scene.traverseVisible((o) => o.isInstancedMesh && shown.add(o));
  for (const o of shown) {
    if (o.count === 0) continue;
    const list = Array.isArray(o.material) ? o.material : [o.material];
    meshes.push({
      geometry: keyOf(geometries, o.geometry),
      materials: list.map((m) => keyOf(materials, m)),
      matrices: [...o.instanceMatrix.array.slice(0, 16 * o.count)],
      count: o.count,
      cast: o.castShadow,
      receive: o.receiveShadow,
      moves: !o.frustumCulled,
      culled: o.frustumCulled,
    });
  }
  const light = (l) => (l.visible ? { color: l.color.getHex(), intensity: l.intensity, position: l.position.toArray() } : null);
  const { sun, sky, fill } = environment;
  const array = (a) => (a ? [...a.array] : null);
  return {
    width: v.width,
    height: v.height,
    ratio: renderer.getPixelRatio(),
    antialias: renderer.getContext().getContextAttributes().antialias,
    toneMapping: renderer.toneMapping,
    exposure: renderer.toneMappingExposure,
    shadowType: renderer.shadowMap.type,
    shadowEachFrame: v.quality.level.shadowEvery === 1,
    camera: { fov: rig.camera.fov, near: rig.camera.near, far: rig.camera.far, position: rig.camera.position.toArray(), quaternion: rig.camera.quaternion.toArray() },
    sun: { ...light(sun), target: sun.target.position.toArray(), size: sun.shadow.mapSize.x, reach: sun.shadow.camera.right, near: sun.shadow.camera.near, far: sun.shadow.camera.far, cast: sun.castShadow },
    sky: sky.visible ? { ...light(sky), ground: sky.groundColor.getHex() } : null,
    fill: light(fill),
    environment: v.scene.environment ? v.scene.environmentIntensity : null,
    geometries: [...geometries.keys()].map((g) => ({ position: array(g.attributes.position), normal: array(g.attributes.normal), uv: array(g.attributes.uv), index: array(g.index), groups: g.groups })),
    materials: [...materials.keys()].map((m) => ({
      type: m.type,
      color: m.color.getHex(),
      opacity: m.opacity,
      transparent: m.transparent,
      depthWrite: m.depthWrite,
      side: m.side,
      metalness: m.metalness ?? 0,
      roughness: m.roughness ?? 1,
      emissive: m.emissive?.getHex() ?? 0,
      emissiveIntensity: m.emissiveIntensity ?? 1,
    })),
    meshes,
  };
}
