"""The same line and the same cell in salabim, written as its manual would: a component a station, a store a buffer.

Components are generators, which is its faster way and SimPy's. Its monitors (lengths of queues, times in them, states of
components) are part of it: on the line they can be switched off for the stores.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import salabim

from bench.flow import lines
from bench.flow.cell import (
    ARRIVAL_S,
    BATTERY_S,
    CHARGE_S,
    CYCLE_S,
    DISTANCE_M,
    LOAD_S,
    MACHINES,
    SETUP_S,
    SPEED,
    UNLOAD_S,
    VEHICLES,
)


class Part(salabim.Component):  # type: ignore[misc]
    """What is worked on; it does nothing by itself."""

    def setup(self, kind: int) -> None:
        self.kind = kind


class Station(salabim.Component):  # type: ignore[misc]
    """Takes a part, works on it, gives it on; fails after some time of work."""

    def setup(self, generator: random.Random, before: Any, after: Any) -> None:
        self.generator, self.before, self.after, self.cycles = generator, before, after, 0

    def process(self) -> Iterator[Any]:
        draw = self.generator.expovariate
        until_failure = draw(1.0 / lines.UPTIME_S)
        while True:
            if self.before is None:
                part: Any = Part(kind=0)
            else:
                yield self.from_store(self.before)
                part = self.from_store_item()
            work = draw(1.0 / lines.CYCLE_S)
            while work > until_failure:
                yield self.hold(until_failure)
                work -= until_failure
                yield self.hold(draw(1.0 / lines.REPAIR_S))
                until_failure = draw(1.0 / lines.UPTIME_S)
            yield self.hold(work)
            until_failure -= work
            self.cycles += 1
            if self.after is not None:
                yield self.to_store(self.after, part)


def line_in_salabim(seed: int, *, horizon_s: float, watched: bool) -> tuple[int, int]:
    """One replication from empty: cycles completed by all stations, and by the last one."""
    environment, generator = salabim.Environment(trace=False, yieldless=False), random.Random(seed)
    stores = [salabim.Store(f"B{i}", capacity=lines.BUFFER, monitor=watched) for i in range(lines.STATIONS - 1)]
    ends = [None, *stores, None]
    stations = [Station(f"M{i}", generator=generator, before=ends[i], after=ends[i + 1]) for i in range(lines.STATIONS)]
    environment.run(duration=horizon_s)
    return sum(station.cycles for station in stations), stations[-1].cycles


class Cell:
    """What the components of a cell share."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.environment = salabim.Environment(trace=False, yieldless=False)
        self.operator = salabim.Resource("operator", capacity=1)
        self.queues = [salabim.Store(f"Q{name}") for name in MACHINES]
        self.waiting: deque[int] = deque()
        self.parts = 0
        self.vehicles = [Vehicle(f"vehicle{i}", shared=self) for i in range(VEHICLES)]
        for machine in range(len(MACHINES)):
            Machine(MACHINES[machine], shared=self, machine=machine)
        Arrivals("arrivals", shared=self)

    def dispatch(self) -> None:
        idle = [v for v in self.vehicles if v.free]
        while self.waiting and idle:
            nearest = min(idle, key=lambda v: v.way_s)
            idle.remove(nearest)
            nearest.free, nearest.kind = False, self.waiting.popleft()
            nearest.activate()


class Arrivals(salabim.Component):  # type: ignore[misc]
    """Blanks come to the store, and ask for a vehicle."""

    def setup(self, shared: Cell) -> None:
        self.shared = shared

    def process(self) -> Iterator[Any]:
        while True:
            yield self.hold(self.shared.random.expovariate(1.0 / ARRIVAL_S))
            self.shared.waiting.append(self.shared.random.randrange(2))
            self.shared.dispatch()


class Vehicle(salabim.Component):  # type: ignore[misc]
    """Fetches, carries, unloads, and charges once its battery is used up."""

    def setup(self, shared: Cell) -> None:
        self.shared, self.free, self.kind, self.way_s, self.used_s = shared, True, 0, 0.0, 0.0

    def process(self) -> Iterator[Any]:
        shared = self.shared
        while True:
            while self.free:
                yield self.passivate()
            begin = shared.environment.now()
            yield self.hold(self.way_s + LOAD_S)
            machine = shared.random.randrange(2)
            self.way_s = DISTANCE_M[machine] / SPEED
            yield self.hold(self.way_s + UNLOAD_S)
            yield self.to_store(shared.queues[machine], Part(kind=self.kind))
            self.used_s += shared.environment.now() - begin
            if self.used_s >= BATTERY_S:
                yield self.hold(CHARGE_S, mode="charging")
                self.used_s = 0.0
            self.free = True
            if shared.waiting:
                self.free, self.kind = False, shared.waiting.popleft()


class Machine(salabim.Component):  # type: ignore[misc]
    """Takes a part and the operator, is set up where the type differs from the last one, and works."""

    def setup(self, shared: Cell, machine: int) -> None:
        self.shared, self.machine = shared, machine

    def process(self) -> Iterator[Any]:
        shared, last = self.shared, None
        while True:
            yield self.from_store(shared.queues[self.machine])
            kind = self.from_store_item().kind
            yield self.request(shared.operator)
            if last is not None and last != kind:
                yield self.hold(SETUP_S, mode="setup")
            last = kind
            yield self.hold(shared.random.expovariate(1.0 / CYCLE_S[kind]), mode="working")
            self.release()
            shared.parts += 1


def cell_in_salabim(seed: int, *, horizon_s: float) -> int:
    """Parts that one replication makes."""
    shared = Cell(seed)
    shared.environment.run(duration=horizon_s)
    return shared.parts
