"""Robots: arms whose joints are those below the prim, with a tool and a taught path (docs/schema-reference.md)."""

from __future__ import annotations

import numpy as np
from pxr import Usd, UsdGeom

from twin.core.findings import Findings
from twin.model.rigid import BodyKind, RigidModel
from twin.model.robot import Robot
from twin.scene.frames import array, split


def read_robot(
    prim: Usd.Prim, nodes: dict[str, int], rigid: RigidModel, cache: UsdGeom.XformCache, unit: float, findings: Findings
) -> Robot | None:
    """The robot that a prim with ``TwinRobotAPI`` declares; None where it cannot work (findings say why).

    Args:
        nodes: Node index by path. unit: metres per stage unit.
    """
    path = str(prim.GetPath())

    def targets(name: str) -> list[str]:
        return [str(t) for t in prim.GetRelationship(name).GetTargets()]

    station = next(iter(targets("twin:robot:station")), "")
    if station not in nodes:
        findings.error(f"{path}.twin:robot:station", "unknown-target", f"{station or 'nothing'} is not a node of the line")
        return None
    joints = _chain(path, rigid)
    if len(joints) != 6:
        findings.error(path, "no-arm", f"a robot needs a chain of six hinges between kinematic links below it, has {len(joints)}")
        return None
    tool = prim.GetStage().GetPrimAtPath(next(iter(targets("twin:robot:tool")), "/"))
    last = prim.GetStage().GetPrimAtPath(rigid.bodies[rigid.joints[joints[-1]].body1].path)
    if not tool or not tool.GetPath().HasPrefix(last.GetPath()):
        findings.error(f"{path}.twin:robot:tool", "unknown-target", f"the tool must be a prim on the last link, {last.GetPath()}")
        return None
    relative = split(array(cache.GetLocalToWorldTransform(tool) * cache.GetLocalToWorldTransform(last).GetInverse()))
    taught = []
    for target in targets("twin:robot:path"):
        point = prim.GetStage().GetPrimAtPath(target)
        if point:
            taught.append(split(array(cache.GetLocalToWorldTransform(point))).position * unit)
        else:
            findings.error(f"{path}.twin:robot:path", "unknown-target", f"{target} does not exist")
    speed = float(prim.GetAttribute("twin:robot:speed").Get() or 0.0)
    if not 0.0 < speed < 1e4:
        findings.error(f"{path}.twin:robot:speed", "bad-value", f"{speed:g} is not a speed above 0")
        speed = 120.0
    return Robot(path, nodes[station], joints, relative.position * unit, relative.quaternion, taught, float(np.radians(speed)))


def _chain(path: str, rigid: RigidModel) -> list[int]:
    """The hinges below ``path`` from base to flange."""
    own = [
        i for i, joint in enumerate(rigid.joints)
        if joint.path.startswith(path + "/") and joint.body1 >= 0 and rigid.bodies[joint.body1].kind == BodyKind.KINEMATIC
        and joint.upper[3] > joint.lower[3] and all(joint.lower[a] > joint.upper[a] for a in (0, 1, 2, 4, 5))
    ]  # fmt: skip
    moved = {rigid.joints[i].body1 for i in own}
    at = [i for i in own if rigid.joints[i].body0 not in moved]
    chain: list[int] = []
    while len(at) == 1 and at[0] not in chain:
        chain += at
        at = [i for i in own if rigid.joints[i].body0 == rigid.joints[chain[-1]].body1]
    return chain
