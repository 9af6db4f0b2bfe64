"""Arms at the drawing board: forward and inverse kinematics in numpy, and the joint angles of every place of a stack.

A robot passes the same points for each item: above where it takes it, down, up, along the taught path, above the item's place
in the stack, down, up and back. All are known before anything moves, so they are solved once; kernels only go from angles to
angles (``twin.sim.arms``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import warp as wp

from twin.core.findings import Finding
from twin.model.factory import FactoryModel, NodeKind
from twin.model.rigid import RigidModel
from twin.model.robot import Robot
from twin.process.line import batch_size
from twin.sim.tables import LineTables, entry_poses, multiply, put_column, rotate

CLEARANCE_M = 0.28
"""The tool goes down to goods, and up from them, from this far above."""
DAMPING = 0.05
POSITION_M, ANGLE_RAD = 2e-4, 1e-3
"""An inverse solution is one within these."""
SEEDS = (
    (0.0, 0.3, 0.2, 0.0, 1.0, 0.0),
    (0.0, -0.4, 0.9, 0.0, 1.0, 0.0),
    (1.5, 0.3, 0.2, 0.0, 1.0, 0.0),
    (-1.5, 0.3, 0.2, 0.0, 1.0, 0.0),
)


@dataclass
class Chain:
    """Six hinges: frames on both links [6,3] m and [6,4] xyzw, limits [6] rad, and the tool in the last link's frame."""

    position0: np.ndarray
    rotation0: np.ndarray
    position1: np.ndarray
    rotation1: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    tool_position: np.ndarray
    tool_rotation: np.ndarray

    @classmethod
    def of(cls, rigid: RigidModel, robot: Robot) -> Chain:
        """The chain of a robot's joints."""
        joints = [rigid.joints[i] for i in robot.joints]
        p0, r0, p1, r1 = (
            np.array([getattr(j, name) for j in joints], float) for name in ("position0", "rotation0", "position1", "rotation1")
        )
        low, high = (np.array([getattr(j, name)[3] for j in joints], float) for name in ("lower", "upper"))
        turn = 2.0 * np.pi
        return cls(p0, r0, p1, r1, np.maximum(low, -turn), np.minimum(high, turn), robot.tool_position, robot.tool_rotation)

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Tool position [3] m and rotation [4], a point [6,3] m and the axis [6,3] of each hinge, world, at angles [6] rad."""
        p, r = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
        points, axes = np.zeros((6, 3)), np.zeros((6, 3))
        for i in range(6):
            p, r = p + rotate(r, self.position0[i]), multiply(r, self.rotation0[i])
            points[i], axes[i] = p, rotate(r, np.array([1.0, 0.0, 0.0]))
            r = multiply(r, np.array([np.sin(q[i] / 2.0), 0.0, 0.0, np.cos(q[i] / 2.0)]))
            back = self.rotation1[i] * np.array([-1.0, -1.0, -1.0, 1.0])
            r = multiply(r, back)
            p = p - rotate(r, self.position1[i])
        return p + rotate(r, self.tool_position), multiply(r, self.tool_rotation), points, axes

    def inverse(self, position: np.ndarray, rotation: np.ndarray, start: np.ndarray) -> np.ndarray | None:
        """Angles [6] rad that bring the tool to a pose, near ``start`` if there are any, within the limits; None where none is
        found. Damped least squares (Wampler 1986): dq = J^T (J J^T + k^2 I)^-1 e."""
        for seed in (start, *(np.array(s) for s in SEEDS)):
            q = np.clip(np.asarray(seed, float), self.lower, self.upper)
            for _ in range(150):
                p, r, points, axes = self.forward(q)
                turn = multiply(rotation, r * np.array([-1.0, -1.0, -1.0, 1.0]))
                turn = turn if turn[3] >= 0.0 else -turn
                angle = 2.0 * np.arctan2(np.linalg.norm(turn[:3]), turn[3])
                spin = turn[:3] * (angle / max(np.linalg.norm(turn[:3]), 1e-12))
                away = position - p
                if np.linalg.norm(away) < POSITION_M and angle < ANGLE_RAD:
                    return q
                jacobian = np.vstack([np.cross(axes, p - points).T, axes.T])
                error = np.concatenate([away, spin])
                size = float(np.linalg.norm(error))
                damping = DAMPING**2 * min(size, 1.0)
                step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(6), error)
                q = np.clip(q + step * min(1.0, 0.4 / max(np.abs(step).max(), 1e-12)), self.lower, self.upper)
        return None


@dataclass
class Plan:
    """What one robot does.

    Attributes:
        angles: [P,B,K,6] rad: for each prototype and rank in the stack, the points that it passes.
        grip, release: Which of the K points are those where it takes and places.
    """

    angles: np.ndarray
    grip: int
    release: int


def plan(model: FactoryModel, robot: Robot) -> tuple[Plan | None, list[Finding]]:
    """Solve all points of a robot; None (and a finding) where one is out of its reach."""
    node = model.nodes[robot.station]
    following = node.next[0] if node.next else -1
    while following >= 0 and model.nodes[following].kind == NodeKind.ROUTER:
        following = model.nodes[following].next[0] if model.nodes[following].next else -1
    if node.output < 0 or following < 0 or node.zone is None:
        return None, [
            Finding(
                "warning",
                robot.path,
                "not-simulated",
                f"{node.path} makes no stack for a robot: it needs an output, a zone and a successor",
            )
        ]
    chain = Chain.of(model.rigid, robot)
    up = np.eye(3)[model.rigid.up_axis]
    poses = entry_poses(model)
    flip = np.array([1.0, 0.0, 0.0, 0.0])
    count, prototypes = batch_size(node), model.rigid.prototypes
    via = len(robot.taught)
    out = np.zeros((len(prototypes), count, 7 + 2 * via, 6))
    turn_in, turn_out = poses["entry_rotation"][robot.station], poses["entry_rotation"][following]
    ways: list[tuple[int, int, list[tuple[np.ndarray, np.ndarray]]]] = []
    for p, prototype in enumerate(prototypes):
        half = np.asarray(prototype.half_extents, float)
        if p == node.output:
            continue
        take = poses["entry"][robot.station] + up * 2.0 * (half @ up)
        for rank in range(count):
            place = _top_of_place(model, following, node.output, half, rank, count) + poses["entry"][following]
            points = [(take + up * CLEARANCE_M, turn_in), (take, turn_in), (take + up * CLEARANCE_M, turn_in)]
            points += [(point, turn_out) for point in robot.taught]
            points += [(place + up * CLEARANCE_M, turn_out), (place, turn_out), (place + up * CLEARANCE_M, turn_out)]
            points += [(point, turn_out) for point in reversed(robot.taught)]
            ways.append((p, rank, [*points, points[0]]))
    numbers = [*vars(chain).values(), *(x for _, _, way in ways for pose in way for x in pose)]
    known = b"".join(np.asarray(x, float).tobytes() for x in numbers)
    if known in _solved:
        return _solved[known], []
    for p, rank, way in ways:
        at = out[p, rank - 1, 0] if rank else np.array(SEEDS[0])
        for k, (position, heading) in enumerate(way):
            solved = chain.inverse(position, multiply(heading, flip), at)
            if solved is None:
                where = f"{np.round(position, 3).tolist()} m (item {rank + 1} of {prototypes[p].path})"
                text = f"the tool does not reach {where}: the robot stands still"
                return None, [Finding("warning", robot.path, "out-of-reach", text)]
            out[p, rank, k] = at = solved
    # where the output itself were collected, it would go where the others go
    others = [p for p in range(len(prototypes)) if p != node.output]
    if others:
        out[node.output] = out[others[0]]
    if len(_solved) > 16:
        _solved.clear()
    _solved[known] = Plan(out, 1, 4 + via)
    return _solved[known], []


_solved: dict[bytes, Plan] = {}
"""Plans by all that they follow from: an edit elsewhere solves nothing again."""


def _top_of_place(model: FactoryModel, following: int, output: int, half: np.ndarray, rank: int, count: int) -> np.ndarray:
    """Centre of the upper face of the ``rank``-th item of a stack of ``count`` [3] m, from where the output is set down: layers
    fill from the deck up, the full stack is level with the output's top (as ``stack_up`` shows it without a robot)."""
    up = model.rigid.up_axis
    side = 1 if up == 2 else 2
    whole = np.asarray(model.rigid.prototypes[output].half_extents, float)
    poses = entry_poses(model)
    heading, direction = poses["entry_rotation"][following], poses["direction"][following]
    along = max(int(whole[0] / half[0] + 0.05), 1)
    across = max(int(whole[side] / half[side] + 0.05), 1)
    layers = -(-count // (along * across))
    layer = rank // (along * across)
    local = np.zeros(3)
    local[0] = (rank % along + 0.5) * 2.0 * half[0] - along * half[0]
    local[side] = ((rank // along) % across + 0.5) * 2.0 * half[side] - across * half[side]
    local[up] = 2.0 * whole[up] + 0.002 - 2.0 * (layers - layer - 1) * half[up]
    ahead = direction * (whole[0] + 0.01) if model.nodes[following].kind == NodeKind.CONVEYOR else np.zeros(3)
    return ahead + rotate(heading, local)


def put_robots(t: LineTables, model: FactoryModel, device: wp.Device) -> tuple[list[Plan], list[Finding]]:
    """The robots that can do their work as device tables, their plans, and what is to be said of the others."""
    plans: list[Plan] = []
    able: list[Robot] = []
    findings: list[Finding] = []
    for robot in model.robots:
        solved, said = plan(model, robot)
        findings += said
        if solved is not None:
            plans.append(solved)
            able.append(robot)
    t.robots, t.hinges = len(able), 6
    of = np.full(len(model.nodes), -1, np.int32)
    for a, robot in enumerate(able):
        of[robot.station] = a
    begin = np.cumsum([0, *(p.angles.size for p in plans)])[:-1]
    chains = [Chain.of(model.rigid, robot) for robot in able]
    bodies = [model.rigid.joints[j].body1 for robot in able for j in robot.joints]
    for name, values, dtype in (
        ("robot_of", of, wp.int32),
        ("robot_station", [r.station for r in able], wp.int32),
        ("robot_speed", [r.speed for r in able], wp.float32),
        ("robot_batch", [p.angles.shape[1] for p in plans], wp.int32),
        ("robot_points", [p.angles.shape[2] for p in plans], wp.int32),
        ("robot_grip", [p.grip for p in plans], wp.int32),
        ("robot_release", [p.release for p in plans], wp.int32),
        ("robot_begin", begin, wp.int32),
        ("robot_angle", np.concatenate([np.zeros(0), *(p.angles.ravel() for p in plans)]), wp.float32),
        ("tool_position", [c.tool_position for c in chains], wp.vec3),
        ("tool_rotation", [c.tool_rotation for c in chains], wp.quat),
        ("hinge_body", bodies, wp.int32),
        ("hinge_com", [model.rigid.bodies[b].com for b in bodies], wp.vec3),
        *((f"hinge_{n}", [row for c in chains for row in getattr(c, n)], wp.vec3 if n.startswith("position") else wp.quat)
          for n in ("position0", "rotation0", "position1", "rotation1")),
    ):  # fmt: skip
        put_column(t, name, values, dtype, device)
    return plans, findings
