"""What is known of a study: its warm-up, and of each point the figures and the pictures' data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from twin.model.factory import NodeState
from twin.model.kpis import Observation, line_kpis, power_by_state
from twin.studies.outcome import Outcome
from twin.studies.plan import Plan, Point

if TYPE_CHECKING:
    from twin.studies.insight import Insight


@dataclass(frozen=True)
class WarmUp:
    """The time before measuring [s]; ``how`` is ``given``, ``none`` or ``auto``; ``too_short``: the pilot never settled."""

    seconds: float
    how: str
    too_short: bool = False


@dataclass
class PointResult:
    """What is known of one point.

    Attributes:
        kpis: Figure to float64 [R]. horizon_s: measured time [s].
        state_share: [N,7] mean share of the horizon. wip, sunk: [T] mean over replications of the pieces inside and of the pieces
            sunk per interval. lead_hist: int64 [L], edges ``lead_edges_s`` [L+1].
        energy_j: [N,7] mean energy by node and state within the horizon [J]. active_s: [N] mean time between two waits of a
            place, less what it waits for people [s], NaN where not counted, inf where none ever waited.
        paths: [P,2] pairs (from, to) of nodes; moved: [P] mean items that moved between them, NaN where not counted.
        node_out: [N] mean items that left each node.
        deadlocked: Numbers of the replications that came to a standstill; stuck: paths of the nodes whose items could never
            move on, in any of them.
        units: Words for the unit of figures that are not in their own (``words.in_readable_units``).
        precise: Every figure of ``until`` has its precision (always true without); imprecise: which has not, in words.
        feasible: it keeps the limits of a search (always true without); broken: those that it does not.
        error: why the point is unfinished.
    """

    point: Point
    replication: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    kpis: dict[str, np.ndarray] = field(default_factory=dict)
    horizon_s: float = 0.0
    nodes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    state_share: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))
    wip: np.ndarray = field(default_factory=lambda: np.zeros(0))
    sunk: np.ndarray = field(default_factory=lambda: np.zeros(0))
    interval_s: float = 0.0
    lead_hist: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    lead_edges_s: np.ndarray = field(default_factory=lambda: np.zeros(1))
    energy_j: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))
    active_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    paths: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    moved: np.ndarray = field(default_factory=lambda: np.zeros(0))
    node_out: np.ndarray = field(default_factory=lambda: np.zeros(0))
    deadlocked: list[int] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    pieces: dict[str, int] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    precise: bool = True
    imprecise: list[str] = field(default_factory=list)
    feasible: bool = True
    broken: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass
class Results:
    """A study with all that is known of it. ``computed`` and ``cached`` count replications of this call; ``insight`` is None
    where it was not looked for."""

    plan: Plan
    warmup: WarmUp | None
    points: list[PointResult]
    computed: int = 0
    cached: int = 0
    interrupted: bool = False
    insight: Insight | None = None

    @property
    def failed(self) -> list[PointResult]:
        return [p for p in self.points if p.error is not None]


def observation(outcome: Outcome) -> Observation:
    """What the key figures are computed from, for replications of either engine."""
    return Observation(
        span_s=outcome.horizon_s,
        sunk=outcome.sunk_measured,
        wip=outcome.wip_mean,
        lead_mean_s=outcome.lead_mean_s,
        lead_p95_s=outcome.lead_p95_s,
        lead_hist=outcome.lead_hist,
        lead_edges_s=outcome.lead_edges_s,
        energy_j=outcome.energy_j,
        state_time_s=outcome.state_time_s,
        node_out=outcome.node_out,
        level_mean=outcome.level_mean,
        node_defective=outcome.node_defective,
        unattended_s=outcome.unattended_s,
        crew_busy_s=outcome.crew_busy_s,
        crew_on_s=outcome.crew_on_s,
        lead_least_s=outcome.lead_least_s,
        lead_most_s=outcome.lead_most_s,
    )


def digest(point: Point, outcome: Outcome | None, error: str | None) -> PointResult:
    """Figures of a point from its replications; ``error`` says why there are no more of them."""
    if outcome is None:
        return PointResult(point, error=error, precise=False)
    kpis = line_kpis(point.runnable, observation(outcome))
    return PointResult(
        point=point,
        replication=outcome.replication,
        kpis=kpis,
        horizon_s=outcome.horizon_s,
        nodes=outcome.nodes,
        notes=outcome.notes,
        state_share=outcome.state_time_s.mean(axis=0) / outcome.horizon_s,
        wip=outcome.wip_per_interval.mean(axis=0),
        sunk=outcome.sunk_per_interval.mean(axis=0),
        interval_s=outcome.interval_s,
        lead_hist=outcome.lead_hist.sum(axis=0, dtype=np.int64),
        lead_edges_s=outcome.lead_edges_s,
        energy_j=outcome.state_time_s.mean(axis=0) * power_by_state(point.runnable),
        active_s=_active_periods(point, outcome),
        paths=outcome.paths,
        moved=outcome.moved.mean(axis=0),
        node_out=outcome.node_out.mean(axis=0),
        deadlocked=outcome.replication[outcome.deadlocked].tolist(),
        stuck=[outcome.nodes[n] for n in np.flatnonzero(outcome.node_stuck.any(axis=0))],
        pieces={name: int(getattr(outcome, name).sum()) for name in ("spawned", "inside", "sunk", "scrapped", "lost")},
        error=error,
    )


def _active_periods(point: Point, outcome: Outcome) -> np.ndarray:
    """Mean time between two periods in which a place is blocked or starved, less what it waits for people [s], [N]."""
    servers = np.array([max(n.servers, 1) for n in point.runnable.nodes], float)
    waiting = outcome.state_time_s[:, :, [NodeState.BLOCKED, NodeState.STARVED, NodeState.WAITING_CREW, NodeState.OFF]].sum(
        axis=(0, 2)
    )
    active = (outcome.horizon_s * len(outcome) - waiting) * servers
    waits = outcome.node_waits.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isnan(waits), np.nan, np.where(waits > 0, active / waits, np.inf))
