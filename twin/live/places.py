"""Where belts run and where photo-eyes look at them, from the compiled factory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.core.samples import SignalKey
from twin.model.factory import FactoryModel, NodeKind
from twin.model.rigid import Prototype
from twin.sim.tables import rotate

SLACK_M = 0.2
"""An eye may stand this far beside or beyond a belt and still look at it [m]."""


@dataclass
class Belt:
    """A straight belt. ``start`` [3] m: middle of its beginning on the surface; ``direction`` [3] unit; ``up`` [3] unit;
    ``rotation`` [4] xyzw, in which goods lie; ``length``, ``half_width`` [m]."""

    start: np.ndarray
    direction: np.ndarray
    up: np.ndarray
    rotation: np.ndarray
    length: float
    half_width: float

    def place(self, at: float, prototype: Prototype | None) -> np.ndarray:
        """Origin of goods whose centre is ``at`` [m] along the belt, lying on it, [3] m."""
        point = self.start + at * self.direction
        if prototype is None:
            return point
        center, half = np.asarray(prototype.bound_center, float), np.asarray(prototype.half_extents, float)
        up_axis = int(np.argmax(np.abs(self.up)))
        return point + self.up * half[up_axis] - rotate(self.rotation, center)


@dataclass(frozen=True)
class Eye:
    """A photo-eye over belt ``node``, ``at`` [m] along it; ``number`` tells eyes apart."""

    number: int
    node: int
    at: float


def belts_of(model: FactoryModel) -> dict[int, Belt]:
    """Belts by node index; conveyors without a place have none."""
    up = np.zeros(3)
    up[model.rigid.up_axis] = 1.0
    out: dict[int, Belt] = {}
    tops = _tops(model)
    for i, node in enumerate(model.nodes):
        if node.kind != NodeKind.CONVEYOR or node.zone is None:
            continue
        zone = node.zone
        rotation = np.asarray(zone.rotation, float)
        direction = rotate(rotation, np.array([1.0, 0.0, 0.0]))
        length = node.length or 2.0 * float(zone.half_extents[0])
        top = tops.get(i)
        start = np.asarray(zone.center, float) - direction * length / 2.0
        if top is not None:
            start = start + up * (top - float(start @ up))
        across = 2 if model.rigid.up_axis == 1 else 1
        out[i] = Belt(start, direction, up, rotation, length, float(zone.half_extents[across]))
    return out


def _tops(model: FactoryModel) -> dict[int, float]:
    """Heights of the surfaces [m] by node; a belt without boxes (a curve) is as high as those that it joins."""
    belts = [i for i, node in enumerate(model.nodes) if node.kind == NodeKind.CONVEYOR]
    known = {i: top for i in belts if (top := _top(model, i)) is not None}
    for _ in belts:  # a curve may follow a curve
        for i in belts:
            beside = [*model.nodes[i].next, *(k for k in belts if i in model.nodes[k].next)]
            tops = [known[k] for k in beside if k in known]
            if i not in known and tops:
                known[i] = sum(tops) / len(tops)
    return known


def _top(model: FactoryModel, node: int) -> float | None:
    """Height of the surface that carries goods [m]: the top of the belt's boxes."""
    tops = []
    axis = model.rigid.up_axis
    for index in model.nodes[node].belt_shapes:
        shape = model.rigid.shapes[index]
        if shape.body >= 0 or not len(shape.size):
            continue
        half = np.asarray(shape.size, float)[:3]
        corners = np.abs(
            np.array([rotate(np.asarray(shape.rotation, float), e * h) for e, h in zip(np.eye(3), half, strict=True)])
        )
        tops.append(float(shape.position[axis]) + float(corners[:, axis].sum()))
    return max(tops) if tops else None


def eyes_of(model: FactoryModel, belts: dict[int, Belt]) -> dict[SignalKey, Eye]:
    """Photo-eyes and proximity sensors by their signal, each over the belt that its beam comes nearest to."""
    out: dict[SignalKey, Eye] = {}
    for number, sensor in enumerate(model.sensors):
        if sensor.signal < 0 or sensor.kind not in ("photoEye", "proximity"):
            continue
        origin = np.asarray(sensor.position, float)
        beam = rotate(np.asarray(sensor.rotation, float), np.array([1.0, 0.0, 0.0]))
        best: tuple[float, int, float] | None = None
        for node, belt in belts.items():
            # the point of the beam that is nearest to the belt's middle line
            reach = np.clip(float((belt.start - origin) @ beam), 0.0, sensor.range)
            at = float((origin + reach * beam - belt.start) @ belt.direction)
            for _ in range(3):
                reach = float(np.clip((belt.start + at * belt.direction - origin) @ beam, 0.0, sensor.range))
                at = float((origin + reach * beam - belt.start) @ belt.direction)
            side = origin + reach * beam - belt.start - at * belt.direction
            flat = float(np.linalg.norm(side - (side @ belt.up) * belt.up))
            inside = -SLACK_M <= at <= belt.length + SLACK_M and flat <= belt.half_width + SLACK_M
            distance = float(np.linalg.norm(side))
            if inside and (best is None or distance < best[0]):
                best = (distance, node, min(max(at, 0.0), belt.length))
        if best is not None:
            signal = model.signals[sensor.signal]
            out[SignalKey(signal.prim, signal.name)] = Eye(number, best[1], best[2])
    return out
