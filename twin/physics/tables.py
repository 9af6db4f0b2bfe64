"""The rigid model as device tables, and what of it the engine cannot represent (findings)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp

from twin.core.findings import Findings
from twin.model.rigid import Body, Mesh, RigidModel, Shape, ShapeKind
from twin.physics.geometry import capsule_mesh, cylinder_mesh, mesh_bound, rotate, rotation_matrix
from twin.physics.kernels.data import RigidTables

PLAIN = (ShapeKind.BOX, ShapeKind.SPHERE)


@dataclass
class Collider:
    """One row of the collider table; ``source`` is the index into ``RigidModel.shapes``, -1 for goods."""

    shape: Shape
    kind: int
    position: np.ndarray
    rotation: np.ndarray
    size: np.ndarray
    source: int
    mesh: Mesh | None = None


@dataclass
class Uploaded:
    """Device tables with what must live as long as they do."""

    tables: RigidTables
    findings: Findings
    keep: list[Any] = field(default_factory=list)


def _of_body(shape: Shape, body: Body, model: RigidModel, source: int, findings: Findings) -> Collider | None:
    """A moving collider about the body's centre of mass: boxes and spheres as they are, everything else as its bounding box."""
    position = np.asarray(shape.position, float) - np.asarray(body.com, float)
    rotation = np.asarray(shape.rotation, float)
    size = np.asarray(shape.size, float)
    kind = shape.kind
    if kind in PLAIN:
        return Collider(shape, int(kind), position, rotation, size, source)
    if kind == ShapeKind.PLANE:
        findings.warning(shape.path, "not-simulated", "a plane on a moving body does not collide: planes are fixed")
        return None
    if kind in (ShapeKind.CAPSULE, ShapeKind.CYLINDER):
        cap = size[0] if kind == ShapeKind.CAPSULE else 0.0
        center, half = np.zeros(3), np.array([size[0], size[0], size[1] + cap])
    else:
        center, half = mesh_bound(model.meshes[shape.mesh])
    findings.warning(shape.path, "approximated", f"a moving {kind.name.lower()} collides as its bounding box for now")
    return Collider(shape, int(ShapeKind.BOX), position + rotate(rotation, center), rotation, half, source)


def _fixed(shape: Shape, model: RigidModel, source: int) -> Collider:
    """A fixed collider in the world: boxes, spheres and planes as they are, everything else as triangles."""
    position, rotation, size = (np.asarray(v, float) for v in (shape.position, shape.rotation, shape.size))
    kind = shape.kind
    if kind in (*PLAIN, ShapeKind.PLANE):
        return Collider(shape, int(kind), position, rotation, size, source)
    if kind == ShapeKind.CYLINDER:
        mesh = cylinder_mesh(size[0], size[1])
    elif kind == ShapeKind.CAPSULE:
        mesh = capsule_mesh(size[0], size[1])
    else:
        mesh = model.meshes[shape.mesh]
    vertices = mesh.vertices @ rotation_matrix(rotation).T + position
    return Collider(shape, int(ShapeKind.MESH), np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]), size, source,
                    Mesh(vertices.astype(np.float32), mesh.triangles))  # fmt: skip


def _inertia(body: Body) -> np.ndarray:
    """Inertia about the centre of mass in the axes of the body's frame [kg m2], [3,3]."""
    r = rotation_matrix(np.asarray(body.inertia_rotation, float))
    return r @ np.diag(np.asarray(body.inertia, float)) @ r.T


def _bounds_of(collider: Collider) -> tuple[np.ndarray, np.ndarray]:
    if collider.mesh is not None:
        return collider.mesh.vertices.min(axis=0), collider.mesh.vertices.max(axis=0)
    half = np.full(3, collider.size[0]) if collider.kind == ShapeKind.SPHERE else collider.size
    if collider.kind == ShapeKind.BOX:
        half = np.abs(rotation_matrix(collider.rotation)) @ half
    return collider.position - half, collider.position + half


def upload(model: RigidModel, device: wp.Device) -> Uploaded:
    """Tables of a model on ``device``."""
    findings = Findings()
    t = RigidTables()
    t.bodies = len(model.bodies)
    t.gravity = wp.vec3(*(float(g) for g in model.gravity))
    keep: list[Any] = []

    colliders: list[Collider] = []
    begin = [0]
    kinds = [*model.bodies, *(p.body for p in model.prototypes)]
    for index, body in enumerate(kinds):
        if index < len(model.bodies):
            mine = [(s, i) for i, s in enumerate(model.shapes) if s.body == index]
        else:
            mine = [(s, -1) for s in model.prototypes[index - len(model.bodies)].shapes]
        for shape, source in mine:
            if shape.trigger:
                findings.info(shape.path, "not-simulated", "a trigger volume pushes nothing; what it detects is not reported yet")
                continue
            collider = _of_body(shape, body, model, source, findings)
            if collider is not None:
                colliders.append(collider)
        begin.append(len(colliders))
        if begin[-1] == begin[-2]:
            findings.info(body.path, "no-collider", "the body has no collider and falls through everything")
    moving = len(colliders)
    for i, shape in enumerate(model.shapes):
        if shape.body < 0 and not shape.trigger:
            colliders.append(_fixed(shape, model, i))

    def put(name: str, values: Any, dtype: Any) -> None:
        array = np.asarray(values)
        if dtype in (wp.vec3, wp.quat, wp.mat33):
            shape = {wp.vec3: (-1, 3), wp.quat: (-1, 4), wp.mat33: (-1, 3, 3)}[dtype]
            array = array.astype(np.float32).reshape(shape)
        if len(array) == 0:
            setattr(t, name, wp.zeros(1, dtype=dtype, device=device))
        else:
            setattr(t, name, wp.array(array, dtype=dtype, device=device))

    inertias = [_inertia(b) for b in kinds]
    put("kind", [int(b.kind) for b in kinds], wp.int32)
    put("inv_mass", [1.0 / b.mass if b.mass > 0.0 else 0.0 for b in kinds], wp.float32)
    put("inertia", inertias, wp.mat33)
    put("inv_inertia", [np.linalg.inv(i) if np.linalg.det(i) > 0.0 else np.zeros((3, 3)) for i in inertias], wp.mat33)
    put("gyroscopic", [int(np.ptp(b.inertia) > 1e-3 * np.max(b.inertia)) for b in kinds], wp.int32)
    put("com", [b.com for b in kinds], wp.vec3)
    put("gravity_scale", [0.0 if b.disable_gravity else 1.0 for b in kinds], wp.float32)
    put("linear_damping", [b.linear_damping for b in kinds], wp.float32)
    put("angular_damping", [b.angular_damping for b in kinds], wp.float32)
    put("shape_begin", begin, wp.int32)
    radius = []
    for k in range(len(kinds)):
        mine_c = colliders[begin[k] : begin[k + 1]]
        reach = [
            np.linalg.norm(c.position) + (c.size[0] if c.kind == ShapeKind.SPHERE else np.linalg.norm(c.size)) for c in mine_c
        ]
        radius.append(max(reach, default=0.0))
    put("radius", radius, wp.float32)

    put("shape", [c.kind for c in colliders], wp.int32)
    put("position", [c.position for c in colliders], wp.vec3)
    put("rotation", [c.rotation for c in colliders], wp.quat)
    put("size", [c.size for c in colliders], wp.vec3)
    ids = []
    for c in colliders:
        if c.mesh is None:
            ids.append(0)
            continue
        points = wp.array(c.mesh.vertices.astype(np.float32), dtype=wp.vec3, device=device)
        triangles: wp.array = wp.array(c.mesh.triangles.astype(np.int32).reshape(-1), dtype=wp.int32, device=device)
        mesh = wp.Mesh(points, triangles)
        keep += [points, triangles, mesh]
        ids.append(mesh.id)
    put("mesh", np.array(ids, np.uint64), wp.uint64)
    materials = [model.materials[c.shape.material] for c in colliders]
    put("static_friction", [m.static_friction for m in materials], wp.float32)
    put("dynamic_friction", [m.dynamic_friction for m in materials], wp.float32)
    put("restitution", [m.restitution for m in materials], wp.float32)
    put("friction_combine", [int(m.friction_combine) for m in materials], wp.int32)
    put("restitution_combine", [int(m.restitution_combine) for m in materials], wp.int32)
    put("group", [c.shape.group for c in colliders], wp.int32)
    put("source", [c.source for c in colliders], wp.int32)
    put("surface_linear", [c.shape.surface_linear for c in colliders], wp.vec3)
    put("surface_angular", [c.shape.surface_angular for c in colliders], wp.vec3)
    # the vertices of a fixed mesh are in the world already: so must its surface velocity be
    for row, c in enumerate(colliders):
        if (
            c.mesh is not None
            and not c.shape.surface_world
            and (np.any(c.shape.surface_linear) or np.any(c.shape.surface_angular))
        ):
            for name in ("surface_linear", "surface_angular"):
                values = getattr(t, name).numpy()
                values[row] = rotate(np.asarray(c.shape.rotation, float), np.asarray(getattr(c.shape, name), float))
                getattr(t, name).assign(values)
            position = t.position.numpy()
            position[row] = c.shape.position
            t.position.assign(position)
    put("surface_world", [int(c.shape.surface_world) for c in colliders], wp.int32)
    put("surface_path", [c.shape.surface_path for c in colliders], wp.int32)
    put("path_begin", np.cumsum([0, *(len(p) for p in model.paths)]), wp.int32)
    put("path_point", np.concatenate([np.asarray(p, float) for p in model.paths]) if model.paths else [], wp.vec3)

    boxes = [i for i in range(moving, len(colliders)) if colliders[i].kind != ShapeKind.PLANE]
    planes = [i for i in range(moving, len(colliders)) if colliders[i].kind == ShapeKind.PLANE]
    put("fixed", boxes, wp.int32)
    put("planes", planes, wp.int32)
    t.fixed_count, t.plane_count = len(boxes), len(planes)
    if boxes:
        bounds = [_bounds_of(colliders[i]) for i in boxes]
        lower: wp.array = wp.array(np.array([b[0] for b in bounds], np.float32), dtype=wp.vec3, device=device)
        upper: wp.array = wp.array(np.array([b[1] for b in bounds], np.float32), dtype=wp.vec3, device=device)
        bvh = wp.Bvh(lower, upper)
        keep += [lower, upper, bvh]
        t.fixed_bvh = bvh.id

    groups = max([s.group for s in model.shapes] + [s.group for p in model.prototypes for s in p.shapes] + [0]) + 1
    ignores = np.zeros((groups, groups), np.int32)
    for a, b in model.group_filter:
        ignores[a, b] = ignores[b, a] = 1
    t.groups = groups if model.group_filter else 1
    t.group_ignores = wp.array(ignores, dtype=wp.int32, device=device)
    t.pairs = wp.array(np.array(model.filtered_pairs or [(-1, -1)], np.int32), dtype=wp.int32, device=device)
    t.pair_count = len(model.filtered_pairs)
    return Uploaded(t, findings, keep)
