"""Rays against colliders, on the host: for picking, sensors and tests, a few at a time."""

from __future__ import annotations

import numpy as np

from twin.model.rigid import ShapeKind
from twin.physics.colliders import Collider
from twin.physics.fields import HeightField

_NEVER = (np.inf, np.zeros(3))
Meeting = tuple[float, np.ndarray]
"""How far along the ray [m], and the surface's outward normal [3]."""


def cast(collider: Collider, position: np.ndarray, turn: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> Meeting:
    """Where a ray first meets a collider from outside.

    Args:
        position: [3] m, turn: [3,3], pose of the collider in the world. origin: [3] m. direction: unit vector [3].

    Returns:
        An infinite way where it misses or starts inside.
    """
    o, d = turn.T @ (origin - position), turn.T @ direction
    if collider.kind == ShapeKind.BOX:
        way, normal = _planes(o, d, np.concatenate([np.eye(3), -np.eye(3)]), np.tile(collider.size, 2))
    elif collider.kind == ShapeKind.HULL and collider.hull is not None:
        normals = collider.hull.normals
        at = [normals[i] @ collider.hull.vertices[loop[0]] for i, loop in enumerate(collider.hull.loops)]
        way, normal = _planes(o, d, normals, np.array(at))
    elif collider.kind == ShapeKind.PLANE:
        way = -o[2] / d[2] if d[2] < 0.0 <= o[2] else np.inf
        normal = np.array([0.0, 0.0, 1.0])
    elif collider.kind == ShapeKind.MESH:
        way, normal = _triangles(o, d, collider)
    elif collider.field is not None:
        way, normal = _cells(o, d, collider.field)
    else:
        way, normal = _round(o, d, collider)
    return way, turn @ normal


def _planes(o: np.ndarray, d: np.ndarray, normals: np.ndarray, at: np.ndarray) -> Meeting:
    """A convex polytope: behind all planes ``normals`` x = ``at``."""
    speed, gap = normals @ d, at - normals @ o
    if (gap[np.abs(speed) < 1e-12] < 0.0).any():
        return _NEVER
    with np.errstate(divide="ignore", invalid="ignore"):
        way = gap / speed
    entering, leaving = speed < -1e-12, speed > 1e-12
    if not entering.any():
        return _NEVER
    first = int(np.argmax(np.where(entering, way, -np.inf)))
    if way[first] < 0.0 or way[first] > way[leaving].min(initial=np.inf):
        return _NEVER
    return float(way[first]), normals[first]


def _triangles(o: np.ndarray, d: np.ndarray, collider: Collider) -> Meeting:
    """The nearest triangle of a fixed mesh, from either side (T. Moeller, B. Trumbore, J. Graphics Tools 2(1), 1997)."""
    if collider.mesh is None:
        return _NEVER
    return _nearest(o, d, collider.mesh.vertices.astype(float)[collider.mesh.triangles])


def _cells(o: np.ndarray, d: np.ndarray, field: HeightField) -> Meeting:
    """The first triangle of a height field: its cells in the order in which the ray passes over them (J. Amanatides, A. Woo,
    Eurographics 1987)."""
    corners = field.corners()
    rows, columns = field.split.shape
    low, high = corners.reshape(-1, 3).min(axis=0), corners.reshape(-1, 3).max(axis=0)
    begin, end = 0.0, np.inf
    for k in range(3):
        if abs(d[k]) < 1e-14:
            if not low[k] - 1e-9 <= o[k] <= high[k] + 1e-9:
                return _NEVER
            continue
        near, far = sorted(((low[k] - o[k]) / d[k], (high[k] - o[k]) / d[k]))
        begin, end = max(begin, near), min(end, far)
    if begin > end + 1e-9:
        return _NEVER
    at = (o + begin * d)[:2] / field.spacing
    cell = np.clip(np.floor(at).astype(int), 0, (columns - 1, rows - 1))
    way = np.where(d[:2] < 0.0, -1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # how far along the ray it leaves the cell, in X and in Y, and how long it takes for a whole one
        leaves = np.where(d[:2] == 0.0, np.inf, ((cell + (way > 0)) * field.spacing - o[:2]) / d[:2])
        across = np.where(d[:2] == 0.0, np.inf, field.spacing / np.abs(d[:2]))
    while 0 <= cell[0] < columns and 0 <= cell[1] < rows:
        x, y = int(cell[0]), int(cell[1])
        a, b, c, e = corners[y, x], corners[y, x + 1], corners[y + 1, x + 1], corners[y + 1, x]
        halves = [[a, b, c], [a, c, e]] if field.split[y, x] == 0 else [[a, b, e], [b, c, e]]
        met = _nearest(o, d, np.array(halves))
        if np.isfinite(met[0]):
            return met
        k = int(np.argmin(leaves))
        if leaves[k] > end:
            return _NEVER
        cell[k] += way[k]
        leaves[k] += across[k]
    return _NEVER


def _nearest(o: np.ndarray, d: np.ndarray, triangles: np.ndarray) -> Meeting:
    """The nearest of some triangles [T,3,3]."""
    a, b, c = triangles.transpose(1, 0, 2)
    e1, e2 = b - a, c - a
    p = np.cross(d, e2)
    det = np.einsum("ij,ij->i", e1, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        s = o - a
        u = np.einsum("ij,ij->i", s, p) / det
        q = np.cross(s, e1)
        v, way = q @ d / det, np.einsum("ij,ij->i", e2, q) / det
    hit = (np.abs(det) > 1e-14) & (u >= 0.0) & (v >= 0.0) & (u + v <= 1.0) & (way >= 0.0)
    if not hit.any():
        return _NEVER
    best = int(np.argmin(np.where(hit, way, np.inf)))
    normal = np.cross(e1[best], e2[best])
    return float(way[best]), normal / np.linalg.norm(normal)


def _first_root(a: float, b: float, c: float) -> float:
    """The lesser root of a x2 + 2 b x + c, infinite where there is none at or above 0."""
    root = b * b - a * c
    if a < 1e-14 or root < 0.0:
        return np.inf
    x = (-b - np.sqrt(root)) / a
    return float(x) if x >= 0.0 else np.inf


def _round(o: np.ndarray, d: np.ndarray, collider: Collider) -> Meeting:
    """Spheres, capsules and cylinders along Z."""
    r = float(collider.size[0])
    straight = {ShapeKind.SPHERE: 0.0, ShapeKind.CAPSULE: collider.size[2] - r}.get(collider.kind, collider.size[2])
    found: list[Meeting] = []
    side = _first_root(d[0] ** 2 + d[1] ** 2, o[0] * d[0] + o[1] * d[1], o[0] ** 2 + o[1] ** 2 - r * r)
    if np.isfinite(side) and abs(o[2] + side * d[2]) <= straight:
        at = o + side * d
        found.append((side, np.array([at[0], at[1], 0.0]) / r))
    for sign in (-1.0, 1.0):
        end = np.array([0.0, 0.0, sign * straight])
        if collider.kind == ShapeKind.CYLINDER:
            way = (end[2] - o[2]) / d[2] if sign * d[2] < 0.0 else -1.0
            at = o + way * d
            if way >= 0.0 and at[0] ** 2 + at[1] ** 2 <= r * r:
                found.append((float(way), np.array([0.0, 0.0, sign])))
        else:
            way = _first_root(1.0, (o - end) @ d, (o - end) @ (o - end) - r * r)
            if np.isfinite(way):
                found.append((way, (o + way * d - end) / r))
    return min(found, key=lambda m: m[0], default=_NEVER)
