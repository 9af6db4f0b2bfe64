"""From USD matrices to poses in SI: rotation, translation and what is left of scale and shear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pxr import Gf


@dataclass(frozen=True)
class Frame:
    """A matrix taken apart, ``point_out = (point @ stretch) @ rotation + position`` (row vectors).

    Attributes:
        position: [3] in the matrix's own unit.
        rotation: [3,3] proper rotation; its rows are the images of the axes.
        stretch: [3,3] what scale and shear do before; diagonal unless sheared. Holds the mirror of a mirrored matrix.
    """

    position: np.ndarray
    rotation: np.ndarray
    stretch: np.ndarray

    @property
    def scale(self) -> np.ndarray:
        """[3] lengths of the axes' images, always positive."""
        return np.linalg.norm(self.stretch, axis=1)

    @property
    def sheared(self) -> bool:
        """Whether the axes are no longer at right angles (beyond rounding)."""
        off = self.stretch - np.diag(np.diag(self.stretch))
        return bool(np.abs(off).max() > 1e-5 * max(np.abs(self.stretch).max(), 1e-30))

    @property
    def quaternion(self) -> np.ndarray:
        """[4] xyzw."""
        return quaternion(self.rotation)


def array(matrix: Gf.Matrix4d) -> np.ndarray:
    """[4,4] float64, row-vector convention as in USD (translation in the last row)."""
    return np.array(matrix, float).reshape(4, 4)


def split(matrix: np.ndarray) -> Frame:
    """Take a [4,4] row-vector matrix apart.

    Gram-Schmidt in axis order, so that an unsheared matrix keeps its axes exactly; a mirrored one keeps a proper rotation and
    the mirror goes into ``stretch``. An axis scaled to nothing gets a direction at right angles to the others.
    """
    rows = matrix[:3, :3]
    basis: list[np.ndarray] = []
    for i in range(3):
        row = rows[i] - sum(((rows[i] @ b) * b for b in basis), np.zeros(3))
        length = np.linalg.norm(row)
        if length < 1e-12 * max(np.abs(rows).max(), 1e-300):
            row = next(e for e in np.eye(3) if all(abs(e @ b) < 0.9 for b in basis))
            row = row - sum(((row @ b) * b for b in basis), np.zeros(3))
            length = np.linalg.norm(row)
        basis.append(row / length)
    rotation = np.array(basis)
    if np.linalg.det(rotation) < 0.0:
        rotation[2] = -rotation[2]
    return Frame(matrix[3, :3].copy(), rotation, rows @ rotation.T)


def rigid(frame: Frame) -> np.ndarray:
    """[4,4] matrix of a frame's rotation and position alone."""
    out = np.eye(4)
    out[:3, :3], out[3, :3] = frame.rotation, frame.position
    return out


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Quaternion [4] xyzw, w >= 0, of a row-vector rotation [3,3]."""
    q = Gf.Matrix3d(*rotation.ravel().tolist()).ExtractRotation().GetQuat()
    out = np.array([*q.GetImaginary(), q.GetReal()])
    out /= np.linalg.norm(out)
    return -out if out[3] < 0.0 else out


def rotation_of(q: np.ndarray) -> np.ndarray:
    """Row-vector rotation [3,3] of a quaternion [4] xyzw."""
    x, y, z, w = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)],
            [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)],
            [2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


AXIS_TO_Z = {
    "X": np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    "Y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "Z": np.eye(3),
}
"""Row-vector rotation [3,3] whose third row (the image of local Z) is the named axis."""
AXIS_INDEX = {"X": 0, "Y": 1, "Z": 2}
