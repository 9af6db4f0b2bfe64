"""Poses of bodies that live values move: vehicles by coordinates, arms by the angles of their joints."""

from __future__ import annotations

import math

import numpy as np

from twin.connectors.units import compile_unit
from twin.core.errors import MappingError
from twin.model.factory import FactoryModel, Signal
from twin.model.rigid import Joint
from twin.sim.tables import multiply, rotate

COORDINATES = ("x", "y", "z")
ANGLES = ("theta", "yaw")


class BodyPoses:
    """World poses of all bodies of a model; what nothing drives stays as authored."""

    def __init__(self, model: FactoryModel) -> None:
        rigid = model.rigid
        self._up = rigid.up_axis
        self._position = np.array([b.position for b in rigid.bodies], float).reshape(-1, 3)
        self._rotation = np.array([b.rotation for b in rigid.bodies], float).reshape(-1, 4)
        self._authored = self._rotation.copy()
        self._bodies = {b.path: i for i, b in enumerate(rigid.bodies)}
        self._joints = {j.path: j for j in rigid.joints}
        self._travel: dict[str, float] = {}
        self._order = _outwards(rigid.joints)
        self._heading: dict[int, float] = {}

    def drive(self, signal: Signal, value: float | int | bool | str) -> bool:
        """Take one value of a signal with role ``pose``, in the signal's unit; returns whether it moves anything."""
        if isinstance(value, (bool, str)):
            return False
        body, joint = self._bodies.get(signal.prim), self._joints.get(signal.prim)
        if joint is not None:
            axis = _axis(joint)
            if axis is None:
                return False
            self._travel[joint.path] = _si(float(value), signal.unit, "m" if axis < 3 else "rad")
            return True
        if body is None:
            return False
        if signal.name in COORDINATES:
            self._position[body, COORDINATES.index(signal.name)] = _si(float(value), signal.unit, "m")
            return True
        if signal.name in ANGLES:
            half = _si(float(value), signal.unit, "rad") / 2.0
            turn = np.zeros(4)
            turn[self._up], turn[3] = math.sin(half), math.cos(half)
            self._rotation[body] = turn
            return True
        return False

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """float32 [B,3] m and [B,4] xyzw: joints carry what hangs on them."""
        position, rotation = self._position.copy(), self._rotation.copy()
        for joint in self._order:
            if joint.path not in self._travel and not _moved(joint, self._travel, self._joints):
                continue
            axis = _axis(joint)
            travel = self._travel.get(joint.path, 0.0)
            p0, r0 = (
                (np.zeros(3), np.array([0.0, 0, 0, 1])) if joint.body0 < 0 else (position[joint.body0], rotation[joint.body0])
            )
            p = p0 + rotate(r0, np.asarray(joint.position0, float))
            r = multiply(r0, np.asarray(joint.rotation0, float))
            if axis is not None and axis < 3:
                p = p + rotate(r, np.eye(3)[axis] * travel)
            elif axis is not None:
                turn = np.zeros(4)
                turn[axis - 3], turn[3] = math.sin(travel / 2.0), math.cos(travel / 2.0)
                r = multiply(r, turn)
            back = np.asarray(joint.rotation1, float) * np.array([-1, -1, -1, 1])
            rotation[joint.body1] = multiply(r, back)
            position[joint.body1] = p - rotate(rotation[joint.body1], np.asarray(joint.position1, float))
        return position.astype(np.float32), rotation.astype(np.float32)


def _axis(joint: Joint) -> int | None:
    """The one axis that is free; None where there is none or more than one."""
    free = [a for a in range(6) if joint.lower[a] <= joint.upper[a]]
    return free[0] if len(free) == 1 else None


def _outwards(joints: list[Joint]) -> list[Joint]:
    """Joints with ``body1`` further from the ground than ``body0``, nearest first; what closes a loop is left out."""
    carried = {j.body1 for j in joints}
    known = {-1} | {j.body0 for j in joints if j.body0 not in carried}
    order: list[Joint] = []
    waiting = list(joints)
    while True:
        ready = [j for j in waiting if j.body0 in known and j.body1 >= 0 and j.body1 not in known]
        if not ready:
            return order
        for joint in ready:
            if joint.body1 not in known:
                order.append(joint)
                known.add(joint.body1)
        waiting = [j for j in waiting if j not in order]


def _moved(joint: Joint, travel: dict[str, float], joints: dict[str, Joint]) -> bool:
    """Whether something between ``joint`` and the ground is driven."""
    by_child = {j.body1: j for j in joints.values()}
    seen: set[int] = set()
    body = joint.body0
    while body in by_child and body not in seen:
        seen.add(body)
        if by_child[body].path in travel:
            return True
        body = by_child[body].body0
    return False


def _si(value: float, unit: str, base: str) -> float:
    if not unit:
        return value
    try:
        return float(compile_unit(unit, base).to(value))
    except MappingError:
        return value
