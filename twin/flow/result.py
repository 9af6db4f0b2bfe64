"""What a run of the line engine gives back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from twin.flow.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S
from twin.flow.tables import flow_paths, leads_defective_away
from twin.model.factory import FactoryModel, NodeKind
from twin.model.histogram import histogram_quantile
from twin.model.kpis import power_by_state
from twin.model.shifts import time_on_us
from twin.process.line import downstream, slots_of
from twin.process.states import without_unattended

if TYPE_CHECKING:
    from twin.flow.run import Plan


@dataclass
class FlowResult:
    """R replications of one line with N nodes, measured over ``horizon_s`` after ``warmup_s``.

    Attributes:
        nodes: Prim path of each node.
        horizon_s, warmup_s, interval_s: [s].
        spawned, sunk, scrapped: int64 [R] pieces over the whole run, warm-up included.
        inside: int64 [R] pieces at the end, counted where they are; spawned = inside + sunk + scrapped.
        sunk_measured: int64 [R] pieces sunk within the horizon.
        lead_mean_s, lead_p95_s, lead_least_s, lead_most_s: float64 [R] of the pieces sunk within the horizon [s]; nan
            where there are none.
        lead_hist: int32 [R,L] pieces by lead time, edges ``lead_edges_s`` [L+1].
        wip_mean: float64 [R] mean pieces inside within the horizon.
        state_time_s: float64 [R,N,7] time in each NodeState within the horizon, averaged over servers.
        unattended_s: float64 [R,N] of the time down, that in which nobody repaired: the repair waited for its crew.
        crew_busy_s, crew_on_s: float64 [R,C] person-seconds of each crew within the horizon, at work and on shift.
        node_in, node_out: int64 [R,N] items within the horizon.
        node_defective: int64 [R,N] of the items that a station finished within the horizon, those that were defective.
        node_waits: int64 [R,N] how often a place in the node waited (blocked or starved) within the horizon.
        level_mean: float64 [R,N] mean items inside within the horizon.
        paths: Pairs (from, to) of nodes between which items move, routers seen through; moved: int64 [R,P] items that did
            within the horizon.
        energy_j: float64 [R] within the horizon [J].
        deadlocked: bool [R]. stuck: bool [R,N] nodes with items that can never move on.
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
    lead_least_s: np.ndarray
    lead_most_s: np.ndarray
    lead_hist: np.ndarray
    wip_mean: np.ndarray
    state_time_s: np.ndarray
    unattended_s: np.ndarray
    crew_busy_s: np.ndarray
    crew_on_s: np.ndarray
    node_in: np.ndarray
    node_out: np.ndarray
    node_defective: np.ndarray
    node_waits: np.ndarray
    level_mean: np.ndarray
    energy_j: np.ndarray
    deadlocked: np.ndarray
    stuck: np.ndarray
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


def result_of(model: FactoryModel, state: Any, plan: Plan, from_us: int, until_us: int) -> FlowResult:
    """The result of replications measured between two moments of their time."""
    n = len(model.nodes)
    horizon_us = max(until_us - from_us, 1)
    rep, node = state.rep.numpy()[:, 0].copy(), state.node.numpy()[:, :n].copy()
    state_us, lead_hist = state.state_us.numpy()[:, :n].copy(), state.lead_hist.numpy().copy()
    places_without_slots = [k for k, m in enumerate(model.nodes) if m.kind in (NodeKind.ROUTER, NodeKind.SINK)]
    state_us[:, places_without_slots, 0] = horizon_us
    servers = np.array([max(slots_of(m), 1) for m in model.nodes], float)
    state_time, unattended = without_unattended(state_us * 1e-6 / servers[None, :, None])
    crews = len(model.crews)
    busy_us = state.crew_us.numpy()[:, :crews] + state.crew_busy.numpy()[:, :crews].astype(np.int64) * until_us
    from_monday_us, until_monday_us = plan.begin_us + from_us, plan.begin_us + until_us
    people_us = [
        c.size * time_on_us(model.shifts[c.shift].patterns if c.shift >= 0 else (), from_monday_us, until_monday_us)
        for c in model.crews
    ]
    leads = lead_hist.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        lead_mean = np.where(leads > 0, rep["lead_us"] / np.maximum(leads, 1) * 1e-6, np.nan)
    edges = np.geomspace(LEAD_MIN_S, LEAD_MAX_S, LEAD_BINS + 1)
    least, most = (np.where(leads > 0, rep[name] * 1e-6, np.nan) for name in ("lead_least", "lead_most"))
    stuck = np.zeros((len(rep), n), bool)
    slot_node = [k for k, m in enumerate(model.nodes) for _ in range(slots_of(m))]
    for slot, at in enumerate(slot_node):
        stuck[:, at] |= state.stuck.numpy()[:, slot] != 0
    inside = rep["spawned"] - rep["sunk"] - rep["scrapped"]
    return FlowResult(
        nodes=[m.path for m in model.nodes],
        horizon_s=horizon_us * 1e-6,
        warmup_s=from_us * 1e-6,
        interval_s=plan.interval_us * 1e-6,
        spawned=rep["spawned"],
        sunk=rep["sunk"],
        scrapped=rep["scrapped"],
        inside=rep["inside"],
        sunk_measured=rep["sunk_measured"],
        lead_mean_s=lead_mean,
        lead_p95_s=histogram_quantile(lead_hist, edges, 0.95, least, most),
        lead_least_s=least,
        lead_most_s=most,
        lead_hist=lead_hist,
        wip_mean=(rep["pieces_us"] + inside * until_us) / horizon_us,
        state_time_s=state_time,
        unattended_s=unattended,
        crew_busy_s=busy_us * 1e-6,
        crew_on_s=np.tile(np.array(people_us, float) * 1e-6, (len(rep), 1)),
        node_in=node["entered"],
        node_out=node["left"],
        node_defective=node["defective"],
        node_waits=node["waits"],
        level_mean=(node["level_us"] + node["level"] * np.int64(until_us)) / horizon_us,
        energy_j=np.einsum("rns,ns->r", state_time, power_by_state(model)),
        deadlocked=np.asarray(stuck.any(axis=1)),
        stuck=stuck,
        events=rep["events"],
        sunk_per_interval=state.sunk_interval.numpy().astype(np.int64),
        wip_per_interval=_wip_per_interval(state, plan, inside, until_us),
        paths=flow_paths(model),
        moved=_moved(model, node, state),
    )


def _moved(model: FactoryModel, node: np.ndarray, state: Any) -> np.ndarray:
    """Items by path, int64 [R,P]: counted where a node has several goals; else all that left it and were not scrapped there."""
    counted, out, at = state.moved.numpy(), [], 0
    for i, model_node in enumerate(model.nodes):
        goals = downstream(model, i)
        if len(goals) == 1:
            kept = model_node.kind != NodeKind.STATION or leads_defective_away(model, model_node)
            out.append(node["left"][:, i] - (0 if kept else node["defective"][:, i]))
        elif goals:
            out += [counted[:, at + g] for g in range(len(goals))]
            at += len(goals)
    return np.stack(out, axis=1).astype(np.int64) if out else np.zeros((len(node), 0), np.int64)


def _wip_per_interval(state: Any, plan: Plan, inside: np.ndarray, until_us: int) -> np.ndarray:
    """Mean pieces inside by interval, float64 [R,T].

    A piece that comes or goes adds what it changes up to the end of its interval; from there on it counts in full.
    """
    begins = np.arange(plan.intervals) * plan.interval_us
    ends = begins + plan.interval_us
    net = state.net_interval.numpy()
    area = state.pieces_interval.numpy() + (np.cumsum(net, axis=1) - net) * plan.interval_us
    beyond = np.clip(ends - until_us, 0, plan.interval_us)  # intervals are cut at the run's end
    return (area - inside[:, None] * beyond) / np.maximum(plan.interval_us - beyond, 1)
