"""Working hours, crews and assembly, each on a line small enough to be worked out by hand."""

import pytest

from twin.core.errors import InputError
from twin.flow import flow_findings, simulate
from twin.model.build import LineBuilder
from twin.model.factory import NodeState
from twin.model.shifts import DAY_US

DAY = DAY_US * 1e-6
FIRST_MINUTE = "00:00-00:01"


def hours(result, line, name):
    """Seconds in each state."""
    return {state: float(result.state_time_s[0, line.index(name), state]) for state in NodeState}


def one_station(cycle, **fields):
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(cycle), **fields)
    line.sink("K")
    line.chain("S", "M", "K")
    return line


def test_end_of_shift_suspends_the_cycle_until_the_next_one():
    line = one_station(25.0)
    line.model.nodes[1].shift = line.shift(FIRST_MINUTE)
    before = simulate(line.model, horizon_s=DAY, replications=1)
    assert before.sunk[0] == 2  # at 25 and 50 s; the third has worked 10 s
    states = hours(before, line, "M")
    assert states[NodeState.WORKING] == pytest.approx(60.0)
    assert states[NodeState.OFF] == pytest.approx(DAY - 60.0)
    assert simulate(line.model, horizon_s=DAY + 14.9, replications=1).sunk[0] == 2
    assert simulate(line.model, horizon_s=DAY + 15.1, replications=1).sunk[0] == 3
    # 60 s on shift a day
    assert simulate(line.model, horizon_s=25 * DAY - 1.0, replications=1).sunk[0] == 60


def test_cycle_that_ends_with_the_shift_is_done():
    line = one_station(30.0)
    line.model.nodes[1].shift = line.shift(FIRST_MINUTE)
    assert simulate(line.model, horizon_s=100.0, replications=1).sunk[0] == 2


def test_shift_crosses_midnight_and_the_week():
    line = one_station(20.0)
    line.model.nodes[1].shift = line.shift("sun 23:59-00:01")
    result = simulate(line.model, horizon_s=200.0, begin_s=7 * DAY - 30.0, replications=1)
    assert result.sunk[0] == 4  # on for 90 s
    assert hours(result, line, "M")[NodeState.OFF] == pytest.approx(110.0)


def test_without_a_begin_the_week_begins_on_monday():
    line = one_station(20.0)
    line.model.nodes[1].shift = line.shift("tue 00:00-24:00")
    assert simulate(line.model, horizon_s=DAY, replications=1).sunk[0] == 0
    assert simulate(line.model, horizon_s=DAY + 100.0, replications=1).sunk[0] == 5


def test_source_and_belt_stand_still_off_shift():
    line = LineBuilder()
    shift = line.shift(FIRST_MINUTE)
    line.source("S", interarrival=line.constant(30.0), limit=2, shift=shift)
    line.conveyor("C", length=4.0, speed=0.1, shift=shift)
    line.sink("K")
    line.chain("S", "C", "K")
    result = simulate(line.model, horizon_s=2 * DAY, replications=1)
    # the first leaves at 30 s and has 10 s to go when the belt stops; the second one comes with the shift's last moment
    assert result.sunk[0] == 2
    assert result.lead_mean_s[0] == pytest.approx(((DAY + 10.0 - 30.0) + (DAY + 40.0 - 60.0)) / 2.0)
    assert hours(result, line, "C")[NodeState.OFF] == pytest.approx(2 * (DAY - 60.0))


def test_two_stations_share_one_person():
    line = LineBuilder()
    crew = line.crew(1)
    for name in "AB":
        line.source(f"S{name}", saturated=True)
        line.station(name, cycle=line.constant(4.0), crew=crew, crew_size=1)
        line.sink(f"K{name}")
        line.chain(f"S{name}", name, f"K{name}")
    result = simulate(line.model, horizon_s=80.0, replications=1)
    assert result.node_out[0, [line.index("A"), line.index("B")]].tolist() == [10, 10]
    for name in "AB":
        states = hours(result, line, name)
        assert states[NodeState.WORKING] == pytest.approx(40.0)
        assert states[NodeState.WAITING_CREW] == pytest.approx(40.0)
    assert result.crew_busy_s[0].tolist() == result.crew_on_s[0].tolist() == [80.0]
    # who is at work when the warm-up ends is at work from there on
    measured = simulate(line.model, horizon_s=30.0, warmup_s=18.0, replications=1)
    assert measured.crew_busy_s[0].tolist() == measured.crew_on_s[0].tolist() == [30.0]


def test_first_come_first_served_holds_up_those_who_need_fewer():
    line = LineBuilder()
    crew = line.crew(3)
    for name, people in (("A", 2), ("B", 2), ("C", 1)):
        line.source(f"S{name}", saturated=True, limit=1)
        line.station(name, cycle=line.constant(10.0), crew=crew, crew_size=people)
        line.sink(f"K{name}")
        line.chain(f"S{name}", name, f"K{name}")
    result = simulate(line.model, horizon_s=30.0, intervals=6, replications=1)
    # one person is free from the start, but B asked before C
    assert result.sunk_per_interval[0].tolist() == [0, 0, 1, 0, 2, 0]


def test_one_repairer_for_two_stations():
    line = LineBuilder()
    crew = line.crew(1)
    for name in "AB":
        line.source(f"S{name}", saturated=True)
        line.station(
            name,
            cycle=line.constant(1.0),
            time_to_failure=line.constant(5.0),
            time_to_repair=line.constant(3.0),
            repair_crew=crew,
        )
        line.sink(f"K{name}")
        line.chain(f"S{name}", name, f"K{name}")
    result = simulate(line.model, horizon_s=13.0, replications=1)
    # both fail at 5 s; A is repaired until 8 s and fails again at 13 s, B until 11 s
    assert hours(result, line, "A")[NodeState.DOWN] == pytest.approx(3.0)
    assert hours(result, line, "B")[NodeState.DOWN] == pytest.approx(6.0)
    # until 8 s nobody is at B
    assert result.unattended_s[0, [line.index("A"), line.index("B")]] == pytest.approx([0.0, 3.0])
    assert result.crew_busy_s[0] == pytest.approx([6.0])
    assert result.crew_on_s[0] == pytest.approx([13.0])


def test_what_waits_for_repair_off_shift_is_off():
    line = LineBuilder()
    crew = line.crew(1)
    for name, until in (("A", 50.0), ("B", 55.0)):
        line.source(f"S{name}", saturated=True)
        times = {"time_to_failure": line.constant(until), "time_to_repair": line.constant(20.0)}
        line.station(name, cycle=line.constant(1000.0), repair_crew=crew, **times)
        line.sink(f"K{name}")
        line.chain(f"S{name}", name, f"K{name}")
    line.model.nodes[line.index("B")].shift = line.shift(FIRST_MINUTE)
    result = simulate(line.model, horizon_s=100.0, replications=1)
    # A is repaired from 50 s to 70 s, B, off shift since 60 s, from then to 90 s
    states = hours(result, line, "B")
    assert (states[NodeState.DOWN], states[NodeState.OFF]) == pytest.approx((5.0, 40.0))
    assert result.unattended_s[0, line.index("B")] == pytest.approx(5.0)
    assert result.crew_busy_s[0] == pytest.approx([40.0])


def test_crew_that_goes_home_takes_its_work_with_it():
    line = one_station(25.0)
    line.model.nodes[1].crew = line.crew(1, shift=line.shift(FIRST_MINUTE))
    line.model.nodes[1].crew_size = 1
    result = simulate(line.model, horizon_s=DAY + 15.1, replications=1)
    assert result.sunk[0] == 3
    states = hours(result, line, "M")
    assert states[NodeState.WAITING_CREW] == pytest.approx(DAY - 60.0)
    assert states[NodeState.OFF] == 0.0
    assert result.crew_on_s[0] == pytest.approx([75.1])
    assert result.crew_busy_s[0] == pytest.approx([75.1])


def test_repair_waits_for_the_repairers_shift():
    line = one_station(10.0)
    node = line.model.nodes[1]
    node.time_to_failure, node.time_to_repair = line.constant(55.0), line.constant(20.0)
    node.repair_crew = line.crew(1, shift=line.shift(FIRST_MINUTE))
    result = simulate(line.model, horizon_s=DAY + 60.0, replications=1)
    # fails at 55 s, 5 s of the repair before the shift ends and 15 s on the next day
    assert hours(result, line, "M")[NodeState.DOWN] == pytest.approx(DAY - 55.0 + 15.0)
    assert result.unattended_s[0, line.index("M")] == pytest.approx(DAY - 60.0)
    assert result.crew_busy_s[0] == pytest.approx([20.0])
    assert result.crew_on_s[0] == pytest.approx([120.0])


def test_assembly_takes_one_of_each_and_counts_all_pieces():
    line = LineBuilder()
    whole = line.item("assembly")
    line.source("A", interarrival=line.constant(3.0))
    line.source("B", interarrival=line.constant(5.0))
    line.station("M", cycle=[line.constant(1.0)] * 2, output=whole)
    line.sink("K")
    line.chain("A", "M", "K")
    line.chain("B", "M")
    line.model.nodes[2].joins = [0, 1]
    result = simulate(line.model, horizon_s=16.5, replications=1)
    # works from 5, 10 and 15 s on; an A that came too early waits in the station, the one after it in its source
    assert result.node_out[0, line.index("M")] == 3
    assert result.sunk[0] == 6
    assert result.lead_mean_s[0] == pytest.approx((3 + 1 + 5 + 1 + 5 + 1) / 6)
    assert (result.spawned == result.inside + result.sunk).all()


def test_assembly_at_two_places_never_takes_two_of_a_kind():
    line = LineBuilder()
    whole = line.item("assembly")
    line.source("A", saturated=True)
    line.source("B", interarrival=line.constant(2.0))
    line.station("M", cycle=[line.constant(5.0)] * 2, output=whole, servers=2)
    line.sink("K")
    line.chain("A", "M", "K")
    line.chain("B", "M")
    line.model.nodes[2].joins = [0, 1]
    result = simulate(line.model, horizon_s=100.5, replications=1)
    # 5 s at two places: one every 2.5 s
    assert result.node_out[0, line.index("M")] == pytest.approx(39, abs=1)
    assert result.node_in[0, line.index("M")] <= 2 * (result.node_out[0, line.index("M")] + 2)


def test_findings_name_what_could_never_start():
    line = one_station(1.0)
    line.model.nodes[1].crew, line.model.nodes[1].crew_size = line.crew(2), 3
    with pytest.raises(InputError, match="needs 3 people, /Crew0 has 2"):
        simulate(line.model, horizon_s=1.0, replications=1)

    line = one_station(1.0)
    line.source("T", saturated=True)
    line.chain("T", "M")
    line.model.nodes[1].joins = [0]
    assert [f.code for f in flow_findings(line.model)] == ["not-joined"]


def test_defective_items_are_counted_where_they_are_made():
    line = one_station(1.0, scrap_rate=0.25)
    result = simulate(line.model, horizon_s=4000.0, warmup_s=10.0, replications=4)
    defective = result.node_defective[:, line.index("M")]
    assert (defective == result.node_out[:, line.index("M")] - result.sunk_measured).all()
    assert defective.mean() / 4000.0 == pytest.approx(0.25, abs=0.02)
