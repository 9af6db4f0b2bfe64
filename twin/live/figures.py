"""Key figures of the running line over a sliding window, from the simulation's integrals."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from twin.model.factory import FactoryModel, NodeKind
from twin.model.histogram import histogram_quantile
from twin.model.kpis import Observation, kpi_unit, line_kpis, planned_cycles_s, power_by_state
from twin.protocol.messages import Kpi
from twin.sim.simulation import lead_edges_s

_Layout = tuple[list[tuple[str, NodeKind]], list[str]]
_OF_NODES = ("state_us", "unattended_us", "level_us", "entered", "left", "defects")
_OF_CREWS = ("crew_busy_us", "crew_on_us")
WINDOW_S = 600.0
"""Figures look back this far in simulated time [s]."""


class SlidingFigures:
    """KPIs between now and up to ``WINDOW_S`` ago.

    ``add`` takes ``Simulation.statistics()`` and the model that they are of; ``kpis`` answers with the figures of
    ``twin.model.kpis``, by which studies count too. What is undefined (nothing sunk yet) is None.
    """

    def __init__(self) -> None:
        self._history: deque[dict[str, np.ndarray]] = deque()
        self._seen: _Layout = [], []
        self._planned: tuple[FactoryModel, np.ndarray, np.ndarray] | None = None

    def clear(self) -> None:
        self._history.clear()

    def relaid(self, model: FactoryModel, now: Callable[[str], str]) -> None:
        """The line is another one from here on, in which what was there is called what ``now`` says: figures of it go on."""
        nodes, crews = _layout(model)
        had_nodes = {(now(path), kind): row for row, (path, kind) in enumerate(self._seen[0])}
        had_crews = [now(path) for path in self._seen[1]]
        came_from = [had_nodes.get(node, -1) for node in nodes]
        # as the simulation does: it counts anew where crews have come or gone
        same = [i if crews == had_crews else -1 for i in range(len(crews))]
        rows = {name: came_from for name in _OF_NODES} | {name: same for name in _OF_CREWS}
        for statistics in self._history:
            for name in rows.keys() & statistics.keys():
                statistics[name] = _rows(statistics[name], rows[name])
        self._seen = nodes, crews

    def add(self, statistics: dict[str, np.ndarray], model: FactoryModel) -> None:
        if self._seen != _layout(model):
            self._history.clear()
            self._seen = _layout(model)
        self._history.append(statistics)
        newest = int(statistics["time_us"])
        while len(self._history) > 2 and newest - int(self._history[1]["time_us"]) >= WINDOW_S * 1e6:
            self._history.popleft()

    def kpis(self, model: FactoryModel) -> list[Kpi]:
        """Figures of ``model``; none yet where what has been seen is of other nodes, as just after an edit."""
        if len(self._history) < 2 or self._seen != _layout(model):
            return []
        first, last = self._history[0], self._history[-1]
        span_s = float(last["time_us"] - first["time_us"]) * 1e-6
        if span_s <= 0.0:
            return []
        if self._planned is None or self._planned[0] is not model:
            self._planned = (model, planned_cycles_s(model), power_by_state(model))
        _, cycles_s, power = self._planned
        change = {name: (last[name] - first[name])[None] for name in last}
        state_time_s = change["state_us"] * 1e-6
        sunk = change["sunk"].astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            lead_s = np.where(sunk > 0, change["lead_us"] / sunk * 1e-6, np.nan)
        edges = lead_edges_s()
        figures = line_kpis(
            model,
            Observation(
                span_s=span_s,
                sunk=sunk,
                wip=change["pieces_us"] * 1e-6 / span_s,
                lead_mean_s=lead_s,
                lead_p95_s=histogram_quantile(change["lead_hist"], edges, 0.95),
                energy_j=np.einsum("rns,ns->r", state_time_s, power),
                state_time_s=state_time_s,
                node_out=change["left"],
                **{
                    of: change[name] * 1e-6
                    for of, name in (
                        ("unattended_s", "unattended_us"),
                        ("crew_busy_s", "crew_busy_us"),
                        ("crew_on_s", "crew_on_us"),
                    )
                    if name in change
                },
                level_mean=change["level_us"] * 1e-6 / span_s,
                lead_hist=change["lead_hist"],
                lead_edges_s=edges,
            ),
            cycles_s,
        )
        return [Kpi(name, None if np.isnan(v[0]) else float(v[0]), kpi_unit(name)) for name, v in figures.items()]


def _layout(model: FactoryModel) -> _Layout:
    """What the rows of the statistics are of."""
    return [(node.path, node.kind) for node in model.nodes], [crew.path for crew in model.crews]


def _rows(values: np.ndarray, came_from: list[int]) -> np.ndarray:
    """Integrals of what is there now; what is new begins with nothing."""
    out = np.zeros((len(came_from), *values.shape[1:]), values.dtype)
    for row, before in enumerate(came_from):
        if before >= 0:
            out[row] = values[before]
    return out
