"""``UsdGeom.Mesh`` as a surface: subsets, normals, texture coordinates, colours, concave faces, subdivision."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from pxr import Usd, UsdGeom, UsdShade

from twin.core.findings import Findings
from twin.scene.render.polygons import triangulated
from twin.scene.render.subdivision import SHARP, Cage, refined
from twin.scene.render.surface import Surface, simplified, unit, welded

TIME = Usd.TimeCode.EarliestTime()
MOST_TRIANGLES = 150_000
"""A mesh of more is shown simplified."""
REFINED_FACES = 24_000
"""A cage is refined, twice at most, while its faces stay below this."""
_LEVELS = 2
CREASE_DEG = 40.0
"""Faces that meet at a sharper angle are shaded apart where a mesh has no normals and is not refined."""
MOST_PAIRS = 5_000_000


def mesh_surface(mesh: UsdGeom.Mesh, subsets: list[UsdGeom.Subset], findings: Findings) -> Surface | None:
    """The surface of a mesh; None where it has no usable faces.

    Args:
        subsets: Face subsets with materials of their own; their place in the list plus one is the triangles' material, 0 is the
            mesh's own.
        findings: Gets what is shown otherwise than authored.
    """
    prim = mesh.GetPrim()
    points = np.array(mesh.GetPointsAttr().Get(TIME) or [], np.float64).reshape(-1, 3)
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get(TIME) or [], np.int64)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get(TIME) or [], np.int64)
    holes = [h for h in mesh.GetHoleIndicesAttr().Get(TIME) or [] if 0 <= h < len(counts)]
    if len(points) == 0 or len(indices) == 0 or indices.min() < 0 or indices.max() >= len(points) or counts.min(initial=0) < 0:
        return None
    if counts.sum() != len(indices):
        return None
    if mesh.GetOrientationAttr().Get(TIME) == UsdGeom.Tokens.leftHanded:
        # faces listed the other way round, with all that is said corner by corner
        turn = _reversed_corners(counts)
        indices = indices[turn]
    else:
        turn = np.arange(len(indices))
    face_of_corner = np.repeat(np.arange(len(counts)), counts)
    pick = _Spread(indices, face_of_corner, turn)
    normals = pick(*_normals(mesh), 3)
    uv, color = pick(*_uv(mesh), 2), pick(*_color(prim), 3)
    scheme = mesh.GetSubdivisionSchemeAttr()
    smooth = scheme.Get() != UsdGeom.Tokens.none
    source = np.arange(len(counts))
    refined_cage = False
    if normals is None and scheme.HasAuthoredValue() and smooth:
        cage = _refine(mesh, points, counts, indices, uv, color, findings)
        if cage is not None:
            refined_cage = True
            points, counts, indices, source = cage.points, cage.counts, cage.indices, cage.source
            face_of_corner = np.repeat(np.arange(len(counts)), counts)
            if cage.corners is not None:
                columns = cage.corners
                uv, columns = (None, columns) if uv is None else (columns[:, :2], columns[:, 2:])
                color = None if color is None else columns[:, :3]
            holes = np.flatnonzero(np.isin(source, holes)).tolist()
    corners, face = triangulated(points, counts, indices, holes)
    if len(corners) == 0:
        return None
    if normals is None:
        # a cage that was refined is round; one that merely does not say "none" keeps the edges that it seems to have
        angle = None if not smooth else 180.0 if refined_cage else CREASE_DEG
        normals = _computed_normals(points, indices, face_of_corner, corners, face, angle)
    material = _owners(len(source), source, subsets)[face]
    surface = welded(points[indices], unit(normals), corners, material, uv, color)
    if len(surface) > MOST_TRIANGLES:
        whole = len(surface)
        surface = simplified(surface, MOST_TRIANGLES)
        findings.info(
            prim.GetPath(),
            "mesh-simplified",
            f"a mesh of {whole:,} triangles is shown with {len(surface):,}; it is simulated whole",
        )
    return surface


def material_subsets(mesh: UsdGeom.Mesh) -> list[UsdGeom.Subset]:
    """Face subsets that bind materials."""
    return list(UsdShade.MaterialBindingAPI(mesh.GetPrim()).GetMaterialBindSubsets())


def _reversed_corners(counts: np.ndarray) -> np.ndarray:
    """Corner numbers [C] of faces gone round the other way, each from its first corner."""
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.arange(int(counts.sum())) - starts
    return np.asarray(starts + (np.repeat(counts, counts) - place) % np.repeat(np.maximum(counts, 1), counts), np.int64)


def _owners(n_faces: int, source: np.ndarray, subsets: list[UsdGeom.Subset]) -> np.ndarray:
    """Material [n_faces] of each face, from the subsets of the faces that they come from."""
    owner = np.zeros(int(source.max(initial=0)) + 1, np.int64)
    for place, subset in enumerate(subsets, start=1):
        members = np.array(subset.GetIndicesAttr().Get(TIME) or [], np.int64)
        owner[members[(members >= 0) & (members < len(owner))]] = place
    return np.asarray(owner[source[:n_faces]])


class _Spread:
    """Values of a primvar per corner, whatever its interpolation."""

    def __init__(self, indices: np.ndarray, face_of_corner: np.ndarray, turn: np.ndarray) -> None:
        self._pick = {
            UsdGeom.Tokens.vertex: indices,
            UsdGeom.Tokens.varying: indices,
            UsdGeom.Tokens.uniform: face_of_corner,
            UsdGeom.Tokens.faceVarying: turn,
            UsdGeom.Tokens.constant: np.zeros(len(indices), np.int64),
        }

    def __call__(self, values: object, interpolation: str, width: int) -> np.ndarray | None:
        """[C,width]; None where there are no values, or not as many as it takes."""
        rows = np.array(values if values is not None else [], np.float64).reshape(-1, width)
        pick = self._pick.get(interpolation)
        if pick is None or len(rows) == 0 or pick.max() >= len(rows):
            return None
        return np.asarray(rows[pick])


def _normals(mesh: UsdGeom.Mesh) -> tuple[object, str]:
    primvar = UsdGeom.PrimvarsAPI(mesh.GetPrim()).GetPrimvar("normals")
    if primvar and primvar.HasValue():
        return primvar.ComputeFlattened(TIME), str(primvar.GetInterpolation())
    return mesh.GetNormalsAttr().Get(TIME), str(mesh.GetNormalsInterpolation())


def _uv(mesh: UsdGeom.Mesh) -> tuple[object, str]:
    primvars = UsdGeom.PrimvarsAPI(mesh.GetPrim())
    for name in ("st", "UVMap", "st0", "st_0"):
        primvar = primvars.GetPrimvar(name)
        if primvar and primvar.HasValue():
            return primvar.ComputeFlattened(TIME), str(primvar.GetInterpolation())
    return None, ""


def _color(prim: Usd.Prim) -> tuple[object, str]:
    """Colours that differ over the mesh; one for all of it is a material."""
    primvar = UsdGeom.PrimvarsAPI(prim).GetPrimvar("displayColor")
    if primvar and primvar.HasValue() and primvar.GetInterpolation() != UsdGeom.Tokens.constant:
        return primvar.ComputeFlattened(TIME), str(primvar.GetInterpolation())
    return None, ""


def _computed_normals(
    points: np.ndarray,
    indices: np.ndarray,
    face_of_corner: np.ndarray,
    corners: np.ndarray,
    face: np.ndarray,
    angle: float | None,
) -> np.ndarray:
    """Normals [C,3] per corner, weighted by area: of its face (``angle`` None), or of all faces at the point that turn away from
    its own by less than ``angle`` degrees."""
    a, b, c = (points[indices[corners[:, i]]] for i in range(3))
    across = np.cross(b - a, c - a)
    per_face = np.zeros((int(face_of_corner.max()) + 1, 3))
    np.add.at(per_face, face, across)
    if angle is None:
        return np.asarray(per_face[face_of_corner])
    valence = np.bincount(indices, minlength=len(points))
    if angle >= 180.0 or int((valence.astype(float) ** 2).sum()) > MOST_PAIRS:
        per_point = np.stack([np.bincount(indices, per_face[face_of_corner, k], len(points)) for k in range(3)], axis=1)
        return np.asarray(per_point[indices])
    # every pair of corners at the same point
    by_point = np.argsort(indices, kind="stable")
    begin = np.cumsum(valence) - valence
    own = np.repeat(np.arange(len(indices)), valence[indices])
    step = np.arange(len(own)) - np.repeat(np.cumsum(valence[indices]) - valence[indices], valence[indices])
    other = by_point[begin[indices[own]] + step]
    flat = unit(per_face)
    near = np.einsum("ij,ij->i", flat[face_of_corner[own]], flat[face_of_corner[other]]) > np.cos(np.radians(angle))
    rows, added = own[near], per_face[face_of_corner[other[near]]]
    return np.stack([np.bincount(rows, added[:, k], len(indices)) for k in range(3)], axis=1)


def _refine(
    mesh: UsdGeom.Mesh,
    points: np.ndarray,
    counts: np.ndarray,
    indices: np.ndarray,
    uv: np.ndarray | None,
    color: np.ndarray | None,
    findings: Findings,
) -> Cage | None:
    """The cage of an authored subdivision surface, refined as far as is worth drawing; None where it is drawn as it is."""
    scheme = mesh.GetSubdivisionSchemeAttr().Get()
    path = mesh.GetPath()
    if scheme != UsdGeom.Tokens.catmullClark:
        findings.info(path, "subdivision-not-refined", f"subdivision {scheme} is shown as its cage (catmullClark is refined)")
        return None
    if len(indices) > REFINED_FACES or counts.min() < 3:
        findings.info(path, "subdivision-not-refined", f"a subdivision cage of {len(counts):,} faces is shown as it is")
        return None
    extra = [column for column in (uv, color) if column is not None]
    cage = Cage(
        points, counts, indices, np.concatenate(extra, axis=1) if extra else None, np.arange(len(counts)), _hard_edges(mesh)
    )
    for _ in range(_LEVELS):
        if len(cage.indices) > REFINED_FACES:
            break
        cage = refined(cage)
    return cage


def _hard_edges(mesh: UsdGeom.Mesh) -> np.ndarray:
    """Edges [H,2] of creases that are sharp, lower point first."""
    lengths = list(mesh.GetCreaseLengthsAttr().Get(TIME) or [])
    chain = list(mesh.GetCreaseIndicesAttr().Get(TIME) or [])
    sharpness = list(mesh.GetCreaseSharpnessesAttr().Get(TIME) or [])
    edges, at = [], 0
    for i, length in enumerate(lengths):
        own, at = chain[at : at + length], at + length
        if i < len(sharpness) and sharpness[i] >= SHARP:
            edges += [sorted(pair) for pair in pairwise(own)]
    return np.array(edges, np.int64).reshape(-1, 2)
