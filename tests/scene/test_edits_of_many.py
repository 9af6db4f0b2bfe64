"""Edits of many prims at once: as if one by one, but the stage is composed once."""

import random
from pathlib import Path

import pytest
from pxr import Sdf, Tf, Usd

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene.edits import apply_txn, layer_from_text, layer_to_text, make_edit_layer
from twin.scene.stage import open_stage

STAGE = """#usda 1.0
(
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "W"
{
    def Cube "Base"
    {
    }
}
def Xform "V"
{
    def Sphere "Base"
    {
    }
}
"""
MANY = 600


@pytest.fixture
def opened(tmp_path: Path):
    """A new stage on the same file, with an edit layer of its own."""
    file = tmp_path / "stage.usda"
    file.write_text(STAGE)

    def make():
        stage = open_stage(file, tmp_path)
        return stage, make_edit_layer(stage)

    return make


def composed(stage: Usd.Stage) -> list[tuple[str, str, bool]]:
    return [(str(p.GetPath()), str(p.GetTypeName()), p.IsActive()) for p in Usd.PrimRange.AllPrims(stage.GetPseudoRoot())]


def said(layer: Sdf.Layer) -> dict[str, dict[str, str]]:
    """All that a layer says, whatever the order: an over that has come back stands last."""
    found: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, found.append)
    specs = {path: layer.GetObjectAtPath(path) for path in found if path.IsPrimPath() or path.IsPropertyPath()}
    hidden = {"primChildren", "properties"}
    return {str(path): {key: str(spec.GetInfo(key)) for key in set(spec.ListInfoKeys()) - hidden} for path, spec in specs.items()}


def random_ops(draw: random.Random, count: int) -> list[Op]:
    """Runs of one kind about few names, so that they meet: parents and children, the same name twice, chains of moves."""
    paths = [f"/{top}/{a}{b}" for top in "WV" for a in ("A", "B", "C", "Base") for b in ("", "/A", "/B", "/A/C")]
    ops: list[Op] = []
    while len(ops) < count:
        kind = draw.choice(["add_prim", "add_prim", "remove_prim", "move_prim", "set_metadata", "set_relationship"])
        for _ in range(draw.randrange(1, 5)):
            path = draw.choice(paths)
            if kind == "add_prim":
                value = {"copy": draw.choice(paths)} if draw.random() < 0.2 else {"type": draw.choice(["Cube", "Xform"])}
                ops.append(Op(kind, path, "", value))
            elif kind == "move_prim":
                ops.append(Op(kind, path, "", draw.choice(paths)))
            elif kind == "set_metadata":
                field, value = draw.choice([("kind", "component"), ("active", False), ("active", None)])
                ops.append(Op(kind, path, field, value))
            elif kind == "set_relationship":
                ops.append(Op(kind, path, "twin:next", [draw.choice(paths)]))
            else:
                ops.append(Op(kind, path))
    return ops


@pytest.mark.parametrize("seed", range(4))
def test_many_at_once_are_the_same_as_one_after_the_other(opened, seed):
    draw = random.Random(seed)
    together, alone = opened(), opened()
    accepted = []
    for op in random_ops(draw, 800):
        try:
            apply_txn(*alone, [op])
        except Rejected:
            continue
        accepted.append(op)
    assert {"add_prim", "remove_prim", "move_prim"} <= {op.kind for op in accepted}
    undo, states = [], []
    while accepted:
        txn, accepted = accepted[: (n := draw.randrange(1, 25))], accepted[n:]
        states.append(said(together[1]))
        with pytest.raises(Rejected):
            apply_txn(*together, [*txn, Op("remove_prim", "/Nowhere")])
        assert said(together[1]) == states[-1], "a refused edit leaves nothing behind"
        undo.append(apply_txn(*together, txn).inverse)
    final = said(together[1])
    assert final == said(alone[1])
    fresh = opened()
    layer_from_text(fresh[1], layer_to_text(together[1]))
    assert composed(together[0]) == composed(fresh[0]), "the stage knows all that the layer says"
    redo = []
    for inverse, state in zip(reversed(undo), reversed(states), strict=True):
        redo.append(apply_txn(*together, inverse, internal=True).inverse)
        assert said(together[1]) == state
    for inverse in reversed(redo):
        apply_txn(*together, inverse, internal=True)
    assert said(together[1]) == final


def test_what_takes_back_a_paste_is_one_operation(opened):
    stage, layer = opened()
    txn = [Op("add_prim", "/W/T", "", {"type": "Xform"})]
    for i in range(50):
        txn += [Op("add_prim", f"/W/T/C{i}", "", {"type": "Cube"}), Op("set_field", f"/W/T/C{i}", "size", ["double", 2.0])]
    done = apply_txn(stage, layer, txn)
    assert done.inverse == [Op("remove_prim", "/W/T")]
    back = apply_txn(stage, layer, done.inverse)
    apply_txn(stage, layer, back.inverse, internal=True)
    assert stage.GetPrimAtPath("/W/T/C49").GetAttribute("size").Get() == 2.0


def test_a_stage_is_composed_a_few_times_however_many_prims_an_edit_is_about(opened):
    stage, layer = opened()
    told = []
    listener = Tf.Notice.Register(Usd.Notice.ObjectsChanged, lambda notice, sender: told.append(1), stage)
    paths = [f"/W/P{i}" for i in range(MANY)]

    def do(txn: list[Op]) -> list[Op]:
        told.clear()
        done = apply_txn(stage, layer, txn, internal=True)
        assert 1 <= len(told) <= 3
        return done.inverse

    added = do([Op("add_prim", path, "", {"type": "Cube"}) for path in paths])
    do(do(added))
    text = layer_to_text(layer)
    do(do([Op("remove_prim", path) for path in paths[::2]]))
    assert layer_to_text(layer) == text
    do(do([Op("move_prim", path, "", f"{path}_new") for path in paths]))
    assert layer_to_text(layer) == text
    assert len(stage.GetPrimAtPath("/W").GetChildren()) == MANY + 1
    listener.Revoke()
