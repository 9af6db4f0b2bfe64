"""Studies in rigid bodies give the same kind of results."""

import numpy as np
import pytest

from twin.live.figures import SlidingFigures
from twin.sim.simulation import Simulation
from twin.studies import run_study, summarise


def test_worlds_are_replications(make_study, compile_line, two_machines, tmp_path):
    study = make_study(
        fidelity="physics", physics={"horizon": "90 s", "warmup": "30 s", "replications": 3}, scenarios={"as-is": {}}
    )
    results = run_study(study, tmp_path / "r", compile=compile_line)
    (point,) = results.points
    assert point.error is None
    assert (results.computed, results.cached) == (3, 0)
    simulation = Simulation(two_machines(), seed=3, worlds=3)
    simulation.step(30 * 60)
    before = [int(simulation.statistics(w)["sunk"]) for w in range(3)]
    simulation.step(90 * 60)
    after = [int(simulation.statistics(w)["sunk"]) for w in range(3)]
    assert point.kpis["throughput"].tolist() == [(b - a) * 40.0 for a, b in zip(before, after, strict=True)]
    assert point.pieces["spawned"] == sum(simulation.counts(w).spawned for w in range(3))
    assert point.wip.max() > 0.0
    again = run_study(study, tmp_path / "r", compile=compile_line)
    assert (again.computed, again.cached) == (0, 3)
    # worlds are numbered: a fourth joins the three that are there
    more = make_study(
        fidelity="physics", physics={"horizon": "90 s", "warmup": "30 s", "replications": 4}, scenarios={"as-is": {}}
    )
    assert run_study(more, tmp_path / "r", compile=compile_line).computed == 1
    assert summarise(again)["fidelity"] == "physics"


def test_geometry_counts_in_physics(make_study, compile_line, tmp_path):
    study = make_study(fidelity="physics", physics={"horizon": "5 s", "replications": 2}, run={"horizon": 1})

    def heavier(*arguments):
        model = compile_line(*arguments)
        model.rigid.prototypes[0].body.mass = 3.0
        return model

    assert run_study(study, tmp_path / "r", compile=compile_line).computed == 2
    assert run_study(study, tmp_path / "r", compile=heavier).computed == 2


def test_the_running_twin_counts_as_a_study_does(make_study, compile_line, two_machines, tmp_path):
    study = make_study(
        fidelity="physics", physics={"horizon": "90 s", "warmup": "10 s", "replications": 1}, run={"horizon": 1, "seed": 3}
    )
    (point,) = run_study(study, tmp_path / "r", compile=compile_line).points
    simulation = Simulation(two_machines(), seed=3)
    figures = SlidingFigures()
    simulation.step(10 * 60)
    figures.add(simulation.statistics(), simulation.model)
    simulation.step(90 * 60)
    figures.add(simulation.statistics(), simulation.model)
    live = {k.name: k.value for k in figures.kpis(simulation.model)}
    assert list(live) == list(point.kpis)
    for name, value in live.items():
        assert point.kpis[name][0] == pytest.approx(np.nan if value is None else value, nan_ok=True), name
    assert live["/Line/M1:oee"] > 0.0
    assert live["power"] > 0.0
