"""Large islands, solved in coloured parts: the same bits on one thread and on several, from a graph, and after a restore."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import warp as wp

import twin.physics.world as engine
from twin.model.rigid import Body, RigidModel, Shape, ShapeKind
from twin.physics import World
from twin.physics.kernels.data import LARGE_ISLAND, PART

HALF = np.array([0.2, 0.15, 0.15])
COUNT = 300


def queue(count=COUNT, belt=0.5):
    """Cartons that touch, on a belt that presses them against a wall."""
    model = RigidModel()
    for k in range(count):
        place = np.array([-0.2005 - 0.4002 * k, 0.0, 0.15])
        model.bodies.append(Body("/carton", position=place, mass=5.0, inertia=np.array([0.075, 0.104, 0.104])))
        model.shapes.append(Shape("/carton/box", ShapeKind.BOX, body=k, size=HALF))
    model.shapes.append(
        Shape("/belt", ShapeKind.BOX, position=np.array([0.0, 0.0, -0.05]), size=np.array([200.0, 0.4, 0.05]),
              surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=belt)
    )  # fmt: skip
    model.shapes.append(Shape("/wall", ShapeKind.BOX, position=np.array([0.05, 0.0, 0.2]), size=np.array([0.05, 0.4, 0.19])))
    return model


def parts_of(world, w=0):
    p = world._parts
    count = int(p.count.numpy()[w])
    order, begin, end = p.order.numpy()[w], p.begin.numpy()[w], p.end.numpy()[w]
    return [order[begin[k] : end[k]] for k in range(count)]


def test_parts_hold_every_body_once_and_reach_only_into_their_neighbours():
    world = World(queue(), threads=1)
    world.step(1)
    parts = parts_of(world)
    assert COUNT > LARGE_ISLAND
    assert sorted(np.concatenate(parts)) == list(range(COUNT))
    assert min(len(p) for p in parts[:-1]) >= PART
    assert len(parts) >= 6
    part = np.zeros(COUNT, int)
    for k, bodies in enumerate(parts):
        part[bodies] = k
    counts, points = world._contacts[0].count.numpy()[0], world._contacts[0].point.numpy().reshape(COUNT, -1)
    for i in range(COUNT):
        for j in points["partner_body"][i, : counts[i]]:
            assert j < 0 or abs(part[i] - part[j]) <= 1


@pytest.mark.parametrize("how", [2, 12, "graph"])
def test_the_result_is_the_same_however_it_is_run(how, monkeypatch):
    """On two threads; on more than there are cores, which wait for each other too long and go on alone; from a graph, which
    records what a GPU would be given: nothing in a step reads from the device or decides on the host."""
    one = World(queue(), worlds=2, threads=1)
    monkeypatch.setattr(engine, "TEAM_PARTS", 1)
    monkeypatch.setattr(engine, "TEAM_PAUSE", 1)
    other = World(queue(), worlds=2, **({"capture": True} if how == "graph" else {"threads": how}))
    for world in (one, other):
        world.step(12)
    assert len(parts_of(one, 1)) >= 6
    for name in ("position", "rotation", "linear_velocity", "angular_velocity"):
        np.testing.assert_array_equal(getattr(one, name).numpy(), getattr(other, name).numpy(), err_msg=name)


def test_worlds_stepped_at_the_same_time_do_not_wait_for_each_others_threads(monkeypatch):
    monkeypatch.setattr(engine, "TEAM_PARTS", 1)
    worlds = [World(queue(), threads=2) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(world.step, 30) for world in worlds]:
            done.result(timeout=300)
    for world in worlds[1:]:
        np.testing.assert_array_equal(world.position.numpy(), worlds[0].position.numpy())


def test_a_graph_follows_a_restore_and_what_is_done_between_steps():
    model = queue(8)
    worlds = [World(model, capture=capture) for capture in (False, True)]
    for world in worlds:
        world.step(5)
        kept = world.snapshot()
        world.step(4)
        world.restore(kept)
        world.set_surface_drive(8, -1.0)
        world.step(20)
    np.testing.assert_array_equal(worlds[0].position.numpy(), worlds[1].position.numpy())
    assert worlds[0].linear_velocity.numpy()[0, 7, 0] < -0.5


def test_a_large_island_at_rest_falls_asleep_and_wakes_as_a_whole():
    world = World(queue(belt=0.0), threads=1)
    world.step(60)
    assert world.asleep.all()
    world.linear_velocity.numpy()[0, 150] = (0.0, 0.0, 0.5)
    world.step(1)
    assert not world.asleep.any()


def test_large_islands_restore_bit_for_bit():
    world = World(queue(), threads=1)
    world.step(5)
    kept = world.snapshot()
    world.step(5)
    after = world.position.numpy().copy()
    world.restore(kept)
    world.step(5)
    np.testing.assert_array_equal(world.position.numpy(), after)


@pytest.mark.skipif(not wp.is_cuda_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu():
    """Two seconds of a thrown, sliding carton (T1, T3) within 0.1 mm, and a large island for a few steps."""
    for model, steps in ((queue(1, belt=0.0), 120), (queue(), 5)):
        model.bodies[0].linear_velocity = np.array([-1.0, 0.0, 2.0])
        worlds = [World(model, device=device) for device in ("cpu", "cuda:0")]
        for world in worlds:
            world.step(steps)
        np.testing.assert_allclose(worlds[0].position.numpy(), worlds[1].position.numpy(), atol=1e-4)


def test_islands_whose_heads_come_first_are_spread_over_all_threads():
    """Eight stacks of four boxes, numbered layer by layer: the heads are bodies 0 to 7 of 32."""
    model = RigidModel()
    for k in range(32):
        place = np.array([2.0 * (k % 8), 0.0, 0.1499 + 0.2998 * (k // 8)])
        model.bodies.append(Body("/box", position=place, mass=5.0, inertia=np.array([0.075, 0.104, 0.104])))
        model.shapes.append(Shape("/box/box", ShapeKind.BOX, body=k, size=HALF))
    ground = np.array([50.0, 50.0, 0.5])
    model.shapes.append(Shape("/ground", ShapeKind.BOX, position=np.array([0.0, 0.0, -0.5]), size=ground))
    world = World(model, threads=1, sleeping=False)
    world.step(3)
    turn = world._work.turn.numpy()[0]
    assert sorted(turn[turn >= 0]) == list(range(8))
    assert [int((turn[at : at + 8] >= 0).sum()) for at in range(0, 32, 8)] == [2, 2, 2, 2]
