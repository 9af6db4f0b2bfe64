"""Meshes as one buffer each, ready for a graphics card.

Layout, little-endian: ``TWM1``, then u32 vertex count V, index count I, group count G, flags (bit 0: texture coordinates);
G groups of u32 (start, count, place in ``Geometry.materials``); f32 positions [V,3]; f32 normals [V,3]; f32 uv [V,2] if
flagged; u32 indices [I]. Lengths in the prim's local stage units.
"""

from __future__ import annotations

import struct

import numpy as np
from pxr import Usd, UsdGeom, UsdShade

from twin.scene.colliders import fan

MAGIC = b"TWM1"
TIME = Usd.TimeCode.EarliestTime()


def mesh_buffer(mesh: UsdGeom.Mesh, subsets: list[UsdGeom.Subset]) -> bytes | None:
    """The buffer of a mesh; None where it has no usable faces.

    Args:
        subsets: Face subsets with materials of their own; their place in the list plus one is the group's material, 0 is the
            mesh's own.
    """
    points = np.array(mesh.GetPointsAttr().Get(TIME) or [], np.float32).reshape(-1, 3)
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get(TIME) or [], np.int64)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get(TIME) or [], np.int64)
    corners = fan(counts, len(indices), mesh.GetHoleIndicesAttr().Get(TIME) or [])
    if len(corners) == 0 or len(points) == 0 or indices.min() < 0 or indices.max() >= len(points):
        return None
    if mesh.GetOrientationAttr().Get(TIME) == UsdGeom.Tokens.leftHanded:
        corners = corners[:, ::-1]
    face_of_corner = np.repeat(np.arange(len(counts)), counts)
    normals = _normals(mesh, points, indices, face_of_corner, corners)
    uv = _uv(mesh, indices, face_of_corner)
    order, groups = _groups(face_of_corner[corners[:, 0]], subsets)
    flat = corners[order].ravel()
    columns = [points[indices], normals] + ([uv] if uv is not None else [])
    rows = np.concatenate(columns, axis=1).astype("<f4")[flat]
    # Corners that agree in everything become one vertex.
    unique, renumbered = np.unique(rows, axis=0, return_inverse=True)
    header = MAGIC + struct.pack("<4I", len(unique), len(flat), len(groups), int(uv is not None))
    parts = [header, np.array(groups, "<u4").tobytes(), unique[:, :3].tobytes(), unique[:, 3:6].tobytes()]
    if uv is not None:
        parts.append(unique[:, 6:8].tobytes())
    parts.append(renumbered.astype("<u4").tobytes())
    return b"".join(parts)


def material_subsets(mesh: UsdGeom.Mesh) -> list[UsdGeom.Subset]:
    """Face subsets that bind materials."""
    return list(UsdShade.MaterialBindingAPI(mesh.GetPrim()).GetMaterialBindSubsets())


def _groups(face: np.ndarray, subsets: list[UsdGeom.Subset]) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """Triangle order [T] by material, and (start, count, material) of each group in indices."""
    owner = np.zeros(int(face.max()) + 1, np.int64)
    for place, subset in enumerate(subsets, start=1):
        members = np.array(subset.GetIndicesAttr().Get(TIME) or [], np.int64)
        owner[members[(members >= 0) & (members < len(owner))]] = place
    material = owner[face]
    order = np.argsort(material, kind="stable")
    used, starts, sizes = np.unique(material[order], return_index=True, return_counts=True)
    return order, [(int(s) * 3, int(n) * 3, int(m)) for m, s, n in zip(used, starts, sizes, strict=True)]


def _spread(values: np.ndarray, interpolation: str, indices: np.ndarray, face_of_corner: np.ndarray) -> np.ndarray | None:
    """Per-corner values [C,k] of a primvar; None where the count does not fit."""
    pick = {
        UsdGeom.Tokens.vertex: indices,
        UsdGeom.Tokens.varying: indices,
        UsdGeom.Tokens.uniform: face_of_corner,
        UsdGeom.Tokens.faceVarying: np.arange(len(indices)),
        UsdGeom.Tokens.constant: np.zeros(len(indices), np.int64),
    }.get(interpolation)
    if pick is None or len(values) == 0 or pick.max() >= len(values):
        return None
    return values[pick]


def _normals(
    mesh: UsdGeom.Mesh, points: np.ndarray, indices: np.ndarray, face_of_corner: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Unit normals [C,3] per corner: authored, else smooth for subdivision surfaces, else flat."""
    primvar = UsdGeom.PrimvarsAPI(mesh.GetPrim()).GetPrimvar("normals")
    if primvar and primvar.HasValue():
        values, interpolation = primvar.ComputeFlattened(TIME), primvar.GetInterpolation()
    else:
        values, interpolation = mesh.GetNormalsAttr().Get(TIME), mesh.GetNormalsInterpolation()
    authored = _spread(np.array(values or [], np.float32).reshape(-1, 3), interpolation, indices, face_of_corner)
    if authored is None:
        a, b, c = (points[indices[corners[:, i]]].astype(np.float64) for i in range(3))
        across = np.cross(b - a, c - a)
        if mesh.GetSubdivisionSchemeAttr().Get() == UsdGeom.Tokens.none:
            per_face = np.zeros((int(face_of_corner.max()) + 1, 3))
            np.add.at(per_face, face_of_corner[corners[:, 0]], across)
            authored = per_face[face_of_corner]
        else:
            per_point = np.zeros((len(points), 3))
            for i in range(3):
                np.add.at(per_point, indices[corners[:, i]], across)
            authored = per_point[indices]
    lengths = np.linalg.norm(authored, axis=1, keepdims=True)
    return np.where(lengths > 0.0, authored / np.where(lengths > 0.0, lengths, 1.0), [0.0, 0.0, 1.0])


def _uv(mesh: UsdGeom.Mesh, indices: np.ndarray, face_of_corner: np.ndarray) -> np.ndarray | None:
    primvars = UsdGeom.PrimvarsAPI(mesh.GetPrim())
    for name in ("st", "UVMap", "st0"):
        primvar = primvars.GetPrimvar(name)
        if primvar and primvar.HasValue():
            values = np.array(primvar.ComputeFlattened(TIME) or [], np.float32).reshape(-1, 2)
            return _spread(values, primvar.GetInterpolation(), indices, face_of_corner)
    return None
