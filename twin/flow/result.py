"""What a run of the line engine gives back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from twin.flow.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S


@dataclass
class FlowResult:
    """R replications of one line with N nodes, measured over ``horizon_s`` after ``warmup_s``.

    Attributes:
        nodes: Prim path of each node.
        horizon_s, warmup_s, interval_s: [s].
        spawned, sunk, scrapped: int64 [R] pieces over the whole run, warm-up included.
        inside: int64 [R] pieces at the end, counted where they are; spawned = inside + sunk + scrapped.
        sunk_measured: int64 [R] pieces sunk within the horizon.
        lead_mean_s, lead_p95_s: float64 [R] of the pieces sunk within the horizon [s]; nan where there are none.
        lead_hist: int32 [R,L] pieces by lead time, edges ``lead_edges_s`` [L+1].
        wip_mean: float64 [R] mean pieces inside within the horizon.
        state_time_s: float64 [R,N,7] time in each NodeState within the horizon, averaged over servers.
        node_in, node_out: int64 [R,N] items within the horizon.
        node_defective: int64 [R,N] of the items that a station finished within the horizon, those that were defective.
        node_waits: int64 [R,N] how often a place in the node waited (blocked or starved) within the horizon.
        level_mean: float64 [R,N] mean items inside within the horizon.
        paths: Pairs (from, to) of nodes between which items move, routers seen through; moved: int64 [R,P] items that did
            within the horizon.
        energy_j: float64 [R] within the horizon [J].
        deadlocked: bool [R].
        events: int64 [R].
        sunk_per_interval: int64 [R,T], wip_per_interval: float64 [R,T], from time 0 on (warm-up included).
    """

    nodes: list[str]
    horizon_s: float
    warmup_s: float
    interval_s: float
    spawned: np.ndarray
    sunk: np.ndarray
    scrapped: np.ndarray
    inside: np.ndarray
    sunk_measured: np.ndarray
    lead_mean_s: np.ndarray
    lead_p95_s: np.ndarray
    lead_hist: np.ndarray
    wip_mean: np.ndarray
    state_time_s: np.ndarray
    node_in: np.ndarray
    node_out: np.ndarray
    node_defective: np.ndarray
    node_waits: np.ndarray
    level_mean: np.ndarray
    energy_j: np.ndarray
    deadlocked: np.ndarray
    events: np.ndarray
    sunk_per_interval: np.ndarray
    wip_per_interval: np.ndarray
    paths: list[tuple[int, int]]
    moved: np.ndarray

    @property
    def lead_edges_s(self) -> np.ndarray:
        """Edges of the lead-time histogram [s], [L+1]."""
        return np.geomspace(LEAD_MIN_S, LEAD_MAX_S, LEAD_BINS + 1)

    @property
    def throughput_per_h(self) -> np.ndarray:
        """Pieces sunk per hour of the horizon, float64 [R]."""
        return self.sunk_measured / self.horizon_s * 3600.0

    @classmethod
    def concatenate(cls, parts: list[FlowResult]) -> FlowResult:
        """Replications of the parts one after another."""
        values: dict[str, Any] = {}
        for f in fields(cls):
            first = getattr(parts[0], f.name)
            values[f.name] = np.concatenate([getattr(p, f.name) for p in parts]) if isinstance(first, np.ndarray) else first
        return cls(**values)


def histogram_quantile(histogram: np.ndarray, edges: np.ndarray, q: float) -> np.ndarray:
    """Quantile ``q`` of each row of a histogram with logarithmic bins, interpolated geometrically inside the bin.

    Args:
        histogram: [R,L] counts. edges: [L+1].

    Returns:
        float64 [R]; nan where a row is empty.
    """
    total = histogram.sum(axis=1)
    cumulative = np.cumsum(histogram, axis=1)
    wanted = q * total
    bins = np.minimum((cumulative < wanted[:, None]).sum(axis=1), histogram.shape[1] - 1)
    rows = np.arange(len(histogram))
    inside = histogram[rows, bins]
    before = cumulative[rows, bins] - inside
    share = np.divide(wanted - before, inside, out=np.zeros(len(rows)), where=inside > 0)
    values = edges[bins] * (edges[bins + 1] / edges[bins]) ** np.clip(share, 0.0, 1.0)
    return np.where(total > 0, values, np.nan)
