"""The rigid model as device tables, and what of it the engine cannot represent (findings)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import warp as wp

from twin.core.findings import Findings
from twin.model.rigid import Body, BodyKind, RigidModel, Shape, ShapeKind
from twin.physics.colliders import Collider, fixed_colliders, moving_colliders
from twin.physics.geometry import rotate, rotation_matrix
from twin.physics.joints import silent_pairs
from twin.physics.kernels.data import SENSORS, BodyRow, ColliderRow, FieldRow, RigidTables, blank_rows


@dataclass
class Uploaded:
    """Device tables with what must live as long as they do."""

    tables: RigidTables
    findings: Findings
    kinds: list[Body]
    """Bodies of the stage, then those of the prototypes, as they are simulated."""
    colliders: list[Collider]
    begin: list[int]
    """First collider of each kind; fixed ones come after the last."""
    sensors: list[int]
    """Shape of each trigger volume that is watched."""
    keep: list[Any] = field(default_factory=list)


def _inertia(body: Body) -> np.ndarray:
    """Inertia about the centre of mass in the axes of the body's frame [kg m2], [3,3]."""
    r = rotation_matrix(np.asarray(body.inertia_rotation, float))
    return r @ np.diag(np.asarray(body.inertia, float)) @ r.T


def _sound_body(body: Body, findings: Findings) -> Body:
    """The body, or one like it with a mass that can be simulated."""
    if body.kind == BodyKind.KINEMATIC:
        return body
    mass, inertia = float(body.mass), np.asarray(body.inertia, float)
    if not (np.isfinite(mass) and mass > 0.0):
        findings.warning(body.path, "bad-mass", f"a mass of {mass:g} kg cannot move; 1 kg is simulated")
        mass, inertia = 1.0, np.full(3, np.nan)
    if not (np.isfinite(inertia).all() and (inertia > 0.0).all()):
        if mass == float(body.mass):
            findings.warning(
                body.path, "bad-mass", "the moments of inertia must be above 0; those of a ball of 0.3 m are simulated"
            )
        inertia = np.full(3, 0.4 * mass * 0.15**2)
    elif 2.0 * inertia.max() > 1.01 * inertia.sum():
        text = f"no body has the moments of inertia {inertia.tolist()}, one above the others together: those are raised"
        findings.warning(body.path, "impossible-inertia", text)
        inertia = np.maximum(inertia, 0.5 * inertia.max())
    return replace(body, mass=mass, inertia=inertia)


def _body_rows(kinds: list[Body], colliders: list[Collider], begin: list[int]) -> Any:
    """Structured rows [K] of ``BodyRow``; ``begin`` [K+1] is the first collider of each."""
    rows = blank_rows(BodyRow, len(kinds))
    for k, body in enumerate(kinds):
        inertia = _inertia(body)
        row = rows[k]
        row["kind"] = int(body.kind)
        row["inv_mass"] = 1.0 / body.mass if body.mass > 0.0 else 0.0
        row["inertia"] = inertia
        row["inv_inertia"] = np.linalg.inv(inertia) if np.linalg.det(inertia) > 0.0 else np.zeros((3, 3))
        row["gyroscopic"] = int(np.ptp(body.inertia) > 1e-3 * np.max(body.inertia))
        row["gravity_scale"] = 0.0 if body.disable_gravity else 1.0
        row["linear_damping"], row["angular_damping"] = body.linear_damping, body.angular_damping
        row["radius"] = max((c.reach for c in colliders[begin[k] : begin[k + 1]]), default=0.0)
        row["first"], row["last"] = begin[k], begin[k + 1]
        row["senses"] = int(any(c.shape.trigger for c in colliders[begin[k] : begin[k + 1]]))
    return rows


def _collider_rows(colliders: list[Collider], model: RigidModel, meshes: dict[int, wp.Mesh], sensors: list[int]) -> Any:
    """Structured rows [C] of ``ColliderRow``; ``meshes`` by the identity of their collider."""
    rows = blank_rows(ColliderRow, len(colliders))
    hulls = fields = 0
    for row, c in zip(rows, colliders, strict=False):
        material = model.materials[c.shape.material]
        row["shape"] = int(c.kind)
        for name in ("position", "rotation", "size", "round", "bevel", "source"):
            row[name] = getattr(c, name)
        row["hull"] = hulls if c.hull is not None else -1
        hulls += c.hull is not None
        row["mesh"] = meshes[id(c)].id if id(c) in meshes else 0
        row["field"] = fields if c.field is not None else -1
        fields += c.field is not None
        for name in ("static_friction", "dynamic_friction", "restitution", "friction_combine", "restitution_combine"):
            row[name] = getattr(material, name)
        row["group"] = c.shape.group
        row["sensor"] = sensors.index(c.source) if c.shape.trigger else -1
        # the vertices of a fixed mesh are in the world already: so must its surface velocity be
        turn = c.mesh is not None and not c.shape.surface_world
        for name in ("surface_linear", "surface_angular"):
            value = np.asarray(getattr(c.shape, name), float)
            row[name] = rotate(np.asarray(c.shape.rotation, float), value) if turn else value
            if c.field is not None and not c.shape.surface_world:
                row[name] = c.field.axes @ value
        row["surface_center"] = c.center
        row["surface_world"], row["surface_path"] = int(c.shape.surface_world), c.shape.surface_path
    return rows


def upload(model: RigidModel, device: wp.Device) -> Uploaded:
    """Tables of a model on ``device``."""
    findings = Findings()
    t = RigidTables()
    t.bodies = len(model.bodies)
    t.shapes = len(model.shapes)
    keep: list[Any] = []

    colliders: list[Collider] = []
    sensors: list[int] = []

    def watched(shape: Shape, source: int) -> bool:
        """Whether there is room to watch a trigger volume; a finding says so where there is not."""
        if source < 0:
            findings.warning(
                shape.path, "not-simulated", "a trigger volume of goods detects nothing; fixed ones and those on bodies do"
            )
        elif len(sensors) == SENSORS:
            findings.warning(shape.path, "not-simulated", f"only the first {SENSORS} trigger volumes are watched")
        else:
            sensors.append(source)
            return True
        return False

    begin = [0]
    kinds = [_sound_body(b, findings) for b in (*model.bodies, *(p.body for p in model.prototypes))]
    for index, body in enumerate(kinds):
        if index < len(model.bodies):
            mine = [(s, i) for i, s in enumerate(model.shapes) if s.body == index]
        else:
            mine = [(s, -1) for s in model.prototypes[index - len(model.bodies)].shapes]
        for shape, source in mine:
            if shape.trigger and not watched(shape, source):
                continue
            colliders += moving_colliders(shape, body, model, source, findings)
        begin.append(len(colliders))
        solid = any(not c.shape.trigger for c in colliders[begin[-2] : begin[-1]])
        if not solid and body.kind != BodyKind.KINEMATIC:
            findings.info(body.path, "no-collider", "the body has no collider and falls through everything")
    moving = len(colliders)
    for i, shape in enumerate(model.shapes):
        if shape.body >= 0:
            continue
        if not shape.trigger or watched(shape, i):
            colliders += fixed_colliders(shape, model, i)

    def put(name: str, values: Any, dtype: Any) -> None:
        array = np.asarray(values)
        if dtype in (wp.vec3, wp.quat, wp.mat33):
            shape = {wp.vec3: (-1, 3), wp.quat: (-1, 4), wp.mat33: (-1, 3, 3)}[dtype]
            array = array.astype(np.float32).reshape(shape)
        if len(array) == 0:
            setattr(t, name, wp.zeros(1, dtype=dtype, device=device))
        else:
            setattr(t, name, wp.array(array, dtype=dtype, device=device))

    t.body = wp.array(_body_rows(kinds, colliders, begin), dtype=BodyRow, device=device)
    hulls = [c.hull for c in colliders if c.hull is not None]
    hull_begin = np.cumsum([0, *(len(h.vertices) for h in hulls)])
    put("hull_begin", hull_begin, wp.int32)
    put("hull_vertex", np.concatenate([h.vertices for h in hulls]) if hulls else [], wp.vec3)
    put("face_begin", np.cumsum([0, *(len(h.loops) for h in hulls)]), wp.int32)
    put("face_normal", np.concatenate([h.normals for h in hulls]) if hulls else [], wp.vec3)
    loops = [loop + first for h, first in zip(hulls, hull_begin, strict=False) for loop in h.loops]
    put("loop_begin", np.cumsum([0, *(len(loop) for loop in loops)]), wp.int32)
    put("loop", np.concatenate(loops) if loops else [], wp.int32)
    meshes = {}
    for c in colliders:
        if c.mesh is not None:
            points: wp.array = wp.array(c.mesh.vertices.astype(np.float32), dtype=wp.vec3, device=device)
            triangles: wp.array = wp.array(c.mesh.triangles.astype(np.int32).reshape(-1), dtype=wp.int32, device=device)
            meshes[id(c)] = wp.Mesh(points, triangles)
            keep += [points, triangles, meshes[id(c)]]
    fields = [c.field for c in colliders if c.field is not None]
    if fields:
        # contacts ask a mesh or a field in one place: a field's mesh is one that nothing is near
        nowhere = [wp.array(np.full((3, 3), 1e30, np.float32), dtype=wp.vec3, device=device),
                   wp.array(np.arange(3, dtype=np.int32), dtype=wp.int32, device=device)]  # fmt: skip
        empty = wp.Mesh(*nowhere)
        keep += [*nowhere, empty]
        meshes |= {id(c): empty for c in colliders if c.field is not None}
    rows = blank_rows(FieldRow, len(fields))
    first = first_split = 0
    for row, grid in zip(rows, fields, strict=False):
        row["rows"], row["columns"] = grid.heights.shape
        row["spacing_x"], row["spacing_y"] = grid.spacing
        row["lowest"], row["highest"] = grid.heights.min(), grid.heights.max()
        row["first"], row["first_split"] = first, first_split
        first, first_split = first + grid.heights.size, first_split + grid.split.size
    t.field = wp.array(rows, dtype=FieldRow, device=device)
    put("height", np.concatenate([f.heights.reshape(-1) for f in fields]) if fields else [], wp.float32)
    put("split", np.concatenate([f.split.reshape(-1) for f in fields]) if fields else [], wp.int32)
    t.collider = wp.array(_collider_rows(colliders, model, meshes, sensors), dtype=ColliderRow, device=device)
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
    return Uploaded(t, findings, kinds, colliders, begin, sensors, keep)
