"""Worlds with parameters of their own, and trigger volumes that move."""

import numpy as np
import pytest

from twin.core.errors import InputError
from twin.model.rigid import Body, BodyKind, Material, RigidModel, Shape, ShapeKind
from twin.physics import World, inside_triggers

G = 9.81
HALF = np.array([0.2, 0.15, 0.15])


def carton(position=(0, 0, 0.15), **fields):
    return Body("/box", position=np.array(position, float), mass=5.0, inertia=np.array([0.075, 0.104, 0.104]), **fields)


def scene(*bodies, bounce=0.0):
    model = RigidModel(materials=[Material("", 0.5, 0.5, bounce)], shapes=[Shape("/ground", ShapeKind.PLANE)])
    for i, body in enumerate(bodies):
        model.bodies.append(body)
        model.shapes.append(Shape("/box/shape", ShapeKind.BOX, body=i, size=HALF))
    return model


def test_friction_of_each_world_stops_a_carton_where_it_should():
    world = World(scene(carton(linear_velocity=np.array([3.0, 0.0, 0.0]))), worlds=3)
    world.set_parameters(friction=0.5, world=0)
    world.set_parameters(friction=1.6, world=2)
    world.step(240)
    for w, mu in enumerate((0.25, 0.5, 0.8)):
        assert world.position.numpy()[w, 0, 0] == pytest.approx(9.0 / (2 * mu * G), rel=0.02)


def test_belts_and_restitution_of_each_world():
    model = scene(carton())
    model.shapes[0] = Shape("/belt", ShapeKind.BOX, position=np.array([0, 0, -0.1]), size=np.array([9.0, 1.0, 0.1]),
                            surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=0.5)  # fmt: skip
    world = World(model, worlds=2)
    world.set_parameters(belts=0.0, world=1)
    world.step(90)
    assert world.linear_velocity.numpy()[0, 0, 0] == pytest.approx(0.5, rel=0.01)
    assert world.asleep.tolist() == [[False], [True]]
    world.set_parameters(belts=-2.0, world=1)
    world.step(60)
    assert world.linear_velocity.numpy()[1, 0, 0] == pytest.approx(-1.0, rel=0.01)
    model = scene(bounce=0.8)
    model.bodies.append(Body("/ball", position=np.array([0.0, 0.0, 1.1]), inertia=np.full(3, 0.004)))
    model.shapes.append(Shape("/ball/s", ShapeKind.SPHERE, body=0, size=np.array([0.1, 0.0, 0.0])))
    world = World(model, worlds=2)
    world.set_parameters(restitution=0.5, world=1)
    heights = []
    for _ in range(80):
        world.step(1)
        heights.append(world.position.numpy()[:, 0, 2] - 0.1)
    rebound = np.array(heights)[30:].max(axis=0)
    np.testing.assert_allclose(rebound, [0.64, 0.16], atol=0.02)


def test_parameters_are_part_of_a_snapshot_and_refused_where_they_make_no_sense():
    world = World(scene(carton()), worlds=2)
    world.set_parameters(friction=0.3, belts=2.0, world=1)
    kept = world.snapshot()
    world.set_parameters(friction=1.0, belts=1.0)
    world.restore(kept)
    np.testing.assert_allclose(world.friction_scale.numpy(), [1.0, 0.3])
    np.testing.assert_allclose(world.belt_scale.numpy(), [1.0, 2.0])
    for wrong in ({"friction": -0.1}, {"restitution": np.nan}, {"belts": np.inf}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            world.set_parameters(**wrong)


@pytest.mark.parametrize("kind", [BodyKind.KINEMATIC, BodyKind.DYNAMIC])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_trigger_volume_rides_on_its_body_and_sees_who_is_in_it(kind, order):
    """A cart with an eye half a metre ahead of it passes a carton that lies asleep; who has the lower index does not matter."""
    cart = carton((-1.5, 0.6, 0.15), kind=kind, linear_velocity=np.array([1.0, 0.0, 0.0]))
    bodies = [cart, carton()] if order == "before" else [carton(), cart]
    model = scene(*bodies)
    model.materials.append(Material("/smooth", 0.0, 0.0))
    at = 0 if order == "before" else 1
    model.shapes[1 + at].material = 1
    model.materials[0].friction_combine = 1
    eye = Shape(
        "/eye", ShapeKind.BOX, body=at, position=np.array([0.5, -0.6, 0.0]), size=np.array([0.05, 0.3, 0.1]), trigger=True
    )
    model.shapes.append(eye)
    world = World(model)
    assert world.findings == []
    seen = []
    for _ in range(150):
        world.step(1)
        assert set(inside_triggers(world)) <= {(3, 1 - at)}, "nobody sees itself"
        seen.append(bool(inside_triggers(world)))
    inside = np.flatnonzero(seen)
    assert inside[0] == pytest.approx((1.0 - 0.25) * 60, abs=2)
    assert inside[-1] == pytest.approx((1.0 + 0.25) * 60, abs=2)
    np.testing.assert_allclose(world.position.numpy()[0, 1 - at], [0, 0, 0.15], atol=0.002)
