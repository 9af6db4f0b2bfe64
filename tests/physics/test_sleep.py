"""Islands that sleep, and everything that must wake them."""

import numpy as np
import pytest

from twin.model.rigid import Body, BodyKind, Drive, Joint, Prototype, RigidModel, Shape, ShapeKind
from twin.physics import World

HALF = np.array([0.2, 0.15, 0.15])


def carton(position, **fields):
    return Body("/box", position=np.array(position, float), mass=5.0, inertia=np.array([0.08, 0.1, 0.1]), **fields)


def scene(*bodies, ground=True):
    model = RigidModel()
    if ground:
        model.shapes.append(Shape("/ground", ShapeKind.PLANE))
    for b in bodies:
        model.bodies.append(b)
        model.shapes.append(Shape("/box/shape", ShapeKind.BOX, body=len(model.bodies) - 1, size=HALF))
    return model


def stack(count, **options):
    world = World(scene(*(carton((0, 0, 0.15 + 0.3 * i)) for i in range(count))), **options)
    world.step(90)
    return world


def height(world, i, w=0):
    return float(world.position.numpy()[w, i, 2])


def goods(capacity, **options):
    model = RigidModel(shapes=[Shape("/ground", ShapeKind.PLANE)])
    box = Shape("/carton/box", ShapeKind.BOX, 0, size=HALF)
    model.prototypes.append(Prototype("/carton", "carton", carton((0, 0, 0)), [box], HALF, np.zeros(3)))
    return World(model, item_capacity=capacity, **options)


def test_a_stack_falls_asleep_and_stays_where_it_is():
    world = stack(3)
    assert world.stats().asleep == 3
    before = world.position.numpy().copy()
    world.step(600)
    np.testing.assert_array_equal(world.position.numpy(), before)
    assert world.stats().contacts == 12, "what it rests on is still known"
    assert stack(3, sleeping=False).stats().asleep == 0


def test_what_moves_or_rides_or_waits_on_a_running_belt_does_not_sleep():
    model = scene(carton((0, 0, 0.15)), carton((3.0, 0, 0.15)), ground=False)
    model.shapes.append(
        Shape("/belt", ShapeKind.BOX, position=np.array([5.0, 0.0, -0.05]), size=np.array([10.0, 0.4, 0.05]),
              surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=0.001)
    )  # fmt: skip
    model.shapes.append(Shape("/stop", ShapeKind.BOX, position=np.array([3.3, 0.0, 0.2]), size=np.array([0.1, 0.4, 0.2])))
    world = World(model)
    world.step(240)
    assert world.stats().asleep == 0
    assert world.position.numpy()[0, 0, 0] == pytest.approx(0.004, abs=0.0005), "a millimetre a second is a speed too"


def test_a_belt_that_starts_wakes_what_lies_on_it_and_on_that():
    model = scene(carton((0, 0, 0.15)), carton((0, 0, 0.45)), carton((0, 2.0, 0.15)), ground=False)
    for y, drive in ((0.0, 0.0), (2.0, 0.0)):
        model.shapes.append(
            Shape(f"/belt{y}", ShapeKind.BOX, position=np.array([5.0, y, -0.05]), size=np.array([10.0, 0.4, 0.05]),
                  surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=drive)
        )  # fmt: skip
    world = World(model)
    world.step(90)
    assert world.asleep[0].tolist() == [True, True, True]
    world.set_surface_drive(3, 0.5)
    world.step(60)
    assert world.asleep[0].tolist() == [False, False, True]
    np.testing.assert_allclose(world.linear_velocity.numpy()[0, :, 0], [0.5, 0.5, 0.0], atol=0.005)
    world.set_surface_drive(3, 0.0)
    world.step(90)
    assert world.asleep[0].all(), "it stopped: they sleep again"


def test_spawning_on_top_and_taking_the_lowest_away_wake():
    world = goods(4)
    for k in range(3):
        world.spawn(0, np.array([0.0, 0.0, 0.15 + 0.3 * k]))
    world.step(90)
    assert world.stats().asleep == 3
    world.spawn(0, np.array([0.0, 0.0, 1.05]))
    world.step(2)
    assert world.stats().asleep == 0
    world.step(150)
    assert world.stats().asleep == 4
    world.despawn(0)
    world.step(60)
    np.testing.assert_allclose([height(world, i) for i in (1, 2, 3)], [0.15, 0.45, 0.75], atol=0.005)


def test_an_impact_wakes_and_a_passer_by_does_not():
    world = World(scene(carton((0, 0, 0.15)), carton((-3.0, 0.0, 0.15)), carton((2.0, 0.306, 0.15)), carton((2.0, 0.0, 0.15))))
    world.step(60)
    assert world.asleep[0].all()
    world.linear_velocity.numpy()[0, 1, 0] = 5.5
    woken = set()
    for _ in range(90):
        world.step(1)
        woken |= set(np.flatnonzero(~world.asleep[0]))
    assert woken == {0, 1}
    assert world.position.numpy()[0, 0, 0] > 0.1
    world.linear_velocity.numpy()[0, 3, 0] = -0.5
    world.step(10)
    assert world.asleep[0, 2], "6 mm beside it something begins to slide"
    assert not world.asleep[0, 3]


@pytest.mark.parametrize("what", ["moved", "pushed", "spun", "held"])
def test_whatever_is_done_to_one_wakes_its_island(what):
    world = stack(3)
    if what == "moved":
        world.position.numpy()[0, 1, 0] += 0.01
    elif what == "pushed":
        world.linear_velocity.numpy()[0, 1, 0] = 0.1
    elif what == "spun":
        world.angular_velocity.numpy()[0, 1, 2] = 0.1
    else:
        world.held.numpy()[0, 1] = 1
    world.step(1)
    assert world.asleep[0].tolist() == [False, False, False]


def test_a_pusher_that_starts_and_a_table_that_sinks_wake():
    model = scene(carton((0, 0, 0.15)), carton((4.0, 0, 0.95)))
    for x, z in ((-0.8, 0.2), (4.0, 0.6)):
        model.bodies.append(Body("/machine", BodyKind.KINEMATIC, position=np.array([x, 0.0, z])))
        model.shapes.append(Shape("/machine/s", ShapeKind.BOX, body=len(model.bodies) - 1, size=np.array([0.2, 0.4, 0.2])))
    world = World(model)
    world.step(90)
    assert world.asleep[0, :2].all()
    world.linear_velocity.numpy()[0, 2, 0] = 0.5
    world.linear_velocity.numpy()[0, 3, 2] = -0.1
    world.step(120)
    assert world.position.numpy()[0, 0, 0] == pytest.approx(-0.8 + 1.0 + 0.4, abs=0.01)
    assert height(world, 1) == pytest.approx(0.75, abs=0.005)
    world.linear_velocity.numpy()[0, 2:] = 0.0
    world.step(90)
    assert world.asleep[0, :2].all()
    world.position.numpy()[0, 3, 0] = 9.0  # gone from one step to the next
    world.step(60)
    assert height(world, 1) == pytest.approx(0.15, abs=0.005)


def test_a_snapshot_of_sleepers_continues_bit_for_bit():
    def run(world, steps):
        for step in range(steps):
            if step == 10:
                world.set_surface_drive(0, 1.0)
                world.linear_velocity.numpy()[0, 0, 0] = 1.0
            world.step(1)
        return world

    a = run(stack(4), 0)
    kept = a.snapshot()
    assert kept["nap.nap"].all()
    run(a, 80)
    b = World(a.model)
    b.step(7)
    b.restore(kept)
    run(b, 80)
    assert a.stats().asleep == b.stats().asleep == 0
    for name in ("position", "rotation", "linear_velocity", "angular_velocity"):
        np.testing.assert_array_equal(getattr(a, name).numpy(), getattr(b, name).numpy())


def test_sleep_is_the_same_on_one_core_and_on_several():
    def heap(threads):
        world = goods(300, threads=threads)
        for k in range(300):
            world.spawn(0, np.array([0.55 * (k % 10), 0.4 * (k // 10 % 10), 0.16 + 0.4 * (k // 100)]))
        asleep = []
        for _ in range(120):
            world.step(1)
            asleep.append(world.stats().asleep)
        return world, asleep

    (a, slept), (b, also) = heap(1), heap(3)
    assert slept == also
    assert slept[-1] > 0
    np.testing.assert_array_equal(a.position.numpy(), b.position.numpy())


def test_gravity_of_one_world_wakes_that_world():
    world = stack(2, worlds=2)
    assert world.asleep.all()
    world.set_gravity(np.array([0.0, 0.0, 1.0]), world=1)
    world.step(60)
    assert world.asleep[0].all()
    assert height(world, 0, 1) > 0.5
    assert height(world, 0, 0) == pytest.approx(0.15, abs=0.001)


def test_what_a_drive_moves_does_not_sleep():
    model = RigidModel(gravity=np.zeros(3), bodies=[carton((0, 0, 0))])
    model.joints.append(Joint("/j", -1, 0, drives={0: Drive(200.0, 40.0)}).free(0))
    world = World(model)
    world.step(120)
    assert world.stats().asleep == 0
    world.set_drive(0, 0, position=0.5)
    world.step(120)
    assert world.joint_coordinates(0)[0] == pytest.approx(0.5, abs=0.01)


def test_bodies_that_start_asleep_hang_in_the_air_until_something_touches_them():
    world = World(scene(carton((0, 0, 1.0), starts_asleep=True), carton((0, 0, 2.0))))
    world.step(10)
    assert height(world, 0) == 1.0
    world.step(120)
    assert height(world, 0) == pytest.approx(0.15, abs=0.005)
