"""Analytic shapes, curves and points as surfaces."""

from __future__ import annotations

import numpy as np
from pxr import Usd, UsdGeom

from twin.scene.curves import cubic
from twin.scene.frames import AXIS_TO_Z
from twin.scene.render.surface import Surface, merged, unit, welded

TIME = Usd.TimeCode.EarliestTime()
SEGMENTS = 24
"""Corners of what is round."""
TUBE_SEGMENTS = 8
MOST_POINTS = 20_000
"""A cloud of more points is thinned out evenly."""
_OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
_FACES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def analytic(prim: Usd.Prim) -> Surface | None:
    """The surface of a Cube, Sphere, Cylinder, Cone, Capsule or Plane; None for anything else."""
    kind = str(prim.GetTypeName())

    def value(name: str) -> float:
        return float(prim.GetAttribute(name).Get(TIME))

    if kind == "Cube":
        return _box(value("size") / 2.0)
    if kind == "Plane":
        return _plane(value("width") / 2.0, value("length") / 2.0, str(prim.GetAttribute("axis").Get()))
    if kind == "Sphere":
        return _lathe(*_arc(value("radius"), 0.0, -90.0, 90.0), "Z")
    axis = str(prim.GetAttribute("axis").Get()) if prim.HasAttribute("axis") else "Z"
    if kind in ("Cylinder", "Cylinder_1", "Cone"):
        top = 0.0 if kind == "Cone" else value("radiusTop") if kind == "Cylinder_1" else value("radius")
        bottom = value("radiusBottom") if kind == "Cylinder_1" else value("radius")
        half = value("height") / 2.0
        slope = np.array([2.0 * half, bottom - top])
        slope = slope / (np.linalg.norm(slope) or 1.0)
        outline = np.array([0.0, bottom, bottom, top, top, 0.0])
        levels = np.array([-half, -half, -half, half, half, half])
        return _lathe(outline, levels, np.array([[0, -1], [0, -1], slope, slope, [0, 1], [0, 1]], float), axis)
    if kind in ("Capsule", "Capsule_1"):
        top, bottom = (value("radiusTop"), value("radiusBottom")) if kind == "Capsule_1" else (value("radius"),) * 2
        half = value("height") / 2.0
        low, high = _arc(bottom, -half, -90.0, 0.0), _arc(top, half, 0.0, 90.0)
        radius, along, normal = (np.concatenate([a, b]) for a, b in zip(low, high, strict=True))
        return _lathe(radius, along, normal, axis)
    return None


def _arc(radius: float, centre: float, begin: float, end: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Profile of a part of a sphere: distance from the axis, place along it, normal (outwards, along)."""
    angle = np.radians(np.linspace(begin, end, SEGMENTS // 2 + 1 if end - begin > 90.0 else SEGMENTS // 4 + 1))
    normal = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return radius * normal[:, 0], centre + radius * normal[:, 1], normal


def _lathe(radius: np.ndarray, along: np.ndarray, normal: np.ndarray, axis: str) -> Surface:
    """A profile [n] turned around an axis; the profile runs from bottom to top, outside to its right."""
    angle = np.linspace(0.0, 2.0 * np.pi, SEGMENTS + 1)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    position = np.stack([cos * radius, sin * radius, np.broadcast_to(along, (SEGMENTS + 1, len(along)))], axis=2)
    normals = np.stack(
        [cos * normal[:, 0], sin * normal[:, 0], np.broadcast_to(normal[:, 1], (SEGMENTS + 1, len(along)))], axis=2
    )
    turn = AXIS_TO_Z[axis]
    return _grid(position @ turn, normals @ turn, SEGMENTS, len(radius) - 1)


def _grid(position: np.ndarray, normal: np.ndarray, rows: int, columns: int) -> Surface:
    """Quads over points [rows + 1, columns + 1, 3]; triangles without area are left out."""
    i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    width = columns + 1
    a, b = (i * width + j).ravel(), ((i + 1) * width + j).ravel()
    corners = np.concatenate([np.stack([a, b, b + 1], axis=1), np.stack([a, b + 1, a + 1], axis=1)])
    points = position.reshape(-1, 3)
    area = np.linalg.norm(
        np.cross(points[corners[:, 1]] - points[corners[:, 0]], points[corners[:, 2]] - points[corners[:, 0]]), axis=1
    )
    corners = corners[area > 1e-12 * max(float(area.max(initial=0.0)), 1e-30)]
    return welded(points, unit(normal.reshape(-1, 3)), corners, np.zeros(len(corners), np.int64))


def _box(half: float) -> Surface:
    faces = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            u, v = np.roll(normal, 1) * sign, np.roll(normal, 2)
            quad = np.array([normal - u - v, normal + u - v, normal + u + v, normal - u + v]) * half
            if np.cross(quad[1] - quad[0], quad[2] - quad[0]) @ normal < 0.0:
                quad = quad[::-1]
            faces.append(_quad(quad, normal))
    return merged(faces)


def _quad(corners: np.ndarray, normal: np.ndarray) -> Surface:
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return Surface(corners.astype(np.float32), np.tile(normal, (4, 1)).astype(np.float32), triangles, np.zeros(2, np.int64), uv)


def _plane(half_width: float, half_length: float, axis: str) -> Surface:
    w, h = half_width, half_length
    flat = {
        "X": [[0, -h, -w], [0, h, -w], [0, h, w], [0, -h, w]],
        "Y": [[-w, 0, h], [w, 0, h], [w, 0, -h], [-w, 0, -h]],
        "Z": [[-w, -h, 0], [w, -h, 0], [w, h, 0], [-w, h, 0]],
    }[axis]
    return _quad(np.array(flat, float), np.eye(3)["XYZ".index(axis)])


# ---- curves and points


def tubes(prim: Usd.Prim, fallback: float) -> Surface | None:
    """The curves of a ``BasisCurves`` as tubes; ``fallback`` is the width where none is authored [stage units]."""
    curves = UsdGeom.BasisCurves(prim)
    counts = np.array(curves.GetCurveVertexCountsAttr().Get(TIME) or [], np.int64)
    points = np.array(curves.GetPointsAttr().Get(TIME) or [], float).reshape(-1, 3)
    if counts.sum() > len(points) or counts.min(initial=2) < 1:
        return None
    widths = np.array(curves.GetWidthsAttr().Get(TIME) or [], float)
    linear = curves.GetTypeAttr().Get() == UsdGeom.Tokens.linear
    wrap, basis = str(curves.GetWrapAttr().Get()), str(curves.GetBasisAttr().Get())
    parts = []
    for c, (start, count) in enumerate(zip(np.cumsum(counts) - counts, counts, strict=True)):
        own = points[start : start + count]
        line = own if linear else cubic(own, basis, wrap)
        if linear and wrap == "periodic":
            line = np.vstack([line, line[:1]])
        if len(widths) == len(points):
            width = widths[start : start + count]
        elif len(widths) == len(counts):
            width = widths[c : c + 1]
        else:
            width = widths[:1] if len(widths) else np.array([fallback])
        radius = np.interp(np.linspace(0.0, 1.0, len(line)), np.linspace(0.0, 1.0, len(width)), width) / 2.0
        tube = _tube(line, radius)
        if tube is not None:
            parts.append(tube)
    return merged(parts) if parts else None


def _tube(line: np.ndarray, radius: np.ndarray) -> Surface | None:
    """A tube along a polyline [n,3], its frame carried along without twist (parallel transport)."""
    kept = np.concatenate([[True], np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-12])
    line, radius = line[kept], radius[kept]
    if len(line) < 2:
        return None
    ahead = unit(np.gradient(line, axis=0))
    across = np.zeros_like(line)
    side = np.eye(3)[int(np.argmin(np.abs(ahead[0])))]
    for i, forward in enumerate(ahead):
        side = side - (side @ forward) * forward
        side /= np.linalg.norm(side) or 1.0
        across[i] = side
    up = np.cross(ahead, across)
    angle = np.linspace(0.0, 2.0 * np.pi, TUBE_SEGMENTS + 1)[:, None, None]
    normal = np.cos(angle) * across + np.sin(angle) * up
    return _grid(line + normal * radius[:, None], normal, TUBE_SEGMENTS, len(line) - 1)


def cloud(prim: Usd.Prim, fallback: float) -> tuple[Surface, int] | None:
    """The points of a ``Points`` as small octahedra, at most ``MOST_POINTS`` of them, and how many there are."""
    points = UsdGeom.Points(prim)
    position = np.array(points.GetPointsAttr().Get(TIME) or [], float).reshape(-1, 3)
    if len(position) == 0:
        return None
    widths = np.array(points.GetWidthsAttr().Get(TIME) or [], float)
    width = widths if len(widths) == len(position) else np.full(len(position), widths[0] if len(widths) else fallback)
    rows = np.linspace(0, len(position) - 1, min(len(position), MOST_POINTS)).astype(np.int64)
    color = point_colors(prim, len(position))
    vertices = (position[rows, None] + 0.5 * width[rows, None, None] * _OCTAHEDRON).reshape(-1, 3)
    triangles = (6 * np.arange(len(rows))[:, None, None] + _FACES).reshape(-1, 3)
    surface = Surface(
        vertices.astype(np.float32),
        np.tile(_OCTAHEDRON, (len(rows), 1)).astype(np.float32),
        triangles,
        np.zeros(len(triangles), np.int64),
        color=None if color is None else np.repeat(color[rows], 6, axis=0),
    )
    return surface, len(position)


def point_colors(prim: Usd.Prim, n: int) -> np.ndarray | None:
    """``displayColor`` per point float32 [n,3], or None."""
    primvar = UsdGeom.PrimvarsAPI(prim).GetPrimvar("displayColor")
    values = np.array((primvar.ComputeFlattened(TIME) if primvar and primvar.HasValue() else None) or [], np.float32)
    return values.reshape(-1, 3) if len(values) == n and n > 1 else None
