"""Materials as the browser needs them: UsdPreviewSurface, the constants of OmniPBR, or a display colour."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import structs
from pxr import Sdf, Usd, UsdGeom, UsdShade

from twin.core.errors import SceneError
from twin.core.findings import Finding
from twin.protocol.documents import MaterialDoc
from twin.protocol.messages import encode
from twin.scene.materials import bound_prim
from twin.scene.render.assets import AssetStore
from twin.scene.stage import resolve_inside

_BINDINGS = ("material:binding:preview", "material:binding:full", "material:binding")
_PREVIEW = {
    "color": "diffuseColor", "emissive": "emissiveColor", "metallic": "metallic", "roughness": "roughness", "opacity": "opacity",
    "opacity_threshold": "opacityThreshold", "clearcoat": "clearcoat", "clearcoat_roughness": "clearcoatRoughness",
}  # fmt: skip
_OMNI_PBR = {"color": "diffuse_color_constant", "metallic": "metallic_constant", "roughness": "reflection_roughness_constant",
             "opacity": "opacity_constant", "emissive": "emissive_color"}  # fmt: skip
_TEXTURES = {
    "color_texture": "diffuseColor", "normal_texture": "normal", "roughness_texture": "roughness",
    "metallic_texture": "metallic", "occlusion_texture": "occlusion", "emissive_texture": "emissiveColor",
    "opacity_texture": "opacity",
}  # fmt: skip
_WRAPS = {"repeat": "repeat", "clamp": "clamp", "black": "clamp", "mirror": "mirror"}
_SHOWN_BY_BROWSERS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8")
_MAX_TEXTURE_BYTES = 32 * 2**20
FEW = 64
"""So many materials are kept without asking whether something is drawn with them."""


@dataclass
class DrawnMaterials:
    """The scene's list of materials. Materials that look the same are one entry, and an entry that something is drawn with stays
    where it is; the place of one that nothing is drawn with any more may be taken by another.

    Attributes:
        news: The list has changed since this was last set to False.
    """

    assets: AssetStore
    root: Path
    docs: list[MaterialDoc] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    news: bool = False
    _free: list[int] = field(default_factory=list)
    _tidy_at: int = FEW
    _by_look: dict[bytes, int] = field(default_factory=dict)
    _by_path: dict[Sdf.Path, int] = field(default_factory=dict)
    _users: dict[Sdf.Path, set[Sdf.Path]] = field(default_factory=dict)

    def of(self, prim: Usd.Prim) -> int:
        """Index of what a prim is drawn with."""
        material = bound_prim(prim, _BINDINGS, lambda p: p.IsA(UsdShade.Material))
        if material is not None:
            path = material.GetPath()
            if path not in self._by_path:
                self._by_path[path] = self._place(self._read(material))
            drawn = prim.GetParent() if prim.IsA(UsdGeom.Subset) else prim
            self._users.setdefault(path, set()).add(drawn.GetPath())
            return self._by_path[path]
        collected = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
        if collected:  # bound by a collection
            path = collected.GetPath()
            if path not in self._by_path:
                self._by_path[path] = self._place(self._read(collected.GetPrim()))
            return self._by_path[path]
        gprim = UsdGeom.Gprim(prim)
        color = UsdGeom.PrimvarsAPI(prim).FindPrimvarWithInheritance("displayColor")
        opacity = gprim.GetDisplayOpacityAttr().Get(Usd.TimeCode.EarliestTime()) if gprim else None
        values = color.Get(Usd.TimeCode.EarliestTime()) if color and color.HasValue() else None
        if values and _varies(prim, color):
            return self._place(MaterialDoc(path="", color=[1.0, 1.0, 1.0], opacity=float(opacity[0]) if opacity else 1.0,
                                           vertex_colors=True))  # fmt: skip
        rgb = [float(c) for c in values[0]] if values else [0.6, 0.6, 0.6]
        return self._place(MaterialDoc(path="", color=rgb, opacity=float(opacity[0]) if opacity else 1.0))

    def _place(self, doc: MaterialDoc) -> int:
        """Index of the entry that looks like ``doc``, added if there is none."""
        look = encode(structs.replace(doc, path=""))
        if look not in self._by_look:
            self.news = True
            if self._free:
                self._by_look[look] = self._free.pop()
                self.docs[self._by_look[look]] = doc
            else:
                self._by_look[look] = len(self.docs)
                self.docs.append(doc)
        return self._by_look[look]

    @property
    def crowded(self) -> bool:
        """It is time to ``tidy``."""
        return not self._free and len(self.docs) >= self._tidy_at

    def tidy(self, drawn: set[Sdf.Path], used: set[int]) -> None:
        """Free the places of entries that nothing is drawn with.

        Args:
            drawn: Prims that are there. used: Entries that something is drawn with.
        """
        self._by_path = {path: index for path, index in self._by_path.items() if index in used}
        self._users = {path: users & drawn for path, users in self._users.items() if path in self._by_path}
        self._by_look = {look: index for look, index in self._by_look.items() if index in used}
        self._free = sorted(set(range(len(self.docs))) - used, reverse=True)
        self._tidy_at = 2 * (len(self.docs) - len(self._free)) + FEW

    def refresh(self, stage: Usd.Stage, path: Sdf.Path) -> set[Sdf.Path]:
        """Read the materials at, above and below a changed prim again; the prims that are drawn differently for it."""
        redrawn: set[Sdf.Path] = set()
        for known in [m for m in self._by_path if m.HasPrefix(path) or path.HasPrefix(m)]:
            prim = stage.GetPrimAtPath(known)
            index = self._place(self._read(prim)) if prim and prim.IsA(UsdShade.Material) else -1
            if index != self._by_path[known]:
                redrawn |= self._users.pop(known, set())
                del self._by_path[known]
        return redrawn

    def _read(self, prim: Usd.Prim) -> MaterialDoc:
        doc = MaterialDoc(path=str(prim.GetPath()))
        material = UsdShade.Material(prim)
        shader = next((s for context in ("", "mdl") if (s := material.ComputeSurfaceSource(context)[0])), None)
        if not shader:
            return doc
        names = _PREVIEW if shader.GetIdAttr().Get() == "UsdPreviewSurface" else _OMNI_PBR
        for key in ("color", "emissive"):
            value = _constant(shader, names[key])
            if value is not None:
                setattr(doc, key, [float(c) for c in value])
        for key in ("metallic", "roughness", "opacity", "opacity_threshold", "clearcoat", "clearcoat_roughness"):
            value = _constant(shader, names[key]) if key in names else None
            if value is not None:
                setattr(doc, key, float(value))
        if names is _PREVIEW:
            for key, name in _TEXTURES.items():
                setattr(doc, key, self._texture(shader, name, doc))
            for key, plain in (("color", [1.0, 1.0, 1.0]), ("emissive", [1.0, 1.0, 1.0]), ("roughness", 1.0), ("metallic", 1.0)):
                if getattr(doc, f"{key}_texture"):
                    setattr(doc, key, plain)
        return doc

    def _texture(self, shader: UsdShade.Shader, name: str, doc: MaterialDoc) -> str:
        """Hash of the image that feeds an input; empty for none, or one that cannot be shown (a finding says which).

        ``doc`` gets how the image lies on the surface.
        """
        source = _source(shader, name)
        if source is None or not source.GetInput("file"):
            return ""
        produced = source.GetInput("file").GetValueProducingAttributes()
        attribute = produced[0] if produced else source.GetInput("file").GetAttr()
        asset = attribute.Get()
        if not asset or not asset.path:
            return ""
        stack = attribute.GetPropertyStack(Usd.TimeCode.Default())
        anchor = stack[0].layer.realPath or stack[0].layer.identifier
        try:
            file = resolve_inside(asset.path, anchor=anchor, root=self.root)
        except SceneError as error:
            return self._unshown(doc, asset.path, error.message)
        if not file.is_file():
            return self._unshown(doc, asset.path, "there is no such file")
        if file.stat().st_size > _MAX_TEXTURE_BYTES:
            return self._unshown(doc, asset.path, f"it is larger than {_MAX_TEXTURE_BYTES >> 20} MB")
        data = file.read_bytes()
        if not data.startswith(_SHOWN_BY_BROWSERS):
            return self._unshown(doc, asset.path, "browsers show PNG, JPEG, WebP and GIF only")
        wraps = [_WRAPS.get(str(_constant(source, name) or "repeat"), "repeat") for name in ("wrapS", "wrapT")]
        doc.wrap = wraps if wraps != ["repeat", "repeat"] else []
        doc.uv = _placing(source) or doc.uv
        return self.assets.put(data)

    def _unshown(self, doc: MaterialDoc, image: str, reason: str) -> str:
        finding = Finding("warning", doc.path, "texture-not-shown", f"image {image} is not shown: {reason}")
        if finding not in self.findings:
            self.findings.append(finding)
        return ""


def _varies(prim: Usd.Prim, color: UsdGeom.Primvar) -> bool:
    """Whether a display colour differs over a mesh or a cloud of points."""
    drawn = prim.GetParent() if prim.IsA(UsdGeom.Subset) else prim
    if color.GetAttr().GetPrim() != drawn or color.GetInterpolation() == UsdGeom.Tokens.constant:
        return False
    return bool(drawn.IsA(UsdGeom.Mesh) or drawn.IsA(UsdGeom.Points))


def _placing(texture: UsdShade.Shader) -> list[float]:
    """Rotation, scale and translation of a ``UsdTransform2d`` before a texture; empty for none."""
    place = _source(texture, "st")
    if place is None or place.GetIdAttr().Get() != "UsdTransform2d":
        return []
    scale, translation = _constant(place, "scale") or (1.0, 1.0), _constant(place, "translation") or (0.0, 0.0)
    values = [float(_constant(place, "rotation") or 0.0), *map(float, scale), *map(float, translation)]
    return values if values != [0.0, 1.0, 1.0, 0.0, 0.0] else []


def _source(shader: UsdShade.Shader, name: str) -> UsdShade.Shader | None:
    found = shader.GetInput(name)
    if not found or not found.HasConnectedSource():
        return None
    return UsdShade.Shader(found.GetConnectedSource()[0].GetPrim())


def _constant(shader: UsdShade.Shader, name: str) -> Any:
    """Value of an input, followed through a material's interface."""
    found = shader.GetInput(name)
    if not found:
        return None
    sources = found.GetValueProducingAttributes()
    if not sources or UsdShade.Utils.GetType(sources[0].GetName()) == UsdShade.AttributeType.Output:
        return None
    return sources[0].Get()
