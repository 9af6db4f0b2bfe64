"""A line without geometry is the same line in both engines: same draws, same order, same times to the microsecond."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from twin.flow import simulate
from twin.model.factory import NodeKind, RouterRule
from twin.sim import Simulation

_spec = importlib.util.spec_from_file_location(
    "random_factories", Path(__file__).parents[1] / "flow" / "test_random_factories.py"
)
_factories = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_factories)

HORIZON_S = 240.0
WORLDS = 2


@pytest.mark.parametrize("seed", range(16))
def test_same_line_same_figures(seed):
    _same_figures(_factories.random_factory(seed), seed=seed + 1)


def _same_figures(model, *, seed):
    expected = simulate(model, horizon_s=HORIZON_S, replications=WORLDS, seed=seed, intervals=4)
    # no bodies: the step rate does not matter
    simulation = Simulation(model, seed=seed, worlds=WORLDS, capacity=300, hz=1.0)
    simulation.step(round(HORIZON_S))
    for w in range(WORLDS):
        seen, counts = simulation.statistics(w), simulation.counts(w)
        assert simulation.refused(w) == 0
        for name in ("spawned", "sunk", "scrapped", "inside"):
            assert getattr(counts, name) == getattr(expected, name)[w], name
        np.testing.assert_array_equal(seen["entered"], expected.node_in[w])
        np.testing.assert_array_equal(seen["left"], expected.node_out[w])
        np.testing.assert_array_equal(seen["defects"], expected.node_defective[w])
        timed = [i for i, n in enumerate(model.nodes) if n.kind not in (NodeKind.ROUTER, NodeKind.SINK)]
        # averaged over servers in whole microseconds
        np.testing.assert_allclose(seen["state_us"][timed] * 1e-6, expected.state_time_s[w][timed], atol=2e-6)
        np.testing.assert_allclose(seen["unattended_us"] * 1e-6, expected.unattended_s[w], atol=2e-6)
        for name in ("crew_busy", "crew_on"):
            np.testing.assert_allclose(seen[f"{name}_us"] * 1e-6, getattr(expected, f"{name}_s")[w], atol=2e-6)
        np.testing.assert_allclose(seen["level_us"] * 1e-6 / HORIZON_S, expected.level_mean[w], atol=1e-9)
        assert seen["pieces_us"] * 1e-6 / HORIZON_S == pytest.approx(expected.wip_mean[w])
        if counts.sunk:
            assert seen["lead_us"] * 1e-6 / counts.sunk == pytest.approx(expected.lead_mean_s[w])


def test_rules_that_choose_by_room_choose_alike(plant):
    """Free room of a belt is what it has places for; several successors without a router are taken in order."""
    source = plant.add("S", NodeKind.SOURCE, interarrival=plant.exponential(1.0), items=[plant.goods()], weights=[1.0])
    plant.add("Q", NodeKind.ROUTER, rule=RouterRule.SHORTEST_QUEUE)
    plant.add("Long", NodeKind.CONVEYOR, length=6.0, speed=0.5)
    plant.add("Short", NodeKind.CONVEYOR, length=2.0, speed=0.5)
    plant.add("Wide", NodeKind.CONVEYOR, length=3.0, speed=0.5, pitch=1.5)
    for name in ("A", "B", "C", "D"):
        plant.add(name, NodeKind.STATION, cycle=[plant.exponential(4.0)])
    plant.add("K", NodeKind.SINK)
    plant.chain("S", "Q")
    plant.chain("Q", "Long")
    plant.chain("Q", "Short")
    plant.chain("Q", "Wide")
    for belt, first, second in (("Long", "A", "B"), ("Short", "B", "C"), ("Wide", "C", "D")):
        plant.chain(belt, first)
        plant.chain(belt, second)
    for name in ("A", "B", "C", "D"):
        plant.chain(name, "K")
    assert source.zone is None
    _same_figures(plant.model, seed=3)
