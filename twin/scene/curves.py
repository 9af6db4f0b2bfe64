"""Curves as polylines."""

from __future__ import annotations

import numpy as np
from pxr import Usd, UsdGeom

_SAMPLES = 16
"""Points per cubic segment."""

_BASIS = {
    "bezier": np.array([[-1, 3, -3, 1], [3, -6, 3, 0], [-3, 3, 0, 0], [1, 0, 0, 0]], float),
    "bspline": np.array([[-1, 3, -3, 1], [3, -6, 3, 0], [-3, 0, 3, 0], [1, 4, 1, 0]], float) / 6.0,
    "catmullRom": np.array([[-1, 3, -3, 1], [2, -5, 4, -1], [-1, 0, 1, 0], [0, 2, 0, 0]], float) / 2.0,
}


def polyline(prim: Usd.Prim, to_world: np.ndarray, unit: float) -> np.ndarray | None:
    """The first curve of a ``BasisCurves`` as points in the world: see ``polylines``; None where there is no such curve."""
    return next(iter(polylines(prim, to_world, unit)), None)


def polylines(prim: Usd.Prim, to_world: np.ndarray, unit: float) -> list[np.ndarray]:
    """The curves of a ``BasisCurves`` as points in the world.

    Args:
        to_world: [4,4] row-vector matrix, stage units. unit: Metres per stage unit.

    Returns:
        Of each curve [P,3] m, at least two different points; curves without are left out.
    """
    curves = UsdGeom.BasisCurves(prim)
    counts = list(curves.GetCurveVertexCountsAttr().Get() or []) if curves else []
    points = np.array(curves.GetPointsAttr().Get() or [], float).reshape(-1, 3) if curves else np.zeros((0, 3))
    found, begin = [], 0
    for count in counts:
        if count >= 2 and begin + count <= len(points):
            line = _one(curves, points[begin : begin + count], to_world, unit)
            found += [line] if line is not None else []
        begin += count
    return found


def _one(curves: UsdGeom.BasisCurves, points: np.ndarray, to_world: np.ndarray, unit: float) -> np.ndarray | None:
    wrap = str(curves.GetWrapAttr().Get())
    if curves.GetTypeAttr().Get() == UsdGeom.Tokens.linear:
        line = np.vstack([points, points[:1]]) if wrap == "periodic" else points
    else:
        line = cubic(points, str(curves.GetBasisAttr().Get()), wrap)
    world = (line @ to_world[:3, :3] + to_world[3, :3]) * unit
    steps = np.linalg.norm(np.diff(world, axis=0), axis=1)
    world = world[np.concatenate([[True], steps > 1e-9])]
    return world if len(world) > 1 else None


def cubic(points: np.ndarray, basis: str, wrap: str) -> np.ndarray:
    """A cubic curve with control points [n,3] as a polyline [P,3]; ``basis`` and ``wrap`` are those of ``BasisCurves``."""
    step = 3 if basis == "bezier" else 1
    if wrap == "periodic":
        points = np.vstack([points, points[: 4 - step]])
    elif wrap == "pinned" and basis != "bezier":
        points = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    if len(points) < 4:
        return points
    t = np.linspace(0.0, 1.0, _SAMPLES, endpoint=False)
    powers = np.stack([t**3, t**2, t, np.ones_like(t)], axis=1) @ _BASIS[basis]
    segments = [powers @ points[i : i + 4] for i in range(0, len(points) - 3, step)]
    end = np.ones(4) @ _BASIS[basis] @ points[len(segments) * step - step :][:4]
    return np.vstack([*segments, end])


def length_of(line: np.ndarray) -> float:
    """Length of a polyline [P,3] m."""
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
