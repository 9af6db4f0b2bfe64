"""What replications of one point gave: the same arrays from both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from threading import Event
from typing import Any

import numpy as np

from twin import flow
from twin.model.factory import FactoryModel


@dataclass
class Outcome:
    """R replications of one line with N nodes.

    Attributes:
        nodes: Prim path of each node. notes: what of the model the engine did not simulate.
        horizon_s, warmup_s, interval_s: [s]. lead_edges_s: [L+1] of the lead-time histogram.
        replication: int64 [R] numbers of the replications, ascending.
        spawned, sunk, scrapped, lost, inside: int64 [R] pieces over the whole run, warm-up included.
        sunk_measured: int64 [R] pieces sunk within the horizon.
        lead_mean_s, lead_p95_s, lead_least_s, lead_most_s: float64 [R], NaN where nothing was sunk; of the last two also where
            the engine does not keep them.
        wip_mean: float64 [R]. energy_j: float64 [R] within the horizon [J]. deadlocked: bool [R].
        state_time_s: float64 [R,N,7] within the horizon. unattended_s: float64 [R,N] of the time down, that in which the repair
            waited for people. crew_busy_s, crew_on_s: float64 [R,C] person-seconds of each crew, at work and on shift.
        node_in, node_out: int64 [R,N] items within the horizon.
        node_defective: float64 [R,N] of the items finished within the horizon, those that were defective; NaN: not counted.
        node_waits: float64 [R,N] how often a place in the node was blocked or starved within the horizon; NaN: not counted.
        node_stuck: bool [R,N] whether items in the node can never move on.
        paths: int64 [P,2] from and to of the pairs of nodes between which items move; moved: float64 [R,P] items that did
            within the horizon; NaN: not counted.
        level_mean: float64 [R,N] items. lead_hist: int32 [R,L] pieces.
        sunk_per_interval: int32 [R,T] pieces, wip_per_interval: float32 [R,T], from time 0 on, warm-up included.
    """

    nodes: list[str]
    notes: list[str]
    horizon_s: float
    warmup_s: float
    interval_s: float
    lead_edges_s: np.ndarray
    replication: np.ndarray
    spawned: np.ndarray
    sunk: np.ndarray
    scrapped: np.ndarray
    lost: np.ndarray
    inside: np.ndarray
    sunk_measured: np.ndarray
    lead_mean_s: np.ndarray
    lead_p95_s: np.ndarray
    wip_mean: np.ndarray
    energy_j: np.ndarray
    deadlocked: np.ndarray
    state_time_s: np.ndarray
    unattended_s: np.ndarray
    crew_busy_s: np.ndarray
    crew_on_s: np.ndarray
    node_in: np.ndarray
    node_out: np.ndarray
    node_defective: np.ndarray
    level_mean: np.ndarray
    lead_hist: np.ndarray
    sunk_per_interval: np.ndarray
    wip_per_interval: np.ndarray
    paths: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    lead_least_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lead_most_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    node_waits: np.ndarray = field(default_factory=lambda: np.zeros(0))
    moved: np.ndarray = field(default_factory=lambda: np.zeros(0))
    node_stuck: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        for name in ("lead_least_s", "lead_most_s"):
            if getattr(self, name).size == 0:
                setattr(self, name, np.full(len(self.replication), np.nan))
        if self.node_waits.size == 0:
            self.node_waits = np.full(self.node_in.shape, np.nan)
        if self.node_stuck.size == 0:
            self.node_stuck = np.zeros(self.node_in.shape, bool)
        if self.moved.size == 0:
            self.moved = np.full((len(self.replication), len(self.paths)), np.nan)

    def __len__(self) -> int:
        return len(self.replication)

    def take(self, rows: np.ndarray) -> Outcome:
        """Only the given rows (indices or a mask over R)."""
        changed: dict[str, Any] = {name: getattr(self, name)[rows] for name in ROWS}
        return replace(self, **changed)


SHARED = ("nodes", "notes", "horizon_s", "warmup_s", "interval_s", "lead_edges_s", "paths")
"""Fields that are the same for all replications."""
ROWS = tuple(f.name for f in fields(Outcome) if f.name not in SHARED)
"""Fields with a row per replication."""


def join(parts: list[Outcome]) -> Outcome:
    """Replications of all parts, each once, in ascending order."""
    rows: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ROWS}
    whole = replace(parts[0], **rows)
    _, first = np.unique(whole.replication, return_index=True)
    return whole.take(first)


def run_flow(
    model: FactoryModel,
    *,
    horizon_s: float,
    warmup_s: float,
    begin_s: float = 0.0,
    start: flow.LineState | None = None,
    seed: int,
    first: int,
    count: int,
    device: str = "cpu",
    jobs: int | None = None,
    intervals: int = 60,
    progress: Callable[[float], None] | None = None,
    cancel: Event | None = None,
) -> Outcome:
    """Replications ``first`` to ``first + count`` in the line engine; ``cancel`` ends it with a WorkError. ``begin_s``: time 0,
    counted from a Monday's midnight [s]. ``start``: the line at time 0; None: empty."""
    r = flow.simulate(
        model,
        horizon_s=horizon_s,
        warmup_s=warmup_s,
        begin_s=begin_s,
        start=start,
        seed=seed,
        first_replication=first,
        replications=count,
        device=device,
        threads=jobs,
        intervals=intervals,
        progress=progress,
        cancel=cancel,
    )
    same = ("spawned", "sunk", "scrapped", "inside", "sunk_measured", "lead_mean_s", "lead_p95_s", "lead_least_s",
            "lead_most_s", "wip_mean", "energy_j", "deadlocked", "state_time_s", "unattended_s",
            "crew_busy_s", "crew_on_s", "node_in", "node_out", "level_mean", "lead_hist")  # fmt: skip
    return Outcome(
        nodes=list(r.nodes),
        notes=[str(f) for f in flow.flow_findings(model)],
        horizon_s=r.horizon_s,
        warmup_s=r.warmup_s,
        interval_s=r.interval_s,
        lead_edges_s=r.lead_edges_s,
        replication=np.arange(first, first + count, dtype=np.int64),
        lost=np.zeros(count, np.int64),
        node_defective=r.node_defective.astype(np.float64),
        node_waits=r.node_waits.astype(np.float64),
        paths=np.array(r.paths, np.int64).reshape(-1, 2),
        moved=r.moved.astype(np.float64),
        node_stuck=r.stuck,
        sunk_per_interval=r.sunk_per_interval.astype(np.int32),
        wip_per_interval=r.wip_per_interval.astype(np.float32),
        **{name: getattr(r, name) for name in same},
    )
