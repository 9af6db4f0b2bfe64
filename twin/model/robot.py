"""A jointed arm that stacks what a station collects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Robot:
    """An arm of kinematic links, as authored: a tree of joints from base to flange.

    Attributes:
        station: Node index of the station whose goods it stacks.
        joints: Indices into ``RigidModel.joints``, base first.
        tool_position: [3] m, tool_rotation: [4] xyzw: where it grips, in the last link's frame; its local up axis points away
            from the flange, and down when it grips.
        taught: Points [3] m, world, that the tool passes between taking and placing, in order.
        speed: Greatest speed of a joint [rad/s].
    """

    path: str
    station: int
    joints: list[int]
    tool_position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    tool_rotation: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    taught: list[np.ndarray] = field(default_factory=list)
    speed: float = 2.0
