"""Running the line engine: blocks of replications, slices of time, threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock
from typing import Any

import numpy as np
import warp as wp

from twin.core.cores import usable_cores
from twin.core.errors import InputError, WorkError
from twin.flow.findings import flow_findings
from twin.flow.result import FlowResult
from twin.flow.run import LineRun, Overflow, Plan, Start, tables_of
from twin.flow.start import Snapshot
from twin.flow.state import bytes_per_replication
from twin.flow.tables import UNLIMITED_ITEMS
from twin.model.factory import FactoryModel, NodeKind
from twin.model.shifts import WEEK_US
from twin.process.device import resolve_device
from twin.process.tables import upload_distributions

BLOCK_BYTES = 256 << 20
"""Memory that one block of replications may take on a CPU."""
CUDA_SHARE = 4
"""A block may take this part of what a GPU has free: all its cores are busy with one block, the more of them the larger it is."""
MAX_BLOCK = 1 << 16
SLICES = 20
"""Time slices of a block: how often progress is told and a cancel is heard."""
UNLIMITED_MAX = UNLIMITED_ITEMS * 4**5


class Cancelled(WorkError):
    """The caller cancelled the run."""


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
    start: Start = None,
) -> FlowResult:
    """Run independent replications of a line.

    Args:
        horizon_s: Measured time after the warm-up [s]. warmup_s: time before it [s].
        begin_s: Time 0 of the run, counted from a Monday's midnight [s]: where calendars begin.
        seed: Key of all draws. first_replication: number of the first replication; its draws depend on nothing else.
        threads: CPU threads (default: all cores); ignored on a GPU.
        intervals: Bins of the time series over warm-up and horizon.
        progress: Called with the finished share, 0 to 1, from any thread.
        cancel: When set, the run ends with ``Cancelled``.
        start: Where they begin: None an empty line; a ``LineState`` a line as it was found; a ``Snapshot`` of one replication:
            the replications are its futures, warm-up and horizon count from its moment on.

    Raises:
        InputError: The model holds something that this engine does not simulate, nothing to simulate, or not what ``start``
            says.
        WorkError: The line runs in circles without time passing, or a buffer without a limit outgrows memory.
    """
    for finding in flow_findings(model):
        if finding.severity == "error":
            raise InputError(finding.message, prim=finding.path)
    if horizon_s <= 0.0 or replications < 1 or intervals < 1:
        raise InputError("horizon, replications and intervals must be above 0", attribute="run")
    target = resolve_device(device)
    since_us = start.time_us if isinstance(start, Snapshot) else 0
    plan = Plan(
        seed=seed,
        begin_us=round(begin_s * 1e6) % WEEK_US,
        total_us=since_us + round((warmup_s + horizon_s) * 1e6),
        intervals=intervals,
    )
    if isinstance(start, Snapshot):
        plan = replace(plan, unlimited=max(plan.unlimited, start.settings["unlimited"]))
    run = _Run(model, target, plan, first=first_replication, warmup_us=round(warmup_s * 1e6), start=start, cancel=cancel)
    workers = 1 if target.is_cuda else max(threads or usable_cores(), 1)
    room = target.free_memory // CUDA_SHARE if target.is_cuda else BLOCK_BYTES
    size = int(np.clip(room // max(bytes_per_replication(run.tables_for(plan)), 1), 1, MAX_BLOCK))
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
        plan: Plan,
        *,
        first: int,
        warmup_us: int,
        start: Start,
        cancel: Event | None,
    ) -> None:
        self.model, self.device, self.plan, self.first = model, device, plan, first
        self.warmup_us, self.start = warmup_us, start
        self.cancel = cancel
        self.stop = Event()
        self.distributions = upload_distributions(model.distributions, device)
        self._tables: dict[int, Any] = {}
        self._lock = Lock()

    def tables_for(self, plan: Plan) -> Any:
        with self._lock:
            if plan.unlimited not in self._tables:
                self._tables[plan.unlimited] = tables_of(self.model, plan, self.device)
            return self._tables[plan.unlimited]

    def block(self, at: int, count: int, told: Callable[[float], None]) -> FlowResult:
        """Replications ``at`` to ``at + count``; a block whose unlimited buffers overflow is run again with more room."""
        plan, told_so_far = self.plan, [0.0]

        def tell(share: float) -> None:
            told_so_far[0] += share * count
            told(share * count)

        while True:
            try:
                return self._attempt(plan, at, count, tell)
            except Overflow as error:
                told(-told_so_far[0])
                told_so_far[0] = 0.0
                plan = replace(plan, unlimited=plan.unlimited * 4)
                if plan.unlimited > UNLIMITED_MAX:
                    paths = [n.path for n in self.model.nodes if n.kind == NodeKind.BUFFER and n.capacity < 0]
                    raise WorkError(
                        f"more than {UNLIMITED_MAX:,} items pile up in a buffer without a limit: "
                        "the line cannot keep up with its sources",
                        prim=", ".join(paths) or None,
                    ) from error

    def _attempt(self, plan: Plan, at: int, count: int, tell: Callable[[float], None]) -> FlowResult:
        run = LineRun(
            self.model,
            plan,
            count=count,
            first=self.first + at,
            start=self.start,
            device=self.device,
            tables=self.tables_for(plan),
            distributions=self.distributions,
        )
        begin = run.time_us
        measured = begin + self.warmup_us
        ends = [measured] if self.warmup_us or begin else []
        ends += [measured + (plan.total_us - measured) * (i + 1) // SLICES for i in range(SLICES)]
        for end in ends:
            if self.stop.is_set() or (self.cancel is not None and self.cancel.is_set()):
                raise Cancelled("cancelled")
            run.advance(end)
            if end == measured:
                run.measure()
            tell(1.0 / len(ends))
        return run.result()
