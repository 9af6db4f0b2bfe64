"""Parts of a stage as operations, so that they can be pasted into another one: what the system clipboard holds.

A clip says what the stage's own layers and the edits say about prims, and refers to the assets that they refer to; where that
cannot be said by reference, what is composed is written out. Paths begin with ``$0`` for the first of the prims, ``$1`` for the
second. What cannot be said by operations (shader networks, animation, files named by attributes) is left out, and named.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pxr import Pcp, Sdf, Usd, UsdGeom

from twin.core.errors import InputError
from twin.protocol.messages import Op
from twin.scene.casting import plain
from twin.scene.edits.fields import FREE, METADATA
from twin.scene.edits.xform import CANONICAL, ORDER, euler
from twin.scene.frames import array, split
from twin.scene.stage import meters_per_unit

MAX_OPS = 20_000
MAX_NUMBERS = 200_000
"""Numbers in all values together."""
_TYPES = dict(zip(CANONICAL, ("double3", "float3", "float3"), strict=True))


@dataclass
class Clip:
    """``prims`` are name and operations of each prim; ``left_out`` is what a paste will lack."""

    unit: float
    up: str
    prims: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def clip_of(stage: Usd.Stage, paths: list[str], root: Path) -> Clip:
    """What a clipboard holds of prims.

    Args:
        paths: The prims, none of them below another. root: The asset root.

    Raises:
        InputError: There is no such prim, or it is too much for a clipboard.
    """
    clip = Clip(meters_per_unit(stage), str(UsdGeom.GetStageUpAxis(stage)))
    prims = []
    for path in paths:
        prim = stage.GetPrimAtPath(path) if Sdf.Path.IsValidPathString(path) else None
        if not prim or prim.IsPseudoRoot() or not prim.IsActive():
            raise InputError("the prim does not exist", prim=path)
        prims.append(prim)
    places = {prim.GetPath(): f"${i}" for i, prim in enumerate(prims)}
    for prim in prims:
        writer = _Writer(clip, stage, root, places)
        writer.prim(prim, top=True)
        if len(writer.ops) > MAX_OPS or writer.numbers > MAX_NUMBERS:
            raise InputError("this is too much for a clipboard; export it, or make it a part of the library", prim=prim.GetPath())
        clip.prims.append({"name": prim.GetName(), "path": str(prim.GetPath()), "ops": writer.ops})
    return clip


@dataclass
class _Writer:
    """Writes one prim; ``places`` says how each of the copied prims is called in the clip."""

    clip: Clip
    stage: Usd.Stage
    root: Path
    places: dict[Sdf.Path, str]
    ops: list[Op] = field(default_factory=list)
    numbers: int = 0

    def prim(self, prim: Usd.Prim, *, whole: bool = False, inside: bool = False, top: bool = False) -> None:
        """A prim with all below it. ``whole``: all that is composed, not only what the stage's own layers say; ``inside``: it
        may come with the part that it is in.
        """
        specs = [s for layer in self.stage.GetLayerStack(True) if (s := layer.GetPrimAtPath(prim.GetPath()))]
        reference = None if whole else self._reference(prim, specs)
        new = top or whole or any(s.specifier == Sdf.SpecifierDef for s in specs)
        whole = whole or (reference is None and _brought(prim) and (new or not inside))
        place = self._place(prim.GetPath())
        if new:
            value: dict[str, Any] = (
                {"type": str(prim.GetTypeName())} if reference is None else {"type": "", "reference": reference}
            )
            self.ops.append(Op("add_prim", place, "", value))
        self._schemas(prim, specs, whole)
        names = prim.GetAuthoredPropertyNames() if whole else list(dict.fromkeys(p.name for s in specs for p in s.properties))
        for name in sorted(names):
            self._property(prim, name, place)
        if any(name.startswith("xformOp:") and name not in CANONICAL for name in names):
            self._transform(prim, place)
        for child in prim.GetFilteredChildren(Usd.TraverseInstanceProxies(Usd.PrimIsActive & Usd.PrimIsDefined)):
            if whole or any(layer.GetPrimAtPath(child.GetPath()) for layer in self.stage.GetLayerStack(True)):
                self.prim(child, whole=whole, inside=inside or reference is not None)

    def _place(self, path: Sdf.Path) -> str:
        for above, place in self.places.items():
            if path.HasPrefix(above):
                return place + str(path)[len(str(above)) :]
        return str(path)

    def _reference(self, prim: Usd.Prim, specs: list[Sdf.PrimSpec]) -> str | None:
        """The one asset that a prim is made of, relative to the asset root; None without one, and where it is not that simple."""
        found = [
            (spec.layer, arc)
            for spec in specs
            for listing in (spec.referenceList, spec.payloadList)
            for arc in listing.GetAddedOrExplicitItems()
        ]
        arcs = {node.arcType for node in prim.GetPrimIndex().rootNode.children}
        if len(found) != 1 or arcs - {Pcp.ArcTypeReference, Pcp.ArcTypePayload, Pcp.ArcTypeVariant}:
            return None
        layer, arc = found[0]
        if not arc.assetPath or arc.primPath or not arc.layerOffset.IsIdentity():
            return None
        anchor = Path(layer.realPath or layer.identifier).parent
        inside = os.path.relpath(os.path.realpath(anchor / arc.assetPath), self.root)
        return None if inside.startswith("..") else Path(inside).as_posix()

    def _schemas(self, prim: Usd.Prim, specs: list[Sdf.PrimSpec], whole: bool) -> None:
        place = self._place(prim.GetPath())
        applied = [str(name) for name in prim.GetPrimTypeInfo().GetAppliedAPISchemas()]
        if not whole:
            own = {str(n) for s in specs if s.HasInfo("apiSchemas") for n in s.GetInfo("apiSchemas").GetAddedOrExplicitItems()}
            applied = [name for name in applied if name in own]
        for name in applied:
            if Usd.SchemaRegistry().FindAppliedAPIPrimDefinition(name.partition(":")[0]) is None:
                self.clip.left_out.append(f"{prim.GetPath()}: schema {name}")
            else:
                self.ops.append(Op("apply_api", place, name, True))
        if not whole:
            for name, chosen in {k: v for s in reversed(specs) for k, v in dict(s.variantSelections).items()}.items():
                if chosen:
                    self.ops.append(Op("set_variant", place, str(name), str(chosen)))
        for name, kind in METADATA.items():
            value = prim.GetMetadata(name) if any(s.HasInfo(name) for s in (prim.GetPrimStack() if whole else specs)) else None
            if isinstance(value, kind):
                self.ops.append(Op("set_metadata", place, name, value))

    def _property(self, prim: Usd.Prim, name: str, place: str) -> None:
        relationship = prim.GetRelationship(name)
        if relationship:
            if prim.GetPrimDefinition().GetSpecType(name) != Sdf.SpecTypeRelationship:
                self.clip.left_out.append(f"{prim.GetPath()}.{name}")
                return
            targets = [self._place(target) for target in relationship.GetTargets()]
            self.ops.append(Op("set_relationship", place, name, targets))
            return
        attribute = prim.GetAttribute(name)
        if not attribute or name == ORDER or (name.startswith("xformOp:") and name not in CANONICAL):
            return
        value = attribute.Get()
        text = str(attribute.GetTypeName())
        known = prim.GetPrimDefinition().GetPropertyDefinition(name) or FREE.fullmatch(name) or name in CANONICAL
        if not known or attribute.HasAuthoredConnections() or attribute.GetNumTimeSamples() or text.startswith("asset"):
            self.clip.left_out.append(f"{prim.GetPath()}.{name}")
        elif value is not None and (numbers := plain(value)) is not None:
            size, finite = _measure(numbers)
            self.numbers += size
            if finite:
                self.ops.append(Op("set_field", place, name, [text, numbers]))
            else:
                self.clip.left_out.append(f"{prim.GetPath()}.{name}")

    def _transform(self, prim: Usd.Prim, place: str) -> None:
        """A transform that is made of other steps, as the three that edits know."""
        frame = split(array(UsdGeom.Xformable(prim).GetLocalTransformation(Usd.TimeCode.EarliestTime())))
        if frame.sheared:
            self.clip.left_out.append(f"{prim.GetPath()}: a sheared transform")
            return
        values = (frame.position.tolist(), list(euler(frame.rotation)), np.diag(frame.stretch).tolist())
        self.ops = [op for op in self.ops if op.path != place or op.field not in CANONICAL]
        self.ops += [
            Op("set_field", place, name, [_TYPES[name], [float(x) for x in value]])
            for name, value in zip(CANONICAL, values, strict=True)
        ]


def _brought(prim: Usd.Prim) -> bool:
    """Whether what a prim is comes from elsewhere than the stage's own layers: references, inherited classes, variants."""
    return bool(prim.GetPrimIndex().rootNode.children)


def _measure(value: Any) -> tuple[int, bool]:
    """How many numbers or texts a plain value holds, and whether JSON can say all of them."""
    if isinstance(value, list):
        sizes = [_measure(each) for each in value]
        return sum(size for size, _ in sizes), all(finite for _, finite in sizes)
    if isinstance(value, dict):
        return 1, False
    return 1, not (isinstance(value, float) and not math.isfinite(value)) and not (isinstance(value, int) and abs(value) >= 2**53)
