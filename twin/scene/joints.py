"""UsdPhysics joints to ``Joint``: frames, limits, drives, breaking; what is not simulated becomes a finding."""

from __future__ import annotations

from typing import Any

import numpy as np
from pxr import Usd, UsdGeom, UsdPhysics

from twin.core.findings import Findings
from twin.model.rigid import Drive, Joint
from twin.scene.frames import array, split

_OBJECT = UsdPhysics.ObjectType
_DOF = UsdPhysics.JointDOF
_KINDS = (
    _OBJECT.FixedJoint,
    _OBJECT.RevoluteJoint,
    _OBJECT.PrismaticJoint,
    _OBJECT.SphericalJoint,
    _OBJECT.DistanceJoint,
    _OBJECT.D6Joint,
)
_AXES = {_DOF.TransX: 0, _DOF.TransY: 1, _DOF.TransZ: 2, _DOF.RotX: 3, _DOF.RotY: 4, _DOF.RotZ: 5}
_HALF = np.sqrt(0.5)
# The turns that bring X to the axis: a hinge, slide or ball is about X of its frame.
_X_TO = {
    "X": np.array([0.0, 0.0, 0.0, 1.0]),
    "Y": np.array([0.0, 0.0, _HALF, _HALF]),
    "Z": np.array([0.0, -_HALF, 0.0, _HALF]),
}


class JointReader:
    """Reads the joints of one stage.

    Args:
        stage: The stage. cache: its transforms. unit: metres per stage unit. kilograms: per unit of mass.
        bodies: Index of each body in the model, by path. findings: collects what is not simulated.
    """

    def __init__(
        self,
        stage: Usd.Stage,
        cache: UsdGeom.XformCache,
        unit: float,
        kilograms: float,
        bodies: dict[str, int],
        findings: Findings,
    ) -> None:
        self._stage, self._cache, self._unit, self._kilograms = stage, cache, unit, kilograms
        self._bodies, self._findings = bodies, findings

    def read(self, objects: dict[Any, Any]) -> list[Joint]:
        """All joints that hold something, in order of their paths."""
        found = [(path, kind, desc) for kind in _KINDS for path, desc in zip(*objects.get(kind, ([], [])), strict=True)]
        for path in objects.get(_OBJECT.CustomJoint, ([], []))[0]:
            self._findings.warning(path, "not-simulated", "a joint of a type of its own is not simulated")
        joints = [self._joint(path, kind, desc) for path, kind, desc in sorted(found, key=lambda f: f[0]) if desc.jointEnabled]
        return [joint for joint in joints if joint is not None]

    def _joint(self, path: Any, kind: Any, desc: Any) -> Joint | None:
        prim = self._stage.GetPrimAtPath(path)
        body0, position0, rotation0 = self._end(desc.body0, desc.localPose0Position, desc.localPose0Orientation)
        body1, position1, rotation1 = self._end(desc.body1, desc.localPose1Position, desc.localPose1Orientation)
        if body0 == body1:
            self._findings.warning(
                path, "not-simulated", "the joint holds no moving body" if body0 < 0 else "both ends are one body"
            )
            return None
        out = Joint(str(path), body0, body1, position0, rotation0, position1, rotation1)
        out.collides = bool(desc.collisionEnabled)
        out.break_force = _strength(desc.breakForce) * self._kilograms * self._unit
        out.break_torque = _strength(desc.breakTorque) * self._kilograms * self._unit**2
        if kind == _OBJECT.D6Joint:
            self._six(out, desc)
        elif kind == _OBJECT.DistanceJoint:
            out.free(*range(6))
            if desc.minEnabled and desc.limit.lower >= 0.0:
                out.min_distance = desc.limit.lower * self._unit
            if desc.maxEnabled and desc.limit.upper >= 0.0:
                out.max_distance = desc.limit.upper * self._unit
        elif kind == _OBJECT.SphericalJoint:
            self._about(out, desc.axis)
            out.free(3, 4, 5)
            if desc.limit.enabled and min(desc.limit.lower, desc.limit.upper) >= 0.0:
                out.cone = (float(np.radians(desc.limit.lower)), float(np.radians(desc.limit.upper)))
        elif kind in (_OBJECT.RevoluteJoint, _OBJECT.PrismaticJoint):
            self._about(out, desc.axis)
            axis = 3 if kind == _OBJECT.RevoluteJoint else 0
            out.free(axis)
            if desc.limit.enabled:
                self._limit(out, axis, desc.limit)
            if desc.drive.enabled:
                out.drives[axis] = self._drive(axis, desc.drive)
        ignored = sorted({n.split(":")[0] for n in prim.GetAuthoredPropertyNames() if n.startswith(("physxJoint", "physxLimit"))})
        if ignored:
            self._findings.info(path, "not-simulated", f"not simulated: {', '.join(ignored)}")
        return out

    def _end(self, path: Any, position: Any, orientation: Any) -> tuple[int, np.ndarray, np.ndarray]:
        """Body index and frame of one end [m, xyzw]; in the world where it is no body."""
        at = np.array(position, float) * self._unit
        turn = np.array([*orientation.GetImaginary(), orientation.GetReal()], float)
        turn = turn / np.linalg.norm(turn) if np.linalg.norm(turn) > 0.0 else _X_TO["X"]
        index = self._bodies.get(str(path), -1)
        prim = self._stage.GetPrimAtPath(path) if str(path) else None
        if index >= 0 or not prim:
            return index, at, turn
        frame = split(array(self._cache.GetLocalToWorldTransform(prim)))
        return -1, frame.position * self._unit + at @ frame.rotation, _product(frame.quaternion, turn)

    def _about(self, joint: Joint, axis: Any) -> None:
        turn = _X_TO[str(getattr(axis, "name", axis))[-1]]
        joint.rotation0, joint.rotation1 = _product(joint.rotation0, turn), _product(joint.rotation1, turn)

    def _limit(self, joint: Joint, axis: int, limit: Any) -> None:
        scale = self._unit if axis < 3 else np.pi / 180.0
        joint.lower[axis], joint.upper[axis] = limit.lower * scale, limit.upper * scale
        if axis >= 3 and joint.upper[axis] - joint.lower[axis] >= 2.0 * np.pi:
            joint.free(axis)

    def _drive(self, axis: int, drive: Any) -> Drive:
        scale = self._unit if axis < 3 else np.pi / 180.0
        # a rotation's stiffness is torque per degree; the unit of a torque holds the length twice
        per = 1.0 if axis < 3 else self._unit**2 * 180.0 / np.pi
        per = per * self._kilograms if not drive.acceleration else (1.0 if axis < 3 else 180.0 / np.pi)
        force = self._kilograms * self._unit ** (1 if axis < 3 else 2)
        return Drive(
            stiffness=drive.stiffness * per,
            damping=drive.damping * per,
            position=drive.targetPosition * scale,
            velocity=drive.targetVelocity * scale,
            max_force=_strength(drive.forceLimit) * force,
            acceleration=bool(drive.acceleration),
        )

    def _six(self, joint: Joint, desc: Any) -> None:
        joint.free(*range(6))
        for pair in desc.jointLimits:
            if pair.first == _DOF.Distance:
                if pair.second.lower >= 0.0:
                    joint.min_distance = pair.second.lower * self._unit
                if np.isfinite(pair.second.upper) and pair.second.upper >= 0.0:
                    joint.max_distance = pair.second.upper * self._unit
            elif pair.second.enabled:
                self._limit(joint, _AXES[pair.first], pair.second)
        for pair in desc.jointDrives:
            if pair.first in _AXES and pair.second.enabled:
                joint.drives[_AXES[pair.first]] = self._drive(_AXES[pair.first], pair.second)


def joined_pairs(objects: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Paths of bodies or fixed colliders that joints hold together and that do not collide with each other."""
    return [
        (desc.body0, desc.body1)
        for kind in _KINDS
        for desc in objects.get(kind, ([], []))[1]
        if desc.jointEnabled and not desc.collisionEnabled and str(desc.body0) and str(desc.body1)
    ]


def _strength(value: float) -> float:
    """A force limit; the largest float and what is not positive stand for none."""
    return float(value) if 0.0 < value < 1e37 else np.inf


def _product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Product of two quaternions [4] xyzw: first ``q``, then ``p``."""
    return np.array([*(p[3] * q[:3] + q[3] * p[:3] + np.cross(p[:3], q[:3])), p[3] * q[3] - p[:3] @ q[:3]])
