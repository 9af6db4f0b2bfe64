"""A six-axis arm stacks what a station collects: it reaches every place, carries goods without a jump, and loses none."""

from pathlib import Path

import numpy as np
import pytest

from twin.scene import compile_factory, open_stage
from twin.sim import Simulation
from twin.sim.arms import GRIPPED, STACKED
from twin.sim.robots import Chain, plan
from twin.sim.tables import multiply

SCENE = Path(__file__).parents[2] / "scenes" / "robot_cell" / "scene.usda"


@pytest.fixture(scope="module")
def cell():
    return compile_factory(open_stage(SCENE))


def apart(a, b):
    """Angle between two rotations [rad]."""
    turn = multiply(a, b * np.array([-1.0, -1.0, -1.0, 1.0]))
    return 2.0 * np.arctan2(np.linalg.norm(turn[:3]), abs(turn[3]))


def test_inverse_kinematics_finds_angles_for_poses_that_there_are(cell):
    chain = Chain.of(cell.rigid, cell.robots[0])
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(20):
        q = rng.uniform(0.6 * np.maximum(chain.lower, -2.5), 0.6 * np.minimum(chain.upper, 2.5))
        position, rotation, _, _ = chain.forward(q)
        solved = chain.inverse(position, rotation, q + rng.uniform(-0.3, 0.3, 6))
        if solved is None:
            continue
        found += 1
        again, turn, _, _ = chain.forward(solved)
        assert np.linalg.norm(again - position) < 5e-4
        assert apart(turn, rotation) < 2e-3
        assert ((solved >= chain.lower) & (solved <= chain.upper)).all()
    assert found == 20


def test_at_rest_the_links_are_where_they_were_authored(cell):
    chain = Chain.of(cell.rigid, cell.robots[0])
    tool, _, points, _ = chain.forward(np.zeros(6))
    for joint, point in zip(cell.robots[0].joints, points, strict=True):
        np.testing.assert_allclose(cell.rigid.bodies[cell.rigid.joints[joint].body1].position, point, atol=1e-6)
    np.testing.assert_allclose(tool, [1.605, 0.0, 2.13], atol=1e-6)


def test_what_the_tool_does_not_reach_is_a_finding(cell):
    from copy import deepcopy

    far = deepcopy(cell)
    far.robots[0].taught[0] = np.array([9.0, 0.0, 1.0])
    solved, findings = plan(far, far.robots[0])
    assert solved is None
    assert findings[0].code == "out-of-reach"
    assert "9.0" in findings[0].message


def test_the_arm_stacks_a_pallet(cell):
    s = Simulation(cell, seed=2)
    stacking = cell.node_index("/World/Line/Stacking")
    first = len(cell.rigid.bodies)
    before = s.world.position.numpy()[0].copy()
    was_gripped = np.zeros(s.capacity, bool)
    most, carried, fastest = 0, 0, 0.0
    for _ in range(80 * 60):
        s.step()
        state = s._state.stacked.numpy()[0]
        now = s.world.position.numpy()[0].copy()
        gripped = (state == GRIPPED) & (s._state.phase.numpy()[0] != 0)
        assert gripped.sum() <= 1
        both = gripped & was_gripped
        carried += int(both.sum())
        if both.any():
            fastest = max(fastest, float(np.linalg.norm(now[first:][both] - before[first:][both], axis=1).max()) * 60.0)
        most = max(most, int(((state == STACKED) & (s._state.node.numpy()[0] == stacking)).sum()))
        before, was_gripped = now, gripped
    c = s.counts()
    assert c.spawned == c.inside + c.sunk + c.scrapped + c.lost
    assert c.lost == 0
    assert most >= 11, "all but what the finished pallet took along are put in their places"
    assert s.statistics()["left"][stacking] >= 1
    assert carried > 500
    assert 0.5 < fastest < 8.0, "goods move as fast as an arm, and never jump"


def test_stacked_goods_stand_where_their_pallet_has_them(cell):
    s = Simulation(cell, seed=2)
    s.step(50 * 60)
    state, alive = s._state.stacked.numpy()[0], s.frame().item_alive
    there = s.frame().item_position[(state == STACKED) & alive]
    assert len(there) >= 4
    # the pallet's deck is 0.144 m over the rollers; cartons of 0.4 x 0.3 x 0.3 m side by side on it
    assert there[:, 2].min() == pytest.approx(0.45 + 0.144 + 0.15, abs=0.003)
    for i in range(len(there)):
        for j in range(i):
            d = np.abs(there[i] - there[j])
            assert d[0] > 0.398 or d[1] > 0.298 or d[2] > 0.298


def test_a_snapshot_of_the_moving_arm_continues_bit_for_bit(cell):
    a, b = Simulation(cell, seed=5), Simulation(cell, seed=5)
    a.step(900)
    b.step(500)
    kept = b.snapshot()
    b.step(60)
    b.restore(kept)
    b.step(400)
    np.testing.assert_array_equal(a.frame().item_position, b.frame().item_position)
    np.testing.assert_array_equal(a.frame().body_position, b.frame().body_position)
