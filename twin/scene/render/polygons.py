"""Polygons into triangles: faces of any number of corners, concave ones by cutting ears."""

from __future__ import annotations

import numpy as np

from twin.scene.colliders import fan


def triangulated(
    points: np.ndarray, counts: np.ndarray, indices: np.ndarray, holes: object = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of a mesh.

    Args:
        points: [P,3]. counts: [F] corners of each face. indices: [C] points of the corners. holes: Faces that are left out.

    Returns:
        Corner numbers [T,3], and the face of each triangle [T]; empty if the counts do not add up.
    """
    corners = fan(counts, len(indices), holes)
    if len(corners) == 0:
        return corners, np.zeros(0, np.int64)
    owner = np.repeat(np.arange(len(counts)), counts)
    face = owner[corners[:, 0]]
    across = np.cross(points[indices[corners[:, 1]]] - points[indices[corners[:, 0]]],
                      points[indices[corners[:, 2]]] - points[indices[corners[:, 0]]])  # fmt: skip
    normal = np.zeros((len(counts), 3))
    np.add.at(normal, face, across)
    # a fan of a convex face turns one way all along
    bent = np.einsum("ij,ij->i", across, normal[face]) < -1e-9 * np.einsum("ij,ij->i", normal[face], normal[face])
    concave = np.unique(face[bent])
    if len(concave) == 0:
        return corners, face
    starts = np.cumsum(counts) - counts
    kept = ~np.isin(face, concave)
    triangles, faces = [corners[kept]], [face[kept]]
    for f in concave.tolist():
        own = np.arange(starts[f], starts[f] + counts[f])
        cut = own[_ears(points[indices[own]], normal[f])]
        triangles.append(cut)
        faces.append(np.full(len(cut), f))
    return np.concatenate(triangles), np.concatenate(faces)


def _ears(polygon: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Triangles [n-2,3] of a simple polygon [n,3] by ear clipping (Meisters 1975); what has no ear left is closed as a fan."""
    drop = int(np.argmax(np.abs(normal)))
    flat = np.delete(polygon, drop, axis=1)
    sign = float(np.sign(normal[drop])) * (-1.0 if drop == 1 else 1.0)
    left = list(range(len(polygon)))
    out: list[tuple[int, int, int]] = []

    def turn(a: int, b: int, c: int) -> float:
        u, v = flat[b] - flat[a], flat[c] - flat[a]
        return sign * float(u[0] * v[1] - u[1] * v[0])

    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = left[i - 1], left[i], left[(i + 1) % len(left)]
            if turn(a, b, c) <= 0.0:
                continue
            others = [p for p in left if p not in (a, b, c)]
            if any(turn(a, b, p) >= 0.0 and turn(b, c, p) >= 0.0 and turn(c, a, p) >= 0.0 for p in others):
                continue
            out.append((a, b, c))
            del left[i]
            break
        else:
            break
    out += [(left[0], left[i], left[i + 1]) for i in range(1, len(left) - 1)]
    return np.array(out, np.int64)
