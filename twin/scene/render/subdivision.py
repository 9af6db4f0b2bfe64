"""Catmull-Clark refinement of a cage (Catmull and Clark 1978; boundaries and creases as in OpenSubdiv)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARP = 1.0
"""An edge of at least this sharpness is refined as a hard one; softer ones as smooth."""


@dataclass(frozen=True)
class Cage:
    """Faces over points.

    Attributes:
        points: [P,3]. counts: [F] corners of each face. indices: [C].
        corners: Values per corner [C,k] that are refined linearly (texture coordinates), or None.
        source: [F] the face of the original mesh that each face comes from.
        hard: [H,2] edges, lower point first, that stay sharp.
    """

    points: np.ndarray
    counts: np.ndarray
    indices: np.ndarray
    corners: np.ndarray | None
    source: np.ndarray
    hard: np.ndarray


def refined(cage: Cage) -> Cage:
    """One level finer: every face of n corners becomes n quads."""
    points, counts, indices = cage.points, cage.counts, cage.indices
    n_points, n_faces, n_corners = len(points), len(counts), len(indices)
    starts = np.cumsum(counts) - counts
    face = np.repeat(np.arange(n_faces), counts)
    place = np.arange(n_corners) - starts[face]
    following = starts[face] + (place + 1) % counts[face]
    before = starts[face] + (place - 1) % counts[face]

    centre = _mean(points[indices], face, n_faces)
    ends = np.sort(np.stack([indices, indices[following]], axis=1), axis=1)
    edges, edge = np.unique(ends, axis=0, return_inverse=True)
    edge = edge.reshape(-1)
    used = np.bincount(edge, minlength=len(edges))
    hard = used != 2
    if len(cage.hard):
        key = edges[:, 0] * n_points + edges[:, 1]
        hard |= np.isin(key, cage.hard[:, 0] * n_points + cage.hard[:, 1])
    middle = (points[edges[:, 0]] + points[edges[:, 1]]) / 2.0
    around = _mean(centre[face], edge, len(edges))
    edge_point = np.where(hard[:, None], middle, (middle + around) / 2.0)

    valence = np.bincount(edges.ravel(), minlength=n_points)[:, None].astype(float)
    safe = np.maximum(valence, 1.0)
    mean_face = _mean(centre[face], indices, n_points)
    mean_middle = _mean(np.repeat(middle, 2, axis=0), edges.ravel(), n_points)
    smooth = (mean_face + 2.0 * mean_middle + (safe - 3.0) * points) / safe
    hard_edges = edges[hard]
    n_hard = np.bincount(hard_edges.ravel(), minlength=n_points)
    neighbours = np.zeros((n_points, 3))
    np.add.at(neighbours, hard_edges[:, 0], points[hard_edges[:, 1]])
    np.add.at(neighbours, hard_edges[:, 1], points[hard_edges[:, 0]])
    crease = 0.75 * points + neighbours / 8.0
    moved = np.where((n_hard == 2)[:, None], crease, np.where((n_hard > 2)[:, None] | (valence == 0), points, smooth))
    # a corner of an open sheet that only one face meets stays where it is (interpolateBoundary = edgeAndCorner)
    lone = (np.bincount(indices, minlength=n_points) == 1) & (n_hard == 2)
    moved = np.where(lone[:, None], points, moved)

    first_edge, first_face = n_points, n_points + len(edges)
    quads = np.stack([indices, first_edge + edge, first_face + face, first_edge + edge[before]], axis=1)
    values = None
    if cage.corners is not None:
        own = cage.corners
        half, back = (own + own[following]) / 2.0, (own[before] + own) / 2.0
        values = np.stack([own, half, _mean(own, face, n_faces)[face], back], axis=1).reshape(-1, own.shape[1])
    split = hard.nonzero()[0]
    pieces = [np.stack([edges[split, side], first_edge + split], axis=1) for side in (0, 1)]
    return Cage(
        np.concatenate([moved, edge_point, centre]),
        np.full(n_corners, 4),
        quads.ravel(),
        values,
        cage.source[face],
        np.concatenate(pieces),
    )


def _mean(values: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
    sums = np.stack([np.bincount(group, values[:, k], n) for k in range(values.shape[1])], axis=1)
    return np.asarray(sums / np.maximum(np.bincount(group, minlength=n), 1)[:, None])
