"""Simulated signals: what photo-eyes see and what counters, speeds and states are (host side, once a published frame)."""

from __future__ import annotations

import numpy as np

from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.model.frame import StateFrame
from twin.sim.tables import rotate


def beam_hits(
    origin: np.ndarray, direction: np.ndarray, reach: float, centers: np.ndarray, rotations: np.ndarray, half_extents: np.ndarray
) -> bool:
    """Whether a beam meets any of the boxes.

    Args:
        origin: [3] m. direction: [3] unit. reach: [m].
        centers: [n,3] m. rotations: [n,4] xyzw. half_extents: [n,3] m.

    Returns:
        True if the segment origin..origin + reach * direction enters a box (slab test in each box's frame).
    """
    for center, rotation, half in zip(centers, rotations, half_extents, strict=True):
        inverse = np.array([-rotation[0], -rotation[1], -rotation[2], rotation[3]])
        o = rotate(inverse, origin - center)
        d = rotate(inverse, direction)
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (-half - o) / d, (half - o) / d
        parallel = np.abs(d) < 1e-12
        if np.any(parallel & (np.abs(o) > half)):
            continue
        near = np.where(parallel, -np.inf, np.minimum(a, b)).max()
        far = np.where(parallel, np.inf, np.maximum(a, b)).min()
        if near <= far and far >= 0.0 and near <= reach:
            return True
    return False


def simulated_signals(model: FactoryModel, frame: StateFrame) -> dict[int, float | int | bool]:
    """Values of the signals that the simulation itself knows, by index into ``model.signals``.

    A photo-eye or proximity sensor writes whether it sees goods. On a node, role ``count`` is the number of items that
    left it, role ``state`` its NodeState, and a signal called ``speed`` on a conveyor its belt speed [m/s].
    """
    values: dict[int, float | int | bool] = {}
    nodes = {node.path: i for i, node in enumerate(model.nodes)}
    for index, signal in enumerate(model.signals):
        i = nodes.get(signal.prim)
        if i is None:
            continue
        node = model.nodes[i]
        if signal.role == "count":
            values[index] = int(frame.node_in[i] if node.kind == NodeKind.SINK else frame.node_out[i])
        elif signal.role == "state":
            values[index] = int(frame.node_state[i])
        elif signal.name == "speed" and node.kind == NodeKind.CONVEYOR:
            stopped = not node.accumulating and frame.node_state[i] == NodeState.BLOCKED
            values[index] = 0.0 if stopped else float(node.speed)
    eyes = [s for s in model.sensors if s.signal >= 0 and s.kind in ("photoEye", "proximity")]
    if eyes:
        alive = np.flatnonzero(frame.item_alive)
        prototypes = [model.rigid.prototypes[p] for p in frame.item_prototype[alive]]
        rotations = frame.item_rotation[alive].astype(float)
        centers = frame.item_position[alive].astype(float)
        half = np.zeros((len(alive), 3))
        for k, prototype in enumerate(prototypes):
            half[k] = prototype.half_extents
            centers[k] += rotate(rotations[k], np.asarray(prototype.bound_center, float))
        for eye in eyes:
            origin = np.asarray(eye.position, float)
            near = np.linalg.norm(centers - origin, axis=1) < eye.range + np.linalg.norm(half, axis=1) if len(alive) else []
            direction = rotate(np.asarray(eye.rotation, float), np.array([1.0, 0.0, 0.0]))
            values[eye.signal] = beam_hits(origin, direction, eye.range, centers[near], rotations[near], half[near])
    return values
