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
from twin.flow import kernel
from twin.flow.result import FlowResult, histogram_quantile
from twin.flow.tables import (
    LEAD_BINS,
    LEAD_MAX_S,
    LEAD_MIN_S,
    UNLIMITED_ITEMS,
    allocate_state,
    bytes_per_replication,
    upload_tables,
)
from twin.model.factory import FactoryModel, NodeKind
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
        for attribute, used in (
            ("twin:station:crew", node.crew >= 0),
            ("twin:station:repairCrew", node.repair_crew >= 0),
            ("twin:node:shift", node.shift >= 0),
            ("twin:station:joins", bool(node.joins)),
        ):
            if used:
                out.append(Finding("error", node.path, "not-simulated", f"{attribute} is not simulated by the line engine yet"))
        if node.kind == NodeKind.FLEET:
            out.append(Finding("error", node.path, "not-simulated", "fleets are not simulated by the line engine yet"))
        if node.kind == NodeKind.CONVEYOR and node.speed <= 0.0:
            out.append(Finding("error", node.path, "no-speed", "twin:conveyor:speed must be above 0"))
    if not any(n.kind == NodeKind.SOURCE for n in model.nodes):
        out.append(Finding("error", "/", "no-source", "the line has no source"))
    return out


def simulate(
    model: FactoryModel,
    *,
    horizon_s: float,
    warmup_s: float = 0.0,
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
        raise InputError(finding.message, prim=finding.path)
    if horizon_s <= 0.0 or replications < 1 or intervals < 1:
        raise InputError("horizon, replications and intervals must be above 0", attribute="run")
    target = resolve_device(device)
    total_us = round((warmup_s + horizon_s) * 1e6)
    interval_us = max(-(-total_us // intervals), 1)
    run = _Run(model, target, seed, first_replication, round(warmup_s * 1e6), total_us, intervals, interval_us, cancel)
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
        seed: int,
        first_replication: int,
        warmup_us: int,
        total_us: int,
        intervals: int,
        interval_us: int,
        cancel: Event | None,
    ) -> None:
        self.model, self.device = model, device
        self.first_replication = first_replication
        self.warmup_us, self.total_us = warmup_us, total_us
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
                    self.model, intervals=self.intervals, interval_us=self.interval_us, unlimited=unlimited, device=self.device
                )
            return self.tables[unlimited]

    def bytes_per_replication(self, unlimited: int) -> int:
        return bytes_per_replication(self.tables_for(unlimited))

    def block(self, at: int, count: int, told: Callable[[float], None]) -> FlowResult:
        """Replications ``at`` to ``at + count``; a block whose unlimited buffers overflow is run again with more room."""
        unlimited = UNLIMITED_ITEMS
        while True:
            state = self._attempt(at, count, unlimited, told)
            flags = state.flags.numpy()
            if not (flags & int(kernel.OVERFLOW)).any():
                break
            told(-count)
            unlimited *= 4
            if unlimited > UNLIMITED_MAX:
                paths = [n.path for n in self.model.nodes if n.kind == NodeKind.BUFFER and n.capacity < 0]
                raise WorkError(
                    f"more than {UNLIMITED_MAX:,} items pile up in a buffer without a limit: the line is slower than its sources",
                    prim=", ".join(paths) or None,
                )
        if (flags & int(kernel.LIVELOCK)).any():
            raise WorkError("items run in circles without time passing: give a station a cycle time or a conveyor a length")
        return self._result(state, flags)

    def _attempt(self, at: int, count: int, unlimited: int, told: Callable[[float], None]) -> Any:
        tables = self.tables_for(unlimited)
        state = allocate_state(tables, count, self.device)
        random = kernel.Random()
        random.table = self.distributions
        random.seed = self.seed
        random.first_replication = self.first_replication + at
        wp.launch(kernel.begin_line, count, [tables, random, 0, state], device=self.device)
        ends = [self.warmup_us] if self.warmup_us else []
        ends += [self.warmup_us + (self.total_us - self.warmup_us) * (i + 1) // SLICES for i in range(SLICES)]
        for end in ends:
            if self.stop.is_set() or (self.cancel is not None and self.cancel.is_set()):
                raise Cancelled("cancelled")
            wp.launch(kernel.advance, count, [tables, random, 0, end, state], device=self.device)
            if end == self.warmup_us:
                wp.launch(kernel.forget_warm_up, count, [tables, 0, state], device=self.device)
            if self.device.is_cuda:
                wp.synchronize_device(self.device)
            told(count / len(ends))
        return state

    def _result(self, state: Any, flags: np.ndarray) -> FlowResult:
        s = {
            name: getattr(state, name).numpy()
            for name in ("spawned", "sunk", "scrapped", "sunk_measured", "lead_us", "lead_hist", "pieces_us", "state_us",
                         "entered", "left", "level_us", "events", "sunk_interval", "pieces_interval")
        }  # fmt: skip
        n = len(self.model.nodes)
        horizon_us = self.total_us - self.warmup_us
        servers = np.array([node.servers if node.kind == NodeKind.STATION else 1 for node in self.model.nodes], float)
        state_time = s["state_us"][:, :n] * 1e-6 / servers[None, :, None]
        # power: idle, busy, blocked, setup, down -> NodeState order working, setup, blocked, starved, waitingCrew, down, off
        power = np.array([(busy, setup, blocked, idle, idle, down, 0.0) for idle, busy, blocked, setup, down in
                          (node.power for node in self.model.nodes)]).reshape(n, 7)  # fmt: skip
        leads = s["lead_hist"].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            lead_mean = np.where(leads > 0, s["lead_us"] / np.maximum(leads, 1) * 1e-6, np.nan)
        edges = np.geomspace(LEAD_MIN_S, LEAD_MAX_S, LEAD_BINS + 1)
        widths = np.diff(np.minimum(np.arange(self.intervals + 1) * self.interval_us, self.total_us))
        return FlowResult(
            nodes=[node.path for node in self.model.nodes],
            horizon_s=horizon_us * 1e-6,
            warmup_s=self.warmup_us * 1e-6,
            interval_s=self.interval_us * 1e-6,
            spawned=s["spawned"],
            sunk=s["sunk"],
            scrapped=s["scrapped"],
            inside=s["spawned"] - s["sunk"] - s["scrapped"],
            sunk_measured=s["sunk_measured"],
            lead_mean_s=lead_mean,
            lead_p95_s=histogram_quantile(s["lead_hist"], edges, 0.95),
            lead_hist=s["lead_hist"],
            wip_mean=s["pieces_us"] / horizon_us,
            state_time_s=state_time,
            node_in=s["entered"][:, :n],
            node_out=s["left"][:, :n],
            level_mean=s["level_us"][:, :n] / horizon_us,
            energy_j=np.einsum("rns,ns->r", state_time, power),
            deadlocked=(flags & int(kernel.DEADLOCK)) != 0,
            events=s["events"],
            sunk_per_interval=s["sunk_interval"].astype(np.int64),
            wip_per_interval=s["pieces_interval"] / np.maximum(widths, 1),
        )
