"""Meshes taken apart into convex pieces by CoACD (X. Wei et al., ACM Trans. Graphics 41(4), 2022), if it is installed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from importlib.util import find_spec

import numpy as np

Piece = tuple[np.ndarray, np.ndarray]
"""Vertices [V,3] and outward triangles [T,3] of a convex piece."""

PIECES = 32
"""Most pieces where nothing is authored, as in PhysX."""
_KEPT = 128
_known: OrderedDict[bytes, list[Piece]] = OrderedDict()


def available() -> bool:
    """Whether meshes can be taken apart here."""
    return find_spec("coacd") is not None


def convex_pieces(points: np.ndarray, triangles: np.ndarray, most: int = PIECES) -> list[Piece]:
    """Convex pieces of a closed mesh, at most ``most``; the same for the same mesh. What was taken apart
    before is remembered: it takes seconds, and a stage is compiled with each edit.

    Args:
        points: [V,3]. triangles: [T,3].
    """
    import coacd

    points, triangles = np.ascontiguousarray(points, float), np.ascontiguousarray(triangles, np.int32)
    key = hashlib.blake2b(points.tobytes() + triangles.tobytes() + str(most).encode(), digest_size=16).digest()
    if key not in _known:
        coacd.set_log_level("error")
        mesh = coacd.Mesh(points, triangles)
        found = coacd.run_coacd(mesh, max_convex_hull=most, seed=0)
        _known[key] = [(np.asarray(v, float), np.asarray(t, np.int32)) for v, t in found]
        while len(_known) > _KEPT:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return _known[key]


def closed(triangles: np.ndarray) -> bool:
    """Whether each edge of a mesh belongs to two triangles that look the same way: only then has it a volume."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    there, back = np.unique(edges, axis=0, return_counts=True), np.unique(edges[:, ::-1], axis=0)
    return bool((there[1] == 1).all() and np.array_equal(there[0], back))
