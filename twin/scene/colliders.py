"""One collider prim to one ``Shape`` in SI, scale and shear baked in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics

from twin.core.findings import Findings
from twin.model.rigid import Mesh, Shape, ShapeKind
from twin.scene.decomposition import PIECES, available, closed, convex_pieces
from twin.scene.frames import AXIS_INDEX, AXIS_TO_Z, Frame, quaternion, split

_RING = 24
"""Points on the rim of a cone that becomes a hull."""


@dataclass
class ColliderReader:
    """Reads colliders of one stage into shared tables.

    Attributes:
        unit: Metres per stage unit.
        meshes: Grows by the meshes and hulls of the shapes read.
        findings: Collects what had to be approximated or left out.
    """

    unit: float
    findings: Findings
    meshes: list[Mesh] = field(default_factory=list)

    def read(self, prim: Usd.Prim, local: np.ndarray, *, moving: bool, kinematic: bool = False) -> Shape | None:
        """The shape of a collider.

        Args:
            prim: A prim with ``PhysicsCollisionAPI``.
            local: [4,4] row-vector matrix from the prim to the body's frame (to the world for static), stage units.
            moving: It belongs to a body. kinematic: ...which moves as it is told.

        Returns:
            The shape without body, material, group and surface velocity; None where it cannot be simulated (a finding says so).
        """
        frame = split(local)
        kind = str(prim.GetTypeName())
        if kind == "Cube":
            half = np.full(3, _number(prim, "size", 2.0) / 2.0)
            return self._box(prim, frame, half, np.zeros(3))
        if kind == "Sphere":
            return self._sphere(prim, frame, _number(prim, "radius", 1.0), np.zeros(3))
        if kind in ("Capsule", "Cylinder", "Capsule_1", "Cylinder_1"):
            return self._round(prim, frame, kind)
        if kind == "Cone":
            return self._hull(prim, frame, _cone(_number(prim, "radius", 1.0), _number(prim, "height", 2.0), _axis(prim)))
        if kind == "Plane":
            if moving and not kinematic:
                self.findings.warning(prim.GetPath(), "not-simulated", "a plane cannot be part of a moving body")
                return None
            turn = AXIS_TO_Z[_axis(prim)] @ frame.rotation
            return self._shape(prim, ShapeKind.PLANE, frame.position, turn)
        if kind == "Mesh":
            return self._mesh(prim, frame, moving=moving and not kinematic)
        self.findings.warning(
            prim.GetPath(), "not-simulated", f"a collider of type {kind or 'none'} has no shape that is simulated"
        )
        return None

    # ---- analytic shapes

    def _shape(
        self,
        prim: Usd.Prim,
        kind: ShapeKind,
        position: np.ndarray,
        rotation: np.ndarray,
        size: np.ndarray | None = None,
        mesh: int = -1,
    ) -> Shape:
        return Shape(
            path=str(prim.GetPath()),
            kind=kind,
            position=position * self.unit,
            rotation=quaternion(rotation),
            size=np.zeros(3) if size is None else size * self.unit,
            mesh=mesh,
        )

    def _box(self, prim: Usd.Prim, frame: Frame, half: np.ndarray, center: np.ndarray) -> Shape | None:
        if frame.sheared:
            corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * half + center
            return self._hull(prim, frame, corners)
        size = half * frame.scale
        if not self._has_volume(prim, size):
            return None
        position = center @ frame.stretch @ frame.rotation + frame.position
        return self._shape(prim, ShapeKind.BOX, position, frame.rotation, size)

    def _sphere(self, prim: Usd.Prim, frame: Frame, radius: float, center: np.ndarray) -> Shape | None:
        scale = frame.scale
        if np.ptp(scale) > 1e-4 * scale.max():
            self.findings.warning(
                prim.GetPath(), "scale-approximated", f"a sphere scaled by {_three(scale)} keeps the largest radius"
            )
        size = np.array([radius * scale.max(), 0.0, 0.0])
        if not self._has_volume(prim, size[:1]):
            return None
        position = center @ frame.stretch @ frame.rotation + frame.position
        return self._shape(prim, ShapeKind.SPHERE, position, frame.rotation, size)

    def _round(self, prim: Usd.Prim, frame: Frame, kind: str) -> Shape | None:
        height, axis = _number(prim, "height", 1.0 if kind.startswith("Capsule") else 2.0), _axis(prim)
        if kind.endswith("_1"):
            radius, other = _number(prim, "radiusBottom", 0.5), _number(prim, "radiusTop", 0.5)
            if radius != other:
                self.findings.warning(prim.GetPath(), "scale-approximated", "two different radii: the larger one is simulated")
                radius = max(radius, other)
        else:
            radius = _number(prim, "radius", 0.5 if kind == "Capsule" else 1.0)
        scale = frame.scale
        along = AXIS_INDEX[axis]
        across = np.delete(scale, along)
        if frame.sheared or np.ptp(across) > 1e-4 * across.max():
            self.findings.warning(prim.GetPath(), "scale-approximated", f"scaled by {_three(scale)} it keeps the largest radius")
        size = np.array([radius * across.max(), height / 2.0 * scale[along], 0.0])
        if not self._has_volume(prim, size[:1]):
            return None
        shape = ShapeKind.CAPSULE if kind.startswith("Capsule") else ShapeKind.CYLINDER
        return self._shape(prim, shape, frame.position, AXIS_TO_Z[axis] @ frame.rotation, size)

    def _has_volume(self, prim: Usd.Prim, size: np.ndarray) -> bool:
        if np.all(size > 0.0) and np.all(np.isfinite(size)):
            return True
        self.findings.warning(prim.GetPath(), "not-simulated", "the collider has no extent")
        return False

    # ---- meshes

    def _mesh(self, prim: Usd.Prim, frame: Frame, *, moving: bool) -> Shape | None:
        mesh = UsdGeom.Mesh(prim)
        points = np.array(mesh.GetPointsAttr().Get() or [], float).reshape(-1, 3)
        triangles = triangulate(mesh)
        if (
            len(points) == 0
            or len(triangles) == 0
            or triangles.min() < 0
            or triangles.max() >= len(points)
            or not np.isfinite(points).all()
        ):
            self.findings.warning(prim.GetPath(), "not-simulated", "the mesh has no usable triangles")
            return None
        approximation = UsdPhysics.MeshCollisionAPI(prim).GetApproximationAttr().Get() or UsdPhysics.Tokens.none
        low, high = points.min(axis=0), points.max(axis=0)
        if approximation == UsdPhysics.Tokens.boundingCube:
            return self._box(prim, frame, (high - low) / 2.0, (high + low) / 2.0)
        if approximation == UsdPhysics.Tokens.boundingSphere:
            center = (high + low) / 2.0
            return self._sphere(prim, frame, float(np.linalg.norm(points - center, axis=1).max()), center)
        if approximation == UsdPhysics.Tokens.convexDecomposition:
            return self._decomposed(prim, frame, points, triangles)
        if approximation == UsdPhysics.Tokens.convexHull:
            return self._hull(prim, frame, points)
        if moving:
            self.findings.info(prim.GetPath(), "hull-instead", "a triangle mesh on a moving body is simulated as its convex hull")
            return self._hull(prim, frame, points)
        if np.linalg.det(frame.stretch) < 0.0:
            triangles = triangles[:, ::-1]
        return self._shape(
            prim, ShapeKind.MESH, frame.position, frame.rotation, mesh=self._store(points @ frame.stretch, triangles)
        )

    def _decomposed(self, prim: Usd.Prim, frame: Frame, points: np.ndarray, triangles: np.ndarray) -> Shape | None:
        """Convex pieces that collide, on a mesh that the mass comes from; one hull where it cannot be taken apart."""
        baked = points @ frame.stretch
        if np.linalg.det(frame.stretch) < 0.0:
            triangles = triangles[:, ::-1]
        if not available():
            text = "convexDecomposition needs CoACD (pip install 'twin[decompose]'); one convex hull is simulated"
            self.findings.info(prim.GetPath(), "hull-instead", text)
            return self._hull(prim, frame, points)
        if not closed(triangles):
            text = "convexDecomposition of a mesh that is not closed is simulated as one convex hull"
            self.findings.info(prim.GetPath(), "hull-instead", text)
            return self._hull(prim, frame, points)
        most = int(_number(prim, "physxConvexDecompositionCollision:maxConvexHulls", PIECES))
        pieces = convex_pieces(baked, triangles, max(most, 1))
        shape = self._shape(prim, ShapeKind.HULL, frame.position, frame.rotation, mesh=self._store(baked, triangles))
        shape.pieces = tuple(self._store(*piece) for piece in pieces)
        return shape

    def _hull(self, prim: Usd.Prim, frame: Frame, points: np.ndarray) -> Shape | None:
        from scipy.spatial import ConvexHull, QhullError

        try:
            hull = ConvexHull(points @ frame.stretch)
        except QhullError:
            self.findings.warning(prim.GetPath(), "not-simulated", "a convex hull of points in one plane has no volume")
            return None
        triangles = hull.simplices.copy()
        a, b, c = (hull.points[triangles[:, i]] for i in range(3))
        inward = np.einsum("ij,ij->i", np.cross(b - a, c - a), hull.equations[:, :3]) < 0.0
        triangles[inward] = triangles[inward][:, ::-1]
        used, renumbered = np.unique(triangles, return_inverse=True)
        index = self._store(hull.points[used], renumbered.reshape(triangles.shape))
        return self._shape(prim, ShapeKind.HULL, frame.position, frame.rotation, mesh=index)

    def _store(self, vertices: np.ndarray, triangles: np.ndarray) -> int:
        baked = np.ascontiguousarray(vertices * self.unit, np.float32)
        self.meshes.append(Mesh(vertices=baked, triangles=np.ascontiguousarray(triangles, np.int32)))
        return len(self.meshes) - 1


def triangulate(mesh: UsdGeom.Mesh) -> np.ndarray:
    """Triangles int32 [T,3] of a mesh's faces as fans, counter-clockwise seen from outside, holes left out."""
    counts = np.array(mesh.GetFaceVertexCountsAttr().Get() or [], np.int64)
    indices = np.array(mesh.GetFaceVertexIndicesAttr().Get() or [], np.int64)
    corners = fan(counts, len(indices), mesh.GetHoleIndicesAttr().Get() or [])
    triangles = indices[corners]
    left = mesh.GetOrientationAttr().Get() == UsdGeom.Tokens.leftHanded
    return (triangles[:, ::-1] if left else triangles).astype(np.int32)


def fan(counts: np.ndarray, total: int, holes: object = ()) -> np.ndarray:
    """Corner numbers [T,3] of the triangles that faces with ``counts`` [F] corners fall into; empty if they do not add up."""
    if len(counts) == 0 or counts.sum() != total or counts.min() < 0:
        return np.zeros((0, 3), np.int64)
    keep = counts.copy()
    keep[np.asarray(holes, np.int64)] = 0
    per_face = np.maximum(keep - 2, 0)
    begin = np.repeat(np.cumsum(counts) - counts, per_face)
    step = np.arange(per_face.sum()) - np.repeat(np.cumsum(per_face) - per_face, per_face)
    return np.stack([begin, begin + step + 1, begin + step + 2], axis=1)


def _number(prim: Usd.Prim, name: str, fallback: float) -> float:
    value = prim.GetAttribute(name).Get()
    return fallback if value is None else float(value)


def _axis(prim: Usd.Prim) -> str:
    return str(prim.GetAttribute("axis").Get() or "Z")


def _cone(radius: float, height: float, axis: str) -> np.ndarray:
    angle = np.linspace(0.0, 2.0 * np.pi, _RING, endpoint=False)
    rim = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(_RING, -height / 2.0)], axis=1)
    return np.vstack([rim, [0.0, 0.0, height / 2.0]]) @ AXIS_TO_Z[axis]


def _three(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"
