"""Distance between convex shapes on the host, in double precision: for questions that are asked now and then, not each step.

E. Gilbert, D. Johnson, S. Keerthi, IEEE J. Robotics and Automation 4(2), 1988; as in the kernels a shape is a core with a radius
round it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from twin.model.rigid import ShapeKind
from twin.physics.colliders import Collider

TOUCHING_M = 1e-7
"""Cores that are nearer overlap [m]."""
_ROUNDS = 64


@dataclass(frozen=True)
class Solid:
    """A convex shape in the world: ``support`` gives the farthest point of its core [3] m along a direction; ``round`` [m]."""

    support: Callable[[np.ndarray], np.ndarray]
    round: float
    center: np.ndarray


def polytope(points: np.ndarray) -> Solid:
    """The hull of some points [N,3] m."""
    return Solid(lambda d: points[int(np.argmax(points @ d))], 0.0, points.mean(axis=0))


def solid(collider: Collider, position: np.ndarray, turn: np.ndarray) -> Solid:
    """A convex collider at a pose: ``position`` [3] m, ``turn`` [3,3]."""
    if collider.hull is not None:
        return polytope(collider.hull.vertices @ turn.T + position)
    size = np.asarray(collider.size, float)
    if collider.kind == ShapeKind.CYLINDER:

        def rim(d: np.ndarray) -> np.ndarray:
            x = turn.T @ d
            across = float(np.hypot(x[0], x[1]))
            flat = x[:2] * (size[0] / across) if across > 1e-12 else np.zeros(2)
            return position + turn @ np.array([*flat, np.copysign(size[2], x[2])])

        return Solid(rim, 0.0, position)
    core = size - collider.round
    return Solid(lambda d: position + turn @ np.copysign(core, turn.T @ d), collider.round, position)


def moved(a: Solid, way: np.ndarray) -> Solid:
    """The same shape, ``way`` [3] m further."""
    return Solid(lambda d: a.support(d) + way, a.round, a.center + way)


def apart(a: Solid, b: Solid) -> tuple[float, np.ndarray, np.ndarray]:
    """Distance [m], unit vector [3] from B to A, and the point of B's surface [3] nearest to A.

    Where they overlap the distance is 0 or, for round shapes whose cores are apart, how deep they are as a negative number.
    """
    v = a.center - b.center
    if v @ v < 1e-20:
        v = np.array([0.0, 0.0, 1.0])
    corners: list[tuple[np.ndarray, np.ndarray]] = []
    tip = b.center
    for _ in range(_ROUNDS):
        on_a, on_b = a.support(-v), b.support(v)
        w = on_a - on_b
        if corners and v @ v - v @ w <= 1e-12 * (v @ v) + 1e-16:
            break
        if any(np.array_equal(w, p) for p, _ in corners):
            break
        corners.append((w, on_b))
        corners, weights = _nearest(corners)
        v = sum((x * p for x, (p, _) in zip(weights, corners, strict=True)), np.zeros(3))
        tip = sum((x * q for x, (_, q) in zip(weights, corners, strict=True)), np.zeros(3))
        if len(corners) == 4 or v @ v < TOUCHING_M**2:
            return 0.0, np.array([0.0, 0.0, 1.0]), tip
    length = float(np.linalg.norm(v))
    n = v / length
    return length - a.round - b.round, n, tip + n * b.round


Corners = list[tuple[np.ndarray, np.ndarray]]


def _nearest(corners: Corners) -> tuple[Corners, np.ndarray]:
    """The smallest part of a simplex that holds its point nearest to the origin, and that point's weights."""
    best, kept, weights = np.inf, corners, np.ones(len(corners))
    for count in range(1, len(corners) + 1):
        for some in combinations(range(len(corners)), count):
            p = np.array([corners[i][0] for i in some])
            x = _weights(p)
            if x is None:
                continue
            length = float(np.sum((x @ p) ** 2))
            if length < best * (1.0 - 1e-12):
                best, kept, weights = length, [corners[i] for i in some], x
    return kept, weights


def _weights(p: np.ndarray) -> np.ndarray | None:
    """Weights [n], all above 0, of the point nearest to the origin in the flat through ``p`` [n,3]; None where it is outside."""
    if len(p) == 1:
        return np.ones(1)
    edges = (p[1:] - p[0]).T
    gram = edges.T @ edges
    if np.linalg.det(gram) <= 1e-18 * np.trace(gram) ** len(gram):
        return None
    rest = np.linalg.solve(gram, -edges.T @ p[0])
    x = np.array([1.0 - rest.sum(), *rest])
    return x if (x > 0.0).all() else None
