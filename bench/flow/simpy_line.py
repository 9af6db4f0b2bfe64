"""A serial line in SimPy, written as its manual would: a process a station, a store a buffer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import simpy


class Station:
    """Takes a part, works on it, gives it on (blocked while there is no room); fails after some time of work."""

    def __init__(
        self,
        environment: simpy.Environment,
        generator: random.Random,
        before: simpy.Store | None,
        after: simpy.Store | None,
        *,
        cycle_s: float,
        uptime_s: float,
        repair_s: float,
    ) -> None:
        self.environment, self.generator = environment, generator
        self.before, self.after = before, after
        self.cycle_s, self.uptime_s, self.repair_s = cycle_s, uptime_s, repair_s
        self.cycles = 0
        environment.process(self.run())

    def run(self) -> Iterator[Any]:
        draw = self.generator.expovariate
        until_failure = draw(1.0 / self.uptime_s)
        while True:
            if self.before is not None:
                yield self.before.get()
            work = draw(1.0 / self.cycle_s)
            while work > until_failure:
                yield self.environment.timeout(until_failure)
                work -= until_failure
                yield self.environment.timeout(draw(1.0 / self.repair_s))
                until_failure = draw(1.0 / self.uptime_s)
            yield self.environment.timeout(work)
            until_failure -= work
            self.cycles += 1
            if self.after is not None:
                yield self.after.put(None)


class Watched(Station):
    """The same with what the line engine counts as well: time in each state, levels of buffers, pieces inside, lead times."""

    STATES = ("working", "blocked", "starved", "down")

    def __init__(self, *arguments: Any, watch: Watch, index: int, **options: Any) -> None:
        self.watch, self.index = watch, index
        self.times = dict.fromkeys(self.STATES, 0.0)
        super().__init__(*arguments, **options)

    def spend(self, state: str, since: float) -> float:
        now = self.environment.now
        self.times[state] += now - since
        return now

    def run(self) -> Iterator[Any]:
        draw, environment, watch = self.generator.expovariate, self.environment, self.watch
        until_failure = draw(1.0 / self.uptime_s)
        now = environment.now
        while True:
            if self.before is not None:
                piece = yield self.before.get()
                now = self.spend("starved", now)
                watch.level(self.index - 1, -1)
            else:
                piece = now
                watch.inside(1)
            work = draw(1.0 / self.cycle_s)
            while work > until_failure:
                yield environment.timeout(until_failure)
                now = self.spend("working", now)
                work -= until_failure
                yield environment.timeout(draw(1.0 / self.repair_s))
                now = self.spend("down", now)
                until_failure = draw(1.0 / self.uptime_s)
            yield environment.timeout(work)
            now = self.spend("working", now)
            until_failure -= work
            self.cycles += 1
            if self.after is not None:
                yield self.after.put(piece)
                now = self.spend("blocked", now)
                watch.level(self.index, 1)
            else:
                watch.inside(-1)
                watch.leads.append(now - piece)


class Watch:
    """Levels over time, and lead times."""

    def __init__(self, environment: simpy.Environment, buffers: int) -> None:
        self.environment = environment
        self.levels, self.areas, self.changed = [0] * buffers, [0.0] * buffers, [0.0] * buffers
        self.pieces, self.piece_area, self.piece_changed = 0, 0.0, 0.0
        self.leads: list[float] = []

    def level(self, buffer: int, change: int) -> None:
        now = self.environment.now
        self.areas[buffer] += self.levels[buffer] * (now - self.changed[buffer])
        self.levels[buffer] += change
        self.changed[buffer] = now

    def inside(self, change: int) -> None:
        now = self.environment.now
        self.piece_area += self.pieces * (now - self.piece_changed)
        self.pieces += change
        self.piece_changed = now


def run_line(
    seed: int,
    stations: int,
    buffer: int,
    *,
    cycle_s: float,
    uptime_s: float,
    repair_s: float,
    horizon_s: float,
    watched: bool = False,
) -> tuple[int, int]:
    """One replication from empty: cycles completed by all stations, and by the last one. ``watched``: with all statistics."""
    environment, generator = simpy.Environment(), random.Random(seed)
    stores = [simpy.Store(environment, capacity=buffer) for _ in range(stations - 1)]
    times = {"cycle_s": cycle_s, "uptime_s": uptime_s, "repair_s": repair_s}
    watch = Watch(environment, len(stores))
    line: list[Station] = [
        Watched(environment, generator, before, after, watch=watch, index=i, **times)
        if watched
        else Station(environment, generator, before, after, **times)
        for i, (before, after) in enumerate(zip([None, *stores], [*stores, None], strict=True))
    ]
    environment.run(until=horizon_s)
    return sum(station.cycles for station in line), line[-1].cycles
