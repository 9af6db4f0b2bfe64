"""Goods on a physical line: every node does what docs/semantics.md says, and no piece goes astray."""

import numpy as np
import pytest

from twin.model.build import LineBuilder
from twin.model.factory import NodeKind, NodeState, RouterRule
from twin.sim import Simulation


def run(plant, seconds, **options):
    simulation = Simulation(plant.model, **options)
    simulation.step(round(seconds * simulation.hz))
    return simulation


def balance(simulation, world=0):
    c = simulation.counts(world)
    assert c.spawned == c.inside + c.sunk + c.scrapped + c.lost
    return c


def simple(plant, every=2.0, cycle=1.0, **station):
    plant.source("S", plant.constant(every))
    plant.conveyor("A", 3.0)
    plant.station("M", plant.constant(cycle), **station)
    plant.conveyor("B", 3.0)
    plant.sink("K")
    plant.chain("S", "A", "M", "B", "K")


def test_goods_flow_at_the_rate_of_the_source(plant):
    simple(plant)
    simulation = run(plant, 120)
    c = balance(simulation)
    assert c.spawned == 60
    assert c.lost == 0
    # 7 m of belt at 0.5 m/s, a second in the station
    assert 58 - 9 <= c.sunk <= 60 - 6
    state = simulation.statistics()["state_us"][plant.index("M")] / 120e6
    assert state[NodeState.WORKING] == pytest.approx(0.5, abs=0.08)
    assert state.sum() == pytest.approx(1.0, abs=1e-3)


def test_slow_station_blocks_and_the_belt_fills_with_a_standing_queue(plant):
    simple(plant, every=1.0, cycle=60.0)
    simulation = run(plant, 60)
    c = balance(simulation)
    frame = simulation.frame()
    on_belt = frame.item_position[frame.item_alive]
    assert c.lost == 0
    assert frame.node_state[plant.index("S")] == NodeState.BLOCKED
    gaps = np.diff(np.sort(on_belt[:, 0]))
    assert gaps.min() > 0.395, "goods do not overlap"
    assert np.abs(on_belt[:, 2] - 0.95).max() < 0.01, "nor climb"
    speeds = np.linalg.norm(simulation.world.linear_velocity.numpy()[0][: len(frame.item_alive)][frame.item_alive], axis=1)
    assert speeds.max() < 0.05


def test_belt_that_does_not_accumulate_stops(plant):
    simple(plant, every=2.5, cycle=60.0)
    plant.model.nodes[plant.index("A")].accumulating = False
    simulation = run(plant, 40)
    frame = simulation.frame()
    xs = np.sort(frame.item_position[frame.item_alive][:, 0])
    assert np.diff(xs).max() > 1.0, "goods keep their distance when the whole belt stands"
    assert simulation.world.surface_drive.numpy()[0, 0] == 0.0


def test_failure_stops_the_station_until_it_is_repaired(plant):
    simple(plant, every=2.0, cycle=1.0, time_to_failure=plant.constant(10.0), time_to_repair=plant.constant(5.0))
    simulation = run(plant, 120)
    balance(simulation)
    state = simulation.statistics()["state_us"][plant.index("M")] / 1e6
    assert state[NodeState.DOWN] == pytest.approx(5.0 * (state[NodeState.WORKING] // 10.0), abs=5.1)
    assert state[NodeState.DOWN] >= 15.0


def test_twelve_to_a_pallet_are_counted_as_pieces(plant):
    carton = plant.goods()
    pallet = plant.goods("pallet", (0.5, 0.3, 0.3), 60.0)
    plant.source("S", plant.constant(1.2), items=[carton])
    plant.conveyor("A", 3.0)
    plant.station("P", plant.constant(2.0), batch_size=12, output=pallet)
    plant.conveyor("B", 3.0)
    plant.sink("K")
    plant.chain("S", "A", "P", "B", "K")
    simulation = run(plant, 120)
    c = balance(simulation)
    assert c.lost == 0
    assert c.sunk % 12 == 0
    assert c.sunk >= 60
    assert simulation.statistics()["left"][plant.index("P")] >= 6
    assert simulation.statistics()["lead_hist"].sum() == c.sunk


def test_defective_goods_leave_by_the_reject_lane(plant):
    plant.source("S", plant.constant(3.0))
    plant.conveyor("A", 2.0)
    plant.station("W", plant.constant(0.5), scrap_rate=0.3)
    plant.add("R", NodeKind.ROUTER, rule=RouterRule.BY_QUALITY)
    plant.conveyor("B", 2.0)
    plant.sink("K")
    bad = plant.add("X", NodeKind.SINK, reject=True, zone=plant.zone(2.5, 0.2, y=-1.0))
    plant.chain("S", "A", "W", "R", "B", "K")
    plant.chain("R", "X")
    simulation = run(plant, 300)
    c = balance(simulation)
    assert c.lost == 0
    assert simulation.frame().node_in[plant.model.node_index(bad.path)] == c.scrapped
    assert 0.15 < c.scrapped / c.spawned < 0.45


def test_buffer_stores_off_the_belt_and_gives_back_in_order(plant):
    plant.source("S", plant.constant(1.5))
    plant.conveyor("A", 2.0)
    plant.buffer("Q", 5)
    plant.station("M", plant.constant(8.0))
    plant.sink("K")
    plant.chain("S", "A", "Q", "M", "K")
    simulation = run(plant, 60)
    balance(simulation)
    frame = simulation.frame()
    assert frame.node_level[plant.index("Q")] == 5
    assert frame.node_state[plant.index("Q")] == NodeState.BLOCKED


def test_merge_keeps_the_balance_and_lets_both_in(plant):
    plant.source("S", plant.constant(3.0))
    plant.conveyor("A", 2.0)
    plant.conveyor("C", 4.0)
    plant.sink("K")
    # a second infeed from the side, its end beside the belt
    x = 3.0
    from twin.model.rigid import Shape, ShapeKind

    turn = np.array([0.0, 0.0, np.sin(np.pi / 4), np.cos(np.pi / 4)])
    plant.model.rigid.shapes.append(
        Shape("/D/belt", ShapeKind.BOX, position=np.array([x, -1.3, 0.75]), rotation=turn, size=np.array([1.0, 0.3, 0.05]),
              surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=0.5)
    )  # fmt: skip
    from twin.model.factory import Zone

    def zone(y, half):
        return Zone(np.array([x, y, 1.15]), turn, np.array([half, 0.35, 0.4]), np.array([x, y, 0.8]))

    plant.add("T", NodeKind.SOURCE, interarrival=plant.constant(3.0), items=[0], weights=[1.0], zone=zone(-2.0, 0.25))
    plant.add(
        "D", NodeKind.CONVEYOR, length=2.0, speed=0.5, belt_shapes=[len(plant.model.rigid.shapes) - 1], zone=zone(-1.3, 1.0)
    )
    plant.chain("S", "A", "C", "K")
    plant.chain("T", "D", "C")
    simulation = run(plant, 180)
    c = balance(simulation)
    entered = simulation.frame().node_out
    assert c.lost == 0
    assert entered[plant.index("A")] > 45
    assert entered[plant.index("D")] > 45
    assert c.sunk > 100


def test_same_seed_same_bits_and_a_snapshot_continues_exactly(plant):
    simple(plant)
    plant.model.nodes[0].interarrival = plant.exponential(2.0)
    a, b = Simulation(plant.model, seed=7), Simulation(plant.model, seed=7)
    a.step(1200)
    b.step(600)
    kept = b.snapshot()
    b.step(77)
    b.restore(kept)
    b.step(600)
    fa, fb = a.frame(), b.frame()
    np.testing.assert_array_equal(fa.item_position, fb.item_position)
    assert fa.counts == fb.counts
    other = Simulation(plant.model, seed=8)
    other.step(1200)
    assert other.counts() != fa.counts or not np.array_equal(other.frame().item_position, fa.item_position)


def test_worlds_are_replications_of_their_own(plant):
    simple(plant)
    plant.model.nodes[0].interarrival = plant.exponential(2.0)
    many = run(plant, 60, worlds=3)
    alone = run(plant, 60, first_replication=2)
    for w in range(3):
        balance(many, w)
    np.testing.assert_array_equal(many.frame(2).item_position, alone.frame().item_position)
    assert not np.array_equal(many.frame(0).item_position, many.frame(1).item_position)


def test_editing_a_speed_changes_the_running_line_in_place(plant):
    simple(plant)
    simulation = run(plant, 20)
    faster = _copy(plant.model)
    faster.nodes[plant.index("B")].speed = 1.0
    assert simulation.update(faster) is False
    simulation.step(300)
    frame = simulation.frame()
    on_b = frame.item_alive & (frame.item_position[:, 0] > 4.6) & (frame.item_position[:, 0] < 6.5)
    speeds = simulation.world.linear_velocity.numpy()[0, on_b, 0]
    assert len(speeds)
    assert speeds == pytest.approx(1.0, rel=0.02)
    balance(simulation)


def test_moving_a_machine_rebuilds_and_keeps_the_goods(plant):
    simple(plant)
    simulation = run(plant, 20)
    before = simulation.frame()
    moved = _copy(plant.model)
    moved.rigid.shapes[-1].position = moved.rigid.shapes[-1].position + np.array([0.0, 0.02, 0.0])
    assert simulation.update(moved) is True
    after = simulation.frame()
    np.testing.assert_allclose(after.item_position[after.item_alive], before.item_position[before.item_alive], atol=1e-6)
    assert after.counts == before.counts
    simulation.step(600)
    assert balance(simulation).lost == 0


def test_a_new_name_costs_no_goods(plant):
    simple(plant, every=1.0)
    simulation = run(plant, 20)
    before, counted = simulation.frame(), simulation.statistics()
    renamed = _copy(plant.model)
    b = plant.index("B")
    assert before.node_level[b] > 0
    renamed.nodes[b].path = "/Closer"
    assert simulation.update(renamed, lambda path: path.replace("/B", "/Closer")) is True
    after = simulation.frame()
    assert after.counts == before.counts
    np.testing.assert_array_equal(after.node_level, before.node_level)
    np.testing.assert_array_equal(simulation.statistics()["state_us"], counted["state_us"])
    simulation.step(600)
    assert balance(simulation).lost == 0


def test_removing_a_node_counts_its_goods_as_lost(plant):
    simple(plant, every=1.0)
    simulation = run(plant, 20)
    inside = simulation.counts().inside
    cut = _copy(plant.model)
    cut.nodes = [n for n in cut.nodes if n.path != "/B"]
    for node in cut.nodes:
        node.next = []
    on_b = int(simulation.frame().node_level[plant.index("B")])
    assert simulation.update(cut) is True
    c = balance(simulation)
    assert c.lost == on_b > 0
    assert c.inside == inside - on_b


def test_goods_that_fall_off_the_line_are_lost_and_counted(plant):
    plant.source("S", plant.constant(2.0))
    plant.conveyor("A", 2.0)
    plant.x += 3.0
    plant.sink("K")
    plant.chain("S", "A", "K")
    plant.model.rigid.shapes.append(__import__("twin.model.rigid", fromlist=["Shape"]).Shape("/floor", 4))
    simulation = run(plant, 40)
    c = balance(simulation)
    assert c.lost > 5
    assert c.sunk == 0


def _copy(model):
    import copy

    return copy.deepcopy(model)


def test_a_belt_that_ends_in_the_open_gives_its_goods_to_a_machine_beyond(plant):
    plant.source("S", plant.constant(4.0))
    plant.conveyor("A", 3.0)
    plant.add("M", NodeKind.STATION, cycle=[plant.constant(1.0)], zone=plant.zone(3.6, 0.2))
    plant.add("K", NodeKind.SINK, zone=plant.zone(5.0, 0.2))
    plant.chain("S", "A", "M", "K")
    simulation = Simulation(plant.model)
    simulation.step(round(60 * simulation.hz))
    counts = simulation.counts()
    assert counts.lost == 0
    assert counts.sunk >= 10


def test_a_crew_that_grows_while_the_line_runs_works_at_once():
    def hall(people):
        line = LineBuilder()
        crew = line.crew(people)
        for name in "AB":
            line.source(f"S{name}", saturated=True)
            line.station(name, cycle=line.constant(4.0), crew=crew, crew_size=1)
            line.sink(f"K{name}")
            line.chain(f"S{name}", name, f"K{name}")
        return line.model

    simulation = Simulation(hall(1), hz=1.0, capacity=20)
    simulation.step(9)
    assert simulation.counts().sunk == 2
    simulation.update(hall(2))
    before = simulation.statistics()
    simulation.step(40)
    assert simulation.counts().sunk == 2 + 20
    busy, on = (simulation.statistics()[name] - before[name] for name in ("crew_busy_us", "crew_on_us"))
    assert busy[0] == on[0] == 80_000_000
    simulation.update(hall(1))
    simulation.step(40)
    # who is at work stays at it: two more are finished, then one at a time
    assert simulation.counts().sunk == 2 + 20 + 11


def test_the_next_in_line_that_has_pushed_up_beside_an_item_does_not_keep_it_from_leaving(plant):
    """A belt twice as wide as its goods lets two come to a machine abreast; the second used to stand in the way for good."""
    simple(plant, every=2.0, cycle=10.0)
    simulation = run(plant, 20)
    state, world = simulation.snapshot(), simulation.world
    nodes = state["line.node"][0]
    (served,) = np.flatnonzero(nodes == plant.index("M"))
    queue = np.flatnonzero(nodes == plant.index("A"))
    position = next(v for k, v in state.items() if k.endswith("position") and v.shape == world.position.numpy().shape)
    after = queue[np.argmax(position[0, queue, 0])]
    position[0, after] = position[0, served] + np.array([0.001, 0.151, 0.0])
    position[0, served, 1] -= 0.151
    simulation.restore(state)
    left = simulation.statistics()["left"][plant.index("M")]
    simulation.step(round(25 * simulation.hz))
    assert simulation.statistics()["left"][plant.index("M")] >= left + 2
    assert balance(simulation).lost == 0
