"""Height fields: recognised from regular grids, and the same to contacts and rays as the triangles that they are."""

import numpy as np
import pytest

from twin.model.rigid import Body, Mesh, RigidModel, Shape, ShapeKind
from twin.physics import World, cast_ray, contact_report
from twin.physics.fields import height_field


def hills(columns=13, rows=11, spacing=(0.5, 0.4), across=False, up=2):
    """A grid with waves, heights along axis ``up``."""
    y, x = np.meshgrid(np.arange(rows) * spacing[1] - 2.0, np.arange(columns) * spacing[0] - 3.0, indexing="ij")
    z = 0.15 * np.sin(1.3 * x) * np.cos(1.1 * y) + 0.05 * x
    points = np.stack([x, y, z], axis=2).reshape(-1, 3)
    triangles = []
    for r in range(rows - 1):
        for c in range(columns - 1):
            a, b, e, d = r * columns + c, r * columns + c + 1, (r + 1) * columns + c + 1, (r + 1) * columns + c
            cut = across and (r + c) % 2
            triangles += [(a, b, d), (b, e, d)] if cut else [(a, b, e), (a, e, d)]
    points = points[:, [(k - up - 1) % 3 for k in range(3)]]
    return Mesh(points.astype(np.float32), np.array(triangles, np.int32))


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_regular_grid_is_a_height_field_whatever_its_order_and_its_diagonals(up):
    mesh = hills(across=True, up=up)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(mesh.vertices))
    place = np.argsort(order)
    shuffled = Mesh(mesh.vertices[order], place[mesh.triangles][rng.permutation(len(mesh.triangles))].astype(np.int32))
    field = height_field(shuffled)
    assert field is not None
    corners = field.corners().reshape(-1, 3) @ field.axes + field.origin
    found = {tuple(p) for p in np.round(corners, 4)}
    assert found == {tuple(p) for p in np.round(mesh.vertices.astype(float), 4)}
    assert 0 < field.split.mean() < 1


def test_what_is_no_grid_stays_a_mesh():
    mesh = hills()
    holed = Mesh(mesh.vertices, mesh.triangles[2:])
    bent = Mesh(mesh.vertices.copy(), mesh.triangles)
    bent.vertices[40, 0] += 0.1
    flipped = Mesh(mesh.vertices, mesh.triangles.copy())
    flipped.triangles[3] = flipped.triangles[3][::-1]
    assert height_field(holed) is None
    assert height_field(bent) is None
    assert height_field(flipped) is None
    below = height_field(Mesh(mesh.vertices, mesh.triangles[:, ::-1].copy()))
    assert below is not None
    assert below.axes[2, 2] == -1.0, "it looks down"


def dropped(mesh):
    """Things of every shape over the hills, which are turned and moved as a prim would be."""
    model = RigidModel(meshes=[mesh])
    tilt = np.array([0.0, 0.0, np.sin(0.3), np.cos(0.3)])
    model.shapes.append(Shape("/hills", ShapeKind.MESH, mesh=0, position=np.array([0.3, -0.2, 0.5]), rotation=tilt))
    kinds = [
        (ShapeKind.BOX, (0.2, 0.15, 0.15)),
        (ShapeKind.SPHERE, (0.15, 0, 0)),
        (ShapeKind.CAPSULE, (0.1, 0.15, 0)),
        (ShapeKind.CYLINDER, (0.15, 0.15, 0)),
    ]
    for k in range(8):
        kind, size = kinds[k % 4]
        place = np.array([0.6 * (k % 4) - 0.8, 0.7 * (k // 4) - 0.4, 5.0])
        below = cast_ray(World(RigidModel(meshes=[mesh], shapes=model.shapes[:1])), place, np.array([0.0, 0.0, -1.0]))
        place[2] = below.point[2] + 0.2
        model.bodies.append(Body(f"/b{k}", position=place, mass=2.0, inertia=np.full(3, 0.03)))
        model.shapes.append(Shape(f"/b{k}/s", kind, body=k, size=np.array(size, float)))
    return World(model)


@pytest.mark.parametrize("across", [False, True])
def test_things_on_a_height_field_have_the_contacts_that_they_have_with_its_triangles(across):
    mesh = hills(across=across)
    far = len(mesh.vertices)
    # one triangle more, out of the way: the same ground is no grid any more
    other = Mesh(np.vstack([mesh.vertices, [[50, 0, 0], [51, 0, 0], [50, 1, 0]]]).astype(np.float32),
                 np.vstack([mesh.triangles, [[far, far + 1, far + 2]]]).astype(np.int32))  # fmt: skip
    field, triangles = dropped(mesh), dropped(other)
    assert [c.kind for c in field._uploaded.colliders][-1] == ShapeKind.HEIGHT_FIELD
    assert [c.kind for c in triangles._uploaded.colliders][-1] == ShapeKind.MESH
    seen = 0
    for _ in range(12):
        field.step(9)
        for name in ("position", "rotation", "linear_velocity", "angular_velocity"):
            getattr(triangles, name).assign(getattr(field, name))
        for world in (field, triangles):
            world.step(1)
        a, b = (contact_report(world) for world in (field, triangles))
        np.testing.assert_array_equal(np.unique(a.body), np.unique(b.body))
        # balls have the same points in some order; of the many of a flat face others may be kept, the deepest always
        balls = [r.body % 4 == 1 for r in (a, b)]
        what = [np.column_stack([10.0 * r.body, r.point, r.normal, r.separation])[m] for r, m in zip((a, b), balls, strict=True)]
        assert what[0].shape == what[1].shape
        assert np.abs(what[0][:, None] - what[1][None]).max(axis=2).min(axis=1).max(initial=0.0) < 2e-3
        for body in np.unique(a.body):
            assert a.separation[a.body == body].min() == pytest.approx(b.separation[b.body == body].min(), abs=1e-3)
        seen += len(a.body)
    assert seen > 150
    assert field.stats().penetration < 0.002
    assert (field.position.numpy()[0, :, 2] > 0.3).all(), "nothing fell through"


def test_rays_meet_a_height_field_where_they_meet_its_triangles():
    mesh = hills(across=True)
    far = len(mesh.vertices)
    other = Mesh(np.vstack([mesh.vertices, [[50, 0, 0], [51, 0, 0], [50, 1, 0]]]).astype(np.float32),
                 np.vstack([mesh.triangles, [[far, far + 1, far + 2]]]).astype(np.int32))  # fmt: skip
    field, triangles = dropped(mesh), dropped(other)
    rng = np.random.default_rng(1)
    met = 0
    for k in range(60):
        origin = rng.uniform((-4, -4, 2), (4, 4, 4)) * np.array([1, 1, 1 if k % 4 else -1])
        target = rng.uniform((-3, -2, 0.4), (3, 2, 0.6))
        direction = np.array([0.0, 0.0, -1.0]) if k % 10 == 1 else target - origin
        a, b = cast_ray(field, origin, direction), cast_ray(triangles, origin, direction)
        assert (a is None) == (b is None)
        if a is not None:
            met += a.body < 0
            assert a.distance == pytest.approx(b.distance, abs=1e-4)
            np.testing.assert_allclose(a.normal, b.normal, atol=2e-3)
    assert met > 20


def test_a_moving_surface_of_a_height_field_carries_as_authored():
    flat = hills()
    flat.vertices[:, 2] = 0.0
    model = RigidModel(meshes=[flat], bodies=[Body("/b", position=np.array([0, 0, 0.15]), inertia=np.full(3, 0.02))])
    turned = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])
    model.shapes = [
        Shape("/b/s", ShapeKind.BOX, body=0, size=np.full(3, 0.15)),
        Shape("/belt", ShapeKind.MESH, mesh=0, rotation=turned, surface_linear=np.array([1.0, 0, 0]), surface_drive=0.5),
    ]
    world = World(model)
    world.step(60)
    np.testing.assert_allclose(world.linear_velocity.numpy()[0, 0], [0.0, 0.5, 0.0], atol=0.005)
