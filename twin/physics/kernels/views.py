"""The structures as the thread of one world reads them (that of one body, for ``Scratch``): see ``twin.process.dense``."""

from __future__ import annotations

import warp as wp

from twin.physics.kernels.data import (
    Bodies,
    BodyRow,
    ColliderRow,
    Contacts,
    FieldRow,
    JointRow,
    JointState,
    JointTables,
    Naps,
    Parts,
    Point,
    RigidTables,
    Scratch,
    Work,
)
from twin.process.dense import make_dense, make_row

dense_body_rows = make_dense(BodyRow)
dense_collider_rows = make_dense(ColliderRow)
dense_f32 = make_dense(wp.float32)
dense_field_rows = make_dense(FieldRow)
dense_i32 = make_dense(wp.int32)
dense_joint_rows = make_dense(JointRow)
dense_points = make_dense(Point)
dense_vec3 = make_dense(wp.vec3)
row_f32 = make_row(wp.float32)
row_f32_3 = make_row(wp.float32, 3)
row_i32 = make_row(wp.int32)
row_mat33 = make_row(wp.mat33)
row_quat = make_row(wp.quat)
row_vec3 = make_row(wp.vec3)
row_vec3_3 = make_row(wp.vec3, 3)


@wp.func
def view_tables(s: RigidTables):
    o = RigidTables()
    o.bodies = s.bodies
    o.shapes = s.shapes
    o.body = dense_body_rows(s.body)
    o.collider = dense_collider_rows(s.collider)
    o.path_begin = dense_i32(s.path_begin)
    o.path_point = dense_vec3(s.path_point)
    o.hull_begin = dense_i32(s.hull_begin)
    o.hull_vertex = dense_vec3(s.hull_vertex)
    o.face_begin = dense_i32(s.face_begin)
    o.face_normal = dense_vec3(s.face_normal)
    o.loop_begin = dense_i32(s.loop_begin)
    o.loop = dense_i32(s.loop)
    o.field = dense_field_rows(s.field)
    o.height = dense_f32(s.height)
    o.split = dense_i32(s.split)
    o.fixed = dense_i32(s.fixed)
    o.fixed_count = s.fixed_count
    o.fixed_bvh = s.fixed_bvh
    o.planes = dense_i32(s.planes)
    o.plane_count = s.plane_count
    o.groups = s.groups
    o.group_ignores = s.group_ignores
    o.pairs = s.pairs
    o.pair_count = s.pair_count
    return o


@wp.func
def view_joint_tables(s: JointTables):
    o = JointTables()
    o.count = s.count
    o.joint = dense_joint_rows(s.joint)
    o.begin = dense_i32(s.begin)
    o.of_body = dense_i32(s.of_body)
    return o


@wp.func
def view_bodies(s: Bodies, row: int):
    o = Bodies()
    o.position = row_vec3(s.position, row)
    o.rotation = row_quat(s.rotation, row)
    o.linear_velocity = row_vec3(s.linear_velocity, row)
    o.angular_velocity = row_vec3(s.angular_velocity, row)
    o.alive = row_i32(s.alive, row)
    o.held = row_i32(s.held, row)
    o.prototype = row_i32(s.prototype, row)
    o.generation = row_i32(s.generation, row)
    o.surface_drive = row_f32(s.surface_drive, row)
    o.gravity = dense_vec3(s.gravity)
    o.friction_scale = dense_f32(s.friction_scale)
    o.restitution_scale = dense_f32(s.restitution_scale)
    o.belt_scale = dense_f32(s.belt_scale)
    return o


@wp.func
def view_joints(s: JointState, row: int):
    o = JointState()
    o.broken = row_i32(s.broken, row)
    o.target = row_f32_3(s.target, row)
    o.target_velocity = row_f32_3(s.target_velocity, row)
    o.point = row_vec3(s.point, row)
    o.turn = row_vec3(s.turn, row)
    o.row = row_f32_3(s.row, row)
    o.error = row_f32_3(s.error, row)
    return o


@wp.func
def view_work(s: Work, row: int):
    o = Work()
    o.lower = dense_vec3(s.lower)
    o.upper = dense_vec3(s.upper)
    o.root = row_i32(s.root, row)
    o.next = row_i32(s.next, row)
    o.tail = row_i32(s.tail, row)
    o.turn = row_i32(s.turn, row)
    o.flag = row_i32(s.flag, row)
    o.links = row_i32(s.links, row)
    o.sensed = row_i32(s.sensed, row)
    o.inv_inertia = row_mat33(s.inv_inertia, row)
    o.inv_mass = row_f32(s.inv_mass, row)
    o.start_position = row_vec3(s.start_position, row)
    o.start_rotation = row_quat(s.start_rotation, row)
    o.start_velocity = row_vec3(s.start_velocity, row)
    o.start_spin = row_vec3(s.start_spin, row)
    o.size = row_i32(s.size, row)
    o.overflow = row_i32(s.overflow, row)
    o.invalid = row_i32(s.invalid, row)
    o.points = dense_i32(s.points)
    o.penetration = row_f32(s.penetration, row)
    return o


@wp.func
def view_naps(s: Naps, row: int):
    o = Naps()
    o.steps = s.steps
    o.nap = row_i32(s.nap, row)
    o.rest = row_i32(s.rest, row)
    o.stir = row_i32(s.stir, row)
    o.seen = row_i32(s.seen, row)
    o.seen_position = row_vec3(s.seen_position, row)
    o.seen_drive = row_f32(s.seen_drive, row)
    return o


@wp.func
def view_scratch(s: Scratch, row: int):
    o = Scratch()
    o.shared = s.shared
    o.candidate = row_i32(s.candidate, row)
    o.polygon = row_vec3_3(s.polygon, row)
    o.found = row_vec3(s.found, row)
    o.found_depth = row_f32(s.found_depth, row)
    o.found_normal = row_vec3(s.found_normal, row)
    return o


@wp.func
def view_parts(s: Parts, row: int):
    o = Parts()
    o.most = s.most
    o.count = dense_i32(s.count)
    o.some = dense_i32(s.some)
    o.ticket = dense_i32(s.ticket)
    o.met = dense_i32(s.met)
    o.go = dense_i32(s.go)
    o.slow = dense_i32(s.slow)
    o.begin = row_i32(s.begin, row)
    o.end = row_i32(s.end, row)
    o.first = row_i32(s.first, row)
    o.last = row_i32(s.last, row)
    o.settled = row_i32(s.settled, row)
    o.done = row_i32(s.done, row)
    o.order = row_i32(s.order, row)
    o.level = row_i32(s.level, row)
    o.edge = row_i32(s.edge, row)
    o.edge_next = row_i32(s.edge_next, row)
    o.edge_other = row_i32(s.edge_other, row)
    return o


@wp.func
def view_contacts(s: Contacts, row: int):
    o = Contacts()
    o.count = row_i32(s.count, row)
    o.owner_generation = row_i32(s.owner_generation, row)
    o.slots = s.slots
    o.point = dense_points(s.point)
    return o
