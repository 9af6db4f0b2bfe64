"""Capsules, cylinders and hulls: they rest, stand, roll, slide and pile up, on every kind of ground."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from twin.model.rigid import Body, Material, Mesh, RigidModel, Shape, ShapeKind
from twin.physics import World
from twin.physics.hulls import VERTICES, make_hull

G = 9.81
R, H = 0.1, 0.15
LYING = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])


def mesh_of(points):
    """The hull of points as triangles that look outwards."""
    hull = ConvexHull(points)
    flip = np.einsum(
        "ij,ij->i",
        np.cross(*(hull.points[hull.simplices[:, k]] - hull.points[hull.simplices[:, 0]] for k in (1, 2))),
        hull.equations[:, :3],
    )
    triangles = np.where((flip < 0)[:, None], hull.simplices[:, ::-1], hull.simplices)
    return Mesh(hull.points.astype(np.float32), triangles.astype(np.int32))


def box_points(half):
    return np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.asarray(half, float)


def prism(sides):
    a = 2.0 * np.pi * np.arange(sides) / sides
    return np.concatenate([np.stack([R * np.cos(a), R * np.sin(a), np.full(sides, z)], axis=1) for z in (-H, H)])


KINDS = {
    "capsule": (ShapeKind.CAPSULE, None),
    "cylinder": (ShapeKind.CYLINDER, None),
    "hull": (ShapeKind.HULL, box_points((R, R, H))),
    "prism": (ShapeKind.HULL, prism(6)),
    "sphere": (ShapeKind.SPHERE, None),
    "box": (ShapeKind.BOX, None),
}


def put(model, what, position, rotation=(0, 0, 0, 1), **fields):
    """A body of 5 kg; its inertia is that of a cylinder, which is near enough for all but the ones that roll."""
    kind, points = KINDS[what]
    across = 5.0 * (R * R / 4.0 + H * H / 3.0)
    spin = {"sphere": 0.4, "capsule": 0.4672}.get(what, 0.5) * 5.0 * R * R
    inertia = np.array([across, across, spin]) if what != "sphere" else np.full(3, spin)
    model.bodies.append(
        Body(
            f"/{what}",
            position=np.array(position, float),
            rotation=np.array(rotation, float),
            mass=5.0,
            inertia=inertia,
            **fields,
        )
    )
    shape = Shape(
        f"/{what}/shape", kind, body=len(model.bodies) - 1, size=np.array([R, R, H] if kind == ShapeKind.BOX else [R, H, 0.0])
    )
    if points is not None:
        model.meshes.append(mesh_of(points))
        shape.mesh = len(model.meshes) - 1
    model.shapes.append(shape)


def on(ground, mu=0.5):
    model = RigidModel(materials=[Material("", mu, mu, 0.0)])
    shape = Shape("/ground", ShapeKind.PLANE)
    if ground == "box":
        shape = Shape("/ground", ShapeKind.BOX, position=np.array([0, 0, -0.1]), size=np.array([4.0, 4.0, 0.1]))
    elif ground == "mesh":
        corners = np.array([[-4, -4, 0], [4, -4, 0], [4, 4, 0], [-4, 4, 0]], np.float32)
        model.meshes.append(Mesh(corners, np.array([[0, 1, 2], [0, 2, 3]], np.int32)))
        shape = Shape("/ground", ShapeKind.MESH, mesh=0)
    elif ground == "hull":
        model.meshes.append(mesh_of(box_points((4, 4, 0.1))))
        shape = Shape("/ground", ShapeKind.HULL, mesh=0, position=np.array([0, 0, -0.1]))
    elif ground == "cylinder":
        shape = Shape("/ground", ShapeKind.CYLINDER, position=np.array([0, 0, -0.1]), size=np.array([4.0, 0.1, 0.0]))
    model.shapes.append(shape)
    return model


@pytest.mark.parametrize("ground", ["plane", "box", "mesh", "hull", "cylinder"])
def test_every_shape_rests_on_every_ground(ground):
    model = on(ground)
    heights = []
    for k, what in enumerate(("cylinder", "hull", "prism", "sphere", "box")):
        put(model, what, (1.2 * (k % 4) - 1.8, 1.2 * (k // 4) - 1.8, 0.17))
        heights.append(R if what == "sphere" else H)
    for k, what in enumerate(KINDS, 5):
        put(model, what, (1.2 * (k % 4) - 1.8, 1.2 * (k // 4) - 1.8, 0.12), LYING)
        heights.append(R * np.cos(np.pi / 6) if what == "prism" else R)
    world = World(model)
    assert world.findings == []
    world.step(150)
    start = world.position.numpy()[0].copy()
    world.step(120)
    end = world.position.numpy()[0]
    np.testing.assert_allclose(end[:, 2], heights, atol=0.001)
    assert np.linalg.norm(end - start, axis=1).max() < 0.0005
    assert world.stats().penetration < 0.001


@pytest.mark.parametrize("ground", ["plane", "box", "mesh", "hull"])
@pytest.mark.parametrize("what", ["cylinder", "capsule", "sphere"])
def test_round_things_roll_down_a_slope_without_slipping(ground, what):
    slope = np.radians(10.0)
    model = on(ground, mu=0.8)
    put(model, what, (-2, 0, R - 0.0004), LYING)
    model.gravity = G * np.array([np.sin(slope), 0.0, -np.cos(slope)])
    world = World(model)
    world.step(90)
    body = model.bodies[0]
    expected = G * np.sin(slope) / (1.0 + body.inertia[2] / (body.mass * R * R)) * 1.5
    speed = world.linear_velocity.numpy()[0, 0]
    assert speed[0] == pytest.approx(expected, rel=0.01)
    assert np.linalg.norm(world.angular_velocity.numpy()[0, 0]) * R == pytest.approx(speed[0], rel=0.01)
    assert abs(world.position.numpy()[0, 0, 1]) < 0.002


@pytest.mark.parametrize("what", ["cylinder", "hull", "prism"])
def test_a_standing_thing_slides_as_friction_says(what):
    model = on("box", mu=0.4)
    put(model, what, (-3, 0, H), linear_velocity=np.array([2.0, 0.0, 0.0]))
    world = World(model)
    world.step(120)
    assert world.position.numpy()[0, 0, 0] + 3.0 == pytest.approx(4.0 / (2.0 * 0.4 * G), rel=0.03)
    assert world.position.numpy()[0, 0, 2] == pytest.approx(H, abs=0.001)


@pytest.mark.parametrize("what", ["hull", "cylinder"])
def test_a_stack_of_five_stands(what):
    model = on("plane")
    for i in range(5):
        put(model, what, (0, 0, H + 2 * H * i))
    world = World(model)
    world.step(240)
    start = world.position.numpy()[0].copy()
    world.step(240)
    assert np.linalg.norm(world.position.numpy()[0] - start, axis=1).max() < 0.002


def test_a_hull_of_a_box_falls_and_topples_as_the_box_does():
    ends = []
    for what in ("box", "hull"):
        model = on("plane")
        put(model, what, (0, 0, 0.4), np.array([0.0, 0.32, 0.0, 0.9474]))
        world = World(model)
        world.step(180)
        ends.append(world.poses()[0][0])
    np.testing.assert_allclose(ends[0], ends[1], atol=0.01)


def test_a_hull_crosses_the_seam_between_level_belts():
    model = on("none", mu=0.5)
    model.shapes.clear()
    put(model, "hull", (0.5, 0, H))
    for k in range(3):
        model.shapes.append(
            Shape("/belt", ShapeKind.BOX, position=np.array([1.0 + 2 * k, 0.0, -0.05]), size=np.array([1.0, 0.4, 0.05]),
                  surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=0.5)
        )  # fmt: skip
    world = World(model)
    seen = []
    for _ in range(540):
        world.step(1)
        seen.append([*world.position.numpy()[0, 0], world.linear_velocity.numpy()[0, 0, 0]])
    seen = np.array(seen)
    assert seen[-1, 0] == pytest.approx(0.5 + 0.5 * 9.0, abs=0.05)
    assert np.ptp(seen[60:, 2]) < 0.002
    assert np.abs(seen[60:, 3] - 0.5).max() < 0.05


def test_turning_rollers_carry_a_carton():
    model = on("plane")
    model.shapes.clear()
    put(model, "box", (0, 0, R + 0.05), LYING)
    for k in range(30):
        model.shapes.append(
            Shape(f"/roller{k}", ShapeKind.CYLINDER, position=np.array([-0.2 + 0.1 * k, 0.0, 0.0]), rotation=LYING,
                  size=np.array([0.04, 0.4, 0.0]), surface_angular=np.array([0.0, 0.0, -1.0]), surface_drive=0.5 / 0.04)
        )  # fmt: skip
    world = World(model)
    world.step(180)
    assert world.linear_velocity.numpy()[0, 0, 0] == pytest.approx(0.5, rel=0.02)
    assert world.position.numpy()[0, 0, 2] == pytest.approx(R + 0.04, abs=0.002)


def test_a_pile_of_everything_comes_to_rest_inside_its_box():
    rng = np.random.default_rng(1)
    model = on("plane")
    for sx, sy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        size = np.array([0.1 if sx else 0.9, 0.1 if sy else 0.9, 1.0])
        model.shapes.append(Shape("/wall", ShapeKind.BOX, position=np.array([sx * 0.8, sy * 0.8, 1.0]), size=size))
    for i in range(60):
        q = rng.normal(size=4)
        put(model, list(KINDS)[i % 6], (*rng.uniform(-0.5, 0.5, 2), 0.3 + 0.25 * (i // 2)), q / np.linalg.norm(q))
    world = World(model)
    world.step(540)
    p = world.position.numpy()[0]
    assert np.abs(p[:, :2]).max() < 0.7
    assert p[:, 2].min() > 0.08
    assert np.abs(world.linear_velocity.numpy()).max() < 0.02
    assert world.stats().penetration < 0.004
    assert world.stats().overflow == 0


def test_hulls_keep_flat_faces_whole_and_thin_out_fine_ones():
    hull = make_hull(mesh_of(box_points((0.1, 0.2, 0.3))))
    assert sorted(len(loop) for loop in hull.loops) == [4] * 6
    assert hull.depth == pytest.approx(0.1)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3))
    fine = make_hull(mesh_of(points / np.linalg.norm(points, axis=1)[:, None]))
    assert fine.thinned
    assert len(fine.vertices) <= VERTICES
    assert np.linalg.norm(fine.vertices + fine.center, axis=1) == pytest.approx(1.0)
    assert make_hull(Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32), np.zeros((0, 3), np.int32))) is None
