"""One replication looked at event by event: what every place was doing, and how full it was, over a window of time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twin.core.errors import WorkError
from twin.flow.run import LineRun, Overflow, Plan
from twin.flow.start import LineState
from twin.flow.tables import UNLIMITED_ITEMS
from twin.model.factory import FactoryModel
from twin.model.shifts import WEEK_US
from twin.process.nodes import S_DOWN, S_UNATTENDED

UNLIMITED_MAX = UNLIMITED_ITEMS * 4**3


@dataclass
class Trace:
    """What happened in one replication between ``begin_s`` and ``end_s`` (seconds since its time 0, warm-up included).

    Attributes:
        place_node: int [K] node index of each place (a server of a station; one for a source, buffer or conveyor).
        place: int [B] place of each stretch; state: int [B] its NodeState; stretch_s: float64 [B,2] from and to [s]. Stretches
            of a place follow one another without gaps.
        level_node: int [C] node whose level changes; level_s: float64 [C] when [s]; level: int [C] items inside from then on.
            Each node's first entry is at ``begin_s``.
        replication: Its number. complete: the window was not cut because too much happened.
    """

    begin_s: float
    end_s: float
    place_node: np.ndarray
    place: np.ndarray
    state: np.ndarray
    stretch_s: np.ndarray
    level_node: np.ndarray
    level_s: np.ndarray
    level: np.ndarray
    replication: int
    complete: bool


def trace(
    model: FactoryModel,
    *,
    from_s: float,
    span_s: float,
    warmup_s: float = 0.0,
    begin_s: float = 0.0,
    seed: int = 1,
    replication: int = 0,
    start: LineState | None = None,
    most_moments: int = 4000,
    device: str = "cpu",
) -> Trace:
    """Run one replication from empty to ``from_s`` [s], then from event to event for ``span_s`` [s].

    It is the same replication that ``simulate`` runs, and costs a launch for each moment at which something happens.

    Args:
        warmup_s: Warm-up of the run; only there so that slices end where those of ``simulate`` do.
        begin_s: Time 0 of the run, counted from a Monday's midnight [s]. replication: its number.
        start: The line at time 0; None: empty.
        most_moments: The window ends early after so many moments.

    Raises:
        WorkError: The line cannot be run.
    """
    from_us, end_us = round(from_s * 1e6), round((from_s + span_s) * 1e6)
    plan = Plan(seed=seed, begin_us=round(begin_s * 1e6) % WEEK_US, total_us=max(end_us, 1), intervals=1)
    while True:
        run = LineRun(model, plan, count=1, first=replication, start=start, device=device)
        try:
            run.advance(round(min(warmup_s, from_s) * 1e6))
            run.advance(from_us)
            log = _Log(run.tables, run.state, from_us)
            moment, moments = from_us, 0
            while moment < end_us and moments < most_moments:
                moment, moments = min(run.next_us(), end_us), moments + 1
                run.advance(moment)
                log.look(moment)
        except Overflow as error:
            plan = replace(plan, unlimited=plan.unlimited * 4)
            if plan.unlimited > UNLIMITED_MAX:
                raise WorkError("a buffer without a limit outgrows memory") from error
        else:
            return log.trace(moment, replication, complete=moment >= end_us)


class _Log:
    """Collects what changed from one moment to the next."""

    def __init__(self, tables: Any, state: Any, from_us: int) -> None:
        self._state, self._from_us = state, from_us
        self._slots, self._nodes = int(tables.slots), int(tables.nodes)
        self._slot_node = tables.slot_node.numpy()[: self._slots].copy()
        self._booked, self._level = self._read()
        self._since = np.full(self._slots, from_us, np.int64)
        self._stretches: list[tuple[int, int, int, int]] = []
        self._levels = [(n, from_us, int(v)) for n, v in enumerate(self._level)]

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        booked = self._state.slot.numpy()["booked"][0, : self._slots].copy()
        booked[booked == S_UNATTENDED] = S_DOWN
        return booked, self._state.node.numpy()["level"][0, : self._nodes].copy()

    def look(self, now_us: int) -> None:
        booked, level = self._read()
        for k in np.nonzero(booked != self._booked)[0]:
            self._close(int(k), now_us)
        self._levels += [(int(n), now_us, int(level[n])) for n in np.nonzero(level != self._level)[0]]
        self._booked, self._level = booked, level

    def _close(self, k: int, now_us: int) -> None:
        if now_us > self._since[k]:
            self._stretches.append((k, int(self._booked[k]), int(self._since[k]), now_us))
        self._since[k] = now_us

    def trace(self, end_us: int, replication: int, *, complete: bool) -> Trace:
        for k in range(self._slots):
            self._close(k, end_us)
        stretches = np.array(sorted(self._stretches, key=lambda s: (s[0], s[2])), np.int64).reshape(-1, 4)
        levels = np.array(self._levels, np.int64).reshape(-1, 3)
        return Trace(
            begin_s=self._from_us * 1e-6,
            end_s=end_us * 1e-6,
            place_node=self._slot_node,
            place=stretches[:, 0],
            state=stretches[:, 1],
            stretch_s=stretches[:, 2:] * 1e-6,
            level_node=levels[:, 0],
            level_s=levels[:, 1] * 1e-6,
            level=levels[:, 2],
            replication=replication,
            complete=complete,
        )
