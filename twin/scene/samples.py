"""A run written back as USD: the stage with time samples on its bodies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdPhysics

from twin.core import log
from twin.core.errors import WorkError
from twin.scene.frames import Frame, array, rigid, rotation_of, split
from twin.scene.stage import meters_per_unit, open_stage, tf_message

GOODS_SCOPE = "TwinGoods"
"""The scope below the default prim (else at the root) that goods are written to, a prim an item."""


@dataclass(frozen=True)
class GoodsSamples:
    """Goods of a run: S slots at T times.

    Attributes:
        prototypes: Prim paths of what the items are copies of [P].
        item: [T,S] number of the item in the slot, -1 none. prototype: [T,S] index into ``prototypes``.
        position: [T,S,3] m, rotation: [T,S,4] xyzw: world poses of the items' frames.
    """

    prototypes: Sequence[str]
    item: np.ndarray
    prototype: np.ndarray
    position: np.ndarray
    rotation: np.ndarray


def write_samples(
    stage_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    times: np.ndarray,
    paths: Sequence[str],
    positions: np.ndarray,
    rotations: np.ndarray,
    goods: GoodsSamples | None = None,
) -> None:
    """Write a layer that plays a run on top of its stage (which it names as sublayer).

    Each item becomes a prim ``Item_<number>_<prototype>`` of the scope ``TwinGoods``: a reference to its prototype, visible from
    its first sample to its last, without physics of its own.

    Args:
        stage_path: The stage that was simulated. out_path: File to write (.usdc, .usda or .usd).
        times: [T] s. paths: Prim path of each body [B].
        positions: [T,B,3] m, rotations: [T,B,4] xyzw: world poses of the prims' frames. goods: What else was seen.

    Raises:
        SceneError: The stage cannot be opened. WorkError: The file cannot be written.
    """
    stage = open_stage(stage_path)
    unit, rate = meters_per_unit(stage), stage.GetTimeCodesPerSecond()
    try:
        layer = Sdf.Layer.CreateNew(str(out_path))
    except Tf.ErrorException as error:
        raise WorkError(f"cannot be written: {tf_message(error)}", file=out_path) from error
    base = stage.GetRootLayer()
    relative = Path(os.path.relpath(base.realPath, Path(out_path).resolve().parent)).as_posix()
    layer.subLayerPaths.append(relative if relative.startswith("../") else f"./{relative}")
    layer.pseudoRoot.SetInfo("metersPerUnit", unit)
    layer.pseudoRoot.SetInfo("upAxis", UsdGeom.GetStageUpAxis(stage))
    layer.timeCodesPerSecond = rate
    layer.startTimeCode, layer.endTimeCode = float(times[0]) * rate, float(times[-1]) * rate
    if base.defaultPrim:
        layer.defaultPrim = base.defaultPrim
    cache = UsdGeom.XformCache(Usd.TimeCode.EarliestTime())
    # A body below another body: its parent moves too, so its local matrix needs the parent's pose at each time.
    index = {path: i for i, path in enumerate(paths)}
    codes = np.asarray(times, float) * rate
    with Sdf.ChangeBlock():
        for b, path in enumerate(paths):
            prim = stage.GetPrimAtPath(path)
            _author(layer, prim, codes, _locals(prim, b, index, cache, positions, rotations, unit))
        if goods is not None:
            _author_goods(layer, stage, cache, codes, goods, unit)
    try:
        layer.Save()
    except Tf.ErrorException as error:
        raise WorkError(f"cannot be written: {tf_message(error)}", file=out_path) from error


def _pose(position: np.ndarray, rotation: np.ndarray, unit: float) -> np.ndarray:
    return rigid(Frame(np.asarray(position, float) / unit, rotation_of(np.asarray(rotation, float)), np.eye(3)))


def _locals(
    prim: Usd.Prim,
    body: int,
    index: dict[str, int],
    cache: UsdGeom.XformCache,
    positions: np.ndarray,
    rotations: np.ndarray,
    unit: float,
) -> list[Gf.Matrix4d]:
    """Local matrices [T] of a body's prim; its scale stays."""
    stretch = np.eye(4)
    stretch[:3, :3] = split(array(cache.GetLocalToWorldTransform(prim))).stretch
    resets = UsdGeom.Xformable(prim).GetResetXformStack()
    above = prim.GetParent()
    while above and str(above.GetPath()) not in index:
        above = above.GetParent()
    parent_world = np.eye(4) if resets else array(cache.GetParentToWorldTransform(prim))
    if above and not resets:
        owner_frame = rigid(split(array(cache.GetLocalToWorldTransform(above))))
        parent_in_owner = parent_world @ np.linalg.inv(owner_frame)
    out = []
    for t in range(len(positions)):
        if above and not resets:
            owner = index[str(above.GetPath())]
            parent_world = parent_in_owner @ _pose(positions[t, owner], rotations[t, owner], unit)
        local = stretch @ _pose(positions[t, body], rotations[t, body], unit) @ np.linalg.inv(parent_world)
        out.append(Gf.Matrix4d(*local.ravel().tolist()))
    return out


def _author_goods(
    layer: Sdf.Layer, stage: Usd.Stage, cache: UsdGeom.XformCache, codes: np.ndarray, goods: GoodsSamples, unit: float
) -> None:
    above = stage.GetDefaultPrim()
    scope = (above.GetPath() if above else Sdf.Path.absoluteRootPath).AppendChild(GOODS_SCOPE)
    world = array(cache.GetLocalToWorldTransform(above)) if above and above.IsA(UsdGeom.Xformable) else np.eye(4)
    back = np.linalg.inv(world)
    holder = Sdf.CreatePrimInLayer(layer, scope)
    holder.specifier, holder.typeName = Sdf.SpecifierDef, "Scope"
    prims = [stage.GetPrimAtPath(path) for path in goods.prototypes]
    for path in (path for path, prim in zip(goods.prototypes, prims, strict=True) if not prim):
        log.get("export").warning("goods are left out: the stage has no such prototype, an edit had made it", prim=path)
    seen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for t, s in zip(*np.nonzero(goods.item >= 0), strict=True):
        seen.setdefault((int(goods.item[t, s]), int(goods.prototype[t, s])), []).append((int(t), int(s)))
    for (number, p), samples in sorted(seen.items()):
        prim = prims[p]
        if not prim:
            continue
        spec = Sdf.PrimSpec(holder, f"Item_{number}_{prim.GetName()}", Sdf.SpecifierDef, prim.GetTypeName())
        spec.referenceList.Prepend(Sdf.Reference("", prim.GetPath()))
        spec.SetInfo("apiSchemas", Sdf.TokenListOp.CreateExplicit([]))
        for part in Usd.PrimRange(prim, Usd.TraverseInstanceProxies()):
            if part.HasAPI(UsdPhysics.CollisionAPI) and not part.IsInstanceProxy():
                place = spec.path.AppendPath(part.GetPath().MakeRelativePath(prim.GetPath())) if part != prim else spec.path
                over = Sdf.CreatePrimInLayer(layer, place)
                Sdf.AttributeSpec(over, "physics:collisionEnabled", Sdf.ValueTypeNames.Bool).default = False
        stretch = np.eye(4)
        stretch[:3, :3] = split(array(cache.GetLocalToWorldTransform(prim))).stretch
        matrices = [
            Gf.Matrix4d(*(stretch @ _pose(goods.position[t, s], goods.rotation[t, s], unit) @ back).ravel().tolist())
            for t, s in samples
        ]
        _author_transform(layer, spec, codes[[t for t, _ in samples]], matrices, resets=False)
        shown = Sdf.AttributeSpec(spec, "visibility", Sdf.ValueTypeNames.Token)
        there = np.zeros(len(codes) + 1, bool)
        there[[t for t, _ in samples]] = True
        before: bool | None = None
        for code, now in zip(codes, there, strict=False):
            if now != before:
                layer.SetTimeSample(shown.path, float(code), "inherited" if now else "invisible")
            before = bool(now)


def _author(layer: Sdf.Layer, prim: Usd.Prim, codes: np.ndarray, matrices: list[Gf.Matrix4d]) -> None:
    spec = Sdf.CreatePrimInLayer(layer, prim.GetPath())
    _author_transform(layer, spec, codes, matrices, resets=bool(UsdGeom.Xformable(prim).GetResetXformStack()))


def _author_transform(
    layer: Sdf.Layer, spec: Sdf.PrimSpec, codes: np.ndarray, matrices: list[Gf.Matrix4d], *, resets: bool
) -> None:
    op = Sdf.AttributeSpec(spec, "xformOp:transform:twin", Sdf.ValueTypeNames.Matrix4d)
    for code, matrix in zip(codes, matrices, strict=True):
        layer.SetTimeSample(op.path, float(code), matrix)
    order = Sdf.AttributeSpec(spec, "xformOpOrder", Sdf.ValueTypeNames.TokenArray, Sdf.VariabilityUniform)
    order.default = [*(["!resetXformStack!"] if resets else []), "xformOp:transform:twin"]
