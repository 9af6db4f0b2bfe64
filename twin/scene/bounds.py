"""Bounds: of shapes, of prims, and the zones of nodes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from pxr import Sdf, Usd, UsdGeom

from twin.model.factory import Zone
from twin.model.rigid import Mesh, Shape, ShapeKind
from twin.scene.frames import array, rotation_of, split

_DRAWN = [UsdGeom.Tokens.default_, UsdGeom.Tokens.render, UsdGeom.Tokens.proxy]


def bound_in(
    prim: Usd.Prim, cache: UsdGeom.XformCache, frame: np.ndarray, *, skip: Collection[Sdf.Path] = (), guides: bool = False
) -> tuple[np.ndarray, np.ndarray] | None:
    """Bound of all that is drawn at and below a prim.

    Args:
        frame: [4,4] row-vector matrix from the world to the frame of the answer. skip: Roots that do not count.
        guides: Guide geometry counts too.

    Returns:
        Lowest and highest corner [3], [3] in stage units; None where nothing is drawn.
    """
    boxes = UsdGeom.BBoxCache(Usd.TimeCode.EarliestTime(), [*_DRAWN, UsdGeom.Tokens.guide] if guides else _DRAWN)
    corners = []
    walk = iter(Usd.PrimRange(prim, Usd.TraverseInstanceProxies()))
    for part in walk:
        if part.GetPath() in skip:
            walk.PruneChildren()
            continue
        if not part.IsA(UsdGeom.Boundable):
            continue
        box = boxes.ComputeUntransformedBound(part).ComputeAlignedBox()
        if not box.IsEmpty():
            local = array(cache.GetLocalToWorldTransform(part)) @ frame
            points = np.array([box.GetCorner(i) for i in range(8)])
            corners.append(points @ local[:3, :3] + local[3, :3])
    if not corners:
        return None
    points = np.vstack(corners)
    return points.min(axis=0), points.max(axis=0)


def zone_of(
    prim: Usd.Prim, cache: UsdGeom.XformCache, unit: float, up_axis: int, *, skip: Collection[Sdf.Path] = (), guides: bool = False
) -> Zone | None:
    """The oriented box around a prim, aligned with its own axes; None where it has no extent.

    Args:
        unit: Metres per stage unit. up_axis: 1 for Y, 2 for Z.
    """
    world = array(cache.GetLocalToWorldTransform(prim))
    frame = split(world)
    upright = np.eye(4)
    upright[:3, :3], upright[3, :3] = frame.rotation, frame.position
    found = bound_in(prim, cache, np.linalg.inv(upright), skip=skip, guides=guides)
    if found is None:
        return None
    low, high = found
    center = ((low + high) / 2.0 @ frame.rotation + frame.position) * unit
    half = (high - low) / 2.0 * unit
    steepest = int(np.argmax(np.abs(frame.rotation[:, up_axis])))
    down = -np.sign(frame.rotation[steepest, up_axis]) * frame.rotation[steepest]
    return Zone(center=center, rotation=frame.quaternion, half_extents=half, floor=center + down * half[steepest])


def with_room_above(zone: Zone, room: float, up_axis: int) -> Zone:
    """A zone raised by ``room`` [m] along its steepest axis; its floor stays where it is."""
    axes = rotation_of(np.asarray(zone.rotation))
    steepest = int(np.argmax(np.abs(axes[:, up_axis])))
    up = np.sign(axes[steepest, up_axis]) * axes[steepest]
    half = np.asarray(zone.half_extents, float).copy()
    half[steepest] += room / 2.0
    return Zone(center=zone.center + up * room / 2.0, rotation=zone.rotation, half_extents=half, floor=zone.floor)


def shape_corners(shape: Shape, meshes: list[Mesh]) -> np.ndarray:
    """Points [n,3] m in the body's frame whose bound is the shape's bound."""
    turn = rotation_of(np.asarray(shape.rotation))
    size = np.asarray(shape.size, float)
    if shape.kind in (ShapeKind.HULL, ShapeKind.MESH):
        return np.asarray(meshes[shape.mesh].vertices, float) @ turn + shape.position
    if shape.kind == ShapeKind.BOX:
        reach = np.abs(turn.T) @ size
    elif shape.kind == ShapeKind.SPHERE:
        reach = np.full(3, size[0])
    elif shape.kind == ShapeKind.CAPSULE:
        reach = np.abs(turn[2]) * size[1] + size[0]
    elif shape.kind == ShapeKind.CYLINDER:
        reach = np.abs(turn[2]) * size[1] + size[0] * np.sqrt(np.maximum(0.0, 1.0 - turn[2] ** 2))
    else:
        reach = np.zeros(3)
    return np.vstack([shape.position - reach, shape.position + reach])
