"""Key figures of the running line over a sliding window, from the simulation's integrals."""

from __future__ import annotations

from collections import deque

import numpy as np

from twin.model.factory import FactoryModel
from twin.model.histogram import histogram_quantile
from twin.model.kpis import Observation, kpi_unit, line_kpis, planned_cycles_s, power_by_state
from twin.protocol.messages import Kpi
from twin.sim.simulation import lead_edges_s

WINDOW_S = 600.0
"""Figures look back this far in simulated time [s]."""


class SlidingFigures:
    """KPIs between now and up to ``WINDOW_S`` ago.

    ``add`` takes ``Simulation.statistics()`` and the model that they are of; ``kpis`` answers with the figures of
    ``twin.model.kpis``, by which studies count too. What is undefined (nothing sunk yet) is None.
    """

    def __init__(self) -> None:
        self._history: deque[dict[str, np.ndarray]] = deque()
        self._seen: list[str] = []
        self._planned: tuple[FactoryModel, np.ndarray, np.ndarray] | None = None

    def clear(self) -> None:
        self._history.clear()

    def add(self, statistics: dict[str, np.ndarray], model: FactoryModel) -> None:
        seen = _layout(model)
        if seen != self._seen:
            self._history.clear()
        self._seen = seen
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


def _layout(model: FactoryModel) -> list[str]:
    """What the rows of the statistics are of."""
    return [*(node.path for node in model.nodes), *(crew.path for crew in model.crews)]
