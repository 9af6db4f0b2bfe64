"""Joints against closed forms and, where it is installed, MuJoCo."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import ellipk

from twin.core.errors import InputError
from twin.model.rigid import Body, BodyKind, Drive, Joint, Material, RigidModel, Shape, ShapeKind
from twin.physics import World

G = 9.81
# X of the joint's frame lies along the world's Y
HINGE_Y = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])


def bob(position, inertia=1e-3, mass=1.0, **fields):
    return Body("/bob", position=np.array(position, float), mass=mass, inertia=np.full(3, inertia), **fields)


def hinge(body, at, other=-1, **fields):
    """A hinge about the world's Y at a point; bodies are not turned."""
    model_at = np.array(at, float)
    joint = Joint("/hinge", other, body, rotation0=HINGE_Y, rotation1=HINGE_Y, **fields).free(3)
    joint.position0 = model_at
    return joint


def pendulum(degrees, ball=False):
    a = np.radians(degrees)
    model = RigidModel(bodies=[bob((np.sin(a), 0.0, -np.cos(a)))])
    joint = hinge(0, (0, 0, 0))
    joint.position1 = -model.bodies[0].position
    if ball:
        joint.free(4, 5)
    model.joints.append(joint)
    return World(model)


@pytest.mark.parametrize("ball", [False, True])
@pytest.mark.parametrize("degrees", [5, 60])
def test_pendulum_period(degrees, ball):
    world = pendulum(degrees, ball)
    x, length = [], []
    for _ in range(600):
        world.step(1)
        p = world.position.numpy()[0, 0].astype(float)
        x.append(p[0])
        length.append(np.linalg.norm(p))
    x = np.array(x)
    down = np.flatnonzero((x[:-1] > 0) & (x[1:] <= 0))
    period = np.diff((down + x[down] / (x[down] - x[down + 1])) / 60.0).mean()
    expected = 4.0 * np.sqrt(1.001 / G) * ellipk(np.sin(np.radians(degrees) / 2.0) ** 2)
    assert period == pytest.approx(expected, rel=0.001)
    assert np.abs(np.array(length) - 1.0).max() < 0.001
    assert np.abs(x[-150:]).max() == pytest.approx(np.sin(np.radians(degrees)), rel=0.01), "it does not tire"


@pytest.mark.parametrize("axis", [0, 3])
@pytest.mark.parametrize(("stiffness", "damping"), [(25.0, 2.0), (100.0, 5.0), (100.0, 20.0)])
def test_drive_step_response(axis, stiffness, damping):
    model = RigidModel(gravity=np.zeros(3), bodies=[bob((0, 0, 0), inertia=1.0)])
    model.joints.append(Joint("/j", -1, 0, drives={axis: Drive(stiffness, damping, position=1.0)}).free(axis))
    world = World(model)
    got = []
    for _ in range(240):
        world.step(1)
        got.append(world.joint_coordinates(0)[axis])
    times = np.arange(1, 241) / 60.0
    exact = solve_ivp(
        lambda t, y: [y[1], -stiffness * (y[0] - 1.0) - damping * y[1]], (0, 4.1), [0, 0], t_eval=times, rtol=1e-9, atol=1e-9
    ).y[0]
    assert max(got) == pytest.approx(exact.max(), abs=0.01), "overshoot"
    assert got[-1] == pytest.approx(exact[-1], abs=0.01)
    # half a substep early, as everything that the engine accelerates from rest
    assert np.abs(np.array(got) - exact).max() < 0.01 + 0.5 / 240 * np.abs(np.gradient(exact, times)).max()


def test_velocity_drive_with_a_force_limit_accelerates_as_the_force_says():
    model = RigidModel(gravity=np.zeros(3), bodies=[bob((0, 0, 0), mass=2.0)])
    model.joints.append(Joint("/j", -1, 0, drives={1: Drive(damping=1000.0, velocity=3.0, max_force=4.0)}).free(1))
    world = World(model)
    world.step(60)
    assert world.linear_velocity.numpy()[0, 0, 1] == pytest.approx(2.0, rel=0.01)
    world.step(60)
    assert world.linear_velocity.numpy()[0, 0, 1] == pytest.approx(3.0, rel=0.01)
    world.set_drive(0, 1, velocity=-1.0)
    world.step(240)
    assert world.linear_velocity.numpy()[0, 0, 1] == pytest.approx(-1.0, rel=0.01)
    with pytest.raises(InputError):
        world.set_drive(0, 2, position=0.0)
    with pytest.raises(InputError):
        world.set_drive(0, 1, position=float("nan"))


def test_limits_hold_a_falling_slide_and_a_hinge():
    model = RigidModel(bodies=[bob((0, 0, 0)), bob((2, 0, 0))])
    slide = Joint("/slide", -1, 0).free(2)
    slide.lower[2], slide.upper[2] = -0.3, 0.2
    arm = hinge(1, (1, 0, 0))
    arm.position1 = np.array([-1.0, 0.0, 0.0])
    arm.lower[3], arm.upper[3] = -0.2, np.radians(30.0)
    model.joints += [slide, arm]
    world = World(model)
    world.step(300)
    assert world.joint_coordinates(0)[2] == pytest.approx(-0.3, abs=0.001)
    assert world.joint_coordinates(1)[3] == pytest.approx(np.radians(30.0), abs=0.002)
    assert np.abs(world.linear_velocity.numpy()).max() < 1e-3


def test_rope_and_cone():
    model = RigidModel(bodies=[bob((0.3, 0, 0)), bob((2.5, 0, 1.0), inertia=0.1)])
    rope = Joint("/rope", -1, 0, max_distance=0.5).free(*range(6))
    down = np.array([0.0, np.sqrt(0.5), 0.0, np.sqrt(0.5)])  # X looks down
    ball = Joint("/ball", -1, 1, np.array([2.0, 0, 1.0]), down, np.array([-0.5, 0, 0]), cone=(0.5, 0.5)).free(3, 4, 5)
    model.joints += [rope, ball]
    world = World(model)
    longest = 0.0
    for _ in range(240):
        world.step(1)
        longest = max(longest, float(np.linalg.norm(world.position.numpy()[0, 0])))
    assert longest == pytest.approx(0.5, abs=0.003)
    x = world.position.numpy()[0, 1] - np.array([2.0, 0.0, 1.0])
    assert np.linalg.norm(x) == pytest.approx(0.5, abs=0.002)
    assert np.arccos(np.clip(-x[2] / np.linalg.norm(x), -1, 1)) < 0.52


def test_fixed_to_a_pusher_and_breaking():
    model = RigidModel(bodies=[
        Body("/pusher", BodyKind.KINEMATIC, linear_velocity=np.array([0.5, 0, 0]), angular_velocity=np.array([0, 0, 1.0])),
        bob((0, 1, 0)), bob((5, 0, 0)), bob((6, 0, 0)),
    ])  # fmt: skip
    model.joints += [
        Joint("/held", 0, 1, np.array([0.0, 1.0, 0.0])),
        Joint("/strong", -1, 2, np.array([5.0, 0, 0]), break_force=12.0),
        Joint("/weak", -1, 3, np.array([6.0, 0, 0]), break_force=8.0),
    ]
    world = World(model)
    world.step(60)
    np.testing.assert_allclose(world.position.numpy()[0, 1], [0.5 - np.sin(1.0), np.cos(1.0), 0.0], atol=0.004)
    assert world.position.numpy()[0, 2, 2] == pytest.approx(0.0, abs=1e-3)
    assert world.broken_joints() == [2]
    assert world.position.numpy()[0, 3, 2] < -4.0


def test_jointed_bodies_ignore_each_other_unless_told():
    for collides in (False, True):
        model = RigidModel(gravity=np.zeros(3))
        for k in range(2):
            model.bodies.append(bob((0.15 * k, 0, 0), inertia=0.01))
            model.shapes.append(Shape("/s", ShapeKind.SPHERE, body=k, size=np.array([0.1, 0, 0])))
        model.joints.append(Joint("/j", 0, 1, collides=collides).free(0))
        world = World(model)
        world.step(120)
        apart = world.position.numpy()[0, 1, 0] - world.position.numpy()[0, 0, 0]
        assert apart == pytest.approx(0.2 if collides else 0.15, abs=0.002)


def chain(count):
    """Links of 0.2 m that start level, hung from the world by balls."""
    model = RigidModel()
    for k in range(count):
        model.bodies.append(bob((0.1 + 0.2 * k, 0, 0), inertia=0.004))
        at = np.array([0.1, 0, 0]) if k else np.zeros(3)
        model.joints.append(Joint("/j", k - 1, k, at, position1=np.array([-0.1, 0, 0])).free(3, 4, 5))
    return model


def test_a_chain_holds_together_and_repeats_bit_for_bit():
    runs = []
    for _ in range(2):
        world = World(chain(8))
        world.step(100)
        kept = world.snapshot()
        world.step(50)
        runs.append(world.position.numpy().copy())
        world.restore(kept)
        world.step(50)
        np.testing.assert_array_equal(world.position.numpy(), runs[-1])
    np.testing.assert_array_equal(runs[0], runs[1])
    for k in range(8):
        assert np.abs(world.joint_coordinates(k)[:3]).max() < 0.003


def test_double_pendulum_follows_mujoco():
    mujoco = pytest.importorskip("mujoco")
    link = (
        '<body pos="{x} 0 0"><joint type="hinge" axis="0 1 0"/><inertial pos="0.1 0 0" mass="1" diaginertia="0.004 0.004 0.004"/>'
    )
    xml = f'<mujoco><option timestep="0.0005" integrator="RK4"/><worldbody>{link.format(x=0)}{link.format(x=0.2)}'
    theirs = mujoco.MjModel.from_xml_string(xml + "</body></body></worldbody></mujoco>")
    data = mujoco.MjData(theirs)
    model = chain(2)
    for joint in model.joints:
        joint.rotation0, joint.rotation1 = HINGE_Y, HINGE_Y
        joint.lower[4:], joint.upper[4:] = 1.0, -1.0
    world = World(model)
    for _ in range(60):
        world.step(1)
        while data.time < world._steps / 60.0 - 1e-6:
            mujoco.mj_step(theirs, data)
        np.testing.assert_allclose(world.position.numpy()[0, :2], data.xipos[1:3], atol=0.012)


def test_an_arm_lifts_a_box_by_its_drive():
    model = RigidModel(materials=[Material("", 0.8, 0.8, 0.0)], shapes=[Shape("/ground", ShapeKind.PLANE)])
    model.bodies += [bob((0, 0, 1.0), inertia=0.1, mass=5.0), bob((0, 0, 0.1), inertia=0.01)]
    model.shapes.append(Shape("/fork", ShapeKind.BOX, body=0, position=np.array([0, 0, -0.99]), size=np.array([0.3, 0.3, 0.01])))
    model.shapes.append(Shape("/box", ShapeKind.BOX, body=1, size=np.full(3, 0.08)))
    lift = Joint("/lift", -1, 0, np.array([0, 0, 1.0]), drives={2: Drive(20000.0, 1500.0, position=0.01)}).free(2)
    model.joints.append(lift)
    world = World(model)
    world.step(120)
    world.set_drive(0, 2, position=0.5)
    world.step(240)
    assert world.position.numpy()[0, 1, 2] == pytest.approx(0.5 + 0.02 + 0.08 - 6.0 * G / 20000.0, abs=0.004)
