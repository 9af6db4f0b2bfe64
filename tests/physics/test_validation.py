"""Rigid bodies against closed forms: fall, friction, belts, bounce, spin, stacks, many bodies, repeatability."""

import numpy as np
import pytest

from twin.core.errors import InputError
from twin.model.rigid import Body, BodyKind, Drive, Joint, Material, Mesh, Prototype, RigidModel, Shape, ShapeKind
from twin.physics import World
from twin.physics.geometry import rotation_matrix

G = 9.81
HALF = np.array([0.2, 0.15, 0.15])


def body(position, half=HALF, mass=5.0, **fields):
    h = np.asarray(half, float)
    inertia = mass / 3.0 * np.array([h[1] ** 2 + h[2] ** 2, h[0] ** 2 + h[2] ** 2, h[0] ** 2 + h[1] ** 2])
    return Body("/box", position=np.array(position, float), mass=mass, inertia=inertia, **fields)


def scene(*bodies, half=HALF, mu=0.5, restitution=0.0, ground=True, **fields):
    model = RigidModel(materials=[Material("", mu, mu, restitution)], **fields)
    if ground:
        model.shapes.append(Shape("/ground", ShapeKind.PLANE))
    for b in bodies:
        model.bodies.append(b)
        model.shapes.append(Shape("/box/shape", ShapeKind.BOX, body=len(model.bodies) - 1, size=np.asarray(half, float)))
    return model


def belt(position, half, speed, **fields):
    return Shape("/belt", ShapeKind.BOX, position=np.array(position, float), size=np.array(half, float),
                 surface_linear=np.array([1.0, 0.0, 0.0]), surface_drive=speed, **fields)  # fmt: skip


def where(world, i=0, w=0):
    return world.position.numpy()[w, i].astype(float)


def velocity(world, i=0, w=0):
    return world.linear_velocity.numpy()[w, i].astype(float)


def test_free_fall_and_projectile():
    world = World(scene(body((0, 0, 50), linear_velocity=np.array([3.0, 0.0, 4.0])), ground=False), worlds=2)
    world.step(120)
    for w in range(2):
        # symplectic Euler in substeps of 1/240 s: half a substep of g t more than the parabola
        np.testing.assert_allclose(where(world, w=w), [6.0, 0.0, 50 + 4 * 2 - 0.5 * G * 4], atol=0.5 * G * 2 / 240 + 1e-3)
        np.testing.assert_allclose(velocity(world, w=w), [3.0, 0.0, 4 - G * 2], atol=1e-3)


@pytest.mark.parametrize("mu", [0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_slides_on_a_ramp_only_above_the_friction_angle(mu):
    critical = np.degrees(np.arctan(mu))
    for degrees, slides in ((critical - 1.0, False), (critical + 1.0, True)):
        a = np.radians(degrees)
        model = scene(body((0, 0, 0.02), half=(0.2, 0.2, 0.02)), half=(0.2, 0.2, 0.02), mu=mu)
        model.gravity = G * np.array([np.sin(a), 0.0, -np.cos(a)])
        world = World(model)
        world.step(30)
        start = where(world)[0]
        world.step(240)
        moved = where(world)[0] - start
        assert moved > 0.05 if slides else abs(moved) < 1e-3, (degrees, moved)


@pytest.mark.parametrize("mu", [0.2, 0.4, 0.8])
def test_stopping_distance(mu):
    world = World(scene(body((0, 0, 0.15), linear_velocity=np.array([3.0, 0.0, 0.0])), mu=mu))
    world.step(300)
    assert where(world)[0] == pytest.approx(9.0 / (2.0 * mu * G), rel=0.02)


@pytest.mark.parametrize("mu", [0.2, 0.5, 0.8])
def test_belt_picks_up_a_carton(mu):
    model = scene(body((0, 0, 0.15)), mu=mu, ground=False)
    model.shapes.append(belt((5, 0, -0.05), (10, 0.4, 0.05), 2.0))
    world = World(model)
    world.step(180)
    assert velocity(world)[0] == pytest.approx(2.0, rel=0.01)
    assert 2.0 * 3.0 - where(world)[0] == pytest.approx(4.0 / (2.0 * mu * G), rel=0.03)


def test_half_a_metre_a_second_within_a_percent_and_on_command():
    model = scene(body((0, 0, 0.15)), ground=False)
    model.shapes.append(belt((5, 0, -0.05), (10, 0.4, 0.05), 0.5))
    world = World(model)
    world.step(120)
    assert velocity(world)[0] == pytest.approx(0.5, rel=0.01)
    world.set_surface_drive(1, 0.0)
    world.step(60)
    assert abs(velocity(world)[0]) < 1e-3
    world.set_surface_drive(1, -0.5)
    world.step(60)
    assert velocity(world)[0] == pytest.approx(-0.5, rel=0.01)


def test_hand_over_between_level_belts_is_smooth():
    model = scene(body((0.5, 0, 0.15)), ground=False)
    speeds = [0.5, 0.3, 0.8, 0.2, 0.5]
    for k, speed in enumerate(speeds):
        model.shapes.append(belt((1 + 2 * k, 0, -0.05), (1, 0.4, 0.05), speed))
    world = World(model)
    seen = []
    for _ in range(60 * 30):
        world.step(1)
        seen.append(np.concatenate([where(world), velocity(world)]))
        if seen[-1][0] > 9.3:
            break
    seen = np.array(seen)
    assert seen[-1, 0] > 9.3, "it arrives"
    assert seen[:, 2].min() > 0.147
    assert seen[:, 2].max() < 0.153
    for k, speed in enumerate(speeds):
        on_it = seen[(seen[:, 0] > 2 * k + 0.7) & (seen[:, 0] < 2 * k + 1.7)]
        assert np.median(on_it[:, 3]) == pytest.approx(speed, rel=0.01)


def test_two_unequal_belts_turn_a_box():
    model = scene(body((0, 0, 0.15)), ground=False)
    for y, speed in ((0.25, 0.6), (-0.25, 0.2)):
        model.shapes.append(belt((2, y, -0.05), (4, 0.25, 0.05), speed))
    world = World(model)
    world.step(60)
    assert world.angular_velocity.numpy()[0, 0, 2] < -0.2


def test_curved_belt_of_triangles_carries_round_the_bend():
    model = scene(body((2.0, 0.1, 0.15), half=(0.15, 0.1, 0.15)), half=(0.15, 0.1, 0.15), ground=False)
    angles = np.linspace(0.0, np.pi / 2, 25)
    inner = np.stack([1.6 * np.cos(angles), 1.6 * np.sin(angles), 0 * angles], axis=1)
    outer = np.stack([2.4 * np.cos(angles), 2.4 * np.sin(angles), 0 * angles], axis=1)
    vertices = np.concatenate([inner, outer]).astype(np.float32)
    n = len(angles)
    triangles = [t for i in range(n - 1) for t in ((i, n + i, n + i + 1), (i, n + i + 1, i + 1))]
    model.meshes.append(Mesh(vertices, np.array(triangles, np.int32)))
    model.paths.append(np.stack([2.0 * np.cos(angles), 2.0 * np.sin(angles), 0 * angles], axis=1))
    model.shapes.append(Shape("/curve", ShapeKind.MESH, mesh=0, surface_path=0, surface_drive=0.5))
    world = World(model)
    seconds = (np.pi / 2 * 2.0 - 0.4) / 0.5
    for _ in range(int(seconds * 60)):
        world.step(1)
        p = where(world)
        assert abs(p[2] - 0.15) < 0.003
    radius, angle = np.hypot(p[0], p[1]), np.degrees(np.arctan2(p[1], p[0]))
    assert radius == pytest.approx(2.0, abs=0.1)
    assert 70.0 < angle < 90.0
    assert np.linalg.norm(velocity(world)) == pytest.approx(0.5 * radius / 2.0, rel=0.03)
    x = rotation_matrix(world.rotation.numpy()[0, 0].astype(float))[:, 0]
    assert np.degrees(np.arctan2(x[1], x[0])) == pytest.approx(angle, abs=8.0), "it turns with the bend"


@pytest.mark.parametrize("e", [0.0, 0.5, 1.0])
def test_bounce_height(e):
    model = RigidModel(materials=[Material("", 0.5, 0.5, e)], shapes=[Shape("/ground", ShapeKind.PLANE)])
    model.bodies.append(Body("/ball", position=np.array([0.0, 0.0, 1.1]), mass=1.0, inertia=np.full(3, 0.004)))
    model.shapes.append(Shape("/ball/s", ShapeKind.SPHERE, body=0, size=np.array([0.1, 0.0, 0.0])))
    world = World(model)
    heights = []
    for _ in range(100):
        world.step(1)
        heights.append(where(world)[2] - 0.1)
    lowest = int(np.argmin(heights[:40]))
    assert max(heights[lowest:]) == pytest.approx(e * e, abs=0.02 * max(e * e, 0.05) + 0.003)


def test_torque_free_precession_keeps_momentum_and_energy():
    moments = np.array([1.0, 2.0, 3.0])
    model = RigidModel(gravity=np.zeros(3))
    model.bodies.append(Body("/t", mass=1.0, inertia=moments, angular_velocity=np.array([0.01, 5.0, 0.01])))
    world = World(model)
    energy, momentum, spin = [], [], []
    for _ in range(600):
        world.step(1)
        r = rotation_matrix(world.rotation.numpy()[0, 0].astype(float))
        o = r.T @ world.angular_velocity.numpy()[0, 0]
        energy.append(0.5 * (moments * o * o).sum())
        momentum.append(r @ (moments * o))
        spin.append(o[1])
    assert min(spin) < -4.0, "it flips over (Dzhanibekov)"
    assert np.ptp(energy) / energy[0] < 0.01
    assert np.abs(np.array(momentum) - momentum[0]).max() / np.linalg.norm(momentum[0]) < 1e-3


def test_stack_of_ten_stands():
    world = World(scene(*(body((0, 0, 0.15 + 0.3 * i)) for i in range(10))))
    world.step(240)
    top = where(world, 9)
    world.step(600)
    assert np.linalg.norm(where(world, 9) - top) < 1e-3
    assert world.stats().penetration < 0.005


def test_falling_carton_lands_on_the_edge_of_a_table_and_topples():
    model = scene(body((0.15, 0, 1.5)))
    model.shapes.append(Shape("/table", ShapeKind.BOX, position=np.array([-0.5, 0.0, 0.5]), size=np.array([0.5, 0.5, 0.5])))
    world = World(model)
    world.step(300)
    assert where(world)[2] < 0.3, "off the table"
    assert world.stats().penetration < 0.005


def test_nothing_tunnels_through_a_thin_floor():
    model = scene(body((0, 0, 8), half=(0.05, 0.05, 0.05)), half=(0.05, 0.05, 0.05), ground=False)
    model.bodies[0].linear_velocity = np.array([0.0, 0.0, -40.0])
    model.shapes.append(Shape("/sheet", ShapeKind.BOX, size=np.array([1.0, 1.0, 0.002])))
    world = World(model)
    world.step(120)
    assert where(world)[2] == pytest.approx(0.052, abs=0.003)


def test_y_up_and_kinematic_pusher():
    model = scene(
        body((0, 0.15, 0), half=(0.15, 0.15, 0.15)),
        half=(0.15, 0.15, 0.15),
        ground=False,
        gravity=np.array([0, -G, 0]),
        up_axis=1,
    )
    model.shapes.append(Shape("/floor", ShapeKind.BOX, position=np.array([0.0, -0.5, 0.0]), size=np.array([5.0, 0.5, 5.0])))
    model.bodies.append(
        Body("/pusher", BodyKind.KINEMATIC, position=np.array([-1.0, 0.2, 0.0]), linear_velocity=np.array([0.5, 0.0, 0.0]))
    )
    model.shapes.append(Shape("/pusher/s", ShapeKind.BOX, body=1, size=np.array([0.1, 0.2, 0.5])))
    world = World(model)
    world.step(300)
    assert where(world, 1)[0] == pytest.approx(1.5, abs=1e-3)
    assert where(world)[0] == pytest.approx(1.75, abs=0.01)
    assert velocity(world)[0] == pytest.approx(0.5, rel=0.02)


def test_collision_groups_and_pairs_are_filtered():
    model = scene(body((0, 0, 0.5)), body((3, 0, 0.5)), body((6, 0, 0.5)))
    model.shapes[1].group = 1
    model.group_filter.append((0, 1))
    model.filtered_pairs.append((0, 2))
    world = World(model)
    world.step(120)
    assert where(world, 0)[2] < -1.0
    assert where(world, 1)[2] < -1.0
    assert where(world, 2)[2] == pytest.approx(0.15, abs=0.002)


def goods(capacity, worlds=1):
    model = RigidModel(shapes=[Shape("/ground", ShapeKind.PLANE)])
    box = Shape("/carton/box", ShapeKind.BOX, 0, size=HALF)
    model.prototypes.append(Prototype("/carton", "carton", body((0, 0, 0)), [box], HALF, np.zeros(3)))
    return World(model, item_capacity=capacity, worlds=worlds)


def test_ten_thousand_goods_through_a_hundred_slots():
    world = goods(100)
    made = taken = 0
    for step in range(100):
        for k in range(100):
            slot = world.spawn(0, np.array([0.6 * (k % 10), 0.6 * (k // 10), 0.16]))
            assert slot == k
            made += 1
        assert world.spawn(0, np.zeros(3)) == -1
        world.step(1)
        assert int(world.alive.numpy().sum()) == made - taken == 100
        if step == 0:
            assert world.stats().contacts == 400
        for k in range(100):
            world.despawn(k)
            taken += 1
    world.step(1)
    assert made == taken == 10_000
    assert world.stats().contacts == 0, "no ghost contact"


def test_same_input_same_bits_and_restore_continues_bit_for_bit():
    def start():
        world = goods(30, worlds=2)
        for k in range(30):
            for w in range(2):
                world.spawn(0, np.array([0.11 * (k % 3), 0.07 * (k % 5), 0.2 + 0.33 * k]), world=w)
        return world

    a, b = start(), start()
    a.step(100)
    b.step(100)
    np.testing.assert_array_equal(a.position.numpy(), b.position.numpy())
    kept = a.snapshot()
    a.step(57)
    b.step(31)
    b.restore(kept)
    b.step(57)
    for name in ("position", "rotation", "linear_velocity", "angular_velocity"):
        np.testing.assert_array_equal(getattr(a, name).numpy(), getattr(b, name).numpy())
    np.testing.assert_array_equal(a.position.numpy()[0], a.position.numpy()[1])
    assert a.stats().overflow == 0


def test_worlds_do_not_meet():
    world = goods(2, worlds=2)
    world.spawn(0, np.array([0.0, 0.0, 0.15]), world=0)
    world.spawn(0, np.array([0.0, 0.0, 0.15]), world=1)
    world.step(60)
    for w in range(2):
        np.testing.assert_allclose(where(world, 0, w), [0.0, 0.0, 0.15], atol=1e-3)


def test_state_that_is_not_finite_leaves_the_world_and_is_counted():
    world = goods(3)
    for k in range(3):
        world.spawn(0, np.array([2.0 * k, 0.0, 0.15]))
    world.step(5)
    world.linear_velocity.numpy()[0, 1] = np.nan
    world.step(5)
    assert world.alive.numpy()[0].tolist() == [1, 0, 1]
    assert world.stats().invalid == 1
    assert np.isfinite(world.position.numpy()).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_a_state_that_is_none_does_not_spread_to_what_it_touches(bad):
    world = World(scene(*(body((0, 0, 0.15 + 0.3 * i)) for i in range(3))))
    world.step(30)
    world.linear_velocity.numpy()[0, 1] = bad
    world.step(60)
    assert world.alive.numpy()[0].tolist() == [1, 0, 1]
    assert world.stats().invalid == 1
    np.testing.assert_allclose(world.position.numpy()[0, [0, 2], 2], [0.15, 0.45], atol=0.003)


def test_bad_masses_are_findings_and_still_move():
    model = scene(body((0, 0, 0.5), mass=5.0), body((2, 0, 0.5)), body((4, 0, 0.5)))
    model.bodies[0].mass = 0.0
    model.bodies[1].mass = -3.0
    model.bodies[2].inertia = np.array([0.0, np.nan, 1.0])
    world = World(model)
    assert [f.code for f in world.findings] == ["bad-mass"] * 3
    world.step(120)
    np.testing.assert_allclose(world.position.numpy()[0, :, 2], 0.15, atol=0.002)
    assert world.stats().invalid == 0


def test_moments_that_no_body_has_are_a_finding_and_stay_finite():
    model = scene(body((0, 0, 0.5), angular_velocity=np.array([3.0, 5.0, 7.0])))
    model.bodies[0].inertia = np.array([0.01, 0.01, 5.0])
    world = World(model)
    assert [f.code for f in world.findings] == ["impossible-inertia"]
    world.step(240)
    assert world.stats().invalid == 0
    assert np.isfinite(world.position.numpy()).all()


@pytest.mark.parametrize("what", ["position", "rotation", "angular_velocity", "target"])
def test_whatever_is_no_number_stays_where_it_came_in(what):
    model = scene(body((0, 0, 0.15)), body((0, 0, 0.45)), body((3, 0, 0.15)), body((6, 0, 2.0)))
    model.joints.append(Joint("/j", -1, 3, position0=np.array([6.0, 0.0, 2.0]), drives={0: Drive(100.0, 10.0)}).free(0))
    world = World(model)
    world.step(20)
    if what == "target":
        with pytest.raises(InputError):
            world.set_drive(0, 0, position=np.nan)
        world._joints.target.numpy()[0, 0, 0] = np.nan
    else:
        getattr(world, what).numpy()[0, 1] = np.nan
    world.step(60)
    lost = 3 if what == "target" else 1
    assert world.alive.numpy()[0].tolist() == [int(i != lost) for i in range(4)]
    assert world.stats().invalid == 1
    for name in ("position", "rotation", "linear_velocity", "angular_velocity"):
        assert np.isfinite(getattr(world, name).numpy()).all(), name
    np.testing.assert_allclose(world.position.numpy()[0, [0, 2], 2], 0.15, atol=0.003)


def test_a_body_out_of_range_is_taken_off_and_counted():
    world = goods(2)
    world.spawn(0, np.array([1e13, 0.0, 0.15]))
    world.spawn(0, np.array([0.0, 0.0, 0.15]))
    world.step(5)
    assert world.alive.numpy()[0].tolist() == [0, 1]
    assert world.stats().invalid == 1


def test_more_contact_points_than_there_is_room_for_are_counted():
    model = scene(body((0, 0, 0.15)), ground=False)
    for k in range(40):
        place = np.array([0.06 * (k % 8) - 0.2, 0.06 * (k // 8) - 0.12, -0.05])
        model.shapes.append(Shape("/slat", ShapeKind.BOX, position=place, size=np.array([0.028, 0.028, 0.05])))
    world = World(model)
    world.step(60)
    assert world.stats().overflow > 0
    assert world.stats().invalid == 0
    assert where(world)[2] == pytest.approx(0.15, abs=0.005), "it still lies on them"


def test_goods_put_into_one_another_come_apart_without_a_blast():
    world = goods(8)
    for k in range(8):
        world.spawn(0, np.array([0.001 * k, 0.0, 0.15]))
    fastest = 0.0
    for _ in range(240):
        world.step(1)
        fastest = max(fastest, float(np.abs(world.linear_velocity.numpy()).max()))
    assert fastest < 6.0
    assert world.stats().invalid == 0
    assert world.alive.numpy().sum() == 8
    assert world.stats().penetration < 0.005


def test_more_neighbours_than_there_is_room_for_are_counted():
    world = goods(60)
    for _ in range(60):
        world.spawn(0, np.array([0.0, 0.0, 0.15]))
    world.step(2)
    assert world.stats().overflow > 0
    assert np.isfinite(world.position.numpy()).all()


def test_numbers_that_are_none_are_refused():
    world = goods(1)
    for call in (lambda: world.spawn(0, np.array([np.nan, 0, 0])), lambda: world.set_surface_drive(0, np.inf)):
        with pytest.raises(InputError):
            call()


def test_a_thousand_boxes_rest():
    model = scene(*(body(((i % 32) * 0.6, (i // 32) * 0.6, 0.15)) for i in range(1000)))
    world = World(model)
    world.step(60)
    assert np.abs(velocity(world, slice(None))).max() < 1e-3
    assert world.stats().penetration < 0.001
