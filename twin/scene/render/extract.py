"""From the composed stage to the documents that the browser draws."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from msgspec.structs import astuple, replace
from pxr import Gf, Sdf, Usd, UsdGeom, UsdLux

from twin.core.findings import Finding
from twin.model.factory import FactoryModel
from twin.protocol.documents import Camera, Geometry, Light, MaterialDoc, NodeDoc, PrimDoc, PrototypeDoc, SignalDoc
from twin.scene.frames import array, rigid, split
from twin.scene.prototypes import NAMING, item_type, prototype_paths, subtree
from twin.scene.render.assets import AssetStore
from twin.scene.render.geometry import Geometries, is_heavy
from twin.scene.render.materials import DrawnMaterials
from twin.scene.stage import applied_schemas, asset_root_of, meters_per_unit

TIME = Usd.TimeCode.EarliestTime()
_HIDDEN_PURPOSES = (UsdGeom.Tokens.guide, UsdGeom.Tokens.proxy)
_SAYS_WHAT = (".twin:conveyor:path", *(f".{name}" for name in NAMING.values()))
"""Properties that make a prim goods, or a curve a path."""
_INHERITED = ("material:binding", "primvars:", "purpose")
"""Properties whose change alters what is drawn below their prim."""
_PLACE = "xformOp"
"""Properties whose change leaves what is drawn as it is, and puts it elsewhere, begin so."""
_IDENTITY = np.eye(4).ravel().tolist()
FEW = 10
"""Up to so many prims are looked for one by one."""


@dataclass
class SceneParts:
    """What the stage contributes to a ``SceneDoc`` or ``ScenePatch``.

    Attributes:
        materials: The whole list; empty in a patch that did not change it.
        removed: Paths gone with all below them (patches only).
        order: Name of the sibling that comes next, by path, for what was looked at with all below it; empty for the last one
            (patches only).
    """

    prims: list[PrimDoc] = field(default_factory=list)
    materials: list[MaterialDoc] = field(default_factory=list)
    prototypes: list[PrototypeDoc] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    order: dict[str, str] = field(default_factory=dict)


class SceneExtractor:
    """Draws one stage; keeps the list of materials over its life, so that patches refer to the same indices.

    Attributes:
        findings: What is drawn otherwise than authored, or not at all, by prim.

    Args:
        stage: The composed stage. assets: Where meshes and textures go.
        model: The compiled factory, for body and node numbers; set ``model`` anew after a compilation.
        edit_layer: Marks edited prims. asset_root: Where textures must lie.
        later: Meshes that take long are shown as boxes at first: called with the path of each, and with what ``drawn`` wants to
            have back once it has been drawn elsewhere. None: everything is drawn at once.
    """

    def __init__(
        self,
        stage: Usd.Stage,
        *,
        assets: AssetStore,
        model: FactoryModel | None = None,
        edit_layer: Sdf.Layer | None = None,
        asset_root: Path | None = None,
        later: Callable[[str, object], None] | None = None,
    ) -> None:
        self._stage, self._assets, self._edits = stage, assets, edit_layer
        self._materials = DrawnMaterials(assets, asset_root or asset_root_of(stage))
        self._drawn_by = Geometries(assets, self._materials)
        self.findings: dict[Sdf.Path, list[Finding]] = {}
        self._unit = meters_per_unit(stage)
        self._bodies: dict[str, int] = {}
        self._nodes: dict[str, int] = {}
        self._cache = UsdGeom.XformCache(TIME)
        self._goods: set[Sdf.Path] = set()
        self._paths: set[Sdf.Path] = set()
        self._drawn: set[Sdf.Path] = set()
        self._docs: dict[Sdf.Path, PrimDoc] = {}
        self._of_goods: tuple[set[int], set[str]] = set(), set()
        self._later = later
        self._late: dict[Sdf.Path, object] = {}
        self._heavy: set[Sdf.Path] = set()
        if model is not None:
            self.use(model)

    def use(self, model: FactoryModel) -> None:
        """Take body and node numbers from a newly compiled factory."""
        self._bodies = {body.path: i for i, body in enumerate(model.rigid.bodies)}
        self._nodes = {node.path: i for i, node in enumerate(model.nodes)}
        for doc in self._docs.values():
            doc.body, doc.node = self._bodies.get(doc.path, -1), self._nodes.get(doc.path, -1)

    @property
    def count(self) -> int:
        """Prims that are drawn or listed."""
        return len(self._drawn)

    def all_findings(self) -> list[Finding]:
        """What is drawn otherwise than authored, or not at all."""
        return [*(finding for drawn in self.findings.values() for finding in drawn), *self._materials.findings]

    def scene(self) -> SceneParts:
        """The whole scene, prims depth first, parents before children; what no patch has touched is not read again."""
        self._look_around()
        self._drawn_by.forget()
        first = not self._drawn
        walked = [prim for prim in self._walk(self._stage.GetPseudoRoot()) if not prim.IsPseudoRoot()]
        self._drawn = {prim.GetPath() for prim in walked}
        self._docs = {path: doc for path, doc in self._docs.items() if path in self._drawn}
        self.findings = {path: found for path, found in self.findings.items() if path in self._drawn}
        self._late = {path: ticket for path, ticket in self._late.items() if path in self._docs}
        self._heavy &= self._drawn
        prims = [self._docs.get(prim.GetPath()) or self._fresh(prim) for prim in walked]
        prototypes = [self._prototype(self._stage.GetPrimAtPath(path)) for path in prototype_paths(self._stage)]
        if first:
            self._materials.news = False  # nobody has drawn anything yet
        return SceneParts(prims, self.materials(), prototypes)

    def patch(self, changed: Iterable[str], resync: Iterable[str]) -> SceneParts:
        """What is drawn differently after a transaction.

        Args:
            changed: Property paths, or prims whose own doc changed. resync: Prims to look at with all below (``Applied``).
        """
        changed, resync = list(changed), list(resync)
        # who is goods and which curves are paths is said by prims that are new and by properties of Twin
        self._look_around(anew=bool(resync) or any(path.endswith(_SAYS_WHAT) for path in changed))
        self._drawn_by.forget()
        self._tidy()
        wanted: dict[Sdf.Path, bool] = {}
        looks: set[Sdf.Path] = set()
        for text in changed:
            path = Sdf.Path(text)
            below = path.IsPropertyPath() and path.name.startswith(_INHERITED)
            wanted[path.GetPrimPath()] = wanted.get(path.GetPrimPath(), False) or below
            if not (path.IsPropertyPath() and path.name.startswith(_PLACE)):
                looks.add(path.GetPrimPath())
        wanted |= {Sdf.Path(text): True for text in resync}
        moved = wanted.keys() - looks - {Sdf.Path(text) for text in resync}
        for path in wanted.keys() - moved:
            for user in self._materials.refresh(self._stage, path):
                wanted.setdefault(user, False)
        parts = SceneParts()
        # not for what has only changed: to look through all that is drawn would be most of an edit's cost
        drawn_below = self._drawn_below([path for path, whole in wanted.items() if whole or not self._is_here(path)])
        done: set[Sdf.Path] = set()
        for path in sorted(wanted):
            prim = self._stage.GetPrimAtPath(path)
            here = self._is_here(path)
            if here and path in moved and path in self._docs and path not in done:
                done.add(path)
                parts.prims.append(self._put(prim))
                continue
            walked = ([*self._walk(prim)] if wanted[path] else [prim]) if here else []
            if here and path not in done and (wanted[path] or path not in self._drawn):
                parts.order[str(path)] = _next_name(prim)
            if wanted[path] or not here:
                gone = (drawn_below[path] & self._drawn) - {p.GetPath() for p in walked}
                told = gone if here or not wanted[path] else gone | {path}  # whoever was away has not been told of it yet
                parts.removed += [str(p) for p in sorted(told) if p.GetParentPath() not in told]
                for path_gone in gone:
                    self._forget(path_gone)
                self._drawn -= gone
            for part in walked:
                if part.GetPath() not in done:
                    done.add(part.GetPath())
                    parts.prims.append(self._fresh(part))
        self._drawn |= done
        if self._materials.news:
            self._materials.news = False
            parts.materials = self.materials()
        return parts

    def _is_here(self, path: Sdf.Path) -> bool:
        prim = self._stage.GetPrimAtPath(path)
        return bool(prim and prim.IsActive() and prim.IsDefined() and not prim.IsAbstract())

    def _drawn_below(self, paths: Collection[Sdf.Path]) -> dict[Sdf.Path, set[Sdf.Path]]:
        """What has been drawn at and below each of the paths."""
        if len(paths) <= FEW:
            return {path: {drawn for drawn in self._drawn if drawn.HasPrefix(path)} for path in paths}
        below: dict[Sdf.Path, set[Sdf.Path]] = {path: set() for path in paths}
        for drawn in self._drawn:
            for above in drawn.GetPrefixes():
                if above in below:
                    below[above].add(drawn)
        return below

    def drawn(self, path: str, ticket: object, mesh: str | None, findings: Sequence[Finding]) -> PrimDoc | None:
        """A mesh that was put off has been drawn; None if the prim is no longer what it was then.

        Args:
            ticket: What ``later`` was given. mesh: Hash of its buffer; empty where there is nothing to draw, None where it
                stays as it is shown now.
        """
        where = Sdf.Path(path)
        if not self.waits_for(path, ticket):
            return None
        del self._late[where]
        if not self._stage.GetPrimAtPath(where):
            return None
        doc = self._docs[where]
        if doc.geometry is not None and mesh is not None:
            geometry = replace(doc.geometry, kind="mesh", mesh=mesh, size=[], center=[]) if mesh else None
            doc = self._docs[where] = replace(doc, geometry=geometry)
        self.findings[where] = list(findings)
        return doc

    def waits_for(self, path: str, ticket: object) -> bool:
        """Whether a mesh that was put off is still wanted as it was then."""
        return self._late.get(Sdf.Path(path)) is ticket

    @property
    def waits(self) -> bool:
        """Something is still to be drawn."""
        return bool(self._late)

    def heavy(self) -> list[PrimDoc]:
        """All that was put off at some time, as it stands: whoever joins may have missed that it was drawn."""
        return [self._docs[path] for path in sorted(self._heavy) if path in self._docs]

    def _put_off(self, prim: Usd.Prim, later: Callable[[str, object], None]) -> Geometry:
        """A mesh that takes long: as it was drawn last, or the box around it."""
        path = prim.GetPath()
        ticket = self._late[path] = object()
        self._heavy.add(path)
        geometry = self._drawn_by.stand_in(UsdGeom.Mesh(prim))
        geometry.double_sided = bool(UsdGeom.Gprim(prim).GetDoubleSidedAttr().Get())
        before = self._docs.get(path)
        if before is not None and before.geometry is not None and before.geometry.kind == "mesh":
            geometry = replace(geometry, kind="mesh", mesh=before.geometry.mesh, size=[], center=[])
        later(str(path), ticket)
        return geometry

    def _forget(self, path: Sdf.Path) -> None:
        """A prim is gone."""
        self._docs.pop(path, None)
        self.findings.pop(path, None)
        self._late.pop(path, None)
        self._heavy.discard(path)

    def materials(self) -> list[MaterialDoc]:
        """The whole list as it stands."""
        return list(self._materials.docs)

    def _tidy(self) -> None:
        """Let go of materials and buffers that nothing is drawn with any more: edits of a day must not pile up."""
        if not (self._materials.crowded or self._assets.crowded) or not self._drawn <= self._docs.keys():
            return
        drawings = [doc.geometry for doc in self._docs.values() if doc.geometry is not None]
        if self._materials.crowded:
            # what a prototype was ever drawn with stays: patches do not tell of prototypes
            used = {index for drawing in drawings for index in drawing.materials} | self._of_goods[0]
            self._materials.tidy(self._drawn, used)
        if self._assets.crowded:
            textures = {value for doc in self._materials.docs for value in astuple(doc) if isinstance(value, str)}
            self._assets.tidy({drawing.mesh for drawing in drawings} | self._of_goods[1] | textures)

    def prototypes(self) -> list[PrototypeDoc]:
        """How goods look."""
        self._look_around()
        return [self._prototype(self._stage.GetPrimAtPath(path)) for path in prototype_paths(self._stage)]

    def _look_around(self, *, anew: bool = True) -> None:
        """Gather what depends on the stage as it stands now; ``anew`` false: transforms only."""
        self._cache = UsdGeom.XformCache(TIME)
        if not anew:
            return
        goods = set(prototype_paths(self._stage))
        paths = {
            target
            for prim in self._stage.Traverse()
            if prim.HasAPI("TwinConveyorAPI")
            for target in prim.GetRelationship("twin:conveyor:path").GetTargets()
        }
        if (goods, paths) != (self._goods, self._paths):
            for path in (goods ^ self._goods) | (paths ^ self._paths):
                self._docs.pop(path, None)
                self._late.pop(path, None)
            self._goods, self._paths = goods, paths

    def _walk(self, prim: Usd.Prim) -> Iterator[Usd.Prim]:
        return iter(Usd.PrimRange(prim, Usd.TraverseInstanceProxies()))

    # ---- one prim

    def _fresh(self, prim: Usd.Prim) -> PrimDoc:
        doc = self._docs[prim.GetPath()] = self._doc(prim)
        return doc

    def _put(self, prim: Usd.Prim) -> PrimDoc:
        """A prim that only stands elsewhere now."""
        doc = replace(self._docs[prim.GetPath()], matrix=self._matrix(prim), edited=self._edited(prim))
        self._docs[prim.GetPath()] = doc
        return doc

    def _edited(self, prim: Usd.Prim) -> bool:
        spec = self._edits.GetPrimAtPath(prim.GetPath()) if self._edits else None
        return spec is not None and bool(spec.properties or set(spec.ListInfoKeys()) - {"specifier"})

    def _matrix(self, prim: Usd.Prim) -> list[float]:
        matrix: list[float] = self._local(prim).ravel().tolist()
        return [] if matrix == _IDENTITY else matrix

    def _doc(self, prim: Usd.Prim) -> PrimDoc:
        path = str(prim.GetPath())
        return PrimDoc(
            path=path,
            type=str(prim.GetTypeName()),
            schemas=applied_schemas(prim),
            kind=str(Usd.ModelAPI(prim).GetKind()),
            matrix=self._matrix(prim),
            visible=self._visible(prim) and prim.GetPath() not in self._goods and not _is_instanced(prim),
            geometry=self._geometry(prim),
            light=_light(prim),
            camera=_camera(prim, self._unit),
            body=self._bodies.get(path, -1),
            node=self._nodes.get(path, -1),
            edited=self._edited(prim),
        )

    def _local(self, prim: Usd.Prim) -> np.ndarray:
        """[4,4] local-to-parent matrix, also where the prim does not inherit its parent's."""
        if not prim.IsA(UsdGeom.Xformable):
            return np.eye(4)
        local, resets = self._cache.GetLocalTransformation(prim)
        if resets:
            local = local * self._cache.GetParentToWorldTransform(prim).GetInverse()
        return array(local)

    def _visible(self, prim: Usd.Prim) -> bool:
        imageable = UsdGeom.Imageable(prim)
        if not imageable:
            return True
        if imageable.GetVisibilityAttr().Get(TIME) == UsdGeom.Tokens.invisible:
            return False
        return imageable.GetPurposeAttr().Get() not in _HIDDEN_PURPOSES

    def _geometry(self, prim: Usd.Prim, *, prototype: bool = False) -> Geometry | None:
        path = prim.GetPath()
        if not prim.IsA(UsdGeom.Boundable) or path in self._paths or prim.IsA(UsdLux.BoundableLightBase):
            return None
        if self._later is not None and not prototype and is_heavy(prim):
            return self._put_off(prim, self._later)
        self._late.pop(path, None)
        found = self._drawn_by.geometry(prim)
        self.findings[path] = list(found.findings)
        return found.geometry

    # ---- goods

    def _prototype(self, prim: Usd.Prim) -> PrototypeDoc:
        """What is drawn of a prototype, each prim's matrix straight to the body's frame in metres."""
        back = np.linalg.inv(rigid(split(array(self._cache.GetLocalToWorldTransform(prim)))))
        to_metres = np.diag([self._unit, self._unit, self._unit, 1.0])
        drawn = []
        hidden: set[Sdf.Path] = set()
        for part in subtree(prim):
            if part.GetPath().GetParentPath() in hidden or not self._visible(part):
                hidden.add(part.GetPath())
                continue
            geometry = self._geometry(part, prototype=True)
            if geometry is None:
                continue
            matrix = array(self._cache.GetLocalToWorldTransform(part)) @ back @ to_metres
            flat = matrix.ravel().tolist()
            self._of_goods[0].update(geometry.materials)
            self._of_goods[1].add(geometry.mesh)
            drawn.append(PrimDoc(str(part.GetPath()), str(part.GetTypeName()), matrix=flat, geometry=geometry))
        return PrototypeDoc(str(prim.GetPath()), item_type(prim), drawn)


_LIGHT_KINDS = {
    "DistantLight": "distant",
    "SphereLight": "sphere",
    "CylinderLight": "sphere",
    "RectLight": "rect",
    "DiskLight": "disk",
    "DomeLight": "dome",
    "DomeLight_1": "dome",
}
_LIGHT_SIZES = {"distant": ("inputs:angle",), "sphere": ("inputs:radius",), "rect": ("inputs:width", "inputs:height"),
                "disk": ("inputs:radius",)}  # fmt: skip


def _next_name(prim: Usd.Prim) -> str:
    """Name of the sibling that is listed after a prim; empty for the last one. The one before it would have to be looked for."""
    after = prim.GetFilteredNextSibling(Usd.TraverseInstanceProxies())
    return str(after.GetName()) if after else ""


def _is_instanced(prim: Usd.Prim) -> bool:
    """Directly below an instancer: drawn by it, where it puts its instances."""
    return bool(prim.GetParent().IsA(UsdGeom.PointInstancer))


def _camera(prim: Usd.Prim, unit: float) -> Camera | None:
    if not prim.IsA(UsdGeom.Camera):
        return None
    camera = UsdGeom.Camera(prim).GetCamera(TIME)
    orthographic = camera.projection == Gf.Camera.Orthographic
    near, far = camera.clippingRange.min, camera.clippingRange.max
    height = camera.verticalAperture * Gf.Camera.APERTURE_UNIT * unit
    return Camera(
        vertical_fov=0.0 if orthographic else float(camera.GetFieldOfView(Gf.Camera.FOVVertical)),
        aspect=float(camera.aspectRatio),
        height=float(height) if orthographic else 0.0,
        near=float(near * unit),
        far=float(far * unit),
    )


def _light(prim: Usd.Prim) -> Light | None:
    kind = _LIGHT_KINDS.get(str(prim.GetTypeName()))
    if kind is None:
        return None
    api = UsdLux.LightAPI(prim)
    intensity = float(api.GetIntensityAttr().Get(TIME)) * 2.0 ** float(api.GetExposureAttr().Get(TIME))
    size = [float(prim.GetAttribute(name).Get(TIME)) for name in _LIGHT_SIZES.get(kind, ())]
    return Light(kind, intensity, [float(c) for c in api.GetColorAttr().Get(TIME)], size)


def node_docs(model: FactoryModel) -> list[NodeDoc]:
    """The nodes of a compiled factory."""
    return [NodeDoc(node.path, node.kind.name.lower(), list(node.next)) for node in model.nodes]


def signal_docs(model: FactoryModel) -> list[SignalDoc]:
    """The signals of a compiled factory."""
    return [SignalDoc(s.prim, s.name, s.unit, s.role) for s in model.signals]
