"""The line engine against Markov chains, queueing formulas and the max-plus recursion."""

import json
from pathlib import Path

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.build import LineBuilder, serial_line
from twin.model.distributions import Distribution
from twin.model.factory import NodeKind, NodeState
from twin.process.draws import CYCLE, draw

TABLES = Path(__file__).parents[3] / "shared" / "data" / "line_tables.json"
REPLICATIONS = 10_000


def tables(name):
    return json.loads(TABLES.read_text())[name] if TABLES.exists() else [None]


def within_4_standard_errors(values, exact):
    values = np.asarray(values, float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - exact) <= 4.0 * error, f"{values.mean()} +- {error}, exact {exact}"


def label(row):
    return "-".join(str(v) for v in list(row.values())[:3]) if row else "no-data"


needs_tables = pytest.mark.skipif(not TABLES.exists(), reason=f"{TABLES} is not there")


@needs_tables
@pytest.mark.parametrize("row", tables("balanced_lines"), ids=label)
def test_balanced_line(row):
    model = serial_line(row["stations"], row["buffer"], k=row["erlang_k"])
    result = simulate(model, horizon_s=30.0, warmup_s=40.0 + 12.0 * row["buffer"], replications=REPLICATIONS, seed=7)
    within_4_standard_errors(result.sunk_measured / 30.0, row["throughput"])


@needs_tables
@pytest.mark.parametrize("row", tables("unbalanced_exponential") + tables("unreliable_exponential_ODF"), ids=label)
def test_unequal_and_unreliable_line(row):
    line = LineBuilder()
    line.source("S", saturated=True)
    names = ["S"]
    for i, mu in enumerate(row["mu"]):
        failures = {}
        if "fail" in row:
            failures = {
                "time_to_failure": line.exponential(1 / row["fail"][i]),
                "time_to_repair": line.exponential(1 / row["repair"][i]),
            }
        line.station(f"M{i}", cycle=line.exponential(1 / mu), **failures)
        names.append(f"M{i}")
        if i < len(row["buffers"]) and row["buffers"][i]:
            line.buffer(f"B{i}", row["buffers"][i])
            names.append(f"B{i}")
    line.sink("K")
    line.chain(*names, "K")
    result = simulate(line.model, horizon_s=60.0, warmup_s=150.0, replications=REPLICATIONS, seed=3)
    within_4_standard_errors(result.sunk_measured / 60.0, row["throughput"])
    within_4_standard_errors(result.wip_mean, row["wip"])
    for i, blocked in enumerate(row["blocked"]):
        if blocked > 0.0:
            share = result.state_time_s[:, line.index(f"M{i}"), NodeState.BLOCKED] / 60.0
            if "fail" not in row:
                within_4_standard_errors(share, blocked)


@needs_tables
@pytest.mark.parametrize(
    "row",
    [r for r in tables("queues") if r is None or r["rho"] < 0.85],
    ids=lambda r: f"{r['model']}-{r['rho']}" if r else "no-data",
)
def test_queue(row):
    servers = row.get("c", 1)
    line = LineBuilder()
    line.source("S", interarrival=line.exponential(1 / row["lam"]))
    line.buffer("Q", -1)
    if row["model"].startswith("M/D"):
        cycle = line.constant(1 / row["mu"])
    elif row["model"].startswith("M/M"):
        cycle = line.exponential(1 / row["mu"])
    else:
        pytest.skip(f"no rule here for {row['model']}")
    line.station("M", cycle=cycle, servers=servers)
    line.sink("K")
    line.chain("S", "Q", "M", "K")
    result = simulate(line.model, horizon_s=60.0, warmup_s=240.0, replications=REPLICATIONS, seed=11)
    within_4_standard_errors(result.wip_mean, row["L"])
    within_4_standard_errors(result.level_mean[:, line.index("Q")], row["Lq"])


@needs_tables
@pytest.mark.parametrize("row", tables("closed_network_buzen"), ids=lambda r: f"{r['N']}-pallets" if r else "no-data")
def test_closed_loop(row):
    line = LineBuilder()
    line.source("S", saturated=True, limit=row["N"])
    names = []
    for i, demand in enumerate(row["demands"]):
        line.buffer(f"Q{i}", row["N"])
        line.station(f"M{i}", cycle=line.exponential(demand))
        names += [f"Q{i}", f"M{i}"]
    line.chain("S", *names, "Q0")
    result = simulate(line.model, horizon_s=60.0, warmup_s=120.0, replications=REPLICATIONS, seed=400)
    within_4_standard_errors(result.node_out[:, line.index("M0")] / 60.0, row["throughput"])
    for i, queue in enumerate(row["mean_queue"]):
        inside = result.level_mean[:, line.index(f"Q{i}")] + result.level_mean[:, line.index(f"M{i}")]
        within_4_standard_errors(inside, queue)


def departures(model, count, seed, replication):
    """Departure times [us] from the last station by the max-plus recursion (blocking after service, FIFO), int64 [count]."""
    stations = [n for n in model.nodes if n.kind == NodeKind.STATION]
    room = []
    for node in stations[:-1]:
        after = model.nodes[node.next[0]]
        room.append(after.capacity if after.kind == NodeKind.BUFFER else 0)
    cycles = [
        np.rint(
            draw(model.distributions, n.cycle[0], count=count, seed=seed, replication=replication, stream=n.stream, purpose=CYCLE)
            * 1e6
        )
        for n in stations
    ]
    left = np.zeros((len(stations), count), np.int64)
    for j in range(count):
        for i in range(len(stations)):
            arrived = left[i - 1, j] if i else 0
            free = left[i, j - 1] if j else 0
            done = max(arrived, free) + int(cycles[i][j])
            if i < len(stations) - 1 and j - room[i] - 1 >= 0:
                done = max(done, left[i + 1, j - room[i] - 1])
            left[i, j] = done
    return left[-1]


@pytest.mark.parametrize("case", range(8))
def test_departures_equal_the_max_plus_recursion(case):
    rng = np.random.default_rng(case)
    line = LineBuilder()
    line.source("S", saturated=True)
    names = ["S"]
    stations = int(rng.integers(2, 6))
    kinds = [
        lambda: line.exponential(float(rng.uniform(0.5, 2.0))),
        lambda: line.distribution(Distribution.LOGNORMAL, mean=float(rng.uniform(0.5, 2.0)), cv=0.7),
        lambda: line.distribution(Distribution.WEIBULL, mean=1.0, shape=1.7),
        lambda: line.constant(float(rng.uniform(0.5, 2.0))),
    ]
    for i in range(stations):
        line.station(f"M{i}", cycle=kinds[int(rng.integers(0, 4))]())
        names.append(f"M{i}")
        if i < stations - 1 and rng.random() < 0.7:
            line.buffer(f"B{i}", int(rng.integers(1, 5)))
            names.append(f"B{i}")
    line.sink("K")
    line.chain(*names, "K")
    horizon = 300.0
    result = simulate(line.model, horizon_s=horizon, replications=4, seed=5, intervals=100)
    for replication in range(4):
        times = departures(line.model, 1000, 5, replication)
        assert times[-1] > horizon * 1e6
        expected = np.histogram(times[times <= horizon * 1e6], bins=np.arange(101) * horizon * 1e4)[0]
        assert result.sunk_per_interval[replication].tolist() == expected.tolist()
