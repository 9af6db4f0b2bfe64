"""Key figures of the running line over a sliding window, from the simulation's integrals."""

from __future__ import annotations

from collections import deque

import numpy as np

from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.protocol.messages import Kpi
from twin.sim.simulation import lead_edges_s

WINDOW_S = 600.0
"""Figures look back this far in simulated time [s]."""


class SlidingFigures:
    """KPIs between now and up to ``WINDOW_S`` ago.

    ``add`` takes ``Simulation.statistics()``; ``kpis`` answers with the names of the contract: ``throughput`` [1/h], ``wip``
    [1], ``lead_time``, ``lead_time_p95`` [s], and per station ``<path>:utilisation|blocked|starved|down|setup|...`` [1].
    What is undefined (nothing sunk yet) is None.
    """

    def __init__(self) -> None:
        self._history: deque[dict[str, np.ndarray]] = deque()

    def clear(self) -> None:
        self._history.clear()

    def add(self, statistics: dict[str, np.ndarray]) -> None:
        if self._history and len(self._history[-1]["level_us"]) != len(statistics["level_us"]):
            self._history.clear()
        self._history.append(statistics)
        newest = int(statistics["time_us"])
        while len(self._history) > 2 and newest - int(self._history[1]["time_us"]) >= WINDOW_S * 1e6:
            self._history.popleft()

    def kpis(self, model: FactoryModel) -> list[Kpi]:
        if len(self._history) < 2:
            return []
        first, last = self._history[0], self._history[-1]
        span_us = float(last["time_us"] - first["time_us"])
        if span_us <= 0.0:
            return []
        sunk = float(last["sunk"] - first["sunk"])
        hist = last["lead_hist"] - first["lead_hist"]
        out = [
            Kpi("throughput", sunk / span_us * 3.6e9, "1/h"),
            Kpi("wip", float(last["pieces_us"] - first["pieces_us"]) / span_us, "1"),
            Kpi("lead_time", float(last["lead_us"] - first["lead_us"]) / sunk * 1e-6 if sunk else None, "s"),
            Kpi("lead_time_p95", _quantile(hist, 0.95), "s"),
        ]
        shares = (last["state_us"] - first["state_us"]) / span_us
        for i, node in enumerate(model.nodes):
            if node.kind == NodeKind.STATION:
                for name, state in _SHARES.items():
                    out.append(Kpi(f"{node.path}:{name}", float(shares[i, state]), "1"))
            elif node.kind in (NodeKind.BUFFER, NodeKind.CONVEYOR):
                level = float(last["level_us"][i] - first["level_us"][i]) / span_us
                out.append(Kpi(f"{node.path}:mean_level", level, "1"))
        return out


_SHARES = {
    "utilisation": NodeState.WORKING,
    "setup": NodeState.SETUP,
    "blocked": NodeState.BLOCKED,
    "starved": NodeState.STARVED,
    "down": NodeState.DOWN,
}


def _quantile(histogram: np.ndarray, q: float) -> float | None:
    """Quantile of a logarithmic histogram, interpolated geometrically inside its bin; None where it is empty."""
    total = int(histogram.sum())
    if total == 0:
        return None
    edges = lead_edges_s()
    cumulative = np.cumsum(histogram)
    bin = int(np.searchsorted(cumulative, q * total))
    before = float(cumulative[bin - 1]) if bin else 0.0
    share = (q * total - before) / float(histogram[bin])
    return float(edges[bin] * (edges[bin + 1] / edges[bin]) ** share)
