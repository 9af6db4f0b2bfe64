"""Translate, rotate and scale as separate operations, whatever a prim had before."""

from __future__ import annotations

import numpy as np
from pxr import Gf, Sdf, Usd, UsdGeom, Vt

from twin.core.errors import Rejected
from twin.scene.edits.context import Context
from twin.scene.edits.specs import inverse_of_property, over
from twin.scene.frames import array, split

CANONICAL = ("xformOp:translate", "xformOp:rotateXYZ", "xformOp:scale")
_TYPES = dict(zip(CANONICAL, ("double3", "float3", "float3"), strict=True))
_RESET = "!resetXformStack!"
ORDER = "xformOpOrder"


def op_type(prim: Usd.Prim, name: str) -> Sdf.ValueTypeName:
    """Type of a transform attribute: what it has, else the usual one.

    Raises:
        Rejected: The prim has no transform, or the operation is not one that can be added.
    """
    if not prim.IsA(UsdGeom.Xformable):
        raise Rejected("path", "the prim has no transform", prim=prim.GetPath(), attribute=name)
    attribute = prim.GetAttribute(name)
    if attribute and attribute.IsDefined():
        return attribute.GetTypeName()
    if name not in _TYPES:
        raise Rejected("path", f"only {', '.join(CANONICAL)} can be added", prim=prim.GetPath(), attribute=name)
    return Sdf.ValueTypeNames.Find(_TYPES[name])


def ensure_order(context: Context, prim: Usd.Prim, name: str) -> None:
    """See to it that ``xformOpOrder`` holds ``name``; a stack of other operations becomes translate, rotateXYZ, scale.

    Raises:
        Rejected: The present transform has shear or a mirror that these three cannot say.
    """
    spec = context.layer.GetAttributeAtPath(prim.GetPath().AppendProperty(ORDER))
    authored = spec.default if spec and spec.HasInfo("default") else prim.GetAttribute(ORDER).Get()
    if authored and name in authored:
        return
    order = [str(token) for token in authored or []]
    ops = [token for token in order if token != _RESET]
    if any(token not in CANONICAL for token in ops) or ops != sorted(ops, key=CANONICAL.index):
        _convert(context, prim)
        ops = list(CANONICAL)
    else:
        ops = sorted([*ops, name], key=CANONICAL.index)
    _author(context, prim, ORDER, Sdf.ValueTypeNames.TokenArray, Vt.TokenArray([t for t in order if t == _RESET] + ops))


def _convert(context: Context, prim: Usd.Prim) -> None:
    """Author the prim's present local transform as the three canonical operations."""
    local = UsdGeom.Xformable(prim).GetLocalTransformation(Usd.TimeCode.EarliestTime())
    frame = split(array(local))
    if frame.sheared:
        raise Rejected("type", "its transform is sheared and cannot be split into move, turn and scale", prim=prim.GetPath())
    values = (Gf.Vec3d(*frame.position.tolist()), euler(frame.rotation), Gf.Vec3f(*np.diag(frame.stretch).tolist()))
    for name, value in zip(CANONICAL, values, strict=True):
        wanted = op_type(prim, name)
        _author(context, prim, name, wanted, type(wanted.defaultValue)(value))


def _author(context: Context, prim: Usd.Prim, name: str, type_name: Sdf.ValueTypeName, value: object) -> None:
    path = prim.GetPath()
    context.undo_with(inverse_of_property(context.layer, str(path), name))
    owner = over(context.layer, path)
    variability = Sdf.VariabilityUniform if name == ORDER else Sdf.VariabilityVarying
    spec = owner.attributes.get(name) or Sdf.AttributeSpec(owner, name, type_name, variability)
    spec.default = value
    context.note_changed(path.AppendProperty(name))


def euler(rotation: np.ndarray) -> Gf.Vec3f:
    """Angles [degrees] of ``rotateXYZ`` for a row-vector rotation [3,3]."""
    sine = -rotation[0, 2]
    if abs(sine) < 1.0 - 1e-12:
        angles = (
            np.arctan2(rotation[1, 2], rotation[2, 2]),
            np.arcsin(sine),
            np.arctan2(rotation[0, 1], rotation[0, 0]),
        )
    else:
        angles = (np.arctan2(-rotation[2, 1], rotation[1, 1]), np.copysign(np.pi / 2.0, sine), 0.0)
    return Gf.Vec3f(*np.degrees(angles).tolist())
