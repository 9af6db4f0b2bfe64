"""Vehicles in the world: on their ways, at the time that their clocks tell, with their loads."""

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.factory import NodeKind
from twin.model.rigid import Body, BodyKind
from twin.sim import Simulation
from twin.sim.found import found_line


def shuttle(plant, *, drawn=True):
    """A carton every 60 s, fetched from the end of a belt and carried 5 m along and 4 m aside, at 0.5 m/s."""
    carton = plant.goods()
    plant.source("S", plant.constant(60.0), items=[carton])
    plant.conveyor("A", 3.0)
    plant.add("K", NodeKind.SINK, zone=plant.zone(8.0, 0.3, y=4.0))
    tracks = [[np.array([[3.2, 0.0, 0.0]]), np.array([[3.2, 0.0, 0.0], [8.2, 0.0, 0.0], [8.2, 4.0, 0.0]])]]
    tracks += [[tracks[0][1][::-1], np.array([[8.2, 4.0, 0.0]])]]
    tracks += [[np.array([[1.2, 0.0, 0.0], [3.2, 0.0, 0.0]]), np.array([[1.2, 0.0, 0.0], [8.2, 0.0, 0.0], [8.2, 4.0, 0.0]])]]
    fleet = plant.add("F", NodeKind.FLEET, servers=1, speed=0.5, load_time=plant.constant(3.0), unload_time=plant.constant(4.0))
    fleet.stops, fleet.tracks = [plant.index("A"), plant.index("K")], tracks
    fleet.ways = [[float(np.linalg.norm(np.diff(t, axis=0), axis=1).sum()) for t in row] for row in tracks]
    if drawn:
        plant.model.rigid.bodies.append(Body("/F", BodyKind.KINEMATIC, position=np.array([1.2, -1.0, 0.0])))
        fleet.vehicles = [len(plant.model.rigid.bodies) - 1]
    plant.chain("S", "A", "F", "K")
    return fleet


def test_a_vehicle_is_where_its_clock_says_and_its_load_with_it(plant):
    fleet = shuttle(plant)
    simulation = Simulation(plant.model, hz=20.0)
    seen = []
    for _ in range(round(110 * simulation.hz)):
        simulation.step()
        frame = simulation.frame()
        place = frame.body_position[fleet.vehicles[0]]
        loaded = frame.node_level[plant.index("F")] == 1
        seen.append((simulation.time, *place, loaded))
        if loaded and place[0] > 3.5:
            (item,) = np.flatnonzero(frame.item_alive)
            np.testing.assert_allclose(frame.item_position[item][:2], place[:2], atol=1e-3)
            assert frame.item_position[item][2] > 0.4
    seen = np.array(seen)
    steps = np.linalg.norm(np.diff(seen[:, 1:3], axis=0), axis=1)
    assert steps.max() * simulation.hz < 2.0, "it drives, and never jumps"
    on_way = seen[(seen[:, 4] == 1) & (seen[:, 1] > 4.2) & (seen[:, 1] < 8.0)]
    np.testing.assert_allclose(np.diff(on_way[:, 1]) * simulation.hz, 0.5, atol=2e-3)
    assert seen[:, 2].max() == pytest.approx(4.0, abs=1e-3)
    assert simulation.counts().sunk == 1
    assert simulation.counts().lost == 0
    # 2 m to the belt, 3 s of loading, 9 m, 4 s of unloading
    busy = simulation.statistics()["state_us"][plant.index("F")][0] * 1e-6
    assert busy == pytest.approx(4.0 + 3.0 + 18.0 + 4.0)


def test_vehicles_without_a_body_carry_too_and_a_finding_says_so(plant):
    shuttle(plant, drawn=False)
    simulation = Simulation(plant.model, hz=20.0)
    assert [f.code for f in simulation.findings] == ["not-drawn"]
    simulation.step(round(110 * simulation.hz))
    assert simulation.counts().sunk == 1


def test_a_snapshot_on_the_way_goes_on_bit_for_bit(plant):
    shuttle(plant)
    simulation = Simulation(plant.model, worlds=2, hz=20.0)
    simulation.step(round(75 * simulation.hz))
    kept = simulation.snapshot()
    simulation.step(200)
    expected = simulation.snapshot()
    simulation.restore(kept)
    simulation.step(200)
    for name, array in simulation.snapshot().items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_a_load_on_its_way_is_found_where_it_was_fetched(plant):
    shuttle(plant)
    simulation = Simulation(plant.model, hz=20.0)
    while simulation.frame().node_level[plant.index("F")] == 0:
        simulation.step(20)
    simulation.step(100)
    (item,) = found_line(simulation).items
    assert (item.node, item.along) == ("/A", 1.0)
    again = simulate(plant.model, horizon_s=60.0, replications=1, start=found_line(simulation))
    assert again.sunk[0] == 1
