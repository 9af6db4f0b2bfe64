"""Clauses of docs/semantics.md that no other test works out by hand: each a line small enough to follow with a pencil."""

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.build import LineBuilder
from twin.model.distributions import Distribution
from twin.model.factory import NodeState, RouterRule
from twin.process.draws import ROUTE, uniforms

EXACT = pytest.approx


def states(result, line, name):
    return result.state_time_s[0, line.index(name)].tolist()


def sunk_at(result):
    """Seconds at which something was sunk; runs of ``intervals`` seconds only."""
    return [int(t) for t, n in enumerate(result.sunk_per_interval[0]) for _ in range(n)]


def run(line, seconds, **options):
    return simulate(line.model, horizon_s=float(seconds), replications=1, intervals=seconds, **options)


def simple(cycle, **fields):
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(cycle), **fields)
    line.sink("K")
    line.chain("S", "M", "K")
    return line


# ---- sources


def test_the_next_arrival_is_drawn_when_the_item_leaves():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(4.0))
    line.station("M", cycle=line.constant(10.0))
    line.sink("K")
    line.chain("S", "M", "K")
    result = run(line, 60)
    # comes at 4 s and leaves at once; the next comes at 8 s, waits until 14 s; the next at 18 s ... 48 s, 58 s
    assert sunk_at(result) == [14, 24, 34, 44, 54]
    assert states(result, line, "S")[NodeState.BLOCKED] == EXACT(5 * 6.0 + 2.0)


def test_a_saturated_source_ignores_its_interarrival_time_and_a_limit_ends_it():
    line = simple(5.0)
    line.model.nodes[0].interarrival = line.constant(1000.0)
    line.model.nodes[0].limit = 3
    result = run(line, 60)
    assert sunk_at(result) == [5, 10, 15]
    assert states(result, line, "S")[NodeState.STARVED] == EXACT(50.0)


def test_a_source_without_an_interarrival_time_never_makes_anything():
    line = simple(5.0)
    line.model.nodes[0].saturated = False
    assert run(line, 60).spawned[0] == 0


def test_lead_times_run_from_leaving_the_source():
    line = simple(10.0)
    line.model.nodes[0].limit = 3
    # each waits in the source until the machine is free, which does not count
    assert run(line, 60).lead_mean_s[0] == EXACT(10.0)


# ---- stations


def test_parallel_servers_and_failures_of_them_all():
    line = simple(10.0, servers=2)
    node = line.model.nodes[1]
    node.time_to_failure, node.time_to_repair = line.constant(15.0), line.constant(5.0)
    result = run(line, 45)
    # both work 0-10 and 10-15, are down 15-20, work on 20-25 and 25-35 (15 s since the repair), are down 35-40
    assert sunk_at(result) == [10, 10, 25, 25, 35, 35]
    assert states(result, line, "M") == EXACT([35.0, 0, 0, 0, 0, 10.0, 0], abs=1e-6)


def test_a_set_up_is_suspended_by_a_failure_and_goes_on():
    line = LineBuilder()
    for name in "ab":
        line.source(f"S{name}", saturated=True, limit=1, types=(name,))
    line.station("M", cycle=[line.constant(10.0)] * 2, setup=line.constant(8.0),
                 time_to_failure=line.constant(14.0), time_to_repair=line.constant(3.0), failure_while_working=False)  # fmt: skip
    line.sink("K")
    line.chain("Sa", "M", "K")
    line.chain("Sb", "M")
    result = run(line, 60)
    # a 0-10 without a set-up, set-up 10-14, down 14-17, set-up 17-21, work 21-31 (down 31-34: the clock ran from 17 s on)
    assert sunk_at(result) == [10, 31]
    assert states(result, line, "M")[NodeState.SETUP] == EXACT(8.0)


def test_a_blocked_station_fails_in_mode_time_and_what_is_done_can_leave():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("A", cycle=line.constant(1.0), time_to_failure=line.constant(10.0), time_to_repair=line.constant(100.0),
                 failure_while_working=False)  # fmt: skip
    line.station("B", cycle=line.constant(12.0))
    line.sink("K")
    line.chain("S", "A", "B", "K")
    result = run(line, 60)
    # A has finished its second item at 2 s; it fails at 10 s with the item done, which B takes at 13 s
    assert sunk_at(result) == [13, 25]
    assert states(result, line, "A")[NodeState.DOWN] == EXACT(50.0)


def test_per_type_cycle_times():
    line = LineBuilder()
    line.source("S", saturated=True, types=("a", "b"))
    line.station("M", cycle=[line.constant(1.0), line.constant(3.0)])
    line.sink("K")
    line.chain("S", "M", "K")
    result = simulate(line.model, horizon_s=40_000.0, replications=4)
    assert (40_000.0 / result.sunk_measured).mean() == pytest.approx(2.0, rel=0.02)


def test_scrap_of_a_batch_takes_all_its_pieces():
    line = simple(2.0, batch_size=3, scrap_rate=1.0)
    result = run(line, 11)
    assert (result.scrapped[0], result.sunk[0], result.inside[0]) == (15, 0, 3)


def test_a_batch_collects_while_starved():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(5.0))
    line.station("M", cycle=line.constant(4.0), batch_size=2)
    line.sink("K")
    line.chain("S", "M", "K")
    result = run(line, 30)
    # collected at 10, 20, 30 s
    assert sunk_at(result) == [14, 14, 24, 24]
    assert states(result, line, "M")[:4] == EXACT([8.0, 0.0, 0.0, 22.0])


def test_several_successors_without_a_router_are_taken_in_order():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(2.0))
    for name, cycle in (("A", 3.0), ("B", 100.0)):
        line.station(name, cycle=line.constant(cycle))
        line.sink(f"K{name}")
        line.chain("S", name, f"K{name}")
    result = run(line, 21)
    # 2 s to A, 4 s to B, 6 s to A; from then on one always waits, and A takes it at 9, 12, 15, 18, 21 s
    assert result.node_in[0, line.index("B")] == 1
    assert result.node_in[0, line.index("A")] == 7


# ---- crews


def test_a_crew_keeps_its_people_through_set_up_and_failure():
    line = LineBuilder()
    crew = line.crew(1)
    line.source("SA", saturated=True, limit=1)
    line.station("A", cycle=line.constant(10.0), crew=crew, crew_size=1,
                 time_to_failure=line.constant(4.0), time_to_repair=line.constant(6.0))  # fmt: skip
    line.source("SB", saturated=True, limit=1)
    line.station("B", cycle=line.constant(5.0), crew=crew, crew_size=1)
    line.sink("K")
    line.chain("SA", "A", "K")
    line.chain("SB", "B", "K")
    result = run(line, 60)
    # A: 0-4, down to 10, 10-14, down to 20, 20-22; only then B
    assert sunk_at(result) == [22, 27]
    assert states(result, line, "B")[NodeState.WAITING_CREW] == EXACT(22.0)


# ---- buffers


def test_lifo_gives_the_latest_first():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(3.0), limit=3)
    line.buffer("B", 5, lifo=True)
    line.station("M", cycle=line.constant(10.0))
    line.sink("K")
    line.chain("S", "B", "M", "K")
    result = run(line, 60)
    # the first goes through (3-13); of those of 6 and 9 s the later is taken first: leads 10, 23 - 9 and 33 - 6
    assert sunk_at(result) == [13, 23, 33]
    assert result.lead_mean_s[0] == EXACT((10.0 + 14.0 + 27.0) / 3)
    # the same items leave in the order of their coming otherwise
    line.model.nodes[1].lifo = False
    assert run(line, 60).lead_p95_s[0] == pytest.approx(24.0, rel=0.03)


def test_capacity_counts_pure_slots():
    line = simple(1000.0)
    line.buffer("B", 4)
    line.model.nodes[0].next = [line.index("B")]
    line.chain("B", "M")
    result = run(line, 10)
    assert result.inside[0] == 5
    assert result.level_mean[0, line.index("B")] == EXACT(4.0)


# ---- conveyors


def test_two_lengths_decide_the_distance_on_a_belt():
    line = LineBuilder()
    line.item("long", 1.0)
    line.item("short", 0.2)
    for name in ("long", "short"):
        line.source(f"S{name}", saturated=True, limit=1, types=(name,))
    line.conveyor("C", length=5.0, speed=0.5)
    line.sink("K")
    line.chain("Slong", "C", "K")
    line.chain("Sshort", "C")
    # the second enters (1.0 + 0.2) / 2 m behind: 1.2 s later; both take 10 s
    result = simulate(line.model, horizon_s=20.0, intervals=200, replications=1)
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [100, 112]


def test_items_close_up_behind_a_blocked_head_and_restart_at_once():
    line = LineBuilder(item_length=0.5)
    line.source("S", interarrival=line.constant(2.0), limit=3)
    line.conveyor("C", length=4.0, speed=1.0)
    line.station("M", cycle=line.constant(20.0))
    line.sink("K")
    line.chain("S", "C", "M", "K")
    result = run(line, 80)
    # at the end at 6, 8 and 10 s: M works 6-26; the second stands at the end, the third 0.5 m behind it; when the second
    # leaves at 26 s the third moves up and is there 0.5 s later, long before 46 s
    assert sunk_at(result) == [26, 46, 66]
    assert states(result, line, "C")[NodeState.BLOCKED] == EXACT((26.0 - 8.0) + (46.0 - 26.5))


def test_entry_waits_until_the_last_item_is_clear():
    line = LineBuilder(item_length=0.5)
    line.source("S", saturated=True, limit=2)
    line.conveyor("C", length=2.0, speed=0.25)
    line.sink("K")
    line.chain("S", "C", "K")
    assert sunk_at(run(line, 20)) == [8, 10]


# ---- routers and merges


def test_choices_by_type_are_kept_while_waiting():
    line = LineBuilder()
    line.source("S", saturated=True, limit=2, types=("a",))
    line.router("R", rule=RouterRule.BY_TYPE, router_types=[0, -1])
    line.station("A", cycle=line.constant(10.0))
    line.station("B", cycle=line.constant(10.0))
    line.sink("K")
    line.chain("S", "R", "A", "K")
    line.chain("R", "B", "K")
    result = run(line, 30)
    assert sunk_at(result) == [10, 20]  # B stays empty
    assert result.node_in[0, line.index("B")] == 0


def test_choices_by_probability_are_kept_behind_a_choice_by_room():
    """Z takes what finds P full; whenever it is free, all is looked at anew, but what P chose for the one that waits stands: the
    n-th piece that goes by P takes its n-th draw."""
    line = LineBuilder()
    line.source("S", saturated=True)
    line.router("R", rule=RouterRule.FIRST)
    line.router("P", rule=RouterRule.PROBABILITY, router_weights=[0.5, 0.5])
    line.station("A", cycle=line.constant(10.0))
    line.station("B", cycle=line.constant(0.7))
    line.station("Z", cycle=line.constant(3.1))
    line.sink("K")
    line.chain("S", "R", "P", "A", "K")
    line.chain("P", "B", "K")
    line.chain("R", "Z", "K")
    result = run(line, 1000)
    by_a, by_b = (int(result.node_in[0, line.index(name)]) for name in "AB")
    drawn = uniforms(count=by_a + by_b, seed=1, stream=line.model.nodes[line.index("P")].stream, purpose=ROUTE)
    assert by_a == (drawn < 0.5).sum() > 50


def test_round_robin_skips_what_is_full():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(1.0))
    line.router("R", rule=RouterRule.ROUND_ROBIN)
    for name, cycle in (("A", 0.5), ("B", 100.0), ("C", 0.5)):
        line.station(name, cycle=line.constant(cycle))
        line.sink(f"K{name}")
        line.chain(name, f"K{name}")
    line.chain("S", "R", "A")
    line.chain("R", "B")
    line.chain("R", "C")
    result = run(line, 8)
    # 1 s A, 2 s B, 3 s C, 4 s A, 5 s (B is full) C, 6 s A, 7 s C, 8 s A
    assert result.node_in[0, [line.index(n) for n in "ABC"]].tolist() == [4, 1, 3]


def test_shortest_queue_goes_by_free_room():
    line = LineBuilder()
    line.source("S", saturated=True, limit=5)
    line.router("R", rule=RouterRule.SHORTEST_QUEUE)
    for name, room in (("A", 2), ("B", 4)):
        line.buffer(name, room)
        line.station(f"M{name}", cycle=line.constant(1000.0))
        line.sink(f"K{name}")
        line.chain(name, f"M{name}", f"K{name}")
    line.chain("S", "R", "A")
    line.chain("R", "B")
    result = run(line, 10)
    # free 2 and 4: B (passes on to its machine at once, 4 left), B 3, B 2, then the first of equals: A
    inside = {n: result.level_mean[0, line.index(n)] for n in ("A", "MA", "B", "MB")}
    assert sum(inside.values()) == EXACT(5.0)
    assert inside["MB"] == EXACT(1.0)
    assert inside["B"] >= 2.0


def test_free_room_of_a_belt_is_what_it_has_places_for():
    line = LineBuilder(item_length=0.5)
    line.source("S", interarrival=line.constant(10.0), limit=6)
    line.router("R", rule=RouterRule.SHORTEST_QUEUE)
    for name, length in (("A", 1.0), ("B", 2.0)):
        line.conveyor(name, length=length, speed=1.0)
        line.station(f"M{name}", cycle=line.constant(1000.0))
        line.sink(f"K{name}")
        line.chain(name, f"M{name}", f"K{name}")
    line.chain("S", "R", "A")
    line.chain("R", "B")
    result = run(line, 70)
    # places 3 and 5: B (into its machine), B 5 free, B 4, B 3, then A of equals (its machine takes it), A
    assert result.node_in[0, [line.index("A"), line.index("B")]].tolist() == [2, 4]


def test_merge_takes_the_one_blocked_longest_then_authored_order():
    line = LineBuilder()
    line.item("a")
    for name, first in (("A", 5.0), ("B", 3.0), ("C", 5.0)):
        line.source(f"S{name}", interarrival=line.constant(first), limit=1)
        line.buffer(name, 1)
    line.source("S0", saturated=True, limit=1)
    line.station("M", cycle=line.constant(10.0))
    line.sink("K")
    line.chain("S0", "M", "K")
    for name in "ABC":
        line.chain(f"S{name}", name, "M")
    result = simulate(line.model, horizon_s=45.0, intervals=45, replications=1)
    # M is free at 10, 20, 30 s: B has waited since 3 s; A and C since 5 s, A stands before C
    leads = 10.0, 20.0 - 3.0, 30.0 - 5.0, 40.0 - 5.0
    assert result.lead_mean_s[0] == EXACT(sum(leads) / 4)
    assert result.level_mean[0, [line.index(n) for n in "ABC"]] * 45.0 == EXACT([20.0 - 5.0, 10.0 - 3.0, 30.0 - 5.0])


# ---- time and counting


def test_the_horizon_is_measured_after_the_warm_up():
    line = simple(10.0)
    result = simulate(line.model, horizon_s=50.0, warmup_s=25.0, replications=1)
    assert (result.sunk[0], result.sunk_measured[0]) == (7, 5)  # of 10, 20 .. 70 s
    assert states(result, line, "M")[0] == EXACT(50.0)


def test_rejects_count_as_scrap_and_not_as_throughput_or_lead_time():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(10.0))
    line.station("M", cycle=line.constant(1.0), scrap_rate=1.0)
    line.router("R", rule=RouterRule.BY_QUALITY)
    line.sink("K")
    line.sink("X", reject=True)
    line.chain("S", "M", "R", "K")
    line.chain("R", "X")
    result = run(line, 55)
    assert (result.scrapped[0], result.sunk[0]) == (5, 0)
    assert np.isnan(result.lead_mean_s[0])
    assert result.wip_mean[0] == EXACT(5.0 / 55.0)


def test_p95_of_equal_lead_times_is_that_time():
    result = simulate(simple(7.3).model, horizon_s=500.0, replications=2)
    assert result.lead_p95_s.tolist() == result.lead_least_s.tolist() == result.lead_most_s.tolist() == [7.3, 7.3]


def test_energy_follows_the_states():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(10.0))
    line.station("M", cycle=line.constant(4.0), power=(10.0, 100.0, 20.0, 30.0, 5.0),
                 time_to_failure=line.constant(6.0), time_to_repair=line.constant(3.0))  # fmt: skip
    line.sink("K")
    line.chain("S", "M", "K")
    result = run(line, 50)
    # works 10-14, 20-22, down 22-25, works 25-27 and 30-34, when the next failure is due just as the cycle ends: it comes
    # with the next cycle. Down 40-43, works 43-47
    assert states(result, line, "M") == EXACT([16.0, 0, 0, 28.0, 0, 6.0, 0])
    assert result.energy_j[0] == EXACT(16.0 * 100.0 + 6.0 * 5.0 + 28.0 * 10.0)


# ---- deadlocks


def test_a_deadlock_is_found_while_the_rest_of_the_line_is_busy():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("A", cycle=line.constant(1.0), scrap_rate=1.0)
    line.station("W", cycle=line.constant(1.0))
    line.sink("K")
    line.model.nodes[1].rework = 2
    line.chain("S", "A", "K")
    line.chain("W", "A")
    line.source("T", interarrival=line.constant(2.0))
    line.station("B", cycle=line.constant(1.0), time_to_failure=line.constant(5.0), time_to_repair=line.constant(1.0),
                 failure_while_working=False)  # fmt: skip
    line.chain("T", "B", "K")
    result = run(line, 100)
    assert result.deadlocked.tolist() == [True]
    assert [result.nodes[i] for i in np.nonzero(result.stuck[0])[0]] == ["/S", "/A", "/W"]
    assert result.sunk[0] > 30


def test_waiting_for_the_next_shift_or_a_repair_is_no_deadlock():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(10.0), shift=line.shift("00:00-00:01"))
    line.sink("K")
    line.chain("S", "M", "K")
    assert not run(line, 300).deadlocked.any()
    line = simple(10.0)
    line.model.nodes[1].time_to_failure, line.model.nodes[1].time_to_repair = line.constant(15.0), line.constant(1e5)
    assert not run(line, 300).deadlocked.any()


# ---- size


def test_a_line_of_several_hundred_nodes():
    line = LineBuilder()
    line.source("S", saturated=True)
    names = ["S"]
    for i in range(250):
        line.station(f"M{i}", cycle=line.constant(1.0))
        line.buffer(f"B{i}", 1)
        names += [f"M{i}", f"B{i}"]
    line.sink("K")
    line.chain(*names, "K")
    result = simulate(line.model, horizon_s=1000.0, replications=2)
    assert result.sunk.tolist() == [751, 751]  # one at 250, 251, ... 1000 s
    assert result.lead_mean_s.tolist() == EXACT([250.0, 250.0])


def test_many_clocks_keep_the_order_of_few():
    # the same line twice, the second with idle stations that make the engine keep earliest times by group
    results = []
    for extra in (0, 80):
        line = LineBuilder()
        line.source("S", interarrival=line.exponential(3.0))
        line.buffer("B", 4)
        line.station("M", cycle=line.distribution(Distribution.GAMMA, mean=2.0, cv=0.8), servers=2,
                     time_to_failure=line.exponential(40.0), time_to_repair=line.exponential(5.0))  # fmt: skip
        line.sink("K")
        line.chain("S", "B", "M", "K")
        for i in range(extra):
            line.station(f"X{i}", cycle=line.constant(1.0))
            line.chain(f"X{i}", "K")
        results.append(simulate(line.model, horizon_s=3000.0, replications=8))
    np.testing.assert_array_equal(results[0].sunk, results[1].sunk)
    np.testing.assert_array_equal(results[0].state_time_s[:, :4], results[1].state_time_s[:, :4])
