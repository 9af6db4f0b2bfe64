"""Convex hulls of meshes as vertices and flat faces, few enough for the device tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from twin.model.rigid import Mesh
from twin.physics.kernels.data import RIM_POINTS

VERTICES = 64
"""Most vertices of a hull that collides; finer ones are thinned to the outermost in as many directions."""
_FLAT = 1e-4
"""Triangles whose normals differ by less than this make one face."""


@dataclass(frozen=True)
class Hull:
    """A convex polytope.

    Attributes:
        center: [3] m, a point inside, in the frame of the mesh. vertices: [V,3] m about it.
        normals: [F,3] outward. loops: vertex numbers of each face, counter-clockwise seen from outside.
        depth: Distance from the centre to the nearest face [m].
        thinned: The mesh had more vertices than collide.
    """

    center: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    loops: list[np.ndarray]
    depth: float
    thinned: bool


def _directions(count: int) -> np.ndarray:
    """Evenly spread unit vectors [count,3] (Fibonacci lattice on the sphere)."""
    k = np.arange(count) + 0.5
    z, angle = 1.0 - 2.0 * k / count, np.pi * (1.0 + np.sqrt(5.0)) * k
    r = np.sqrt(1.0 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], axis=1)


def make_hull(mesh: Mesh) -> Hull | None:
    """The hull of a mesh's vertices; None where they span no volume."""
    points = np.asarray(mesh.vertices, float)
    size = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    if len(points) < 4 or size <= 0.0:
        return None
    try:
        found = ConvexHull(points)
        thinned = len(found.vertices) > VERTICES
        if thinned:
            corners = points[found.vertices]
            kept = np.unique(np.argmax(_directions(VERTICES) @ ((corners - corners.mean(axis=0)).T / size), axis=1))
            found = ConvexHull(corners[kept])
    except QhullError:
        return None
    used = np.unique(found.simplices)
    center = found.points[used].mean(axis=0)
    vertices = found.points[used] - center
    number = {int(v): i for i, v in enumerate(used)}
    faces: list[tuple[np.ndarray, set[int]]] = []
    for equation, triangle in zip(found.equations, found.simplices, strict=True):
        at = equation[:3] @ center + equation[3]
        for normal, corners_of in faces:
            if normal[:3] @ equation[:3] > 1.0 - 0.5 * _FLAT**2 and abs(normal[3] - at) < _FLAT * size:
                corners_of.update(number[int(v)] for v in triangle)
                break
        else:
            faces.append((np.array([*equation[:3], at]), {number[int(v)] for v in triangle}))
    loops = []
    for normal, corners_of in faces:
        index = np.array(sorted(corners_of))
        spokes = vertices[index] - vertices[index].mean(axis=0)
        u = spokes[0] / np.linalg.norm(spokes[0])
        order = np.argsort(np.arctan2(spokes @ np.cross(normal[:3], u), spokes @ u))
        if len(order) > RIM_POINTS:
            order = order[np.linspace(0, len(order), RIM_POINTS, endpoint=False).astype(int)]
        loops.append(index[order])
    normals = np.array([f[0][:3] for f in faces])
    return Hull(center, vertices, normals, loops, float(min(-f[0][3] for f in faces)), thinned)
