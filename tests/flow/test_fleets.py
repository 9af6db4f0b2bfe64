"""Vehicles, each case worked out by hand."""

import pytest

from twin.core.errors import InputError
from twin.flow import simulate
from twin.model.build import LineBuilder
from twin.model.factory import NodeState, RouterRule


def seconds(result, line, name):
    return result.state_time_s[0, line.index(name)].tolist()


def shuttle(size=1, **fields):
    """A part every 60 s, 2 s of work, then 10 m by vehicle from A to K; the vehicle begins 5 m from A."""
    line = LineBuilder()
    line.source("S", interarrival=line.constant(60.0))
    line.station("A", cycle=line.constant(2.0))
    line.sink("K")
    times = {"load_time": line.constant(3.0), "unload_time": line.constant(4.0)}
    line.fleet("F", size, speed=0.5, ways={("F", "A"): 5.0, ("A", "K"): 10.0}, **times, **fields)
    line.chain("S", "A", "F", "K")
    return line


def test_fetch_load_carry_unload():
    line = shuttle()
    result = simulate(line.model, horizon_s=600.0, replications=1)
    # the first is fetched from 5 m away: 2 + 10 + 3 + 20 + 4 s; for the others it comes back from K: 2 + 20 + 3 + 20 + 4 s
    assert result.sunk[0] == 9
    assert result.lead_mean_s[0] == pytest.approx((39.0 + 8 * 49.0) / 9)
    # 37 s for the first job, 47 s for each of the other eight; of the tenth part nothing yet: it comes at 600 s
    assert seconds(result, line, "F") == pytest.approx([37.0 + 8 * 47.0, 0, 0, 600.0 - 413.0, 0, 0, 0])
    # what waits for a vehicle blocks its station until it is being loaded
    assert seconds(result, line, "A")[NodeState.BLOCKED] == pytest.approx(10.0 + 8 * 20.0)


def test_the_nearest_idle_vehicle_comes_and_the_oldest_request_is_served_first():
    line = LineBuilder()
    for name, first in (("A", 10.0), ("B", 11.0)):
        line.source(f"S{name}", interarrival=line.constant(first), limit=1)
        line.buffer(name, 5)
    line.sink("K")
    line.fleet("F", 1, speed=1.0, ways={("F", "B"): 1.0, ("B", "A"): 20.0, ("A", "K"): 30.0})
    for name in "AB":
        line.chain(f"S{name}", name, "F")
    line.chain("F", "K")
    result = simulate(line.model, horizon_s=400.0, intervals=400, replications=1)
    # A asked first though B is nearer: 10 + 21 + 30 = 61; then back to B (50 m) and on to K (50 m): 161
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [61, 161]
    line.model.nodes[line.index("F")].servers = 2
    result = simulate(line.model, horizon_s=400.0, intervals=400, replications=1)
    # with two, B's leaves with the second vehicle from where it stands: 11 + 1 + 50
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [61, 62]


def test_several_vehicles_fetch_from_one_buffer_at_once():
    line = LineBuilder()
    line.source("S", saturated=True, limit=3)
    line.buffer("B", 3)
    line.sink("K")
    line.fleet("F", 3, speed=1.0, ways={("F", "B"): 10.0, ("B", "K"): 10.0})
    line.chain("S", "B", "F", "K")
    result = simulate(line.model, horizon_s=60.0, intervals=60, replications=1)
    assert result.sunk_per_interval[0, 20] == 3


def test_vehicle_waits_with_its_load_for_room():
    line = LineBuilder()
    line.source("S", saturated=True)
    line.station("M", cycle=line.constant(100.0))
    line.sink("K")
    line.fleet("F", 1, speed=1.0, ways={("F", "S"): 0.0, ("S", "M"): 5.0})
    line.chain("S", "F", "M", "K")
    result = simulate(line.model, horizon_s=305.0, replications=1)
    # M works 5-105, 105-205, 205-305; the next load is there 10 s later and waits 90 s, three times
    assert result.sunk[0] == 3
    assert seconds(result, line, "F") == pytest.approx([5.0 + 2 * 10.0 + 10.0, 0, 3 * 90.0, 0, 0, 0, 0], abs=1e-6)


def test_vehicle_charges_after_the_job_in_which_its_battery_runs_out():
    line = shuttle()
    node = line.model.nodes[line.index("F")]
    node.battery_time, node.charge_time = line.constant(100.0), line.constant(30.0)
    result = simulate(line.model, horizon_s=600.0, replications=1)
    # in use 37 + 47 + 47 = 131 s after the third job, then 3 * 47 = 141 s each: charged twice, and again after the ninth
    assert seconds(result, line, "F")[NodeState.SETUP] == pytest.approx(60.0 + min(30.0, 600.0 - (540.0 + 49.0)))
    assert result.sunk[0] == 9


def test_vehicles_stand_still_off_shift():
    line = shuttle()
    line.model.nodes[line.index("F")].shift = line.shift("00:00-00:01", "00:02-00:04")
    result = simulate(line.model, horizon_s=240.0, intervals=240, replications=1)
    # the part comes at 60 s, is done at 62 s, asks off shift; on shift again at 120 s: + 10 + 3 + 20 + 4
    assert result.sunk_per_interval[0].nonzero()[0].tolist() == [157, 204]
    assert seconds(result, line, "F")[NodeState.OFF] == pytest.approx(60.0)


def test_routers_behind_a_fleet_say_where_the_load_goes():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(100.0), types=("a", "b"))
    line.buffer("B", 1)
    line.router("R", rule=RouterRule.BY_TYPE, router_types=[0, 1])
    line.sink("KA")
    line.sink("KB")
    line.fleet("F", 1, speed=1.0, ways={("F", "B"): 0.0, ("B", "KA"): 10.0, ("B", "KB"): 30.0})
    line.chain("S", "B", "F", "R", "KA")
    line.chain("R", "KB")
    result = simulate(line.model, horizon_s=100_000.0, replications=1)
    ins = result.node_in[0]
    assert ins[line.index("KA")] + ins[line.index("KB")] == result.sunk[0]
    # back and forth to where the part before it went; a lead time is the way back and the way there
    assert result.lead_mean_s[0] == pytest.approx(40.0, abs=1.5)


def test_a_vehicle_called_in_vain_is_free_again():
    line = LineBuilder()
    line.source("S", interarrival=line.constant(50.0))
    line.buffer("B", 5)
    line.station("M", cycle=line.constant(70.0))
    line.sink("K")
    line.fleet("F", 1, speed=1.0, ways={("F", "B"): 30.0, ("B", "K"): 30.0})
    line.chain("S", "B", "M", "K")
    line.chain("B", "F", "K")
    result = simulate(line.model, horizon_s=149.0, replications=1)
    # the second part (100 s) finds M busy until 120 s and asks, but M takes it before the vehicle is there (130 s)
    assert seconds(result, line, "M")[NodeState.WORKING] == pytest.approx(99.0)
    assert seconds(result, line, "F") == pytest.approx([30.0, 0, 0, 119.0, 0, 0, 0])
    assert result.node_in[0, line.index("F")] == 0
    # the third one (150 s) is fetched from where it stands now: M is busy until 190 s
    result = simulate(line.model, horizon_s=199.0, replications=1)
    assert result.sunk[0] == 3
    assert result.node_in[0, line.index("F")] == 1


def test_findings_name_what_a_fleet_cannot_do():
    line = shuttle()
    line.model.nodes[line.index("F")].ways[0] = [0.0, float("inf")]
    with pytest.raises(InputError, match="/F: no way of twin:fleet:paths leads to /K"):
        simulate(line.model, horizon_s=1.0, replications=1)
    line = shuttle()
    line.model.nodes[line.index("F")].next = []
    with pytest.raises(InputError, match="/F: a fleet needs a successor"):
        simulate(line.model, horizon_s=1.0, replications=1)
