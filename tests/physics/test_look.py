"""Contact reports, trigger volumes, islands, energy, rays and boxes that ask a world."""

import numpy as np
import pytest

from twin.core.errors import InputError
from twin.model.rigid import Body, BodyKind, Combine, Material, Mesh, RigidModel, Shape, ShapeKind
from twin.physics import World, bodies_in, cast_ray, contact_report, energy, inside_triggers, islands

G = 9.81
HALF = np.array([0.2, 0.15, 0.15])


def carton(position, mass=5.0, **fields):
    return Body("/box", position=np.array(position, float), mass=mass, inertia=mass * np.array([0.015, 0.02, 0.02]), **fields)


def scene(*bodies, materials=None):
    model = RigidModel(materials=materials or [Material()], shapes=[Shape("/ground", ShapeKind.PLANE)])
    for b in bodies:
        model.bodies.append(b)
        model.shapes.append(Shape("/box/shape", ShapeKind.BOX, body=len(model.bodies) - 1, size=HALF))
    return model


def test_contact_forces_carry_the_weight_and_say_who_touches_whom():
    world = World(scene(carton((0, 0, 0.15)), carton((0, 0, 0.45))), sleeping=False)
    world.step(120)
    report = contact_report(world)
    below = report.partner < 0
    assert below.sum() == 4
    assert set(report.shape[below]) == {0}
    force = report.impulse * 240.0
    assert force[below].sum() == pytest.approx(10.0 * G, rel=0.02)
    assert force[~below].sum() == pytest.approx(5.0 * G, rel=0.02)
    assert set(report.body[~below]) | set(report.partner[~below]) == {0, 1}
    np.testing.assert_allclose(report.point[below][:, 2], 0.0, atol=0.001)
    np.testing.assert_allclose(report.normal[below], [[0, 0, 1]] * 4, atol=1e-5)
    assert np.abs(report.separation).max() < 0.001


def test_friction_force_of_a_sliding_carton():
    world = World(scene(carton((0, 0, 0.15), linear_velocity=np.array([3.0, 0.0, 0.0]))))
    world.step(20)
    assert contact_report(world).friction[:, 0].sum() * 240.0 == pytest.approx(-0.5 * 5.0 * G, rel=0.03)


def test_islands_are_those_that_touch():
    world = World(scene(carton((0, 0, 0.15)), carton((2, 0, 0.15)), carton((0, 0, 0.45))))
    world.step(5)
    assert islands(world).tolist() == [0, 1, 0]
    world.held.numpy()[0, 1] = 1
    assert islands(world).tolist() == [0, -1, 0]


def test_a_trigger_volume_pushes_nothing_and_knows_who_is_in_it():
    model = scene(carton((-1.0, 0, 0.15), linear_velocity=np.array([1.0, 0.0, 0.0])), carton((0, 3.0, 0.15)),
                  materials=[Material("", 0.0, 0.0)])  # fmt: skip
    for y in (0.0, 9.0):
        model.shapes.append(
            Shape("/eye", ShapeKind.BOX, position=np.array([0.0, y, 0.2]), size=np.array([0.05, 0.5, 0.2]), trigger=True)
        )
    world = World(model, worlds=2)
    seen = []
    for _ in range(120):
        world.step(1)
        seen.append(inside_triggers(world, 1) == [(3, 0)])
        assert inside_triggers(world, 1) in ([], [(3, 0)])
    inside = np.flatnonzero(seen)
    assert inside[0] == pytest.approx(0.75 * 60, abs=2), "its front face reaches the volume"
    assert inside[-1] == pytest.approx(1.25 * 60, abs=2)
    assert world.position.numpy()[0, 0, 0] == pytest.approx(1.0, abs=0.01)


def test_energy_of_a_fall_and_of_a_turning_body_is_kept():
    model = scene(carton((0, 0, 50), angular_velocity=np.array([1.0, 2.0, 3.0]), linear_velocity=np.array([1.0, 0.0, 0.0])))
    world = World(model)
    start = energy(world)
    assert start == pytest.approx(5 * G * 50 + 0.5 * 5 + 0.5 * 5 * (0.015 + 0.02 * 4 + 0.02 * 9))
    world.step(60)
    assert energy(world) == pytest.approx(start, rel=0.005)
    assert energy(World(RigidModel())) == 0.0


QUARTER = np.array([0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)])


@pytest.mark.parametrize(
    ("kind", "size", "distance"),
    [
        (ShapeKind.BOX, (0.3, 0.2, 0.1), 1.9),
        (ShapeKind.SPHERE, (0.3, 0, 0), 1.7),
        (ShapeKind.CAPSULE, (0.1, 0.4, 0), 1.9),
        (ShapeKind.CYLINDER, (0.1, 0.4, 0), 1.9),
    ],
)
def test_rays_meet_shapes_where_they_are(kind, size, distance):
    model = RigidModel(bodies=[Body("/b", BodyKind.KINEMATIC, position=np.array([2.0, 0.0, 0.0]), rotation=QUARTER)])
    model.shapes.append(Shape("/b/s", kind, body=0, size=np.array(size, float)))
    world = World(model)
    # the shape's Z looks along the world's X: a ray from the side meets its flank
    hit = cast_ray(world, (2.0, 2.0, 0.0), (0, -3.0, 0))
    assert hit.body == 0
    assert hit.distance == pytest.approx(2.0 - size[1 if kind == ShapeKind.BOX else 0])
    np.testing.assert_allclose(hit.normal, [0, 1, 0], atol=1e-9)
    end = cast_ray(world, (0.0, 0.0, 0.0), (1, 0, 0))
    reach = {ShapeKind.BOX: 0.1, ShapeKind.SPHERE: 0.3, ShapeKind.CAPSULE: 0.5, ShapeKind.CYLINDER: 0.4}[kind]
    assert end.distance == pytest.approx(2.0 - reach)
    assert cast_ray(world, (0, 0, 0), (1, 0, 0), reach=1.0) is None
    assert cast_ray(world, (0, 0, 0), (-1, 0, 0)) is None
    assert cast_ray(world, (0, 1, 0), (1, 0, 0)) is None


def test_rays_meet_the_nearest_of_ground_mesh_hull_and_goods():
    tetra = np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0, 0.4, 0], [0, 0, 0.5]], np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
    model = scene(carton((5, 0, 0.15)))
    model.meshes.append(Mesh(tetra, faces))
    model.shapes.append(Shape("/mesh", ShapeKind.MESH, position=np.array([1.0, 0.0, 0.0]), mesh=0))
    model.shapes.append(Shape("/hull", ShapeKind.HULL, position=np.array([3.0, 0.0, 0.0]), mesh=0))
    world = World(model)
    down = np.array([0.0, 0.0, -1.0])
    for x, z, shape in ((1.0, 0.5, 2), (3.0, 0.5, 3), (5.0, 0.3, 1), (7.0, 0.0, 0)):
        hit = cast_ray(world, (x, 1e-4, 2.0), down)
        assert hit.shape == shape
        assert hit.distance == pytest.approx(2.0 - z, abs=0.001)
    with pytest.raises(InputError):
        cast_ray(world, (np.nan, 0, 0), down)
    with pytest.raises(InputError):
        cast_ray(world, (0, 0, 0), (0, 0, 0))
    assert bodies_in(world, np.array([4.5, -1, 0]), np.array([4.9, 1, 1])).tolist() == [0]
    assert bodies_in(world, np.array([0, -1, 0]), np.array([4.0, 1, 1])).tolist() == []


@pytest.mark.parametrize(
    ("mode", "expected"), [(Combine.AVERAGE, 0.5), (Combine.MIN, 0.2), (Combine.MULTIPLY, 0.16), (Combine.MAX, 0.8)]
)
def test_combine_modes_of_friction(mode, expected):
    """Of two modes the higher one wins; AVERAGE is the lowest."""
    model = scene(carton((0, 0, 0.15), linear_velocity=np.array([6.0, 0.0, 0.0])),
                  materials=[Material("", 0.2, 0.2), Material("", 0.8, 0.8, friction_combine=mode)])  # fmt: skip
    model.shapes[1].material = 1
    world = World(model)
    world.step(30)
    slowed = (6.0 - world.linear_velocity.numpy()[0, 0, 0]) / 0.5
    assert slowed == pytest.approx(expected * G, rel=0.02)


def test_static_friction_holds_what_dynamic_friction_does_not():
    a = np.radians(25.0)  # tan = 0.466, between the two
    for static, moves in ((0.6, False), (0.4, True)):
        model = scene(carton((0, 0, 0.15)), materials=[Material("", static, 0.3)])
        world = World(model)
        world.step(60)
        world.set_gravity(G * np.array([np.sin(a), 0.0, -np.cos(a)]))
        world.step(120)
        moved = world.position.numpy()[0, 0, 0]
        assert moved > 0.1 if moves else moved < 0.002
    model.gravity = G * np.array([np.sin(a), 0.0, -np.cos(a)])
    model.bodies[0].linear_velocity = np.array([0.5, 0.0, 0.0])
    model.materials[0].static_friction = 0.6
    world = World(model)
    world.step(60)
    want = G * (np.sin(a) - 0.3 * np.cos(a))
    assert world.linear_velocity.numpy()[0, 0, 0] == pytest.approx(0.5 + want, rel=0.03), "once it slides it goes on"


def test_friction_is_as_strong_along_a_diagonal_as_along_an_axis():
    ways = []
    for degrees in (0.0, 30.0, 45.0):
        d = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
        world = World(scene(carton((0, 0, 0.15), linear_velocity=3.0 * d)))
        world.step(120)
        ways.append(float(np.linalg.norm(world.position.numpy()[0, 0, :2])))
    np.testing.assert_allclose(ways, 9.0 / G, rtol=0.02)
