"""What to draw at a prim: an analytic shape, the buffer of a surface, or the bounds of what cannot be drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

from pxr import Gf, Sdf, Usd, UsdGeom

from twin.core.findings import Findings
from twin.protocol.documents import Geometry
from twin.scene.render.assets import AssetStore
from twin.scene.render.instancers import instanced
from twin.scene.render.materials import DrawnMaterials
from twin.scene.render.meshes import material_subsets, mesh_surface
from twin.scene.render.shapes import MOST_POINTS, analytic, cloud, tubes
from twin.scene.render.surface import Surface, encode
from twin.scene.stage import meters_per_unit

TIME = Usd.TimeCode.EarliestTime()
THIN_M = 0.01
"""Width of curves and points that say none."""
HEAVY = 100_000
"""A mesh of so many corners takes a tenth of a second or more to draw."""


@dataclass
class Found:
    """``geometry`` is None where nothing is drawn."""

    geometry: Geometry | None
    findings: Findings = field(default_factory=Findings)


class Geometries:
    """Reads shapes of one stage; what native instances share is read once until ``forget``."""

    def __init__(self, assets: AssetStore, materials: DrawnMaterials) -> None:
        self._assets, self._materials = assets, materials
        self._shared: dict[Sdf.Path, tuple[Surface | None, str, Findings]] = {}

    def forget(self) -> None:
        """The stage may have changed."""
        self._shared.clear()

    def geometry(self, prim: Usd.Prim) -> Found:
        """The shape of a boundable prim in its own frame, stage units."""
        found = Found(None)
        kind = str(prim.GetTypeName())
        double = bool(UsdGeom.Gprim(prim) and UsdGeom.Gprim(prim).GetDoubleSidedAttr().Get())
        geometry = Geometry(kind=kind.lower(), double_sided=double)

        def value(name: str) -> float:
            return float(prim.GetAttribute(name).Get(TIME))

        if kind == "Cube":
            geometry.size = [value("size")] * 3
        elif kind == "Sphere":
            geometry.radius = value("radius")
        elif kind in ("Cylinder", "Cone", "Capsule"):
            axis = str(prim.GetAttribute("axis").Get())
            geometry.radius, geometry.height, geometry.axis = value("radius"), value("height"), axis
        elif kind == "Plane":
            geometry.size, geometry.axis = [value("width"), value("length")], str(prim.GetAttribute("axis").Get())
        elif prim.IsA(UsdGeom.PointInstancer):
            drawn = instanced(UsdGeom.PointInstancer(prim), lambda part: self._drawn(part, found.findings), found.findings)
            if drawn is None:
                return found
            geometry.kind, geometry.materials = "mesh", drawn[1]
            geometry.mesh = self._assets.put(encode(drawn[0]))
            found.geometry = geometry
            return found
        else:
            surface, key, findings = self._surface(prim)
            found.findings.items += findings.items
            if surface is None:
                if kind != "Mesh":
                    found.geometry = self._bounds(prim, geometry, found.findings)
                return found
            geometry.kind, geometry.mesh = "mesh", key
        geometry.materials = self._materials_of(prim)
        found.geometry = geometry
        return found

    def stand_in(self, mesh: UsdGeom.Mesh) -> Geometry:
        """The box around a mesh that is still to be drawn."""
        points = mesh.GetPointsAttr().Get(TIME)
        extent = mesh.GetExtentAttr().Get(TIME) or (UsdGeom.PointBased.ComputeExtent(points) if points else None)
        low, high = extent or (Gf.Vec3f(0.0), Gf.Vec3f(0.0))
        size, center = [float(v) for v in high - low], [float(v) for v in (high + low) * 0.5]
        return Geometry(kind="bounds", size=size, center=center, materials=self._materials_of(mesh.GetPrim()))

    def _materials_of(self, prim: Usd.Prim) -> list[int]:
        subsets = material_subsets(UsdGeom.Mesh(prim)) if prim.IsA(UsdGeom.Mesh) else []
        return [self._materials.of(prim), *(self._materials.of(subset.GetPrim()) for subset in subsets)]

    def _surface(self, prim: Usd.Prim) -> tuple[Surface | None, str, Findings]:
        """Surface, hash of its buffer and findings of what is no simple shape; instances of one prototype share them."""
        key = prim.GetPrimInPrototype().GetPath() if prim.IsInstanceProxy() else prim.GetPath()
        known = self._shared.get(key)
        if known is None:
            findings = Findings()
            surface = read_surface(prim, findings)
            known = surface, self._assets.put(encode(surface)) if surface is not None else "", findings
            if prim.IsInstanceProxy():
                self._shared[key] = known
        return known

    def _drawn(self, prim: Usd.Prim, findings: Findings) -> tuple[Surface, list[int]] | None:
        """Surface of a gprim of whatever kind, and its materials."""
        surface = analytic(prim)
        if surface is None:
            surface, _, found = self._surface(prim)
            findings.items += found.items
        if surface is None:
            findings.warning(prim.GetPath(), "not-drawn", f"a {prim.GetTypeName()} cannot be drawn by an instancer")
            return None
        return surface, self._materials_of(prim)

    def _bounds(self, prim: Usd.Prim, geometry: Geometry, findings: Findings) -> Geometry | None:
        """The box around what the browser cannot draw."""
        cache = UsdGeom.BBoxCache(TIME, [UsdGeom.Tokens.default_, UsdGeom.Tokens.render], useExtentsHint=True)
        box: Gf.Range3d = cache.ComputeUntransformedBound(prim).ComputeAlignedBox()
        kind = prim.GetTypeName()
        if box.IsEmpty():
            if prim.IsA(UsdGeom.Gprim):
                findings.warning(prim.GetPath(), "not-drawn", f"a {kind} without an extent cannot be shown")
            return None
        findings.warning(prim.GetPath(), "shown-as-bounds", f"a {kind} cannot be drawn and is shown as the box around it")
        geometry.kind = "bounds"
        geometry.size, geometry.center = list(box.GetSize()), list(box.GetMidpoint())
        return geometry


def read_surface(prim: Usd.Prim, findings: Findings) -> Surface | None:
    """The surface of what is no simple shape, in the prim's own frame, stage units; None where nothing is drawn.

    Args:
        findings: Gets what is shown otherwise than authored.
    """
    thin = THIN_M / meters_per_unit(prim.GetStage())
    path = prim.GetPath()
    if prim.IsA(UsdGeom.Mesh):
        surface = mesh_surface(UsdGeom.Mesh(prim), material_subsets(UsdGeom.Mesh(prim)), findings)
        if surface is None and UsdGeom.Mesh(prim).GetPointsAttr().HasValue():
            findings.warning(path, "mesh-unusable", "the mesh has no faces, or counts and indices do not fit its points")
        return surface
    if prim.IsA(UsdGeom.BasisCurves):
        if not UsdGeom.BasisCurves(prim).GetWidthsAttr().HasAuthoredValue():
            findings.info(path, "no-width", f"curves without widths are drawn {THIN_M * 1000:.0f} mm wide")
        return tubes(prim, thin)
    if prim.IsA(UsdGeom.Points):
        made = cloud(prim, thin)
        if made is not None and made[1] > MOST_POINTS:
            findings.info(path, "points-thinned", f"{MOST_POINTS:,} of {made[1]:,} points are shown")
        return None if made is None else made[0]
    return analytic(prim)


def is_heavy(prim: Usd.Prim) -> bool:
    """Whether drawing the prim takes so long that nobody should wait for it."""
    return bool(prim.IsA(UsdGeom.Mesh)) and len(UsdGeom.Mesh(prim).GetFaceVertexIndicesAttr().Get(TIME) or ()) >= HEAVY
