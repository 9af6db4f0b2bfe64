"""StateFrame: the one thing that leaves an engine, once a step that somebody watches."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Counts:
    """Pieces: spawned = inside + sunk + scrapped + lost, always."""

    spawned: int = 0
    inside: int = 0
    sunk: int = 0
    scrapped: int = 0
    lost: int = 0


@dataclass
class StateFrame:
    """One moment of one world, world frame, SI.

    Attributes:
        sim_time: [s] since the run's begin. tick: steps since then.
        body_position: float32 [B,3] m, body_rotation: float32 [B,4] xyzw: the stage's own dynamic and kinematic bodies
            in the order of ``RigidModel.bodies`` (frame = prim origin).
        item_alive: bool [S]. item_id: int64 [S], unique over the run. item_prototype: int32 [S].
        item_position: float32 [S,3] m, item_rotation: float32 [S,4]: goods, by slot (frame = prototype's origin).
        item_pieces: int32 [S] pieces contained.
        node_state: int8 [N] NodeState. node_level: int32 [N] items inside.
        node_in, node_out: int64 [N] items that entered and left since the run's begin.
        signals: Values of simulated signals, by index into ``FactoryModel.signals``.
    """

    sim_time: float
    tick: int
    body_position: np.ndarray
    body_rotation: np.ndarray
    item_alive: np.ndarray
    item_id: np.ndarray
    item_prototype: np.ndarray
    item_position: np.ndarray
    item_rotation: np.ndarray
    item_pieces: np.ndarray
    node_state: np.ndarray
    node_level: np.ndarray
    node_in: np.ndarray
    node_out: np.ndarray
    counts: Counts = field(default_factory=Counts)
    signals: dict[int, float | int | bool] = field(default_factory=dict)
