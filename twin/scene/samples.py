"""A run written back as USD: the stage with time samples on its bodies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pxr import Gf, Sdf, Tf, Usd, UsdGeom

from twin.core.errors import WorkError
from twin.scene.frames import Frame, array, rigid, rotation_of, split
from twin.scene.stage import meters_per_unit, open_stage, tf_message


def write_samples(
    stage_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    times: np.ndarray,
    paths: Sequence[str],
    positions: np.ndarray,
    rotations: np.ndarray,
) -> None:
    """Write a layer that plays a run on top of its stage (which it names as sublayer).

    Args:
        stage_path: The stage that was simulated. out_path: File to write (.usdc, .usda or .usd).
        times: [T] s. paths: Prim path of each body [B].
        positions: [T,B,3] m, rotations: [T,B,4] xyzw: world poses of the prims' frames.

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


def _author(layer: Sdf.Layer, prim: Usd.Prim, codes: np.ndarray, matrices: list[Gf.Matrix4d]) -> None:
    spec = Sdf.CreatePrimInLayer(layer, prim.GetPath())
    op = Sdf.AttributeSpec(spec, "xformOp:transform:twin", Sdf.ValueTypeNames.Matrix4d)
    for code, matrix in zip(codes, matrices, strict=True):
        layer.SetTimeSample(op.path, float(code), matrix)
    order = Sdf.AttributeSpec(spec, "xformOpOrder", Sdf.ValueTypeNames.TokenArray, Sdf.VariabilityUniform)
    resets = ["!resetXformStack!"] if UsdGeom.Xformable(prim).GetResetXformStack() else []
    order.default = [*resets, "xformOp:transform:twin"]
