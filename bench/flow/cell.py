"""A machining cell for both engines: vehicles fetch parts for two machines that are set up and served by one operator."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import simpy

from twin.model.build import LineBuilder
from twin.model.factory import FactoryModel, RouterRule

ARRIVAL_S = 12.0
CYCLE_S = (7.0, 9.0)
"""Mean cycle times by type of part, exponential; both types come alike."""
SETUP_S = 2.0
DISTANCE_M = (8.0, 14.0)
"""From the store to each machine; from machine to machine by way of the store."""
SPEED, LOAD_S, UNLOAD_S = 2.0, 1.0, 1.5
VEHICLES = 2
BATTERY_S, CHARGE_S = 300.0, 40.0
MACHINES = ("M1", "M2")
FIGURES = ("parts", "pieces inside", "lead time", "operator waited for", "set-up", "vehicles busy", "vehicles charging")


def cell() -> FactoryModel:
    """The cell as a line."""
    line = LineBuilder()
    operator = line.crew(1)
    line.source("Blanks", interarrival=line.exponential(ARRIVAL_S), types=("a", "b"))
    line.buffer("Store", -1)
    line.router("Where", rule=RouterRule.PROBABILITY, router_weights=[0.5, 0.5])
    line.sink("Out")
    ways = {("Robots", "Store"): 0.0}
    for name, metres in zip(MACHINES, DISTANCE_M, strict=True):
        line.buffer(f"Q{name}", -1)
        cycles = [line.exponential(mean) for mean in CYCLE_S]
        line.station(name, cycle=cycles, setup=line.constant(SETUP_S), crew=operator, crew_size=1)
        ways["Store", f"Q{name}"] = metres
    line.fleet(
        "Robots",
        VEHICLES,
        speed=SPEED,
        ways=ways,
        load_time=line.constant(LOAD_S),
        unload_time=line.constant(UNLOAD_S),
        battery_time=line.constant(BATTERY_S),
        charge_time=line.constant(CHARGE_S),
    )
    line.chain("Blanks", "Store", "Robots", "Where")
    for name in MACHINES:
        line.chain("Where", f"Q{name}", name, "Out")
    return line.model


class Share:
    """Time that something was on between two moments."""

    def __init__(self, environment: simpy.Environment, warmup_s: float) -> None:
        self.environment, self.warmup_s = environment, warmup_s
        self.total, self.since = 0.0, None  # type: float, float | None

    def on(self) -> None:
        self.since = self.environment.now

    def off(self) -> None:
        if self.since is not None:
            self.total += max(self.environment.now - max(self.since, self.warmup_s), 0.0)
            self.since = None


class Cell:
    """The same in SimPy: a process a machine and a job of a vehicle."""

    def __init__(self, seed: int, warmup_s: float) -> None:
        self.environment, self.random = simpy.Environment(), random.Random(seed)
        self.warmup_s = warmup_s
        self.operator = simpy.Resource(self.environment, 1)
        self.queues = [simpy.Store(self.environment) for _ in MACHINES]
        self.waiting: deque[tuple[float, int]] = deque()
        self.place = [-1] * VEHICLES  # -1: the store
        self.used = [0.0] * VEHICLES
        self.idle = set(range(VEHICLES))
        self.parts, self.lead, self.inside, self.area, self.changed = 0, 0.0, 0, 0.0, 0.0
        self.waits = [Share(self.environment, warmup_s) for _ in MACHINES]
        self.setups = [Share(self.environment, warmup_s) for _ in MACHINES]
        self.busy = [Share(self.environment, warmup_s) for _ in range(VEHICLES)]
        self.charging = [Share(self.environment, warmup_s) for _ in range(VEHICLES)]
        self.environment.process(self.arrivals())
        for machine in range(len(MACHINES)):
            self.environment.process(self.work(machine))

    def count(self, change: int) -> None:
        now = self.environment.now
        self.area += self.inside * max(now - max(self.changed, self.warmup_s), 0.0)
        self.inside, self.changed = self.inside + change, now

    def arrivals(self) -> Iterator[Any]:
        while True:
            yield self.environment.timeout(self.random.expovariate(1.0 / ARRIVAL_S))
            self.count(1)
            self.waiting.append((self.environment.now, self.random.randrange(2)))
            self.dispatch()

    def dispatch(self) -> None:
        while self.waiting and self.idle:
            vehicle = min(self.idle, key=lambda v: (self.way(v), v))
            self.idle.remove(vehicle)
            self.environment.process(self.job(vehicle, *self.waiting.popleft()))

    def way(self, vehicle: int) -> float:
        return 0.0 if self.place[vehicle] < 0 else DISTANCE_M[self.place[vehicle]] / SPEED

    def job(self, vehicle: int, born: float, kind: int) -> Iterator[Any]:
        begin = self.environment.now
        self.busy[vehicle].on()
        yield self.environment.timeout(self.way(vehicle) + LOAD_S)
        machine = self.random.randrange(2)
        yield self.environment.timeout(DISTANCE_M[machine] / SPEED + UNLOAD_S)
        self.place[vehicle] = machine
        self.queues[machine].put((born, kind))
        self.busy[vehicle].off()
        self.used[vehicle] += self.environment.now - begin
        if self.used[vehicle] >= BATTERY_S:
            self.charging[vehicle].on()
            yield self.environment.timeout(CHARGE_S)
            self.charging[vehicle].off()
            self.used[vehicle] = 0.0
        self.idle.add(vehicle)
        self.dispatch()

    def work(self, machine: int) -> Iterator[Any]:
        last = None
        while True:
            born, kind = yield self.queues[machine].get()
            self.waits[machine].on()
            with self.operator.request() as turn:
                yield turn
                self.waits[machine].off()
                if last is not None and last != kind:
                    self.setups[machine].on()
                    yield self.environment.timeout(SETUP_S)
                    self.setups[machine].off()
                last = kind
                yield self.environment.timeout(self.random.expovariate(1.0 / CYCLE_S[kind]))
            self.count(-1)
            if self.environment.now > self.warmup_s:
                self.parts += 1
                self.lead += self.environment.now - born


def in_simpy(seed: int, *, horizon_s: float, warmup_s: float) -> list[float]:
    """``FIGURES`` of one replication."""
    run = Cell(seed, warmup_s)
    run.environment.run(until=warmup_s + horizon_s)
    run.count(0)
    for share in (*run.waits, *run.setups, *run.busy, *run.charging):
        share.off()

    def mean(shares: list[Share]) -> float:
        return sum(s.total for s in shares) / len(shares) / horizon_s

    lead = run.lead / max(run.parts, 1)
    return [run.parts, run.area / horizon_s, lead, mean(run.waits), mean(run.setups), mean(run.busy), mean(run.charging)]
