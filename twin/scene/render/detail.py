"""Everything about one prim, for the property panel."""

from __future__ import annotations

import math
from typing import Any

from pxr import Sdf, Usd

from twin.core.errors import SceneError
from twin.protocol.documents import OpinionDoc, PrimDetail, PropertyDoc
from twin.scene.casting import plain
from twin.scene.edits.layer import DISPLAY_NAME, is_edit_layer
from twin.scene.schema import APIS
from twin.scene.schema.ranges import range_of
from twin.scene.stage import applied_schemas, meters_per_unit

_UNITS = {p.name: p.unit for api in APIS for p in api.properties if p.unit}
_LONG = 64
"""Longer arrays are shown by their length only."""
_STAGE_UNITS = {1.0: "m", 0.01: "cm", 0.001: "mm", 0.1: "dm", 0.0254: "in", 0.3048: "ft"}
_LENGTHS = ("xformOp:translate", "size", "radius", "height", "width", "length", "twin:conveyor:length")
_DEGREES = ("xformOp:rotate", "physics:angularVelocity", "physxSurfaceVelocity:surfaceAngularVelocity")


def prim_detail(stage: Usd.Stage, path: str, edit_layer: Sdf.Layer | None = None) -> PrimDetail:
    """All properties of a prim with value, meaning, and the layer that the strongest opinion comes from.

    Raises:
        SceneError: There is no such prim.
    """
    prim = stage.GetPrimAtPath(path) if Sdf.Path.IsValidPathString(path) else None
    if not prim or prim.IsPseudoRoot():
        raise SceneError("there is no such prim", prim=path)
    unit = meters_per_unit(stage)
    sets = prim.GetVariantSets()
    return PrimDetail(
        path=path,
        type=str(prim.GetTypeName()),
        schemas=applied_schemas(prim),
        properties=[_property(prim, name, unit, edit_layer) for name in prim.GetPropertyNames()],
        variants={name: list(sets.GetVariantSet(name).GetVariantNames()) for name in sets.GetNames()},
        variant_selection={name: sets.GetVariantSelection(name) for name in sets.GetNames()},
    )


def _property(prim: Usd.Prim, name: str, unit: float, edit_layer: Sdf.Layer | None) -> PropertyDoc:
    prop = prim.GetProperty(name)
    edited = edit_layer is not None and bool(edit_layer.GetObjectAtPath(prim.GetPath().AppendProperty(name)))
    doc = PropertyDoc(name=name, type="rel", doc=prop.GetDocumentation(), authored=prop.IsAuthored(), edited=edited)
    stack = prop.GetPropertyStack(Usd.TimeCode.EarliestTime())
    doc.layer = layer_name(stack[0].layer) if stack else ""
    doc.low, doc.high = range_of(name)
    if len(stack) > 1 and not isinstance(prop, Usd.Relationship):
        doc.opinions = [OpinionDoc(layer_name(spec.layer), shown(spec.default)) for spec in stack]
    if isinstance(prop, Usd.Relationship):
        doc.relationship = True
        doc.value = [str(target) for target in prop.GetTargets()]
        return doc
    doc.type = str(prop.GetTypeName())
    doc.value = shown(prop.Get(Usd.TimeCode.EarliestTime()))
    doc.unit = _unit(name, unit)
    tokens = prop.GetMetadata("allowedTokens")
    doc.allowed = [str(token) for token in tokens] if tokens else []
    return doc


def layer_name(layer: Sdf.Layer) -> str:
    """What a layer is called before people."""
    return DISPLAY_NAME if is_edit_layer(layer) else str(layer.GetDisplayName())


def _unit(name: str, meters: float) -> str:
    length = _STAGE_UNITS.get(meters, f"{meters:g} m")
    if name in _UNITS:
        return _UNITS[name].replace("stage", length)
    if name in _LENGTHS:
        return length
    return "deg" if name.startswith(_DEGREES) else ""


def shown(value: Any) -> Any:
    """A USD value as JSON can hold it: infinities as text, long arrays by their length."""
    if hasattr(value, "__len__") and not isinstance(value, str) and len(value) > _LONG:
        return f"[{len(value)} values]"
    return _finite(plain(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [_finite(v) for v in value] if isinstance(value, list) else value
