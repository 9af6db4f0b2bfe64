"""Each attribute of the schema at physics time, on stages small enough to be worked out by hand (docs/semantics.md)."""

import numpy as np
import pytest

from twin.model.build import LineBuilder
from twin.model.factory import NodeState, RouterRule, Shift
from twin.sim import Simulation

DOWN, OFF, SETUP, WORKING = NodeState.DOWN, NodeState.OFF, NodeState.SETUP, NodeState.WORKING
BLOCKED, STARVED, WAITING = NodeState.BLOCKED, NodeState.STARVED, NodeState.WAITING_CREW


class Hall(LineBuilder):
    """A line without geometry: no bodies, so that a step a second is as good as sixty."""

    def run(self, seconds, **options):
        simulation = Simulation(self.model, hz=1.0, capacity=64, **options)
        simulation.step(seconds)
        c = simulation.counts()
        assert c.spawned == c.inside + c.sunk + c.scrapped + c.lost
        assert c.lost == 0
        return simulation

    def times(self, simulation, name):
        """Seconds in each state."""
        return simulation.statistics()["state_us"][self.index(name)] * 1e-6

    def out(self, simulation, name):
        return int(simulation.statistics()["left"][self.index(name)])


@pytest.fixture
def hall():
    return Hall()


def one_station(hall, *, every=0.0, **station):
    if every:
        hall.source("S", interarrival=hall.constant(every))
    else:
        hall.source("S", saturated=True)
    station.setdefault("cycle", hall.constant(4.0))
    hall.station("M", **station)
    hall.sink("K")
    hall.chain("S", "M", "K")


def test_first_arrival_comes_after_one_interarrival_time_and_the_next_is_drawn_when_the_item_leaves(hall):
    one_station(hall, every=3.0, cycle=hall.constant(5.0))
    s = hall.run(60)
    # arrivals at 3; then 3 s after the last one left: 6 (waits until 8), 11 (waits until 13), ...: one each 5 s
    assert hall.out(s, "S") == 1 + (60 - 8) // 5 + 1
    assert hall.times(s, "M")[STARVED] == pytest.approx(3.0)
    assert hall.times(s, "S")[BLOCKED] == pytest.approx(2.0 * 11)


def test_limited_source_makes_so_many_and_no_more(hall):
    one_station(hall, every=1.0, cycle=hall.constant(0.5))
    hall.model.nodes[0].limit = 7
    s = hall.run(60)
    assert s.counts().sunk == s.counts().spawned == 7


def test_weights_share_out_the_items(hall):
    hall.source("S", saturated=True, types=("a", "b"), weights=(0.25, 0.75))
    hall.station("M", cycle=[hall.constant(0.1), hall.constant(0.2)])
    hall.sink("K")
    hall.chain("S", "M", "K")
    s = hall.run(200)
    # 0.25 x 0.1 + 0.75 x 0.2 = 0.175 s a piece
    assert s.counts().sunk == pytest.approx(200 / 0.175, rel=0.03)


def test_cycle_time_by_type(hall):
    hall.source("A", interarrival=hall.constant(10.0), types=("a",), limit=1)
    hall.source("B", interarrival=hall.constant(20.0), types=("b",), limit=1)
    hall.station("M", cycle=[hall.constant(3.0), hall.constant(5.0)])
    hall.sink("K")
    hall.chain("A", "M", "K")
    hall.chain("B", "M")
    assert hall.times(hall.run(40), "M")[WORKING] == pytest.approx(8.0)


def test_servers_work_side_by_side(hall):
    one_station(hall, every=2.0, servers=2)
    s = hall.run(42)
    # arrivals 2, 4, 6, ...: two servers of 4 s each are just enough
    assert hall.out(s, "M") == 19
    assert hall.times(s, "M")[WORKING] == pytest.approx((40 + 38) / 2)


def test_set_up_between_different_types(hall):
    hall.source("A", interarrival=hall.constant(10.0), types=("a",), limit=2)
    hall.source("B", interarrival=hall.constant(25.0), types=("b",), limit=1)
    hall.station("M", cycle=[hall.constant(2.0)] * 2, setup=hall.constant(1.5))
    hall.sink("K")
    hall.chain("A", "M", "K")
    hall.chain("B", "M")
    t = hall.times(hall.run(60), "M")
    assert (t[SETUP], t[WORKING]) == pytest.approx((1.5, 6.0))  # a, a, then b


def test_failure_while_working_and_repair(hall):
    # fails after 10 s of work: works 4 of every 5 s, so at 5 + 4 + 1 + 4 + 1 + 2 = 17 s
    one_station(hall, every=5.0, time_to_failure=hall.constant(10.0), time_to_repair=hall.constant(3.0))
    t = hall.times(hall.run(22), "M")
    assert t[DOWN] == pytest.approx(3.0)
    assert t[WORKING] == pytest.approx(12.0)  # three cycles; the third, cut at 17 s, resumes at 20 s


def test_failure_by_time_happens_to_an_idle_station_too(hall):
    one_station(hall, every=100.0, time_to_failure=hall.constant(10.0), time_to_repair=hall.constant(3.0))
    hall.model.nodes[1].failure_while_working = False
    assert hall.times(hall.run(52), "M")[DOWN] == pytest.approx(4 * 3.0)


def test_repair_crew_repairs_one_after_the_other(hall):
    crew = hall.crew(1)
    fails = {"time_to_failure": hall.constant(10.0), "time_to_repair": hall.constant(3.0), "repair_crew": crew}
    for i in range(2):
        hall.source(f"S{i}", interarrival=hall.constant(1000.0))
        hall.station(f"M{i}", cycle=hall.constant(1.0), failure_while_working=False, **fails)
        hall.sink(f"K{i}")
        hall.chain(f"S{i}", f"M{i}", f"K{i}")
    s = hall.run(17)
    assert hall.times(s, "M0")[DOWN] == pytest.approx(3.0)
    assert hall.times(s, "M1")[DOWN] == pytest.approx(6.0)


def test_crew_staffs_cycles_first_come_first_served(hall):
    crew = hall.crew(1)
    for i in range(2):
        hall.source(f"S{i}", interarrival=hall.constant(10.0 + i), limit=1)
        hall.station(f"M{i}", cycle=hall.constant(4.0), crew=crew, crew_size=1)
        hall.sink(f"K{i}")
        hall.chain(f"S{i}", f"M{i}", f"K{i}")
    s = hall.run(30)
    assert hall.times(s, "M0")[WAITING] == 0.0
    assert hall.times(s, "M1")[WAITING] == pytest.approx(3.0)  # from 11 to 14 s
    assert hall.times(s, "M1")[WORKING] == pytest.approx(4.0)


def test_shift_suspends_a_cycle_which_then_resumes(hall):
    shift = hall.shift("mon 06:00-06:01", "mon 06:02-06:03")
    one_station(hall, every=7.0, cycle=hall.constant(10.0), shift=shift)
    s = hall.run(180, begin_s=6 * 3600.0)
    t = hall.times(s, "M")
    assert t[OFF] == pytest.approx(60.0)
    assert t[WORKING] == pytest.approx(120.0 - 7.0)
    assert hall.out(s, "M") == 11  # 113 s of work


def test_crew_off_shift_halts_the_work_in_hand(hall):
    crew = hall.crew(1, shift=hall.shift("mon 00:00-00:01"))
    one_station(hall, every=7.0, cycle=hall.constant(10.0), crew=crew, crew_size=1)
    t = hall.times(hall.run(100), "M")
    assert t[WORKING] == pytest.approx(53.0)
    assert t[WAITING] == pytest.approx(40.0)


def test_scrap_at_the_station(hall):
    one_station(hall, cycle=hall.constant(1.0), scrap_rate=1.0)
    s = hall.run(50)
    assert (s.counts().sunk, s.counts().scrapped) == (0, 50)
    assert s.statistics()["defects"][hall.index("M")] == 50


def test_rework_goes_back_and_is_good_again(hall):
    hall.source("S", interarrival=hall.constant(10.0))
    hall.station("M", cycle=hall.constant(2.0), scrap_rate=1.0)
    hall.station("W", cycle=hall.constant(3.0))
    hall.sink("K")
    hall.chain("S", "M", "K")
    hall.chain("W", "K")
    hall.model.nodes[hall.index("M")].rework = hall.index("W")
    s = hall.run(95)
    assert s.counts().sunk == hall.out(s, "W") == 9


def test_router_by_quality_sends_defective_goods_to_its_second_successor(hall):
    hall.source("S", saturated=True)
    hall.station("M", cycle=hall.constant(1.0), scrap_rate=0.3)
    hall.router("R", rule=RouterRule.BY_QUALITY)
    hall.sink("K")
    hall.sink("X", reject=True)
    hall.chain("S", "M", "R", "K")
    hall.chain("R", "X")
    s = hall.run(400)
    assert s.counts().scrapped == s.statistics()["defects"][hall.index("M")]
    assert s.counts().scrapped == pytest.approx(120, abs=35)


@pytest.mark.parametrize("packed", [True, False])
def test_batch_waits_for_all_and_leaves_as_one_or_one_after_another(hall, packed):
    box = hall.item("box", 0.8)
    one_station(hall, every=2.0, cycle=hall.constant(3.0), batch_size=4, output=box if packed else -1)
    for node in hall.model.nodes:
        node.cycle = node.cycle * 2
    s = hall.run(30)
    # complete at 8 s, done at 11, when the one that waits since 10 enters; 13, 15, 17, done at 20; 22, 24, 26, done at 29
    assert hall.out(s, "M") == (3 if packed else 12)
    assert s.counts().sunk == 12
    assert s.statistics()["lead_hist"].sum() == 12


def test_assembly_takes_one_item_of_each(hall):
    hall.source("A", interarrival=hall.constant(2.0), types=("a",))
    hall.source("B", interarrival=hall.constant(5.0), types=("b",))
    box = hall.item("box", 0.8)
    hall.station("J", cycle=[hall.constant(1.0)] * 3, output=box)
    hall.sink("K")
    hall.chain("A", "J", "K")
    hall.chain("B", "J")
    hall.model.nodes[hall.index("J")].joins = [hall.index("A"), hall.index("B")]
    s = hall.run(27)
    # B leaves its source at 5, 10 (not before the server is free at 6), ...: every 5 s
    assert hall.out(s, "J") == 5
    assert s.counts().sunk == 10


def test_blocking_after_and_before_service(hall):
    for i, before in enumerate((False, True)):
        hall.source(f"S{i}", saturated=True)
        hall.station(f"M{i}", cycle=hall.constant(2.0), blocking_before=before)
        hall.station(f"N{i}", cycle=hall.constant(6.0))
        hall.sink(f"K{i}")
        hall.chain(f"S{i}", f"M{i}", f"N{i}", f"K{i}")
    s = hall.run(62)
    # after: N works without a pause from 2 s on. before: M starts when N is free, so N starves 2 s of every 8.
    assert hall.times(s, "N0")[WORKING] == pytest.approx(60.0)
    assert hall.times(s, "N1")[STARVED] == pytest.approx(2.0 + 7 * 2.0)


def test_buffer_first_and_last_in_first_out(hall):
    for name, lifo in (("F", False), ("L", True)):
        hall.source(f"S{name}", interarrival=hall.constant(2.0), limit=4)
        hall.buffer(f"B{name}", 10, lifo=lifo)
        hall.station(f"M{name}", cycle=hall.constant(7.0))
        hall.sink(f"K{name}")
        hall.chain(f"S{name}", f"B{name}", f"M{name}", f"K{name}")
    s = Simulation(hall.model, hz=1.0, capacity=64)
    order = {"F": [], "L": []}
    for _ in range(40):
        s.step()
        item, node, phase = (getattr(s._state, n).numpy()[0] for n in ("id", "node", "server"))
        for name, seen in order.items():
            inside = item[(node == hall.index(f"M{name}")) & (phase >= 0)]
            if len(inside) and inside[0] not in seen:
                seen.append(int(inside[0]))
    _, *rest = order["F"]
    assert rest == sorted(rest)
    _, *rest = order["L"]
    assert rest == sorted(rest, reverse=True)


def test_full_buffer_blocks_and_an_unlimited_one_never(hall):
    for name, capacity in (("F", 2), ("U", -1)):
        hall.source(f"S{name}", interarrival=hall.constant(1.0))
        hall.buffer(f"B{name}", capacity)
        hall.station(f"M{name}", cycle=hall.constant(10.0))
        hall.sink(f"K{name}")
        hall.chain(f"S{name}", f"B{name}", f"M{name}", f"K{name}")
    frame = hall.run(35).frame()
    assert frame.node_level[hall.index("BF")] == 2
    assert frame.node_level[hall.index("BU")] == 35 - 4


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # M0 takes 10 s: at 1, 11, 21, 31; M1 takes 2 s: at 2, 4, ... 34, the pieces for it waiting in the source
        (RouterRule.FIRST, (4, 17)),
        (RouterRule.ROUND_ROBIN, (4, 17)),
        (RouterRule.BY_TYPE, (4, 0)),  # keeps its choice: all wait for M0
    ],
)
def test_routers_that_look_for_room(hall, rule, expected):
    hall.source("S", interarrival=hall.constant(1.0))
    hall.router("R", rule=rule, router_types=[0, -1])
    for i, cycle in enumerate((10.0, 2.0)):
        hall.station(f"M{i}", cycle=hall.constant(cycle))
        hall.sink(f"K{i}")
    hall.chain("S", "R", "M0", "K0")
    hall.chain("R", "M1", "K1")
    s = hall.run(34)
    entered = s.statistics()["entered"]
    assert (entered[hall.index("M0")], entered[hall.index("M1")]) == expected


def test_shortest_queue_fills_the_buffers_alike(hall):
    hall.source("S", interarrival=hall.constant(1.0))
    hall.router("R", rule=RouterRule.SHORTEST_QUEUE)
    hall.chain("S", "R")
    for i in range(3):
        hall.buffer(f"B{i}", 20)
        hall.chain("R", f"B{i}")
    level = hall.run(31).frame().node_level
    assert sorted(level[hall.index(f"B{i}")] for i in range(3)) == [10, 10, 11]


def test_probability_router_keeps_its_shares(hall):
    hall.source("S", interarrival=hall.constant(0.1))
    hall.router("R", rule=RouterRule.PROBABILITY, router_weights=[0.8, 0.2])
    hall.sink("A")
    hall.sink("B")
    hall.chain("S", "R", "A")
    hall.chain("R", "B")
    s = hall.run(200)
    assert hall.out(s, "A") / s.counts().spawned == pytest.approx(0.8, abs=0.04)


# ---- with bodies


def test_station_at_the_end_of_a_belt_works_a_cycle_a_piece(plant):
    """A cycle contains the time to move up: a saturated station gives 1 / cycle, not less."""
    plant.source("S", plant.constant(0.9))
    plant.conveyor("A", 3.0)
    plant.station("M", plant.constant(2.0))
    plant.conveyor("B", 3.0)
    plant.sink("K")
    plant.chain("S", "A", "M", "B", "K")
    s = Simulation(plant.model)
    s.step(30 * 60)
    before = s.statistics()
    s.step(60 * 60)
    after = s.statistics()
    m = plant.index("M")
    assert after["left"][m] - before["left"][m] == 30
    assert (after["state_us"][m] - before["state_us"][m])[WORKING] == 60_000_000
    assert s.counts().lost == 0


def test_two_servers_at_the_end_of_a_belt(plant):
    plant.source("S", plant.constant(2.0))
    plant.conveyor("A", 3.0)
    plant.station("M", plant.constant(3.5), servers=2)
    plant.conveyor("B", 3.0)
    plant.sink("K")
    plant.chain("S", "A", "M", "B", "K")
    s = Simulation(plant.model)
    s.step(120 * 60)
    c = s.counts()
    assert c.lost == 0
    assert c.sunk >= 49  # one server of 3.5 s would give 33
    assert s.statistics()["state_us"][plant.index("M")][WORKING] / 120e6 == pytest.approx(3.5 / 4.0, abs=0.08)


def test_pitch_keeps_goods_apart_in_a_queue_too(plant):
    plant.source("S", plant.constant(1.5))
    plant.conveyor("A", 2.0)
    plant.conveyor("B", 4.0, pitch=0.8)
    plant.station("M", plant.constant(60.0))
    plant.sink("K")
    plant.chain("S", "A", "B", "M", "K")
    s = Simulation(plant.model)
    s.step(60 * 60)
    frame = s.frame()
    on_b = np.sort(frame.item_position[frame.item_alive & (s._state.node.numpy()[0] == plant.index("B"))][:, 0])
    assert len(on_b) == 6  # five within its 4 m, and the next in line ahead of the station
    assert np.diff(on_b).min() > 0.78
    assert s.counts().lost == 0


def test_belt_off_shift_stands_still_with_all_that_is_on_it(plant):
    plant.model.shifts.append(Shift("/Hours", ["mon 00:00-00:01"]))
    plant.source("S", plant.constant(2.0))
    plant.conveyor("A", 8.0, shift=0)
    plant.sink("K")
    plant.chain("S", "A", "K")
    s = Simulation(plant.model)
    s.step(58 * 60)
    assert s.world.surface_drive.numpy()[0, 0] == pytest.approx(0.5)
    s.step(4 * 60)
    assert s.world.surface_drive.numpy()[0, 0] == 0.0
    there = s.frame().item_position[s.frame().item_alive]
    assert s.frame().node_state[plant.index("A")] == OFF
    s.step(10 * 60)
    np.testing.assert_allclose(s.frame().item_position[s.frame().item_alive], there, atol=2e-3)


def test_a_pool_of_a_hundred_slots_serves_ten_thousand_pieces():
    hall = Hall()
    box = hall.item("box", 0.8)
    hall.source("S", interarrival=hall.constant(0.02))
    hall.buffer("B", 20)
    hall.station("P", cycle=[hall.constant(0.2)] * 2, batch_size=12, output=box)
    hall.sink("K")
    hall.chain("S", "B", "P", "K")
    hall.model.nodes[hall.index("S")].limit = 10_000
    s = Simulation(hall.model, hz=1.0, capacity=100)
    s.step(300)
    c = s.counts()
    assert (c.spawned, c.sunk) == (10_000, 9_996)
    assert (c.inside, c.lost) == (4, 0)  # of an incomplete dozen
    assert s.refused() == 0
    assert (s._state.phase.numpy() != 0).sum() == 4
    assert s.world.alive.numpy().sum() == 0
    assert s.statistics()["lead_hist"].sum() == 9_996


def test_a_machines_own_belt_stands_off_shift(plant):
    plant.model.shifts.append(Shift("/Hours", ["mon 00:00-00:01"]))
    plant.source("S", plant.constant(100.0))
    plant.conveyor("A", 2.0)
    plant.station("M", plant.constant(1.0), shift=0)
    plant.sink("K")
    plant.chain("S", "A", "M", "K")
    simulation = Simulation(plant.model, hz=10.0)
    belt = [s.path for s in plant.model.rigid.shapes].index("/M/belt")
    simulation.step(590)
    assert simulation.world.surface_drive.numpy()[0, belt] == 0.5
    simulation.step(20)
    assert simulation.world.surface_drive.numpy()[0, belt] == 0.0
    assert simulation.world.surface_drive.numpy()[0, 0] == 0.5, "the conveyor keeps other hours"
