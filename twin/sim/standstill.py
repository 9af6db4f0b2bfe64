"""Whether a line in rigid bodies has come to a standstill: goods that have wedged are a fault that no machine reports."""

from __future__ import annotations

import numpy as np

from twin.model.factory import NodeKind, NodeState
from twin.sim.simulation import Simulation

AFTER_S = 60.0
"""So long nothing has moved, been worked or repaired [s simulated]."""
STILL_M = 0.01
_BUSY = [NodeState.WORKING, NodeState.SETUP, NodeState.WAITING_CREW, NodeState.DOWN, NodeState.OFF]


class StandstillWatch:
    """Looks at one world now and then; what happens between two looks counts as well."""

    def __init__(self, simulation: Simulation, world: int = 0) -> None:
        self.simulation, self._world = simulation, world
        self._before: tuple[np.ndarray, np.ndarray] | None = None
        self._since_s = simulation.time

    def look(self) -> list[str]:
        """Paths of the nodes whose goods stand, once everything has stood for ``AFTER_S``; else none."""
        simulation, before = self.simulation, self._before
        frame, statistics = simulation.frame(self._world), simulation.statistics(self._world)
        nodes = simulation.model.nodes
        machine = np.array([n.kind in (NodeKind.STATION, NodeKind.FLEET) for n in nodes], bool)
        state_us = statistics["state_us"]
        busy_us = np.where(machine, state_us[:, _BUSY].sum(axis=1), state_us[:, NodeState.OFF])
        counts = np.concatenate([busy_us, statistics["entered"], statistics["left"]])
        position = np.where(frame.item_alive[:, None], frame.item_position, 0.0)
        self._before = counts, position
        if (
            before is None
            or before[0].shape != counts.shape
            or before[1].shape != position.shape
            or (before[0] != counts).any()
            or np.abs(before[1] - position).max(initial=0.0) > STILL_M
            or not (frame.node_state == NodeState.BLOCKED).any()  # what has reached its end may rest
        ):
            self._since_s = simulation.time
        if simulation.time - self._since_s < AFTER_S:
            return []
        return [n.path for n, level in zip(nodes, frame.node_level, strict=True) if level > 0]
