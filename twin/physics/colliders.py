"""Shapes of the model as colliders of the engine: what moves, what is fixed, and what had to be approximated (findings)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from twin.core.findings import Findings
from twin.model.rigid import Body, Mesh, RigidModel, Shape, ShapeKind
from twin.physics.fields import HeightField, height_field
from twin.physics.geometry import mesh_bound, multiply, quaternion_of, rotate, rotation_matrix
from twin.physics.hulls import Hull, make_hull

BEVEL_M = 0.005
"""How much smaller than it is a sharp shape is taken while looking for the direction of a contact [m]."""


@dataclass
class Collider:
    """One row of the collider table.

    Attributes:
        position, rotation: [3] m and [4] xyzw, about the body's centre of mass, or in the world.
        size: [3] m half extents of the bound. round: radius swept round the core [m]. bevel: see the kernels.
        source: Index into ``RigidModel.shapes``, -1 for goods.
        center: [3] m what its surface turns about, in its own frame.
        mesh: Triangles in the world, of a fixed mesh. field: of a fixed height field, in the collider's frame.
    """

    shape: Shape
    kind: ShapeKind
    position: np.ndarray
    rotation: np.ndarray
    size: np.ndarray
    source: int
    round: float = 0.0
    bevel: float = 0.0
    center: np.ndarray = field(default_factory=lambda: np.zeros(3))
    mesh: Mesh | None = None
    hull: Hull | None = None
    field: HeightField | None = None

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper corner [3] of its axis-aligned bound [m]."""
        if self.mesh is not None:
            return self.mesh.vertices.min(axis=0), self.mesh.vertices.max(axis=0)
        if self.field is not None:
            corners = self.field.corners().reshape(-1, 3) @ rotation_matrix(self.rotation).T + self.position
            return corners.min(axis=0), corners.max(axis=0)
        half = self.size if self.kind == ShapeKind.SPHERE else np.abs(rotation_matrix(self.rotation)) @ self.size
        return self.position - half, self.position + half

    @property
    def reach(self) -> float:
        """Farthest point from the centre of mass [m]."""
        own = self.size[0] if self.kind == ShapeKind.SPHERE else np.linalg.norm(self.size)
        return float(np.linalg.norm(self.position) + own)


def _plain(shape: Shape, position: np.ndarray, source: int) -> Collider:
    """A collider whose size says everything."""
    rotation, size = np.asarray(shape.rotation, float), np.asarray(shape.size, float)
    out = Collider(shape, shape.kind, position, rotation, size, source)
    if shape.kind == ShapeKind.SPHERE:
        out.size, out.round = np.full(3, size[0]), float(size[0])
    elif shape.kind == ShapeKind.CAPSULE:
        out.size, out.round = np.array([size[0], size[0], size[1] + size[0]]), float(size[0])
    elif shape.kind == ShapeKind.CYLINDER:
        out.size = np.array([size[0], size[0], size[1]])
    if shape.kind in (ShapeKind.BOX, ShapeKind.CYLINDER):
        out.bevel = min(BEVEL_M, 0.2 * float(out.size.min()))
    return out


def _hulled(shape: Shape, hull: Hull, position: np.ndarray, source: int) -> Collider:
    rotation = np.asarray(shape.rotation, float)
    return Collider(
        shape,
        ShapeKind.HULL,
        position + rotate(rotation, hull.center),
        rotation,
        np.abs(hull.vertices).max(axis=0),
        source,
        bevel=min(BEVEL_M, 0.2 * hull.depth) / hull.depth,
        center=-hull.center,
        hull=hull,
    )


def _pieces(shape: Shape, model: RigidModel, position: np.ndarray, source: int) -> list[Collider]:
    """The convex pieces that a shape was taken apart into."""
    hulls = (make_hull(model.meshes[piece]) for piece in shape.pieces)
    return [_hulled(shape, hull, position, source) for hull in hulls if hull is not None]


def moving_colliders(shape: Shape, body: Body, model: RigidModel, source: int, findings: Findings) -> list[Collider]:
    """The colliders of a shape about its body's centre of mass; none where there is nothing to collide."""
    position = np.asarray(shape.position, float) - np.asarray(body.com, float)
    if shape.kind == ShapeKind.PLANE:
        findings.warning(shape.path, "not-simulated", "a plane on a moving body does not collide: planes are fixed")
        return []
    if shape.pieces:
        return _pieces(shape, model, position, source)
    if shape.kind not in (ShapeKind.HULL, ShapeKind.MESH):
        return [_plain(shape, position, source)]
    mesh = model.meshes[shape.mesh]
    if shape.kind == ShapeKind.MESH:
        findings.warning(shape.path, "approximated", "a triangle mesh that moves collides as its convex hull")
    hull = make_hull(mesh)
    if hull is not None:
        if hull.thinned:
            findings.info(shape.path, "approximated", f"the hull is thinned to {len(hull.vertices)} vertices")
        return [_hulled(shape, hull, position, source)]
    findings.warning(shape.path, "approximated", "a mesh without volume that moves collides as its bounding box")
    center, half = mesh_bound(mesh)
    rotation = np.asarray(shape.rotation, float)
    box = Collider(shape, ShapeKind.BOX, position + rotate(rotation, center), rotation, np.maximum(half, 1e-4), source)
    box.bevel, box.center = 0.2 * float(box.size.min()), -center
    return [box]


def _field(shape: Shape, field: HeightField, position: np.ndarray, source: int) -> Collider:
    """A height field at its place in the world."""
    turn = np.asarray(shape.rotation, float)
    rotation = multiply(turn, quaternion_of(field.axes.T))
    out = Collider(shape, ShapeKind.HEIGHT_FIELD, position + rotate(turn, field.origin), rotation, np.zeros(3), source)
    out.field, out.center = field, -(field.axes @ field.origin)
    return out


def fixed_colliders(shape: Shape, model: RigidModel, source: int) -> list[Collider]:
    """Fixed colliders: small hulls as they are, grids as height fields, other meshes and finer hulls as triangles."""
    position = np.asarray(shape.position, float)
    if shape.pieces:
        return _pieces(shape, model, position, source)
    if shape.kind not in (ShapeKind.HULL, ShapeKind.MESH):
        return [_plain(shape, position, source)]
    mesh = model.meshes[shape.mesh]
    if shape.kind == ShapeKind.HULL:
        hull = make_hull(mesh)
        if hull is not None and not hull.thinned:
            return [_hulled(shape, hull, position, source)]
    else:
        field = height_field(mesh)
        if field is not None:
            return [_field(shape, field, position, source)]
    rotation = np.asarray(shape.rotation, float)
    vertices = (mesh.vertices @ rotation_matrix(rotation).T + position).astype(np.float32)
    still = np.array([0.0, 0.0, 0.0, 1.0])
    out = Collider(shape, ShapeKind.MESH, np.zeros(3), still, np.zeros(3), source, mesh=Mesh(vertices, mesh.triangles))
    out.center = position
    return [out]
