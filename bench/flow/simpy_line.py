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


def run_line(
    seed: int, stations: int, buffer: int, *, cycle_s: float, uptime_s: float, repair_s: float, horizon_s: float
) -> tuple[int, int]:
    """One replication from empty: cycles completed by all stations, and by the last one."""
    environment, generator = simpy.Environment(), random.Random(seed)
    stores = [simpy.Store(environment, capacity=buffer) for _ in range(stations - 1)]
    line = [
        Station(
            environment, generator, before, after, cycle_s=cycle_s, uptime_s=uptime_s, repair_s=repair_s
        )
        for before, after in zip([None, *stores], [*stores, None], strict=True)
    ]  # fmt: skip
    environment.run(until=horizon_s)
    return sum(station.cycles for station in line), line[-1].cycles
