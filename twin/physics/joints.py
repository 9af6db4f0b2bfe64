"""Joints of the model as device tables and state."""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from twin.model.rigid import Joint, RigidModel
from twin.physics.geometry import rotate
from twin.physics.kernels.data import JOINT_IMPULSES, JointState, JointTables

CARRIED = ("broken", "target", "target_velocity", "point", "turn", "row")


def _about_com(model: RigidModel, joint: Joint, side: int) -> np.ndarray:
    """Origin of the joint's frame on a body, from the body's centre of mass [m]."""
    body, position = (joint.body0, joint.position0) if side == 0 else (joint.body1, joint.position1)
    com = np.asarray(model.bodies[body].com, float) if body >= 0 else np.zeros(3)
    return np.asarray(position, float) - com


def upload_joints(model: RigidModel, device: wp.Device) -> JointTables:
    """Joint tables of a model on ``device``."""
    joints = model.joints
    t = JointTables()
    t.count = len(joints)

    def put(name: str, values: Any, dtype: Any, width: tuple[int, ...] = ()) -> None:
        kind = np.int32 if dtype == wp.int32 else np.float32
        array = np.asarray(values, kind).reshape((-1, *width)) if len(values) else np.zeros((1, *width), kind)
        setattr(t, name, wp.array(array, dtype=dtype, device=device))

    put("body0", [j.body0 for j in joints], wp.int32)
    put("body1", [j.body1 for j in joints], wp.int32)
    put("position0", [_about_com(model, j, 0) for j in joints], wp.vec3, (3,))
    put("position1", [_about_com(model, j, 1) for j in joints], wp.vec3, (3,))
    put("rotation0", [j.rotation0 for j in joints], wp.quat, (4,))
    put("rotation1", [j.rotation1 for j in joints], wp.quat, (4,))
    put("lower", [j.lower for j in joints], wp.float32, (6,))
    put("upper", [j.upper for j in joints], wp.float32, (6,))
    put("locks_slide", [int(np.any(j.lower[:3] > j.upper[:3])) for j in joints], wp.int32)
    put("locks_turn", [int(np.any(j.lower[3:] > j.upper[3:])) for j in joints], wp.int32)
    bounded = [
        bool(np.any((j.lower <= j.upper) & (np.isfinite(j.lower) | np.isfinite(j.upper))))
        or max(j.min_distance, j.max_distance, j.cone[0]) >= 0.0
        for j in joints
    ]
    put("bounded", [int(x) for x in bounded], wp.int32)
    driven = np.zeros((len(joints), 6), np.int32)
    numbers = {name: np.zeros((len(joints), 6)) for name in ("stiffness", "damping", "max_force")}
    for row, joint in enumerate(joints):
        for axis, drive in joint.drives.items():
            driven[row, axis] = 2 if drive.acceleration else 1
            for name, values in numbers.items():
                values[row, axis] = getattr(drive, name)
    put("driven", driven, wp.int32, (6,))
    for name, values in numbers.items():
        put(name, np.minimum(values, 3e37), wp.float32, (6,))
    put("min_distance", [j.min_distance for j in joints], wp.float32)
    put("max_distance", [j.max_distance for j in joints], wp.float32)
    put("cone0", [j.cone[0] for j in joints], wp.float32)
    put("cone1", [j.cone[1] for j in joints], wp.float32)
    put("break_force", [min(j.break_force, 3e37) for j in joints], wp.float32)
    put("break_torque", [min(j.break_torque, 3e37) for j in joints], wp.float32)
    of_body: list[list[int]] = [[] for _ in model.bodies]
    for row, joint in enumerate(joints):
        for body in {joint.body0, joint.body1} - {-1}:
            of_body[body].append(row)
    put("begin", np.cumsum([0, *(len(rows) for rows in of_body)]), wp.int32)
    put("of_body", [row for rows in of_body for row in rows], wp.int32)
    return t


def allocate_joints(model: RigidModel, worlds: int, device: wp.Device) -> JointState:
    """Joints at rest, their drives at the authored targets."""
    n = max(len(model.joints), 1)
    target, velocity = np.zeros((worlds, n, 6), np.float32), np.zeros((worlds, n, 6), np.float32)
    for row, joint in enumerate(model.joints):
        for axis, drive in joint.drives.items():
            target[:, row, axis], velocity[:, row, axis] = drive.position, drive.velocity
    out = JointState()
    out.broken = wp.zeros((worlds, n), dtype=wp.int32, device=device)
    out.target = wp.array(target, dtype=wp.float32, device=device)
    out.target_velocity = wp.array(velocity, dtype=wp.float32, device=device)
    out.point = wp.zeros((worlds, n), dtype=wp.vec3, device=device)
    out.turn = wp.zeros((worlds, n), dtype=wp.vec3, device=device)
    out.row = wp.zeros((worlds, n, JOINT_IMPULSES), dtype=wp.float32, device=device)
    out.error = wp.zeros((worlds, n, 6), dtype=wp.float32, device=device)
    return out


def silent_pairs(model: RigidModel) -> list[tuple[int, int]]:
    """Pairs of shapes, lower first, that ignore each other: those filtered, and those of bodies that a joint keeps together."""
    pairs = {(min(a, b), max(a, b)) for a, b in model.filtered_pairs}
    of_body: dict[int, list[int]] = {}
    for i, shape in enumerate(model.shapes):
        of_body.setdefault(shape.body, []).append(i)
    for joint in model.joints:
        if joint.body0 >= 0 and joint.body1 >= 0 and not joint.collides:
            for a in of_body.get(joint.body0, ()):
                pairs |= {(min(a, b), max(a, b)) for b in of_body.get(joint.body1, ())}
    return sorted(pairs)


def stands_at(joint: Joint, pose0: tuple[np.ndarray, np.ndarray], pose1: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Coordinates [6] m and rad of a joint whose bodies' frames have these poses ([3] m, [4] xyzw)."""
    (x0, q0), (x1, q1) = pose0, pose1
    frame = _product(q0, np.asarray(joint.rotation0, float))
    other = _product(q1, np.asarray(joint.rotation1, float))
    inverse = frame * np.array([-1.0, -1.0, -1.0, 1.0])
    apart = x1 + rotate(q1, np.asarray(joint.position1, float)) - x0 - rotate(q0, np.asarray(joint.position0, float))
    turn = _product(inverse, other)
    turn = -turn if turn[3] < 0.0 else turn
    return np.concatenate([rotate(inverse, apart), 2.0 * np.arctan2(turn[:3], turn[3])])


def _product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Product of two quaternions [4] xyzw."""
    return np.array([*(p[3] * q[:3] + q[3] * p[:3] + np.cross(p[:3], q[:3])), p[3] * q[3] - p[:3] @ q[:3]])
