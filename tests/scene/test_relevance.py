"""Edits that need no compilation: never one too many."""

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene import compile_factory, open_stage
from twin.scene.edits import apply_txn, make_edit_layer
from twin.scene.relevance import Relevance
from twin.scene.render import AssetStore, SceneExtractor

DECORATION = """
def Xform "Deco"
{
    double3 xformOp:translate = (0, 4, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Cube "Plant"
    {
    }
    def SphereLight "Lamp"
    {
    }
}
def Xform "Hall"
{
    def Cube "Wall" (prepend apiSchemas = ["PhysicsCollisionAPI"])
    {
    }
}
"""


@pytest.fixture
def stage(line: Path):
    line.write_text(line.read_text() + DECORATION)
    return open_stage(line)


def same(a: object, b: object) -> bool:
    """Whether two models say the same."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))  # type: ignore[arg-type]
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)  # type: ignore[attr-defined, index]
    return a == b


def touched(stage, *ops: Op) -> bool:
    layer = make_edit_layer(stage)
    relevance = Relevance(stage)
    relevance.prepare()
    apply_txn(stage, layer, ops)
    return relevance.touched()


def move(path: str) -> Op:
    return Op("set_field", path, "xformOp:translate", ["double3", [1.0, 2.0, 3.0]])


@pytest.mark.parametrize(
    "op",
    [
        move("/Deco"),
        move("/Deco/Plant"),
        Op("set_field", "/Deco/Plant", "size", ["double", 3.0]),
        Op("set_field", "/Deco/Lamp", "inputs:intensity", ["float", 3.0]),
        Op("set_field", "/Line/Belt/Bed", "primvars:displayColor", ["color3f[]", [[1.0, 0.0, 0.0]]]),
        Op("set_metadata", "/Line/Belt", "documentation", "fast"),
        Op("add_prim", "/Deco/New", "", {"type": "Cube"}),
        Op("remove_prim", "/Deco/Plant"),
    ],
    ids=lambda op: f"{op.kind}-{op.path.strip('/').replace('/', '-')}",
)
def test_what_only_looks_different_needs_no_compilation(stage, op: Op) -> None:
    assert not touched(stage, op)


@pytest.mark.parametrize(
    "op",
    [
        move("/Line/Belt"),
        move("/Line"),
        move("/Hall"),
        Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.1]),
        Op("set_field", "/Hall/Wall", "size", ["double", 1.0]),
        Op("set_field", "/Line/Carton/Box", "size", ["double", 0.3]),
        Op("set_relationship", "/Line/M", "twin:next", []),
        Op("set_metadata", "/Hall/Wall", "active", False),
        Op("remove_prim", "/Line/M"),
        Op("add_prim", "/Deco/Copy", "", {"copy": "/Hall/Wall"}),
        Op("add_prim", "/Line/Belt/Roller", "", {"type": "Cube"}),
        Op("apply_api", "/Deco/Plant", "PhysicsCollisionAPI", True),
    ],
    ids=lambda op: f"{op.kind}-{op.path.strip('/').replace('/', '-')}",
)
def test_what_the_simulation_reads_is_compiled_again(stage, op: Op) -> None:
    assert touched(stage, op)


def test_random_edits_that_count_as_looks_leave_the_compiled_model_as_it_is(stage) -> None:
    """And the drawing that is kept between edits is the one that a fresh reading gives."""
    draw = random.Random(8)
    layer = make_edit_layer(stage)
    relevance, extractor = Relevance(stage), SceneExtractor(stage, assets=AssetStore(), edit_layer=layer)
    extractor.scene()
    model = compile_factory(stage)
    extractor.use(model)
    relevance.prepare()
    skipped = 0
    for i in range(120):
        paths = [str(p.GetPath()) for p in stage.Traverse()]
        path = draw.choice(paths)
        op = draw.choice(
            [
                move(path),
                Op("set_field", path, "size", ["double", draw.uniform(0.1, 2.0)]),
                Op("set_field", path, "primvars:note", ["string", f"n{i}"]),
                Op("set_metadata", path, "active", False) if draw.random() < 0.3 else Op("set_metadata", path, "kind", "x"),
                Op("add_prim", f"{path}/N{i}", "", {"type": draw.choice(["Cube", "Xform"])}),
                Op("apply_api", path, "PhysicsCollisionAPI", draw.random() < 0.5),
                Op("add_prim", f"{path}/C{i}", "", {"copy": draw.choice(paths)}),
            ]
        )
        try:
            done = apply_txn(stage, layer, [op])
        except Rejected:
            relevance.touched()
            continue
        before = model
        if relevance.touched():
            model = compile_factory(stage)
            extractor.use(model)
        else:
            skipped += 1
            assert same(compile_factory(stage), before), op
        extractor.patch(done.changed, done.resync)
        fresh = SceneExtractor(stage, assets=AssetStore(), edit_layer=layer, model=model).scene()
        kept = extractor.scene()
        for doc in (*fresh.prims, *kept.prims):
            if doc.geometry is not None:
                doc.geometry.materials = []  # numbered in the order in which they were met
        assert kept.prims == fresh.prims, op
    assert skipped > 10
