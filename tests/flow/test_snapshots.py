"""Runs that are kept, continued, and forked into futures of their own."""

import math

import numpy as np
import pytest
from scipy import stats

from tests.flow.test_random_factories import random_factory
from twin.core.errors import InputError
from twin.flow import LineRun, LineState, Plan, Snapshot, Standing, simulate
from twin.model.build import LineBuilder
from twin.model.distributions import Distribution
from twin.model.factory import NodeState
from twin.process.draws import CYCLE, draw

PLAN = Plan(seed=3, begin_us=0, total_us=900_000_000, intervals=9)


def same(a, b):
    for name in a.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("seed", range(0, 60, 6))
def test_a_restored_run_goes_on_bit_for_bit(seed, tmp_path):
    model = random_factory(seed)
    whole = LineRun(model, PLAN, count=4)
    whole.advance(400_000_000)
    whole.snapshot().save(tmp_path / "line.npz")
    whole.advance(900_000_000)
    again = LineRun.restore(model, Snapshot.load(tmp_path / "line.npz"))
    assert again.time_us == 400_000_000
    again.advance(900_000_000)
    same(whole.result(), again.result())


def test_a_snapshot_of_another_line_is_refused(tmp_path):
    run = LineRun(random_factory(0), PLAN, count=1)
    run.advance(1)
    with pytest.raises(InputError, match="another line"):
        LineRun.restore(random_factory(1), run.snapshot())
    with pytest.raises(InputError, match="other nodes"):
        simulate(random_factory(1), horizon_s=1.0, replications=1, start=run.snapshot())
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="not a snapshot"):
        Snapshot.load(tmp_path / "x.npz")


def machine(repair=5.0, **fields):
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(1.0), time_to_failure=line.distribution(Distribution.WEIBULL, mean=100.0, shape=3.0),
                 time_to_repair=line.constant(repair), **fields)  # fmt: skip
    line.sink("K")
    line.chain("S", "M", "K")
    return line.model


def first_failures(start, model, horizon, replications=2000):
    """Time worked before the first failure within ``horizon``, of those that failed, which lets a repair without end show."""
    result = simulate(model, horizon_s=horizon, replications=replications, start=start, seed=11)
    return result.state_time_s[:, 1, NodeState.WORKING]


def test_every_future_has_its_own_next_failure_given_that_none_came_yet():
    model = machine(repair=1e6)
    run = LineRun(model, PLAN, count=8)
    run.advance(60_000_000)
    kept = next(i for i in range(8) if run.state.node.numpy()[i, 1]["halts"] == 0)
    worked = first_failures(run.snapshot(kept), model, 300.0)
    law = stats.weibull_min(3.0, scale=100.0 / 0.8929795115692493)
    later = law.ppf(law.cdf(60.0) + np.linspace(0.0005, 0.9995, 1000) * law.sf(60.0)) - 60.0
    assert stats.ks_2samp(worked, later).pvalue > 1e-3
    assert len(np.unique(worked)) > 1900


def test_futures_of_a_cycle_under_way():
    line = LineBuilder()
    line.source("S", saturated=True, limit=1)
    line.station("M", cycle=line.distribution(Distribution.UNIFORM, low=10.0, high=30.0))
    line.sink("K")
    line.chain("S", "M", "K")
    run = LineRun(line.model, PLAN, count=1)
    run.advance(9_000_000)
    result = simulate(line.model, horizon_s=21.0, replications=1000, start=run.snapshot())
    assert result.sunk.tolist() == [1] * 1000
    assert stats.kstest(result.lead_mean_s, stats.uniform(10.0, 20.0).cdf).pvalue > 1e-3
    assert result.warmup_s == 9.0


def test_every_future_draws_its_later_cycles_with_its_own_number():
    """Uniforms are drawn eight ahead: those that the snapshot brings along are of another replication."""
    line = LineBuilder()
    line.source("S", saturated=True)
    row = line.distribution(Distribution.UNIFORM, low=10.0, high=30.0)
    line.station("M", cycle=row)
    line.sink("K")
    line.chain("S", "M", "K")
    model = line.model
    run = LineRun(model, PLAN, count=1)
    run.advance(45_000_000)
    drawn = int(run.state.ordinal.numpy()[0, 1, CYCLE])
    assert 2 <= drawn <= 4
    for number in (0, 5, 6):
        future = LineRun(model, PLAN, count=1, first=number, start=run.snapshot())
        ends = []
        for _ in range(7):
            ends.append(future.next_us())
            future.advance(ends[-1])
        expected = draw(model.distributions, row, count=drawn + 6, seed=3, replication=number, stream=model.nodes[1].stream)
        assert np.diff(ends).tolist() == np.round(expected[drawn:] * 1e6).tolist()


def test_futures_of_a_line_with_more_room():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.buffer("B", 3)
    line.station("M", cycle=line.constant(100.0))
    line.sink("K")
    line.chain("S", "B", "M", "K")
    run = LineRun(line.model, PLAN, count=1)
    run.advance(50_000_000)
    snapshot = run.snapshot()
    assert run.result().inside.tolist() == [4]
    line.model.nodes[1].capacity = 40
    result = simulate(line.model, horizon_s=50.0, replications=3, start=snapshot, intervals=10)
    assert result.inside.tolist() == [41, 41, 41]
    assert (result.spawned == result.inside + result.sunk).all()
    # the source fills the room at once; what was before counts as it was at the snapshot
    assert result.wip_per_interval[0].tolist() == pytest.approx([4] * 5 + [41] * 5)


def test_a_line_as_it_was_found():
    line = LineBuilder(item_length=0.5)
    line.source("S", interarrival=line.constant(1000.0))
    line.conveyor("C", length=10.0, speed=0.5)
    line.buffer("B", 5)
    line.station("M", cycle=line.constant(8.0), time_to_failure=line.constant(1e6), time_to_repair=line.constant(20.0))
    line.sink("K")
    line.chain("S", "C", "B", "M", "K")
    found = LineState(
        [
            Standing("/M", "item", elapsed_s=3.0, age_s=100.0),
            Standing("/B", "item", age_s=50.0),
            Standing("/C", "item", along=0.9),
            Standing("/C", "item", along=0.1),
        ]
    )
    result = simulate(line.model, horizon_s=40.0, intervals=40, replications=2, start=found)
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [5, 13, 21, 29]
    assert result.spawned.tolist() == [4, 4]
    assert result.lead_mean_s[0] == pytest.approx((105.0 + 63.0 + 21.0 + 29.0) / 4)
    # the machine is down and has been for 15 of 20 s
    found.down = {"/M": 15.0}
    result = simulate(line.model, horizon_s=40.0, intervals=40, replications=1, start=found)
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [10, 18, 26, 34]
    assert LineState.of_levels(line.model, [0, 2, 1, 1, 0]).items[0].along == 0.75


def test_a_failure_clock_goes_on_from_where_it_was_found():
    line = LineBuilder()
    line.source("S", saturated=True)
    repair = {"time_to_repair": line.constant(2.0), "failure_while_working": False}
    line.station("M", cycle=line.constant(1.0), time_to_failure=line.constant(20.0), **repair)
    weibull = line.distribution(Distribution.WEIBULL, mean=20.0, shape=8.0)
    line.station("W", cycle=line.constant(1.0), time_to_failure=weibull, **repair)
    line.sink("K")
    line.chain("S", "M", "W", "K")
    down = NodeState.DOWN
    m, w = line.index("M"), line.index("W")
    found = LineState(uptime={"/M": 15.0, "/W": 15.0})
    soon = simulate(line.model, horizon_s=4.9, replications=200, start=found)
    assert soon.state_time_s[:, m, down].max() == 0.0
    result = simulate(line.model, horizon_s=6.0, replications=200, start=found)
    assert result.state_time_s[:, m, down] == pytest.approx(1.0)
    # P(X <= 20 | X > 15) of a Weibull distribution: 1 - exp(-(20/c)^8 + (15/c)^8), c = 20 / gamma(1 + 1/8)
    scale = 20.0 / math.gamma(1.0 + 1.0 / 8.0)
    share = 1.0 - math.exp((15.0 / scale) ** 8 - (20.0 / scale) ** 8)
    failed = (simulate(line.model, horizon_s=5.0, replications=4000, start=found).state_time_s[:, w, down] > 0.0).mean()
    assert failed == pytest.approx(share, abs=4.0 * math.sqrt(share * (1.0 - share) / 4000))
    with pytest.raises(InputError, match="/S: the start says how long it has worked"):
        simulate(line.model, horizon_s=1.0, replications=1, start=LineState(uptime={"/S": 1.0}))


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (LineState([Standing("/X", "item")]), "/X: the start names a node"),
        (LineState([Standing("/M", "box")]), "/M: the start names the item type 'box'"),
        (LineState([Standing("/M", "item")] * 2), "/M: the start puts 2 items where 1 have room"),
        (LineState(down={"/S": 1.0}), "/S: the start says that it is down"),
        (LineState([Standing("/S", "item")]), "/S: only stations, buffers and conveyors"),
    ],
)
def test_a_start_that_does_not_fit_is_named(state, text):
    with pytest.raises(InputError, match=text):
        simulate(machine(), horizon_s=1.0, replications=1, start=state)


def two_stations_share(people):
    line = LineBuilder()
    crew = line.crew(people)
    for name in "AB":
        line.source(f"S{name}", saturated=True)
        line.station(name, cycle=line.constant(4.0), crew=crew, crew_size=1)
        line.sink(f"K{name}")
        line.chain(f"S{name}", name, f"K{name}")
    return line.model


def test_a_future_with_another_person_has_them_at_once():
    run = LineRun(two_stations_share(1), PLAN, count=1)
    run.advance(9_000_000)
    begun = run.snapshot()
    assert simulate(two_stations_share(1), horizon_s=40.0, replications=1, start=begun).sunk_measured.tolist() == [10]
    result = simulate(two_stations_share(2), horizon_s=40.0, replications=1, start=begun)
    # A is a second into its cycle, B begins at once: ten each in 40 s
    assert result.sunk_measured.tolist() == [20]
    assert result.crew_busy_s[0] == pytest.approx([80.0])
