"""Triangles ready for a graphics card, and the buffer that carries them.

Layout of a buffer, little-endian: ``TWM1``, then u32 vertex count V, index count I, group count G, flags (1: texture
coordinates, 2: colours); G groups of u32 (start, count, place in ``Geometry.materials``); f32 positions [V,3]; f32 normals [V,3];
f32 uv [V,2] if flagged; f32 colours [V,3], linear RGB, if flagged; u32 indices [I]. Lengths in the prim's local stage units.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from twin.core.findings import Finding

MAGIC = b"TWM1"
HAS_UV, HAS_COLOR = 1, 2
SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, odd: spreads bits (D. Knuth, The Art of Computer Programming 3, section 6.4)."""


class Drawn(NamedTuple):
    """A mesh as pages draw it: its buffer (``encode``), empty where there is nothing to draw, and what it shows otherwise."""

    data: bytes
    findings: list[Finding]


@dataclass(frozen=True)
class Surface:
    """Triangles over shared vertices.

    Attributes:
        position: float32 [V,3]. normal: float32 [V,3], unit.
        triangles: int64 [T,3] vertices, counter-clockwise seen from outside.
        material: int64 [T] place in the list of materials.
        uv: float32 [V,2], or None. color: float32 [V,3] linear RGB, or None.
    """

    position: np.ndarray
    normal: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    uv: np.ndarray | None = None
    color: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.triangles)

    def moved(self, matrix: np.ndarray) -> Surface:
        """As seen through a [4,4] row-vector matrix; a mirror keeps the outside outside."""
        linear = matrix[:3, :3]
        determinant = float(np.linalg.det(linear))
        position = (self.position @ linear + matrix[3, :3]).astype(np.float32)
        normal = self.normal @ (np.linalg.inv(linear).T if abs(determinant) > 1e-30 else linear)
        triangles = self.triangles[:, ::-1] if determinant < 0.0 else self.triangles
        return replace(self, position=position, normal=unit(normal).astype(np.float32), triangles=triangles)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [n,3] of length one; those without a direction point up."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-30, vectors / np.where(lengths > 1e-30, lengths, 1.0), [0.0, 0.0, 1.0])


def welded(
    position: np.ndarray,
    normal: np.ndarray,
    corners: np.ndarray,
    material: np.ndarray,
    uv: np.ndarray | None = None,
    color: np.ndarray | None = None,
) -> Surface:
    """A surface from values per corner [C,k] and triangles of corners [T,3]: corners that agree become one vertex."""
    columns = [position, normal] + [extra for extra in (uv, color) if extra is not None]
    rows = np.concatenate(columns, axis=1).astype(np.float32)[corners.ravel()]
    unique, renumbered = _distinct(rows)
    at = 6 if uv is None else 8
    return Surface(
        unique[:, :3],
        unique[:, 3:6],
        renumbered.reshape(-1, 3),
        np.asarray(material, np.int64),
        None if uv is None else unique[:, 6:8],
        None if color is None else unique[:, at : at + 3],
    )


def _distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows [n,k] float32 that differ, in the order in which they come, and for each row which of them it is.

    Rows are put in order by a number made from their bits; sorting them by their columns takes three times as long.
    """
    rows = np.ascontiguousarray(rows + np.float32(0.0))  # -0 becomes 0
    key = np.zeros(len(rows), np.uint64)
    for column in rows.view(np.uint32).T:
        key = (key ^ column) * SPREAD
        key ^= key >> np.uint64(29)
    order = np.argsort(key, kind="stable")
    new = np.ones(len(rows), bool)
    new[1:] = key[order[1:]] != key[order[:-1]]
    first = order[new]
    which = np.empty(len(rows), np.int64)
    which[order] = np.cumsum(new) - 1
    if not np.array_equal(rows[first][which].view(np.uint32), rows.view(np.uint32)):
        unique, renumbered = np.unique(rows, axis=0, return_inverse=True)  # two rows share a number
        return unique, renumbered.reshape(-1)
    by_appearance = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[by_appearance] = np.arange(len(first))
    return rows[first[by_appearance]], place[which]


def merged(parts: Sequence[Surface]) -> Surface:
    """Several surfaces as one. Where only some have texture coordinates or colours, the others get zeros or white."""
    with_uv = any(p.uv is not None for p in parts)
    with_color = any(p.color is not None for p in parts)
    starts = np.cumsum([0, *(len(p.position) for p in parts)])
    uvs = [np.zeros((len(p.position), 2), np.float32) if p.uv is None else p.uv for p in parts]
    colors = [np.ones((len(p.position), 3), np.float32) if p.color is None else p.color for p in parts]
    return Surface(
        np.concatenate([p.position for p in parts]),
        np.concatenate([p.normal for p in parts]),
        np.concatenate([p.triangles + start for p, start in zip(parts, starts[:-1], strict=True)]),
        np.concatenate([p.material for p in parts]),
        np.concatenate(uvs) if with_uv else None,
        np.concatenate(colors) if with_color else None,
    )


def encode(surface: Surface) -> bytes:
    """The buffer of a surface, its triangles grouped by material."""
    order = np.argsort(surface.material, kind="stable")
    used, starts, sizes = np.unique(surface.material[order], return_index=True, return_counts=True)
    groups = [(int(s) * 3, int(n) * 3, int(m)) for m, s, n in zip(used, starts, sizes, strict=True)]
    flags = (HAS_UV if surface.uv is not None else 0) | (HAS_COLOR if surface.color is not None else 0)
    parts = [
        MAGIC + struct.pack("<4I", len(surface.position), 3 * len(surface), len(groups), flags),
        np.array(groups, "<u4").tobytes(),
    ]
    for column in (surface.position, surface.normal, surface.uv, surface.color):
        if column is not None:
            parts.append(np.ascontiguousarray(column, "<f4").tobytes())
    parts.append(surface.triangles[order].astype("<u4").tobytes())
    return b"".join(parts)


def simplified(surface: Surface, most: int) -> Surface:
    """At most about ``most`` triangles, by clustering vertices on a grid (Rossignac and Borrel 1993).

    Vertices of one cell whose normals look the same way become their mean, so that edges of the shape stay edges. The grid is
    the finest of a row of halvings that fits.
    """
    if len(surface) <= most:
        return surface
    low, high = surface.position.min(axis=0), surface.position.max(axis=0)
    extent = float((high - low).max()) or 1.0
    coarse, fine = 1.0, 4096.0
    best = _clustered(surface, low, extent / coarse)
    for _ in range(10):
        middle = np.sqrt(coarse * fine)
        tried = _clustered(surface, low, extent / middle)
        if len(tried) <= most:
            best, coarse = tried, middle
        else:
            fine = middle
    return best


def _clustered(surface: Surface, low: np.ndarray, size: float) -> Surface:
    cell = np.floor((surface.position - low) / size).astype(np.int64)
    facing = np.argmax(np.abs(surface.normal), axis=1)
    side = np.take_along_axis(surface.normal, facing[:, None], axis=1)[:, 0] < 0.0
    key = ((cell[:, 0] * 8192 + cell[:, 1]) * 8192 + cell[:, 2]) * 6 + facing * 2 + side
    _, cluster, counts = np.unique(key, return_inverse=True, return_counts=True)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.stack([np.bincount(cluster, values[:, k], len(counts)) for k in range(values.shape[1])], axis=1)
        return (sums / counts[:, None]).astype(np.float32)

    triangles = cluster[surface.triangles]
    a, b, c = triangles.T
    kept = (a != b) & (b != c) & (c != a)
    return Surface(
        mean(surface.position),
        unit(mean(surface.normal)).astype(np.float32),
        triangles[kept],
        surface.material[kept],
        None if surface.uv is None else mean(surface.uv),
        None if surface.color is None else mean(surface.color),
    )
