"""Joints of the model as device tables and state."""

from __future__ import annotations

import numpy as np
import warp as wp

from twin.model.rigid import BodyKind, Joint, RigidModel
from twin.physics.geometry import rotate
from twin.physics.kernels.data import JOINT_IMPULSES, JointRow, JointState, JointTables, blank_rows

_ENDLESS = 3e37
"""A force that is none [N or N m]: single precision holds it times a second."""
CARRIED = ("broken", "target", "target_velocity", "point", "turn", "row")


def _about_com(model: RigidModel, joint: Joint, side: int) -> np.ndarray:
    """Origin of the joint's frame on a body, from the body's centre of mass [m]."""
    body, position = (joint.body0, joint.position0) if side == 0 else (joint.body1, joint.position1)
    com = np.asarray(model.bodies[body].com, float) if body >= 0 else np.zeros(3)
    return np.asarray(position, float) - com


def upload_joints(model: RigidModel, device: wp.Device) -> JointTables:
    """Joint tables of a model on ``device``."""
    rows = blank_rows(JointRow, len(model.joints))
    of_body: list[list[int]] = [[] for _ in model.bodies]
    for index, joint in enumerate(model.joints):
        row = rows[index]
        for name in ("body0", "body1", "rotation0", "rotation1", "lower", "upper", "min_distance", "max_distance"):
            row[name] = getattr(joint, name)
        row["position0"], row["position1"] = _about_com(model, joint, 0), _about_com(model, joint, 1)
        locked = joint.lower > joint.upper
        row["locks_slide"], row["locks_turn"] = int(locked[:3].any()), int(locked[3:].any())
        limits = ~locked & (np.isfinite(joint.lower) | np.isfinite(joint.upper))
        row["bounded"] = int(limits.any() or max(joint.min_distance, joint.max_distance, joint.cone[0]) >= 0.0)
        for axis, drive in joint.drives.items():
            row["driven"][axis] = 2 if drive.acceleration else 1
            row["stiffness"][axis], row["damping"][axis] = drive.stiffness, drive.damping
            row["max_force"][axis] = min(drive.max_force, _ENDLESS)
        kinematic = any(i >= 0 and model.bodies[i].kind == BodyKind.KINEMATIC for i in (joint.body0, joint.body1))
        row["alert"] = int(kinematic or bool(joint.drives))
        row["cone0"], row["cone1"] = joint.cone
        row["break_force"], row["break_torque"] = min(joint.break_force, _ENDLESS), min(joint.break_torque, _ENDLESS)
        for body in {joint.body0, joint.body1} - {-1}:
            of_body[body].append(index)
    t = JointTables()
    t.count = len(model.joints)
    t.joint = wp.array(rows, dtype=JointRow, device=device)
    t.begin = wp.array(np.cumsum([0, *(len(b) for b in of_body)]).astype(np.int32), dtype=wp.int32, device=device)
    t.of_body = wp.array(np.array([j for b in of_body for j in b] or [0], np.int32), dtype=wp.int32, device=device)
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
