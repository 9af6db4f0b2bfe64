"""The line engine beside SimPy: eight stations in a row with failures, the same line in one run."""

from __future__ import annotations

import random
import time
from typing import Any

import simpy

from twin.flow import simulate
from twin.model.build import LineBuilder
from twin.model.factory import FactoryModel

STATIONS = 8
BUFFER = 4
FAILURE_S, REPAIR_S = 200.0, 20.0
HORIZON_S = 20_000.0
REPLICATIONS = 2_000


def line() -> FactoryModel:
    """Exponential cycles of mean 1 s, four slots between stations, operation-dependent failures."""
    builder = LineBuilder()
    builder.source("S", saturated=True)
    names = ["S"]
    for i in range(STATIONS):
        builder.station(f"M{i}", cycle=builder.exponential(1.0), time_to_failure=builder.exponential(FAILURE_S),
                        time_to_repair=builder.exponential(REPAIR_S))  # fmt: skip
        names.append(f"M{i}")
        if i < STATIONS - 1:
            builder.buffer(f"B{i}", BUFFER)
            names.append(f"B{i}")
    builder.sink("K")
    builder.chain(*names, "K")
    return builder.model


def in_simpy(horizon_s: float, seed: int) -> tuple[int, int]:
    """The same line in SimPy; returns pieces made and cycles completed."""
    rng = random.Random(seed)
    env = simpy.Environment()
    stores = [simpy.Store(env, BUFFER) for _ in range(STATIONS - 1)]
    made = [0] * STATIONS

    def station(i: int) -> Any:
        left = rng.expovariate(1.0 / FAILURE_S)
        while True:
            if i:
                yield stores[i - 1].get()
            work = rng.expovariate(1.0)
            while work > left:
                yield env.timeout(left)
                work -= left
                yield env.timeout(rng.expovariate(1.0 / REPAIR_S))
                left = rng.expovariate(1.0 / FAILURE_S)
            yield env.timeout(work)
            left -= work
            if i < STATIONS - 1:
                yield stores[i].put(1)
            made[i] += 1

    for i in range(STATIONS):
        env.process(station(i))
    env.run(until=horizon_s)
    return made[-1], sum(made)


def run() -> list[dict[str, Any]]:
    """Completed cycles per second of one core, ours and SimPy's, and their ratio."""
    model = line()
    simulate(model, horizon_s=100.0, replications=8, threads=1)
    begin = time.perf_counter()
    result = simulate(model, horizon_s=HORIZON_S / 20, replications=REPLICATIONS, threads=1)
    ours_s = time.perf_counter() - begin
    stations = [i for i, n in enumerate(model.nodes) if n.path.startswith("/M")]
    ours = float(result.node_out[:, stations].sum()) / ours_s
    begin = time.perf_counter()
    pieces, cycles = in_simpy(HORIZON_S, 1)
    theirs = cycles / (time.perf_counter() - begin)
    rows = [
        {"name": "twin, one core", "value": ours, "unit": "cycles/s", "note": f"{REPLICATIONS} replications"},
        {"name": f"SimPy {simpy.__version__}", "value": theirs, "unit": "cycles/s", "note": "one replication"},
        {"name": "ratio", "value": ours / theirs, "unit": "1", "note": ""},
    ]
    rate = float(result.throughput_per_h.mean())
    rows.append({"name": "throughput, twin", "value": rate, "unit": "1/h", "note": "from empty"})
    rows.append({"name": "throughput, SimPy", "value": pieces / HORIZON_S * 3600.0, "unit": "1/h", "note": "one long run"})
    return rows
