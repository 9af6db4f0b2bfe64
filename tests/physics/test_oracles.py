"""The same scenes in Rapier and MuJoCo, engines that share no line with this one."""

import numpy as np
import pytest

from twin.model.rigid import Body, Material, Mesh, RigidModel, Shape, ShapeKind
from twin.physics import World

G = 9.81
HALF = np.array([0.2, 0.15, 0.15])
MASS = 5.0
INERTIA = MASS / 3.0 * np.array([HALF[1] ** 2 + HALF[2] ** 2, HALF[0] ** 2 + HALF[2] ** 2, HALF[0] ** 2 + HALF[1] ** 2])


@pytest.fixture
def rapier():
    return pytest.importorskip("rapier3d", reason="Rapier (the bench extra) is not installed")


@pytest.fixture
def mujoco():
    return pytest.importorskip("mujoco", reason="MuJoCo (the bench extra) is not installed")


def carton(position, **fields):
    return Body("/box", position=np.array(position, float), mass=MASS, inertia=INERTIA, **fields)


def boxes(*bodies, mu=0.5):
    model = RigidModel(materials=[Material("", mu, mu)])
    for i, body in enumerate(bodies):
        model.bodies.append(body)
        model.shapes.append(Shape("/box/s", ShapeKind.BOX, body=i, size=HALF))
    return model


def rapier_world(r):
    world = r.PhysicsWorld(gravity=r.Vec3(0.0, 0.0, -G))
    world.integration_parameters.dt = 1.0 / 240.0
    return world


@pytest.mark.parametrize("mu", [0.3, 0.6])
def test_a_carton_is_picked_up_as_by_a_moving_slab_in_rapier(rapier, mu):
    r = rapier
    model = boxes(carton((0, 0, HALF[2])), mu=mu)
    model.shapes.append(
        Shape("/belt", ShapeKind.BOX, position=np.array([5.0, 0.0, -0.05]), size=np.array([20.0, 0.5, 0.05]),
              surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=1.5)
    )  # fmt: skip
    ours = World(model)
    theirs = rapier_world(r)
    slab = r.RigidBody.kinematic_velocity_based().translation(r.Vec3(0.0, 0.0, -0.05)).linvel(r.Vec3(1.5, 0.0, 0.0))
    theirs.add_body(slab, [r.Collider.cuboid(20.0, 0.5, 0.05).friction(mu)])
    body = theirs.add_body(
        r.RigidBody.dynamic().translation(r.Vec3(0.0, 0.0, float(HALF[2]))).can_sleep(False),
        [r.Collider.cuboid(*HALF).friction(mu).mass(MASS)],
    )
    for _ in range(90):
        ours.step(1)
        for _ in range(4):
            theirs.step()
        x = theirs.rigid_bodies[body].translation.x
        assert ours.position.numpy()[0, 0, 0] == pytest.approx(x, abs=0.015)
    assert theirs.rigid_bodies[body].linvel.x == pytest.approx(ours.linear_velocity.numpy()[0, 0, 0], rel=0.01)


def prism():
    """A hexagonal prism, 0.3 m high."""
    angle = np.radians(60.0 * np.arange(6))
    ring = np.stack([0.2 * np.cos(angle), 0.2 * np.sin(angle), np.full(6, 0.15)], axis=1)
    return np.concatenate([ring, ring * [1, 1, -1]])


def test_a_leaning_stack_of_hulls_ends_as_in_rapier(rapier):
    """Three prisms, each set aside of the one below by 5 cm: they stand; by 16 cm: the top ones fall."""
    r, points = rapier, prism()
    for aside, stands in ((0.05, True), (0.16, False)):
        model = RigidModel(
            shapes=[Shape("/ground", ShapeKind.PLANE)], meshes=[Mesh(points.astype(np.float32), np.zeros((0, 3), int))]
        )
        theirs = rapier_world(r)
        theirs.add_body(r.RigidBody.fixed().translation(r.Vec3(0.0, 0.0, -0.5)), [r.Collider.cuboid(9.0, 9.0, 0.5).friction(0.5)])
        bodies = []
        for k in range(3):
            at = np.array([aside * k, 0.0, 0.15 + 0.3 * k])
            model.bodies.append(Body("/prism", position=at, mass=4.0, inertia=np.array([0.066, 0.066, 0.067])))
            model.shapes.append(Shape("/prism/s", ShapeKind.HULL, body=k, mesh=0))
            hull = r.Collider.convex_hull([r.Vec3(*p) for p in points]).friction(0.5).mass(4.0)
            bodies.append(theirs.add_body(r.RigidBody.dynamic().translation(r.Vec3(*at)), [hull]))
        ours = World(model)
        for _ in range(180):
            ours.step(1)
            for _ in range(4):
                theirs.step()
        height = [theirs.rigid_bodies[b].translation.z for b in bodies]
        assert (height[2] > 0.7) == stands, "the oracle itself"
        assert (ours.position.numpy()[0, 2, 2] > 0.7) == stands
        if stands:
            np.testing.assert_allclose(ours.position.numpy()[0, :, 2], height, atol=0.003)


def test_a_box_thrown_along_the_ground_stops_where_it_does_in_mujoco(mujoco):
    model = boxes(carton((0, 0, HALF[2]), linear_velocity=np.array([2.0, 1.0, 0.0])), mu=0.4)
    model.shapes.append(Shape("/ground", ShapeKind.PLANE))
    ours = World(model)
    spec = mujoco.MjSpec()
    spec.option.timestep = 1e-3
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[9, 9, 1], friction=[0.4, 0.0, 0.0])
    body = spec.worldbody.add_body(pos=[0, 0, HALF[2]])
    body.add_freejoint()
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=HALF, mass=MASS, friction=[0.4, 0.0, 0.0])
    theirs = spec.compile()
    data = mujoco.MjData(theirs)
    data.qvel[:2] = [2.0, 1.0]
    ours.step(90)
    for _ in range(1500):
        mujoco.mj_step(theirs, data)
    np.testing.assert_allclose(ours.position.numpy()[0, 0, :2], data.qpos[:2], atol=0.015)
