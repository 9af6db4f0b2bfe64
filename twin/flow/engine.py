"""Running the line engine: blocks of replications, slices of time, threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

import numpy as np
import warp as wp

from twin.core.errors import InputError, WorkError
from twin.core.findings import Finding
from twin.flow import kernel, places
from twin.flow.places import Random
from twin.flow.result import FlowResult, histogram_quantile
from twin.flow.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, allocate_state, bytes_per_replication
from twin.flow.tables import (
    MAX_JOINS,
    UNLIMITED_ITEMS,
    downstream,
    flow_paths,
    leads_defective_away,
    upload_tables,
    upstream,
)
from twin.model.factory import FactoryModel, Node, NodeKind
from twin.model.shifts import WEEK_US, switch_times
from twin.process.device import resolve_device
from twin.process.tables import upload_distributions

BLOCK_BYTES = 256 << 20
"""Memory that one block of replications may take on the device."""
MAX_BLOCK = 1 << 16
SLICES = 20
"""Time slices of a block: how often progress is told and a cancel is heard."""
UNLIMITED_MAX = UNLIMITED_ITEMS * 4**5


class Cancelled(WorkError):
    """The caller cancelled the run."""


def flow_findings(model: FactoryModel) -> list[Finding]:
    """What of the model the line engine does not simulate, or cannot run."""
    out = []
    for node in model.nodes:
        if node.kind == NodeKind.FLEET:
            out.append(Finding("error", node.path, "not-simulated", "fleets are not simulated by the line engine yet"))
        if node.kind == NodeKind.CONVEYOR and node.speed <= 0.0:
            out.append(Finding("error", node.path, "no-speed", "twin:conveyor:speed must be above 0"))
        if node.kind == NodeKind.STATION:
            out += _people_findings(model, node) + _join_findings(model, node)
    if not any(n.kind == NodeKind.SOURCE for n in model.nodes):
        out.append(Finding("error", "/", "no-source", "the line has no source"))
    for shift in model.shifts:
        try:
            switch_times(shift.patterns)
        except ValueError as error:
            out.append(Finding("error", shift.path, "bad-pattern", str(error)))
    return out


def _people_findings(model: FactoryModel, node: Node) -> list[Finding]:
    """A crew too small for what is asked of it would never start."""
    out = []
    for attribute, crew, people in (("crew", node.crew, node.crew_size), ("repairCrew", node.repair_crew, 1)):
        if crew >= 0 and model.crews[crew].size < people:
            text = f"twin:station:{attribute} needs {people} people, {model.crews[crew].path} has {model.crews[crew].size}"
            out.append(Finding("error", node.path, "crew-too-small", text))
    if node.crew >= 0 and node.crew_size == 0:
        text = "twin:station:crewSize is 0: the crew named does nothing here"
        out.append(Finding("warning", node.path, "crew-without-size", text))
    return out


def _join_findings(model: FactoryModel, node: Node) -> list[Finding]:
    if not node.joins:
        return []
    ahead = upstream(model, model.nodes.index(node))
    out = []
    for i in node.joins:
        if i not in ahead:
            text = f"twin:station:joins names {model.nodes[i].path}, from which nothing comes"
            out.append(Finding("error", node.path, "nothing-to-join", text))
    for i in ahead:
        if i not in node.joins:
            text = f"{model.nodes[i].path} leads here but twin:station:joins does not name it: its items are never taken"
            out.append(Finding("error", node.path, "not-joined", text))
    if len(node.joins) > MAX_JOINS or len(set(node.joins)) < len(node.joins):
        text = f"twin:station:joins names {len(node.joins)} nodes: up to {MAX_JOINS}, each once, can be joined"
        out.append(Finding("error", node.path, "too-many-joins", text))
    return out


def simulate(
    model: FactoryModel,
    *,
    horizon_s: float,
    warmup_s: float = 0.0,
    begin_s: float = 0.0,
    seed: int = 1,
    first_replication: int = 0,
    replications: int,
    device: str = "cpu",
    threads: int | None = None,
    intervals: int = 60,
    progress: Callable[[float], None] | None = None,
    cancel: Event | None = None,
) -> FlowResult:
    """Run independent replications of a line from empty.

    Args:
        horizon_s: Measured time after the warm-up [s]. warmup_s: time before it [s].
        begin_s: Time 0 of the run, counted from a Monday's midnight [s]: where calendars begin.
        seed: Key of all draws. first_replication: number of the first replication; its draws depend on nothing else.
        threads: CPU threads (default: all cores); ignored on a GPU.
        intervals: Bins of the time series over warm-up and horizon.
        progress: Called with the finished share, 0 to 1, from any thread.
        cancel: When set, the run ends with ``Cancelled``.

    Raises:
        InputError: The model holds something that this engine does not simulate, or nothing to simulate.
        WorkError: The line runs in circles without time passing, or a buffer without a limit outgrows memory.
    """
    for finding in flow_findings(model):
        if finding.severity == "error":
            raise InputError(finding.message, prim=finding.path)
    if horizon_s <= 0.0 or replications < 1 or intervals < 1:
        raise InputError("horizon, replications and intervals must be above 0", attribute="run")
    target = resolve_device(device)
    total_us = round((warmup_s + horizon_s) * 1e6)
    interval_us = max(-(-total_us // intervals), 1)
    run = _Run(
        model,
        target,
        seed=seed,
        first_replication=first_replication,
        begin_us=round(begin_s * 1e6) % WEEK_US,
        warmup_us=round(warmup_s * 1e6),
        total_us=total_us,
        intervals=intervals,
        interval_us=interval_us,
        cancel=cancel,
    )
    workers = 1 if target.is_cuda else max(threads or os.cpu_count() or 1, 1)
    size = int(np.clip(BLOCK_BYTES // max(run.bytes_per_replication(UNLIMITED_ITEMS), 1), 1, MAX_BLOCK))
    if not target.is_cuda:
        size = min(size, max(-(-replications // (workers * 2)), 8))
    blocks = [(at, min(size, replications - at)) for at in range(0, replications, size)]
    done, lock = 0.0, Lock()

    def told(replications_done: float) -> None:
        nonlocal done
        with lock:
            done += replications_done
        if progress is not None:
            progress(min(done / replications, 1.0))

    with ThreadPoolExecutor(max_workers=min(workers, len(blocks))) as pool:
        futures = [pool.submit(run.block, at, count, told) for at, count in blocks]
        try:
            return FlowResult.concatenate([f.result() for f in futures])
        except BaseException:
            run.stop.set()
            raise


class _Run:
    """One call of ``simulate``: what all its blocks share."""

    def __init__(
        self,
        model: FactoryModel,
        device: wp.Device,
        *,
        seed: int,
        first_replication: int,
        begin_us: int,
        warmup_us: int,
        total_us: int,
        intervals: int,
        interval_us: int,
        cancel: Event | None,
    ) -> None:
        self.model, self.device = model, device
        self.first_replication = first_replication
        self.begin_us, self.warmup_us, self.total_us = begin_us, warmup_us, total_us
        self.intervals, self.interval_us = intervals, interval_us
        self.cancel = cancel
        self.stop = Event()
        self.seed = seed
        self.distributions = upload_distributions(model.distributions, device)
        self.tables: dict[int, Any] = {}
        self._lock = Lock()

    def tables_for(self, unlimited: int) -> Any:
        with self._lock:
            if unlimited not in self.tables:
                self.tables[unlimited] = upload_tables(
                    self.model,
                    intervals=self.intervals,
                    interval_us=self.interval_us,
                    begin_us=self.begin_us,
                    unlimited=unlimited,
                    device=self.device,
                )
            return self.tables[unlimited]

    def bytes_per_replication(self, unlimited: int) -> int:
        return bytes_per_replication(self.tables_for(unlimited))

    def block(self, at: int, count: int, told: Callable[[float], None]) -> FlowResult:
        """Replications ``at`` to ``at + count``; a block whose unlimited buffers overflow is run again with more room."""
        unlimited = UNLIMITED_ITEMS
        while True:
            state = self._attempt(at, count, unlimited, told)
            flags = state.rep.numpy()["flags"]
            if not (flags & int(places.OVERFLOW)).any():
                break
            told(-count)
            unlimited *= 4
            if unlimited > UNLIMITED_MAX:
                paths = [n.path for n in self.model.nodes if n.kind == NodeKind.BUFFER and n.capacity < 0]
                raise WorkError(
                    f"more than {UNLIMITED_MAX:,} items pile up in a buffer without a limit: "
                    "the line cannot keep up with its sources",
                    prim=", ".join(paths) or None,
                )
        if (flags & int(places.LIVELOCK)).any():
            raise WorkError("items run in circles without time passing: give a station a cycle time or a conveyor a length")
        return self._result(state, flags)

    def _attempt(self, at: int, count: int, unlimited: int, told: Callable[[float], None]) -> Any:
        tables = self.tables_for(unlimited)
        state = allocate_state(tables, count, self.device)
        random = Random()
        random.table = self.distributions
        random.seed = self.seed
        random.first_replication = self.first_replication + at
        ends = [self.warmup_us] if self.warmup_us else []
        ends += [self.warmup_us + (self.total_us - self.warmup_us) * (i + 1) // SLICES for i in range(SLICES)]
        for end in ends:
            if self.stop.is_set() or (self.cancel is not None and self.cancel.is_set()):
                raise Cancelled("cancelled")
            wp.launch(kernel.advance, count, [tables, random, end, int(end == ends[0]), state], device=self.device)
            if end == self.warmup_us:
                wp.launch(kernel.forget_warm_up, count, [tables, state], device=self.device)
            if self.device.is_cuda:
                wp.synchronize_device(self.device)
            told(count / len(ends))
        wp.launch(kernel.count_inside, count, [tables, state], device=self.device)
        return state

    def _result(self, state: Any, flags: np.ndarray) -> FlowResult:
        n = len(self.model.nodes)
        horizon_us = self.total_us - self.warmup_us
        rep, node = state.rep.numpy(), state.node.numpy()[:, :n]
        state_us, lead_hist = state.state_us.numpy()[:, :n], state.lead_hist.numpy()
        places_without_slots = [k for k, m in enumerate(self.model.nodes) if m.kind in (NodeKind.ROUTER, NodeKind.SINK)]
        state_us[:, places_without_slots, 0] = horizon_us
        servers = np.array([m.servers if m.kind == NodeKind.STATION else 1 for m in self.model.nodes], float)
        state_time = state_us * 1e-6 / servers[None, :, None]
        # power: idle, busy, blocked, setup, down -> NodeState order working, setup, blocked, starved, waitingCrew, down, off
        power = np.array([(busy, setup, blocked, idle, idle, down, 0.0) for idle, busy, blocked, setup, down in
                          (m.power for m in self.model.nodes)]).reshape(n, 7)  # fmt: skip
        leads = lead_hist.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            lead_mean = np.where(leads > 0, rep["lead_us"] / np.maximum(leads, 1) * 1e-6, np.nan)
        edges = np.geomspace(LEAD_MIN_S, LEAD_MAX_S, LEAD_BINS + 1)
        inside = rep["spawned"] - rep["sunk"] - rep["scrapped"]
        return FlowResult(
            nodes=[node.path for node in self.model.nodes],
            horizon_s=horizon_us * 1e-6,
            warmup_s=self.warmup_us * 1e-6,
            interval_s=self.interval_us * 1e-6,
            spawned=rep["spawned"],
            sunk=rep["sunk"],
            scrapped=rep["scrapped"],
            inside=rep["inside"],
            sunk_measured=rep["sunk_measured"],
            lead_mean_s=lead_mean,
            lead_p95_s=histogram_quantile(lead_hist, edges, 0.95),
            lead_hist=lead_hist,
            wip_mean=(rep["pieces_us"] + inside * self.total_us) / horizon_us,
            state_time_s=state_time,
            node_in=node["entered"],
            node_out=node["left"],
            node_defective=node["defective"],
            node_waits=node["waits"],
            level_mean=(node["level_us"] + node["level"] * np.int64(self.total_us)) / horizon_us,
            energy_j=np.einsum("rns,ns->r", state_time, power),
            deadlocked=(flags & int(places.DEADLOCK)) != 0,
            events=rep["events"],
            sunk_per_interval=state.sunk_interval.numpy().astype(np.int64),
            wip_per_interval=self._wip_per_interval(state, inside),
            paths=flow_paths(self.model),
            moved=self._moved(node, state),
        )

    def _moved(self, node: np.ndarray, state: Any) -> np.ndarray:
        """Items by path, int64 [R,P]: counted where a node has several goals; else all that left it and were not scrapped
        there."""
        counted, out, at = state.moved.numpy(), [], 0
        for i, model_node in enumerate(self.model.nodes):
            goals = downstream(self.model, i)
            if len(goals) == 1:
                kept = model_node.kind != NodeKind.STATION or leads_defective_away(self.model, model_node)
                out.append(node["left"][:, i] - (0 if kept else node["defective"][:, i]))
            elif goals:
                out += [counted[:, at + g] for g in range(len(goals))]
                at += len(goals)
        return np.stack(out, axis=1).astype(np.int64) if out else np.zeros((len(node), 0), np.int64)

    def _wip_per_interval(self, state: Any, inside: np.ndarray) -> np.ndarray:
        """Mean pieces inside by interval, float64 [R,T].

        A piece that comes or goes adds what it changes up to the end of its interval; from there on it counts in full.
        """
        begins = np.arange(self.intervals) * self.interval_us
        ends = begins + self.interval_us
        net = state.net_interval.numpy()
        area = state.pieces_interval.numpy() + (np.cumsum(net, axis=1) - net) * self.interval_us
        beyond = np.clip(ends - self.total_us, 0, self.interval_us)  # intervals are cut at the run's end
        return (area - inside[:, None] * beyond) / np.maximum(self.interval_us - beyond, 1)
