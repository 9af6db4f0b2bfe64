"""Height fields: meshes whose corners form a regular grid, recognised so that contacts and rays find their cells by division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.model.rigid import Mesh

LEAST_CELLS = 4
"""Smaller grids stay meshes: a tree over a handful of triangles is as fast."""
OFF_GRID = 1e-3
"""How far a corner may lie from its place in the grid, in spacings; float32 vertices of large fields need it."""


@dataclass(frozen=True)
class HeightField:
    """A regular grid of heights.

    Attributes:
        origin: [3] m, the first corner at height 0, in the frame of the mesh. axes: [3,3] rows are X, Y and the way up.
        spacing: [2] m along X and Y. heights: float32 [rows, columns] m, rows along Y.
        split: int32 [rows-1, columns-1]: 0 where the cell is cut from its first corner to the opposite one, 1 across.
    """

    origin: np.ndarray
    axes: np.ndarray
    spacing: np.ndarray
    heights: np.ndarray
    split: np.ndarray

    def corners(self) -> np.ndarray:
        """[rows, columns, 3] m in the field's own frame."""
        rows, columns = self.heights.shape
        y, x = np.meshgrid(np.arange(rows) * self.spacing[1], np.arange(columns) * self.spacing[0], indexing="ij")
        return np.stack([x, y, self.heights.astype(float)], axis=2)


def height_field(mesh: Mesh) -> HeightField | None:
    """The mesh as a height field; None where its corners are not a grid, each cell two triangles that look the same way."""
    points, triangles = np.asarray(mesh.vertices, float), np.asarray(mesh.triangles)
    if len(triangles) < 2 * LEAST_CELLS or len(triangles) % 2:
        return None
    a, b, c = points[triangles].transpose(1, 0, 2)
    normals = np.cross(b - a, c - a)
    for up in (2, 1, 0):
        if (normals[:, up] > 0.0).all() or (normals[:, up] < 0.0).all():
            z = np.sign(normals[0, up]) * np.eye(3)[up]
            x = np.eye(3)[(up + 1) % 3]
            field = _on_grid(points, triangles, np.array([x, np.cross(z, x), z]))
            if field is not None:
                return field
    return None


def _steps(values: np.ndarray) -> tuple[float, float, np.ndarray] | None:
    """First value, spacing and number of each value in a regular row of them."""
    first, last = float(values.min()), float(values.max())
    apart = np.diff(np.sort(values))
    gaps = apart[apart > 1e-3 * max(last - first, 1e-12) / len(values)]
    if len(gaps) == 0:
        return None
    count = round((last - first) / float(np.median(gaps)))
    if count < 1:
        return None
    spacing = (last - first) / count
    number = np.rint((values - first) / spacing)
    if np.abs((values - first) / spacing - number).max() > OFF_GRID:
        return None
    return first, spacing, number.astype(np.int64)


def _on_grid(points: np.ndarray, triangles: np.ndarray, axes: np.ndarray) -> HeightField | None:
    local = points @ axes.T
    along, across = _steps(local[:, 0]), _steps(local[:, 1])
    if along is None or across is None:
        return None
    column, row = along[2], across[2]
    columns, rows = int(column.max()) + 1, int(row.max()) + 1
    if columns * rows != len(points) or 2 * (columns - 1) * (rows - 1) != len(triangles):
        return None
    if len(np.unique(row * columns + column)) != len(points):
        return None
    x, y = column[triangles], row[triangles]
    left, below = x.min(axis=1), y.min(axis=1)
    if (x.max(axis=1) - left != 1).any() or (y.max(axis=1) - below != 1).any():
        return None
    cell = below * (columns - 1) + left
    # of the corners 0 (first), 1 (next in X), 2 (next in Y), 3 (opposite) a triangle lacks one; its other half lacks 3 minus that
    lacking = 6 - (x - left[:, None] + 2 * (y - below[:, None])).sum(axis=1)
    order = np.lexsort((lacking, cell))
    if (cell[order].reshape(-1, 2) != np.arange((columns - 1) * (rows - 1))[:, None]).any():
        return None
    pairs = lacking[order].reshape(-1, 2)
    if (pairs.sum(axis=1) != 3).any():
        return None
    heights = np.zeros((rows, columns), np.float32)
    heights[row, column] = local[:, 2]
    split = (pairs[:, 0] == 0).astype(np.int32).reshape(rows - 1, columns - 1)
    origin = np.array([along[0], across[0], 0.0]) @ axes
    return HeightField(origin, axes, np.array([along[1], across[1]]), heights, split)
