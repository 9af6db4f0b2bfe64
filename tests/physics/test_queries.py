"""What a shape overlaps and what it meets on its way, to the millimetre where bounds alone would be wrong."""

import numpy as np
import pytest

from twin.core.errors import InputError
from twin.model.rigid import Body, Mesh, Prototype, RigidModel, Shape, ShapeKind
from twin.physics import World, overlaps, sweep

TURNED = np.array([0.0, 0.0, np.sin(np.pi / 8), np.cos(np.pi / 8)])
"""45 degrees about Z."""


def probe(kind=ShapeKind.SPHERE, position=(0, 0, 0), size=(0.1, 0, 0), rotation=(0, 0, 0, 1)):
    return Shape(
        "/probe", kind, position=np.array(position, float), size=np.array(size, float), rotation=np.array(rotation, float)
    )


def hall():
    model = RigidModel(gravity=np.zeros(3), shapes=[Shape("/ground", ShapeKind.PLANE)])
    model.shapes.append(
        Shape("/post", ShapeKind.BOX, position=np.array([2.0, 0.0, 1.0]), size=np.array([0.5, 0.5, 1.0]), rotation=TURNED)
    )
    model.shapes.append(Shape("/tank", ShapeKind.CYLINDER, position=np.array([0.0, 3.0, 1.0]), size=np.array([0.5, 1.0, 0.0])))
    x = np.linspace(-3.0, -1.0, 5)
    points = np.array([[a, b, 1.0 + 0.25 * (a + 3.0)] for b in x for a in x], np.float32)
    cells = [(r * 5 + c, r * 5 + c + 1, r * 5 + c + 6, r * 5 + c + 5) for r in range(4) for c in range(4)]
    model.meshes.append(Mesh(points, np.array([t for a, b, c, d in cells for t in ((a, b, c), (a, c, d))], np.int32)))
    model.shapes.append(Shape("/slope", ShapeKind.MESH, mesh=0))
    shape = Shape("/carton/box", ShapeKind.BOX, 0, size=np.array([0.2, 0.15, 0.15]))
    model.prototypes.append(Prototype("/carton", "carton", Body("/carton", mass=5.0), [shape], shape.size, np.zeros(3)))
    world = World(model, worlds=2, item_capacity=3)
    world.spawn(0, np.array([6.0, 0.0, 2.0]), world=1)
    return world


def test_overlaps_are_exact_where_bounds_are_not():
    world = hall()
    corner = 2.0 - 0.5 * np.sqrt(2.0)
    assert overlaps(world, probe(position=(corner - 0.101, 0, 1))) == []
    assert overlaps(world, probe(position=(corner - 0.099, 0, 1))) == [(-1, 1)]
    # inside the bound of the turned post, beside its edge
    assert overlaps(world, probe(position=(1.45, 0.55, 1))) == []
    assert overlaps(world, probe(ShapeKind.BOX, (1.45, 0.55, 1), (0.2, 0.2, 0.2))) == [(-1, 1)]
    assert overlaps(world, probe(position=(0.0, 3.0, 1.0), size=(0.01, 0, 0))) == [(-1, 2)], "wholly inside"
    assert overlaps(world, probe(position=(0, 0, 0.05))) == [(-1, 0)]
    assert overlaps(world, probe(position=(6.0, 0.24, 2.0)), 1) == [(0, -1)]
    assert overlaps(world, probe(position=(6.0, 0.24, 2.0)), 0) == []


@pytest.mark.parametrize(
    ("asking", "direction", "reach", "distance", "normal", "who"),
    [
        (probe(position=(0, 0, 1)), (1, 0, 0), 5.0, 2.0 - 0.5 * np.sqrt(2.0) - 0.1, (-1, 0, 0), (-1, 1)),
        (probe(ShapeKind.BOX, (0, 0, 3), (0.2, 0.3, 0.1)), (0, 0, -2), 5.0, 2.9, (0, 0, 1), (-1, 0)),
        (probe(ShapeKind.CAPSULE, (0, 0, 1), (0.1, 0.3, 0)), (0, 1, 0), 5.0, 2.4, (0, -1, 0), (-1, 2)),
        (probe(position=(6, 0, 4)), (0, 0, -1), 5.0, 1.75, (0, 0, 1), (0, -1)),
        # a ball down on the slope of 1 in 4: it is stopped by its radius over the cosine
        (probe(position=(-2, -2, 3)), (0, 0, -1), 5.0, 1.75 - 0.1 * np.hypot(1, 0.25), (-0.25, 0, 1), (-1, 3)),
        (probe(position=(0, 0, 1)), (1, 0, 0), 1.1, None, None, None),
        (probe(position=(0, 0, 1)), (0, 0, 1), 50.0, None, None, None),
    ],
)
def test_a_moved_shape_stops_where_it_touches(asking, direction, reach, distance, normal, who):
    hit = sweep(hall(), asking, np.array(direction, float), reach, 1)
    if distance is None:
        assert hit is None
        return
    assert hit.distance == pytest.approx(distance, abs=1e-5)
    np.testing.assert_allclose(hit.normal, np.array(normal) / np.linalg.norm(normal), atol=1e-3)
    assert (hit.body, hit.shape) == who


def test_random_boxes_overlap_exactly_where_a_separating_axis_says_not():
    rng = np.random.default_rng(3)
    from scipy.spatial.transform import Rotation

    agreed = 0
    for _ in range(60):
        model = RigidModel()
        q, p = Rotation.random(rng=rng).as_quat(), rng.uniform(-0.9, 0.9, 3)
        model.shapes.append(Shape("/b", ShapeKind.BOX, position=p, rotation=q, size=np.array([0.3, 0.5, 0.4])))
        turn = Rotation.random(rng=rng)
        asking = probe(ShapeKind.BOX, (0, 0, 0), (0.2, 0.4, 0.6), turn.as_quat())
        a, b = turn.as_matrix(), Rotation.from_quat(q).as_matrix()
        axes = [*a.T, *b.T, *(np.cross(x, y) for x in a.T for y in b.T)]
        gaps = [
            (abs(p @ n) - np.abs(a.T @ n) @ asking.size - np.abs(b.T @ n) @ model.shapes[0].size) / np.linalg.norm(n)
            for n in axes
        ]
        assert (overlaps(World(model), asking) == []) == (max(gaps) > 0.0)
        agreed += max(gaps) > 0.0
    assert 10 < agreed < 50, "both cases occur"


def test_questions_that_make_no_sense_are_refused():
    world = hall()
    with pytest.raises(InputError, match="MESH"):
        overlaps(world, Shape("/x", ShapeKind.MESH, mesh=0))
    with pytest.raises(InputError, match="finite"):
        overlaps(world, probe(position=(np.nan, 0, 0)))
    with pytest.raises(InputError, match="direction"):
        sweep(world, probe(), np.zeros(3), 1.0)
