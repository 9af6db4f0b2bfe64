"""Replications of a line that are advanced step by step: what ``simulate`` does in blocks, and what snapshots are taken of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp

from twin.core.errors import InputError, WorkError
from twin.flow import beginnings, kernel, places
from twin.flow.places import Random
from twin.flow.result import FlowResult, result_of
from twin.flow.start import LineState, Snapshot, layout_of
from twin.flow.state import STATE_ARRAYS, allocate_state, bytes_per_replication
from twin.flow.tables import UNLIMITED_ITEMS, tables_hash, upload_tables
from twin.model.factory import FactoryModel
from twin.model.shifts import WEEK_US
from twin.process.device import CUDA_BLOCK, resolve_device
from twin.process.tables import upload_distributions

Start = LineState | Snapshot | None
"""From where a run begins: found, kept, or (None) empty."""
_SERIES = ("sunk_interval", "net_interval", "pieces_interval")


@dataclass(frozen=True)
class Plan:
    """What all replications of a run share.

    Attributes:
        seed: Key of all draws. begin_us: time 0, counted from a Monday's midnight [us].
        total_us: Length of the time series [us], in ``intervals`` bins. unlimited: item places of an unlimited buffer.
    """

    seed: int
    begin_us: int
    total_us: int
    intervals: int
    unlimited: int = UNLIMITED_ITEMS

    @property
    def interval_us(self) -> int:
        return max(-(-self.total_us // self.intervals), 1)


class Overflow(WorkError):
    """More items pile up in a buffer without a limit than there are places for."""


class LineRun:
    """Replications ``first`` to ``first + count`` of a line.

    Args:
        start: Where they begin. A ``Snapshot`` of one replication makes each a future of its own, its pending times drawn anew;
            its model may differ in numbers, not in nodes.
        tables: Device tables of the model and plan, where they are shared.

    Raises:
        InputError: The start does not fit the model.
    """

    def __init__(
        self,
        model: FactoryModel,
        plan: Plan,
        *,
        count: int,
        first: int = 0,
        start: Start = None,
        device: str | wp.Device = "cpu",
        tables: Any = None,
        distributions: Any = None,
    ) -> None:
        self.model, self.plan, self.count, self.first = model, plan, count, first
        self.device = resolve_device(device) if isinstance(device, str) else device
        self.tables = tables_of(model, plan, self.device) if tables is None else tables
        self._random: Any = Random()
        self._random.table = upload_distributions(model.distributions, self.device) if distributions is None else distributions
        self._random.seed = plan.seed
        self._random.first_replication = first
        self.state = allocate_state(self.tables, count, self.device)
        self.time_us, self.measured_from_us = 0, 0
        self._begun = False
        if isinstance(start, LineState):
            self._launch(beginnings.begin_from, [self.tables, self._random, *start.arrays(model, self.device), self.state])
            self._begun = True
        elif isinstance(start, Snapshot):
            self._fork(start)

    def advance(self, until_us: int) -> None:
        """All events up to and including ``until_us``.

        Raises:
            Overflow: A buffer without a limit has more items than there are places for.
            WorkError: Items run in circles without time passing.
        """
        self._launch(kernel.advance, [self.tables, self._random, until_us, int(not self._begun), self.state])
        self._begun = True
        self.time_us = until_us
        flags = self.state.rep.numpy()["flags"]
        if (flags & int(places.OVERFLOW)).any():
            raise Overflow(f"more than {self.plan.unlimited:,} items pile up")
        if (flags & int(places.LIVELOCK)).any():
            raise WorkError("items run in circles without time passing: give a station a cycle time or a conveyor a length")

    def next_us(self) -> int:
        """When something happens next in any of them [us]."""
        return int(self.state.due.numpy().min())

    def measure(self) -> None:
        """Statistics of the horizon begin here; the line goes on as it is."""
        self._launch(kernel.forget_warm_up, [self.tables, self.state])
        self.measured_from_us = self.time_us

    def result(self) -> FlowResult:
        """What was measured so far."""
        self._launch(kernel.take_stock, [self.tables, self.state])
        return result_of(self.model, self.state, self.plan, self.measured_from_us, self.time_us)

    # ---- snapshots

    def snapshot(self, replication: int | None = None) -> Snapshot:
        """The state as it stands, of all replications or of one of them (by its number)."""
        rows = slice(None) if replication is None else slice(replication - self.first, replication - self.first + 1)
        arrays = {name: getattr(self.state, name).numpy()[rows].copy() for name in STATE_ARRAYS}
        settings = {
            "tables": tables_hash(self.model),
            "layout": layout_of(self.model),
            "measured_from_us": self.measured_from_us,
            "first": self.first if replication is None else replication,
            "crews": [crew.size for crew in self.model.crews],
            **{name: getattr(self.plan, name) for name in ("seed", "begin_us", "total_us", "intervals", "unlimited")},
        }
        return Snapshot(self.time_us, settings, arrays)

    @classmethod
    def restore(cls, model: FactoryModel, snapshot: Snapshot, *, device: str = "cpu") -> LineRun:
        """Go on bit for bit from a snapshot of the same model.

        Raises:
            InputError: The model is not the one that the snapshot was taken of.
        """
        settings = snapshot.settings
        if settings["tables"] != tables_hash(model):
            raise InputError("the snapshot was taken of another line, or by another version: fork it, or run it again")
        plan = Plan(**{name: settings[name] for name in ("seed", "begin_us", "total_us", "intervals", "unlimited")})
        run = cls(model, plan, count=snapshot.replications, first=settings["first"], device=device)
        for name, (_, dtype) in STATE_ARRAYS.items():
            setattr(run.state, name, wp.array(snapshot.arrays[name], dtype=dtype, device=run.device))
        run.time_us, run.measured_from_us, run._begun = snapshot.time_us, settings["measured_from_us"], True
        return run

    def _fork(self, snapshot: Snapshot) -> None:
        if snapshot.settings["layout"] != layout_of(self.model):
            raise InputError("the snapshot was taken of a line with other nodes: futures can differ in numbers only")
        if snapshot.replications != 1:
            raise InputError(f"futures begin from one replication; the snapshot has {snapshot.replications}")
        if snapshot.settings["begin_us"] != self.plan.begin_us:
            raise InputError("the snapshot was taken of a run that begins at another time of the week")
        sizes = [crew.size for crew in self.model.crews]
        if len(sizes) != len(snapshot.settings["crews"]):
            raise InputError("the snapshot was taken of a line with other crews: futures can differ in numbers only")
        for name, (_, dtype) in STATE_ARRAYS.items():
            kept, now = snapshot.arrays[name][0], getattr(self.state, name).numpy()[0]
            if name == "item":
                kept = _with_room(kept, len(now), snapshot.arrays["rep"][0])
            elif name in _SERIES:
                kept = np.zeros_like(now)
            elif name == "crew_free" and sizes:
                kept = kept + np.array(sizes, np.int32) - np.array(snapshot.settings["crews"], np.int32)
            elif name == "node":
                kept = kept.copy()
                kept["drawn"] = 0  # the uniforms drawn ahead are those of another replication
            setattr(self.state, name, wp.array(np.repeat(kept[None], self.count, axis=0), dtype=dtype, device=self.device))
        self.time_us, self._begun = snapshot.time_us, True
        self._restart_series()
        self._launch(beginnings.redraw_pending, [self.tables, self._random, self.state])

    def _restart_series(self) -> None:
        """Bins of this run's own: what is inside counts as if it had been there since time 0."""
        rep = self.state.rep.numpy()
        inside = (rep["spawned"] - rep["sunk"] - rep["scrapped"])[:, 0]
        width = self.plan.interval_us
        rep["bin"] = min(self.time_us // width, self.plan.intervals - 1)
        rep["bin_end"] = (rep["bin"].astype(np.int64) + 1) * width
        net = self.state.net_interval.numpy()
        net[:, 0] = inside
        self.state.net_interval.assign(net)
        self.state.pieces_interval.assign(net * width)
        self.state.rep.assign(rep)

    def _launch(self, what: Any, arguments: list[Any]) -> None:
        wp.launch(what, self.count, arguments, device=self.device, block_dim=CUDA_BLOCK)
        if self.device.is_cuda:
            wp.synchronize_device(self.device)


def tables_of(model: FactoryModel, plan: Plan, device: wp.Device) -> Any:
    """Device tables of a model under a plan."""
    return upload_tables(
        model,
        intervals=plan.intervals,
        interval_us=plan.interval_us,
        begin_us=plan.begin_us % WEEK_US,
        unlimited=plan.unlimited,
        device=device,
    )


def memory_per_replication(model: FactoryModel) -> int:
    """State of one replication [bytes]: what a run takes, times its replications. Bounded by the line, whatever the horizon;
    a buffer without a limit begins with places for 256 items and grows fourfold when they are used up."""
    plan = Plan(seed=1, begin_us=0, total_us=60, intervals=60)
    return bytes_per_replication(tables_of(model, plan, resolve_device("cpu")))


def _with_room(items: np.ndarray, places_now: int, rep: np.ndarray) -> np.ndarray:
    """The item pool of a replication with ``places_now`` places, the new ones ahead in the list of free ones."""
    if len(items) > places_now:
        raise InputError("the line has less room than the one that the snapshot was taken of")
    out = np.zeros(places_now, items.dtype)
    out[: len(items)] = items
    if places_now > len(items):
        new = np.arange(len(items), places_now)
        out["next"][new] = np.append(new[1:], rep["free_item"][0])
        rep["free_item"][0] = len(items)
    return out
