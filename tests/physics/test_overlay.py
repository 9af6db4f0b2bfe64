"""What a picture of the physics is given."""

import numpy as np

from twin.model.rigid import Body, Prototype, RigidModel, Shape, ShapeKind
from twin.physics import World
from twin.physics.overlay import overlay

HALF = np.array([0.2, 0.15, 0.1])


def stacked():
    """Two cartons on each other and one aside, one as goods whose collider is off its centre of mass."""
    model = RigidModel(shapes=[Shape("/ground", ShapeKind.PLANE)])
    for k, place in enumerate(((0.0, 0.0, 0.1), (0.0, 0.0, 0.3))):
        model.bodies.append(Body("/b", position=np.array(place), mass=5.0, inertia=np.full(3, 0.08)))
        model.shapes.append(Shape("/b/s", ShapeKind.BOX, body=k, size=HALF))
    aside = np.array([0.0, 0.0, 0.05])
    shape = Shape("/carton/box", ShapeKind.BOX, 0, size=HALF, position=aside)
    model.prototypes.append(
        Prototype("/carton", "carton", Body("/carton", mass=5.0, inertia=np.full(3, 0.08)), [shape], HALF, aside)
    )
    world = World(model, item_capacity=3)
    world.spawn(0, np.array([3.0, 0.0, 0.05]))
    return world


def test_contacts_islands_and_sleepers_of_the_last_step():
    world = stacked()
    world.step(5)
    seen = overlay(world)
    points = np.array(seen["contacts"]["point"]).reshape(-1, 3)
    assert len(points) == 12
    assert len(seen["contacts"]["normal"]) == 36
    assert sorted(set(np.round(points[:, 2], 2))) == [0.0, 0.2]
    bodies = seen["bodies"]
    assert bodies["island"] == [0, 0, 2]
    assert bodies["asleep"] == [0, 0, 0]
    np.testing.assert_allclose(np.array(bodies["half"]).reshape(-1, 3), [HALF] * 3, atol=1e-4)
    np.testing.assert_allclose(np.array(bodies["position"]).reshape(-1, 3)[:, 2], [0.1, 0.3, 0.1], atol=0.002)
    assert seen["left_out"] == 0
    world.step(60)
    assert overlay(world)["bodies"]["asleep"] == [1, 1, 1]


def test_a_picture_has_an_end_and_changes_nothing():
    world, other = stacked(), stacked()
    for _ in range(20):
        world.step(1)
        other.step(1)
        seen = overlay(world, most=2)
    assert len(seen["contacts"]["impulse"]) == len(seen["bodies"]["island"]) == 2
    assert seen["left_out"] == 10 + 1
    np.testing.assert_array_equal(world.position.numpy(), other.position.numpy())
