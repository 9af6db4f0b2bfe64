"""Rotations and meshes on the host. Quaternions are xyzw."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from twin.model.rigid import Mesh


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``v`` [3] turned by the unit quaternion ``q`` [4]."""
    u, w = q[:3], q[3]
    return v + 2.0 * np.cross(u, np.cross(u, v) + w * v)


def rotation_matrix(q: np.ndarray) -> np.ndarray:
    """[3,3] matrix of the unit quaternion ``q`` [4]."""
    return np.stack([rotate(q, axis) for axis in np.eye(3)], axis=1)


def quaternion_of(matrix: np.ndarray) -> np.ndarray:
    """Unit quaternion [4] of a rotation matrix [3,3]."""
    return np.asarray(Rotation.from_matrix(matrix).as_quat(), float)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation ``b`` followed by ``a``, unit quaternions [4]."""
    return np.array([*(a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])), a[3] * b[3] - a[:3] @ b[:3]])


def mesh_bound(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Centre [3] and half extents [3] of a mesh's bound [m]."""
    lower, upper = mesh.vertices.min(axis=0).astype(float), mesh.vertices.max(axis=0).astype(float)
    return (lower + upper) / 2.0, (upper - lower) / 2.0
