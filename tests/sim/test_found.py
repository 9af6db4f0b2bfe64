"""A running line as it is found: the line engine goes on from where the goods are."""

from collections import Counter

import numpy as np
import pytest

from twin.flow import LineState, simulate
from twin.model.distributions import Distribution, DistributionRow
from twin.model.factory import NodeKind
from twin.sim import Simulation
from twin.sim.found import found_line


def packing(plant, **station):
    carton = plant.goods()
    pallet = plant.goods("pallet", (0.5, 0.3, 0.3), 60.0)
    plant.source("S", plant.constant(2.0), items=[carton])
    plant.conveyor("A", 3.0)
    plant.station("M", plant.constant(1.5), **station)
    plant.conveyor("B", 3.0)
    plant.station("P", plant.constant(4.0), batch_size=4, output=pallet)
    plant.conveyor("C", 3.0)
    plant.sink("K")
    plant.chain("S", "A", "M", "B", "P", "C", "K")


@pytest.mark.parametrize("seconds", [31.0, 47.3, 60.0, 83.1])
def test_every_piece_is_found_where_it_counts(plant, seconds: float) -> None:
    packing(plant)
    simulation = Simulation(plant.model)
    simulation.step(round(seconds * simulation.hz))
    found = found_line(simulation)
    assert sum(item.pieces for item in found.items) == simulation.counts().inside
    level = dict(zip((n.path for n in plant.model.nodes), simulation.frame().node_level, strict=True))
    count = Counter(item.node for item in found.items)
    stations = [n.path for n in plant.model.nodes if n.kind == NodeKind.STATION]
    waiting_pack = level["/P"] == 1 and count["/P"] == 0  # a finished pack stands at the beginning of the belt it waits for
    for path in ("/A", "/M", "/B"):
        assert count[path] == level[path], path
    assert count["/C"] == level["/C"] + int(waiting_pack)
    for path in ("/A", "/B", "/C"):
        along = [item.along for item in found.items if item.node == path]
        assert along == sorted(along, reverse=True), "the one nearest to the end comes first"
        assert all(0.0 <= a <= 1.0 for a in along)
    for item in found.items:
        assert 0.0 <= item.age_s <= seconds
        if item.elapsed_s is not None:
            assert item.node in stations
            assert item.elapsed_s <= 4.0


def test_the_line_engine_goes_on_from_there(plant) -> None:
    packing(plant)
    simulation = Simulation(plant.model)
    simulation.step(round(120 * simulation.hz))
    found = LineState.from_dict(found_line(simulation).as_dict())
    inside, sunk = simulation.counts().inside, simulation.counts().sunk
    soon = simulate(plant.model, horizon_s=0.001, replications=1, start=found)
    assert soon.wip_mean[0] == pytest.approx(inside)
    ahead = simulate(plant.model, horizon_s=120.0, replications=1, start=found)
    empty = simulate(plant.model, horizon_s=120.0, replications=1)
    simulation.step(round(120 * simulation.hz))
    went_on = simulation.counts().sunk - sunk
    assert abs(int(ahead.sunk_measured[0]) - went_on) <= 4  # one pallet
    assert int(empty.sunk_measured[0]) < int(ahead.sunk_measured[0]), "an empty line has to fill first"


def test_futures_share_the_moment_but_not_the_next_failure(plant) -> None:
    repair = plant.model.distributions.add(DistributionRow(Distribution.UNIFORM, low=20.0, high=60.0))
    packing(plant, time_to_failure=plant.constant(7.0), time_to_repair=repair)
    simulation = Simulation(plant.model)
    while not found_line(simulation).down:
        simulation.step(10)
    simulation.step(round(5 * simulation.hz))
    found = found_line(simulation)
    assert found.down["/M"] == pytest.approx(5.0, abs=0.2)
    result = simulate(plant.model, horizon_s=100.0, replications=64, start=found)
    down = result.state_time_s[:, plant.index("M"), 5]
    assert len(np.unique(down)) > 8, "each future has a repair of its own"
    assert down.min() >= 15.0 - 0.2, "that has lasted five seconds already"


def test_the_age_of_a_failure_clock_is_found(plant):
    packing(plant, time_to_failure=plant.constant(30.0), time_to_repair=plant.constant(5.0))
    simulation = Simulation(plant.model)
    simulation.step(round(60 * simulation.hz))
    while found_line(simulation).down:
        simulation.step(10)
    worked = simulation.statistics()["state_us"][plant.index("M")][0] * 1e-6
    found = LineState.from_dict(found_line(simulation).as_dict())
    assert list(found.uptime) == ["/M"]
    assert found.uptime["/M"] == pytest.approx(worked % 30.0, abs=1e-3)
    # it works for what is left of the 30 s, and fails: the same in the line engine
    result = simulate(plant.model, horizon_s=200.0, replications=1, start=found)
    busy, down = result.state_time_s[0, plant.index("M"), [0, 5]]
    assert down >= 5.0 * ((found.uptime["/M"] + busy) // 30.0) - 5.0
    assert (found.uptime["/M"] + busy) // 30.0 == pytest.approx(np.ceil(down / 5.0))
