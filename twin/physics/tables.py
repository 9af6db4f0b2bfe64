"""The rigid model as device tables, and what of it the engine cannot represent (findings)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp

from twin.core.findings import Findings
from twin.model.rigid import Body, RigidModel, ShapeKind
from twin.physics.colliders import Collider, fixed_collider, moving_collider
from twin.physics.geometry import rotate, rotation_matrix
from twin.physics.joints import silent_pairs
from twin.physics.kernels.data import RigidTables


@dataclass
class Uploaded:
    """Device tables with what must live as long as they do."""

    tables: RigidTables
    findings: Findings
    keep: list[Any] = field(default_factory=list)


def _inertia(body: Body) -> np.ndarray:
    """Inertia about the centre of mass in the axes of the body's frame [kg m2], [3,3]."""
    r = rotation_matrix(np.asarray(body.inertia_rotation, float))
    return r @ np.diag(np.asarray(body.inertia, float)) @ r.T


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
            collider = moving_collider(shape, body, model, source, findings)
            if collider is not None:
                colliders.append(collider)
        begin.append(len(colliders))
        if begin[-1] == begin[-2]:
            findings.info(body.path, "no-collider", "the body has no collider and falls through everything")
    moving = len(colliders)
    for i, shape in enumerate(model.shapes):
        if shape.body < 0 and not shape.trigger:
            colliders.append(fixed_collider(shape, model, i))

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
    radius = [max((c.reach for c in colliders[begin[k] : begin[k + 1]]), default=0.0) for k in range(len(kinds))]
    put("radius", radius, wp.float32)

    put("shape", [int(c.kind) for c in colliders], wp.int32)
    put("position", [c.position for c in colliders], wp.vec3)
    put("rotation", [c.rotation for c in colliders], wp.quat)
    put("size", [c.size for c in colliders], wp.vec3)
    put("round", [c.round for c in colliders], wp.float32)
    put("bevel", [c.bevel for c in colliders], wp.float32)
    put("surface_center", [c.center for c in colliders], wp.vec3)
    hulls = [c.hull for c in colliders if c.hull is not None]
    hulled = np.array([c.hull is not None for c in colliders], bool)
    put("hull", np.where(hulled, np.cumsum(hulled) - 1, -1), wp.int32)
    hull_begin = np.cumsum([0, *(len(h.vertices) for h in hulls)])
    put("hull_begin", hull_begin, wp.int32)
    put("hull_vertex", np.concatenate([h.vertices for h in hulls]) if hulls else [], wp.vec3)
    put("face_begin", np.cumsum([0, *(len(h.loops) for h in hulls)]), wp.int32)
    put("face_normal", np.concatenate([h.normals for h in hulls]) if hulls else [], wp.vec3)
    loops = [loop + first for h, first in zip(hulls, hull_begin, strict=False) for loop in h.loops]
    put("loop_begin", np.cumsum([0, *(len(loop) for loop in loops)]), wp.int32)
    put("loop", np.concatenate(loops) if loops else [], wp.int32)
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
    # the vertices of a fixed mesh are in the world already: so must its surface velocity be
    for name in ("surface_linear", "surface_angular"):
        values = [np.asarray(getattr(c.shape, name), float) for c in colliders]
        turn = [c.mesh is not None and not c.shape.surface_world for c in colliders]
        pairs = zip(values, turn, colliders, strict=True)
        put(name, [rotate(np.asarray(c.shape.rotation, float), v) if t_ else v for v, t_, c in pairs], wp.vec3)
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
        bounds = [colliders[i].bounds() for i in boxes]
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
    silent = silent_pairs(model)
    t.pairs = wp.array(np.array(silent or [(-1, -1)], np.int32), dtype=wp.int32, device=device)
    t.pair_count = len(silent)
    return Uploaded(t, findings, keep)
