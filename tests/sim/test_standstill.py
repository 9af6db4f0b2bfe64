"""Goods that have wedged are found out; a line that waits, works or is empty is not at a standstill."""

import numpy as np
import pytest

from tests.sim.test_line import simple
from twin.model.rigid import Shape, ShapeKind
from twin.sim import Simulation
from twin.sim.standstill import AFTER_S, StandstillWatch
from twin.studies.physics import run_physics


def looks(simulation, seconds):
    watch = StandstillWatch(simulation)
    found = []
    for _ in range(round(seconds / 10.0)):
        simulation.step(round(10.0 * simulation.hz))
        found.append(watch.look())
    return found


def barred(plant):
    """A beam over the first belt, 1.4 m along: nothing gets past it."""
    simple(plant)
    plant.model.rigid.shapes.append(
        Shape("/bar", ShapeKind.BOX, position=np.array([1.4, 0.0, 0.9]), size=np.array([0.05, 0.3, 0.05]))
    )


def test_goods_that_cannot_move_are_found_and_named(plant):
    barred(plant)
    found = looks(Simulation(plant.model), 150.0)
    assert found[4] == []
    assert found[-1] == ["/A"]


def test_a_line_that_works_waits_for_a_repair_or_for_goods_is_none(plant):
    simple(plant, every=50.0, cycle=100.0, time_to_failure=plant.constant(60.0), time_to_repair=plant.constant(90.0))
    assert not any(looks(Simulation(plant.model), 400.0))


def test_replications_that_stood_still_are_told_by_a_study(plant):
    barred(plant)
    outcome = run_physics(plant.model, horizon_s=AFTER_S + 60.0, warmup_s=10.0, seed=1, first=0, count=2)
    assert outcome.deadlocked.all()
    assert [outcome.nodes[n] for n in np.flatnonzero(outcome.node_stuck[0])] == ["/A"]


@pytest.mark.parametrize("after", ["nothing", "a way out"])
def test_it_ends_when_goods_move_again(plant, after):
    barred(plant)
    simulation = Simulation(plant.model)
    watch = StandstillWatch(simulation)
    for _ in range(12):
        simulation.step(round(10.0 * simulation.hz))
        standing = watch.look()
    assert standing == ["/A"]
    if after == "a way out":
        state = simulation.snapshot()
        position = next(
            v for k, v in state.items() if k.endswith("position") and v.shape == simulation.world.position.numpy().shape
        )
        first = np.flatnonzero(state["line.node"][0] == plant.index("A"))
        position[0, first[np.argmax(position[0, first, 0])], 0] = 2.0
        simulation.restore(state)
    simulation.step(round(10.0 * simulation.hz))
    assert watch.look() == ([] if after == "a way out" else ["/A"])
