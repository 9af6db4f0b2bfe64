"""The difference of two edit layers: what a person reads, and operations that lead from one to the other."""

import random
from pathlib import Path

import pytest
from pxr import Sdf

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.edits import apply_txn, difference, layer_from_text, layer_to_text, make_edit_layer


def test_a_difference_names_the_opinion_and_both_values(line: Path) -> None:
    stage = open_stage(line)
    layer = make_edit_layer(stage)
    apply_txn(stage, layer, [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.7])])
    before = layer_to_text(layer)
    apply_txn(
        stage,
        layer,
        [
            Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.9]),
            Op("add_prim", "/Line/New", "", {"type": "Cube"}),
            Op("set_relationship", "/Line/M", "twin:next", []),
            Op("remove_prim", "/Line/Out"),
        ],
    )
    found = {(o.path, o.field): (o.change, o.before, o.after) for o in difference(before, layer_to_text(layer))}
    assert found == {
        ("/Line/Belt", "twin:conveyor:speed"): ("changed", "0.7", "0.9"),
        ("/Line/New", ""): ("added", "", "typeName = Cube"),
        ("/Line/M", ""): ("added", "", "over"),
        ("/Line/Out", ""): ("added", "", "active = False"),
    }
    assert difference(before, before) == []


@pytest.mark.parametrize("seed", range(3))
def test_its_operations_lead_from_any_state_to_any_other(line: Path, seed: int) -> None:
    draw = random.Random(seed)
    stage = open_stage(line)
    layer = make_edit_layer(stage)
    states = [layer_to_text(layer)]
    for i in range(60):
        path = draw.choice([str(p.GetPath()) for p in stage.Traverse()])
        op = draw.choice(
            [
                Op("set_field", path, "xformOp:translate", ["double3", [draw.random(), 0.0, 0.0]]),
                Op("set_field", path, "xformOp:scale", ["float3", [1.0, draw.random() + 0.1, 1.0]]),
                Op("add_prim", f"{path}/N{draw.randrange(5)}", "", {"type": "Cube"}),
                Op("remove_prim", path if path.count("/") > 2 else "/Line/Out"),
                Op("move_prim", path, "", f"/Line/M{i}"),
                Op("set_metadata", path, "kind", draw.choice(["component", None])),
                Op("clear", path, "xformOp:scale"),
            ]
        )
        try:
            apply_txn(stage, layer, [op])
        except Rejected:
            continue
        states.append(layer_to_text(layer))
    assert len(states) > 20
    for _ in range(20):
        start, end = draw.choice(states), draw.choice(states)
        layer_from_text(layer, start)
        ops = [opinion.op for opinion in difference(start, end)]
        pieces = [opinion.op for opinion in difference(start, end, by_piece=True)]
        if ops:
            done = apply_txn(stage, layer, ops, internal=True)
            assert layer_to_text(layer) == end
            apply_txn(stage, layer, done.inverse, internal=True)
            assert layer_to_text(layer) == start
            done = apply_txn(stage, layer, pieces, internal=True)
            assert said(layer_to_text(layer)) == said(end)
            apply_txn(stage, layer, done.inverse, internal=True)
        assert said(layer_to_text(layer)) == said(start)


def said(text: str) -> dict[str, str]:
    """What a layer says, in no order."""
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString(text)
    found = {}

    def look(path: Sdf.Path) -> None:
        spec = layer.GetObjectAtPath(path)
        keys = sorted(set(spec.ListInfoKeys()) - {"specifier", "primChildren", "properties"})
        if keys or isinstance(spec, Sdf.PropertySpec) or spec.specifier == Sdf.SpecifierDef:
            found[str(path)] = ", ".join(f"{key}: {spec.GetInfo(key)}" for key in keys)

    layer.Traverse(Sdf.Path.absoluteRootPath, look)
    return found
