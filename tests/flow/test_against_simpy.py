"""A line for which no formula is known, against the same line in SimPy: operators and a repairer shared by three machines.

Between machines stands a transfer that needs nobody, behind a buffer that never fills up, so that two machines never ask for
an operator in the same moment: who is first then differs (here authored order, there the order of callbacks).
"""

import random

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.build import LineBuilder
from twin.model.factory import NodeState

simpy = pytest.importorskip("simpy")

CYCLES, UPTIME, REPAIR, BUFFER, OPERATORS = (1.0, 1.3, 0.9), 12.0, 4.0, 300, 2
TRANSFER = 0.2
HORIZON, WARMUP = 200.0, 50.0


def in_simpy(seed):
    """Pieces sunk, and seconds that each machine waits for an operator and is down, within the horizon."""
    env, rng = simpy.Environment(), random.Random(seed)
    operators, repairer = simpy.Resource(env, OPERATORS), simpy.Resource(env, 1)
    behind = [simpy.Store(env, BUFFER) for _ in CYCLES[1:]]
    ahead = [simpy.Store(env, 1) for _ in CYCLES[1:]]
    sunk, since = [0], {}
    waiting, down = [0.0] * len(CYCLES), [0.0] * len(CYCLES)

    def begin(book, i):
        since[i] = (book, env.now)

    def end(i):
        if i in since:
            book, begun = since.pop(i)
            book[i] += max(env.now - max(begun, WARMUP), 0.0)

    def machine(i):
        left = rng.expovariate(1.0 / UPTIME)
        while True:
            if i > 0:
                yield ahead[i - 1].get()
            begin(waiting, i)
            with operators.request() as operator:
                yield operator
                end(i)
                work = rng.expovariate(1.0 / CYCLES[i])
                while work > left:
                    yield env.timeout(left)
                    work -= left
                    begin(down, i)
                    with repairer.request() as turn:
                        yield turn
                        yield env.timeout(rng.expovariate(1.0 / REPAIR))
                    end(i)
                    left = rng.expovariate(1.0 / UPTIME)
                yield env.timeout(work)
                left -= work
            if i < len(CYCLES) - 1:
                yield behind[i].put(None)
            elif env.now > WARMUP:
                sunk[0] += 1

    def transfer(i):
        while True:
            yield behind[i].get()
            yield env.timeout(rng.expovariate(1.0 / TRANSFER))
            yield ahead[i].put(None)

    for i in range(len(CYCLES)):
        env.process(machine(i))
    for i in range(len(CYCLES) - 1):
        env.process(transfer(i))
    env.run(until=WARMUP + HORIZON)
    for i in range(len(CYCLES)):
        end(i)
    return [sunk[0], *waiting, *down]


def test_shared_operators_and_a_repairer():
    line = LineBuilder()
    operators, repairer = line.crew(OPERATORS), line.crew(1)
    line.source("S", saturated=True)
    names = ["S"]
    for i, cycle in enumerate(CYCLES):
        line.station(
            f"M{i}",
            cycle=line.exponential(cycle),
            time_to_failure=line.exponential(UPTIME),
            time_to_repair=line.exponential(REPAIR),
            crew=operators,
            crew_size=1,
            repair_crew=repairer,
        )
        names.append(f"M{i}")
        if i < len(CYCLES) - 1:
            line.buffer(f"B{i}", BUFFER)
            line.station(f"T{i}", cycle=line.exponential(TRANSFER))
            line.buffer(f"A{i}", 1)
            names += [f"B{i}", f"T{i}", f"A{i}"]
    line.sink("K")
    line.chain(*names, "K")
    ours = simulate(line.model, horizon_s=HORIZON, warmup_s=WARMUP, replications=10_000, seed=2)
    machines = [line.index(f"M{i}") for i in range(len(CYCLES))]
    columns = [ours.sunk_measured]
    columns += [ours.state_time_s[:, m, NodeState.WAITING_CREW] for m in machines]
    columns += [ours.state_time_s[:, m, NodeState.DOWN] for m in machines]
    theirs = np.array([in_simpy(seed) for seed in range(300)])
    for ours_column, theirs_column in zip(columns, theirs.T, strict=True):
        difference = np.mean(ours_column) - np.mean(theirs_column)
        error = np.hypot(np.std(ours_column) / np.sqrt(len(ours_column)), np.std(theirs_column) / np.sqrt(len(theirs_column)))
        assert abs(difference) <= 4.0 * error
