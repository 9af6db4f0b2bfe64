"""Prims that refer to what is edited, inherit from it, or are instances of it, change with it on every page."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.edits import apply_txn, make_edit_layer
from twin.scene.render import AssetStore, SceneExtractor

STAGE = """#usda 1.0
(
    defaultPrim = "World"
)
def Xform "World"
{
    def Xform "A"
    {
        def Cube "C"
        {
            double size = 1
        }
    }
    def Xform "B" (references = </World/A>)
    {
    }
    def Xform "D" (inherits = </World/A>)
    {
    }
    def Xform "I" (
        references = </World/A>
        instanceable = true
    )
    {
    }
    def Xform "J" (
        references = </World/A>
        instanceable = true
    )
    {
    }
    def Xform "Else"
    {
    }
}
"""
MOVE = ["double3", [1.0, 2.0, 3.0]]


@pytest.mark.parametrize(
    "txn",
    [
        [Op("set_field", "/World/A/C", "size", ["double", 2.0])],
        [Op("set_field", "/World/A", "xformOp:translate", MOVE)],
        [Op("set_field", "/World/A/C", "visibility", ["token", "invisible"])],
        [Op("add_prim", "/World/A/N", "", {"type": "Sphere"})],
        [Op("add_prim", "/World/A/N", "", {"type": "Sphere"}), Op("move_prim", "/World/A/N", "", "/World/A/M")],
        [Op("set_metadata", "/World/A/C", "active", False)],
        [Op("set_metadata", "/World/A", "active", False)],
    ],
    ids=lambda txn: " ".join(f"{op.kind} {op.path} {op.field}" for op in txn),
)
def test_what_is_shown_after_an_edit_and_after_its_undo_is_what_a_reload_shows(tmp_path: Path, txn: list[Op]) -> None:
    file = tmp_path / "stage.usda"
    file.write_text(STAGE)
    stage = open_stage(file)
    layer = make_edit_layer(stage)
    view = SceneExtractor(stage, assets=AssetStore())
    shown = {prim.path: prim for prim in view.scene().prims}
    undo = None
    for ops in (txn, None, txn):  # first opinions change a stage in another way than later ones
        done = apply_txn(stage, layer, ops or undo, internal=True)
        undo = done.inverse
        parts = view.patch(done.changed, done.resync)
        for path in parts.removed:
            shown = {p: doc for p, doc in shown.items() if not f"{p}/".startswith(f"{path}/")}
        shown |= {prim.path: prim for prim in parts.prims}
        wanted = {prim.path: prim for prim in SceneExtractor(stage, assets=AssetStore(), edit_layer=layer).scene().prims}
        for doc in (*shown.values(), *wanted.values()):
            doc.edited = False
        assert shown == wanted
        assert "/World/Else" not in {prim.path for prim in parts.prims}, "what has nothing to do with it costs nothing"
