"""What each node does, to the second."""

import numpy as np
import pytest

from twin.core.errors import WorkError
from twin.flow import simulate
from twin.model.build import LineBuilder, serial_line
from twin.model.factory import NodeState, RouterRule


def share(result, line, name, state):
    return result.state_time_s[0, line.index(name), state] / result.horizon_s


def test_belt_then_station_takes_transit_plus_cycle():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(5.0))
    line.conveyor("C", length=4.0, speed=0.5)
    line.station("M", cycle=line.constant(2.0))
    line.sink("K")
    line.chain("S", "C", "M", "K")
    result = simulate(line.model, horizon_s=100.0, replications=1)
    assert result.lead_mean_s[0] == pytest.approx(10.0)
    assert result.sunk[0] == 18  # arrivals at 5, 10, ..., done 10 s later
    assert share(result, line, "M", NodeState.WORKING) == pytest.approx(18 * 2.0 / 100.0 + 1.0 * 0 + 0.0, abs=0.03)


def test_accumulating_belt_fills_up_with_touching_items():
    line = LineBuilder(item_length=0.5)
    line.source("S", saturated=True)
    line.conveyor("C", length=2.0, speed=1.0)
    line.station("M", cycle=line.constant(1000.0))
    line.sink("K")
    line.chain("S", "C", "M", "K")
    result = simulate(line.model, horizon_s=50.0, replications=1)
    # one in the station; on the belt centres at 2.0, 1.5, 1.0, 0.5 and 0.0
    assert result.inside[0] == 6


def test_belt_that_does_not_accumulate_stops_as_a_whole():
    line = LineBuilder(item_length=0.5)
    line.source("S", interarrival=line.constant(1.0))
    line.conveyor("C", length=4.0, speed=1.0, accumulating=False)
    line.station("M", cycle=line.constant(1000.0))
    line.sink("K")
    line.chain("S", "C", "M", "K")
    result = simulate(line.model, horizon_s=50.0, replications=1)
    # the second item reaches the end 1 s after the first; then the belt stands with items 1 m apart
    assert result.inside[0] - 1 == 5


def test_entry_pitch_limits_the_rate_of_a_belt():
    line = LineBuilder(item_length=0.5)
    line.source("S", saturated=True)
    line.conveyor("C", length=3.0, speed=0.5, pitch=1.0)
    line.sink("K")
    line.chain("S", "C", "K")
    result = simulate(line.model, horizon_s=600.0, warmup_s=60.0, replications=1)
    assert result.sunk_measured[0] == 300


def test_batch_with_output_counts_pieces_and_their_own_lead_times():
    line = LineBuilder()
    pallet = line.item("pallet")
    line.source("S", interarrival=line.constant(1.0))
    line.station("P", cycle=line.constant(0.5), batch_size=4, output=pallet)
    line.sink("K")
    line.chain("S", "P", "K")
    line.model.nodes[1].cycle = line.model.nodes[1].cycle * 2
    result = simulate(line.model, horizon_s=40.4, replications=1)
    assert result.sunk[0] == 36
    assert result.inside[0] == 4
    assert result.node_out[0, line.index("P")] == 9
    # pieces wait 3, 2, 1 and 0 s for the batch; the cycle of the batch before never delays them
    assert result.lead_mean_s[0] == pytest.approx(2.0)


def test_batch_without_output_leaves_one_after_another():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(1.0))
    line.station("B", cycle=line.constant(0.5), batch_size=3)
    line.station("M", cycle=line.constant(0.2))
    line.sink("K")
    line.chain("S", "B", "M", "K")
    result = simulate(line.model, horizon_s=33.0, replications=1)
    assert result.sunk[0] == 30
    assert result.spawned[0] == 33


def test_set_up_between_types_only():
    line = LineBuilder()
    line.source("S", saturated=True, types=("a", "b"))
    line.station("M", cycle=line.constant(1.0), setup=line.constant(3.0))
    line.sink("K")
    line.chain("S", "M", "K")
    line.model.nodes[1].cycle *= 2
    result = simulate(line.model, horizon_s=20_000.0, replications=1)
    assert share(result, line, "M", NodeState.SETUP) == pytest.approx(0.6, abs=0.01)  # half of the items: 1.5 of 2.5 s
    assert share(result, line, "M", NodeState.WORKING) == pytest.approx(0.4, abs=0.01)


def test_failure_suspends_the_cycle_and_the_clock_runs_only_while_working():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(10.0))
    line.station("M", cycle=line.constant(4.0), time_to_failure=line.constant(6.5), time_to_repair=line.constant(3.0))
    line.sink("K")
    line.chain("S", "M", "K")
    result = simulate(line.model, horizon_s=50.0, replications=1)
    # works 10-14 and 20-22.5, down to 25.5, works to 27, 30-34 and 40-41 (6.5 s since the repair), down to 44, works to 47
    assert result.state_time_s[0, 1].tolist() == pytest.approx([16.0, 0.0, 0.0, 28.0, 0.0, 6.0, 0.0])


def test_failure_clock_in_mode_time_runs_always():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(1.0), time_to_failure=line.constant(8.0), time_to_repair=line.constant(2.0),
                 failure_while_working=False)  # fmt: skip
    line.sink("K")
    line.chain("S", "M", "K")
    result = simulate(line.model, horizon_s=100.0, replications=1)
    assert share(result, line, "M", NodeState.DOWN) == pytest.approx(0.2)
    assert result.sunk[0] == 80


def test_blocking_before_service_waits_for_room():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("A", cycle=line.constant(1.0), blocking_before=True)
    line.station("B", cycle=line.constant(4.0))
    line.sink("K")
    line.chain("S", "A", "B", "K")
    result = simulate(line.model, horizon_s=101.0, replications=1)
    assert result.sunk[0] == 20  # A starts only when B is empty: a piece every 5 s
    line.model.nodes[1].blocking_before = False
    assert simulate(line.model, horizon_s=101.0, replications=1).sunk[0] == 25


@pytest.mark.parametrize(
    ("rule", "extra", "expected"),
    [
        (RouterRule.FIRST, {}, [1.0, 0.0]),
        (RouterRule.ROUND_ROBIN, {}, [0.5, 0.5]),
        (RouterRule.PROBABILITY, {"router_weights": [3.0, 1.0]}, [0.75, 0.25]),
        (RouterRule.BY_TYPE, {"router_types": [1, -1]}, [0.3, 0.7]),
        (RouterRule.SHORTEST_QUEUE, {}, [0.5, 0.5]),
    ],
)
def test_router_rules(rule, extra, expected):
    line = LineBuilder()
    line.source("S", interarrival=line.constant(1.0), types=("a", "b"), weights=(0.7, 0.3))
    line.router("R", rule=rule, **extra)
    for name in "AB":
        line.station(name, cycle=[line.constant(0.0001 if rule != RouterRule.SHORTEST_QUEUE else 1.9)] * 2)
        line.sink(f"K{name}")
        line.chain(name, f"K{name}")
    line.chain("S", "R", "A")
    line.chain("R", "B")
    result = simulate(line.model, horizon_s=20_000.0, replications=1)
    counts = result.node_in[0, [line.index("A"), line.index("B")]]
    assert (counts / counts.sum()).tolist() == pytest.approx(expected, abs=0.015)


def test_defective_items_are_reworked_rejected_or_scrapped():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(1.0), scrap_rate=0.25)
    line.sink("K")
    line.chain("S", "M", "K")
    result = simulate(line.model, horizon_s=20_000.0, replications=1)
    assert result.scrapped[0] / 20_000 == pytest.approx(0.25, abs=0.01)

    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(1.0), scrap_rate=0.25)
    line.router("R", rule=RouterRule.BY_QUALITY)
    line.sink("K")
    line.sink("X", reject=True)
    line.chain("S", "M", "R", "K")
    line.chain("R", "X")
    result = simulate(line.model, horizon_s=20_000.0, replications=1)
    assert result.node_in[0, line.index("X")] == result.scrapped[0]
    assert result.scrapped[0] / 20_000 == pytest.approx(0.25, abs=0.01)

    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(1.0), scrap_rate=0.25, rework=2)
    line.station("W", cycle=line.constant(0.5))
    line.sink("K")
    line.chain("S", "M", "K")
    line.chain("W", "K")
    result = simulate(line.model, horizon_s=20_000.0, replications=1)
    assert result.scrapped[0] == 0
    assert result.node_in[0, line.index("W")] / 20_000 == pytest.approx(0.25, abs=0.01)


def test_deadlock_is_named_and_stays_in():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("A", cycle=line.constant(1.0), scrap_rate=0.5, rework=2)
    line.station("W", cycle=line.constant(1.0))
    line.sink("K")
    line.chain("S", "A", "K")
    line.chain("W", "A")  # the rework station gives back to a station that is full again at once
    result = simulate(line.model, horizon_s=1000.0, replications=3)
    assert result.deadlocked.all()
    assert (result.spawned == result.inside + result.sunk + result.scrapped).all()


def test_replications_do_not_depend_on_how_they_are_cut():
    model = serial_line(3, 2)
    whole = simulate(model, horizon_s=200.0, replications=40, threads=2)
    part = simulate(model, horizon_s=200.0, replications=8, first_replication=32, threads=1)
    for name in ("sunk", "wip_mean", "lead_mean_s", "state_time_s"):
        np.testing.assert_array_equal(getattr(whole, name)[32:], getattr(part, name))


def test_pieces_balance_and_state_shares_sum_to_one():
    line = LineBuilder()
    box = line.item("box")
    line.source("S1", interarrival=line.exponential(3.0))
    line.source("S2", interarrival=line.exponential(4.0))
    line.conveyor("C1", length=3.0, speed=0.5)
    line.conveyor("C2", length=2.0, speed=0.5, accumulating=False)
    line.station(
        "M",
        cycle=line.exponential(1.2),
        servers=2,
        time_to_failure=line.exponential(50.0),
        time_to_repair=line.exponential(9.0),
        scrap_rate=0.1,
    )
    line.buffer("B", 3, lifo=True)
    line.station("P", cycle=line.constant(4.0), batch_size=5, output=box)
    line.sink("K")
    line.chain("S1", "C1", "M", "B", "P", "K")
    line.chain("S2", "C2", "M")
    for node in line.model.nodes:
        if node.cycle:
            node.cycle = node.cycle[:1] * 2
    result = simulate(line.model, horizon_s=3000.0, warmup_s=100.0, replications=50)
    assert (result.spawned == result.inside + result.sunk + result.scrapped).all()
    assert (result.inside >= 0).all()
    np.testing.assert_allclose(result.state_time_s[:, :7].sum(axis=2), 3000.0, rtol=1e-9)
    assert (result.sunk_per_interval.sum(axis=1) == result.sunk).all()


def test_endless_loop_and_unlimited_pile_up_are_errors():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.sink("K")
    line.chain("S", "K")
    with pytest.raises(WorkError, match="without time passing"):
        simulate(line.model, horizon_s=1.0, replications=1)


def test_overflowing_buffer_grows_and_run_repeats():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(1.0))
    line.buffer("Q", -1)
    line.station("M", cycle=line.constant(1e6))
    line.sink("K")
    line.chain("S", "Q", "M", "K")
    assert simulate(line.model, horizon_s=5000.0, replications=2).inside.tolist() == [5000, 5000]
