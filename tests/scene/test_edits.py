"""Edits: applied whole or not at all, taken back exactly, and nothing lossy gets in."""

import math
import random

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.edits import apply_txn, layer_from_text, layer_to_text, make_edit_layer

PART = """#usda 1.0
(
    defaultPrim = "Part"
)
def Xform "Part" (
    variants = {
        string look = "plain"
    }
    append variantSets = "look"
)
{
    def Cube "Body"
    {
    }
    variantSet "look" = {
        "plain" {
        }
        "fancy" {
            def Sphere "Knob"
            {
            }
        }
    }
}
"""
STAGE = """#usda 1.0
(
    defaultPrim = "World"
)
def Xform "World"
{
    def Cube "A"
    {
        double3 xformOp:translate = (1, 2, 3)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Cube "M"
    {
        matrix4d xformOp:transform = ( (0, 2, 0, 0), (-2, 0, 0, 0), (0, 0, 2, 0), (5, 6, 7, 1) )
        uniform token[] xformOpOrder = ["xformOp:transform"]
    }
    def Xform "Ref" (
        references = @./part.usda@
    )
    {
    }
    def "Buffer" (
        prepend apiSchemas = ["TwinBufferAPI"]
    )
    {
        int twin:buffer:capacity = 3
        rel twin:next = </World/A>
    }
    def PhysicsRevoluteJoint "Joint"
    {
    }
}
"""


@pytest.fixture
def doc(tmp_path):
    (tmp_path / "part.usda").write_text(PART)
    (tmp_path / "a.usda").write_text(STAGE)
    stage = open_stage(tmp_path / "a.usda")
    return stage, make_edit_layer(stage)


def world(stage, path):
    return np.array(UsdGeom.XformCache().GetLocalToWorldTransform(stage.GetPrimAtPath(path)))


def test_a_field_is_set_above_the_base_and_cleared_again(doc):
    stage, layer = doc
    base = stage.GetRootLayer().ExportToString()
    done = apply_txn(stage, layer, [Op("set_field", "/World/Buffer", "twin:buffer:capacity", ["int", 9])])
    attribute = stage.GetPrimAtPath("/World/Buffer").GetAttribute("twin:buffer:capacity")
    assert attribute.Get() == 9
    assert done.changed == ["/World/Buffer.twin:buffer:capacity"]
    assert done.inverse == [Op("clear", "/World/Buffer", "twin:buffer:capacity")]
    again = apply_txn(stage, layer, [Op("set_field", "/World/Buffer", "twin:buffer:capacity", ["int", 10])])
    assert again.inverse == [Op("set_field", "/World/Buffer", "twin:buffer:capacity", ["int", 9])]
    apply_txn(stage, layer, again.inverse)
    apply_txn(stage, layer, done.inverse)
    assert attribute.Get() == 3
    assert layer.empty
    assert stage.GetRootLayer().ExportToString() == base


def test_nothing_is_written_beside_the_stage(doc, tmp_path):
    stage, layer = doc
    apply_txn(stage, layer, [Op("add_prim", "/World/New", "", {"type": "Cube"})])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.usda", "part.usda"]
    assert not stage.GetRootLayer().permissionToEdit


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (Op("set_field", "/World/Buffer", "twin:buffer:capacity", ["int", 2.7]), "lossy"),
        (Op("set_field", "/World/Joint", "physics:breakForce", ["float", 1e300]), "lossy"),
        (Op("set_field", "/World/A", "size", ["double", math.nan]), "lossy"),
        (Op("set_field", "/World/A", "size", ["double", math.inf]), "lossy"),
        (Op("set_field", "/World/A", "size", ["double", "big"]), "type"),
        (Op("set_field", "/World/A", "size", ["nonsense", 1]), "type"),
        (Op("set_field", "/World/A", "size", 3), "type"),
        (Op("set_field", "/World/A", "visibility", ["token", "maybe"]), "type"),
        (Op("set_field", "/World/A", "no such", ["double", 1]), "path"),
        (Op("set_field", "/World/A", "sise", ["double", 1]), "path"),
        (Op("set_field", "/World/Gone", "size", ["double", 1]), "gone"),
        (Op("set_field", "World/A", "size", ["double", 1]), "path"),
        (Op("set_field", "/World/A.size", "size", ["double", 1]), "path"),
        (Op("set_field", "", "size", ["double", 1]), "path"),
        (Op("set_field", "/World/Buffer", "xformOp:translate", ["double3", [1, 2, 3]]), "path"),
        (Op("add_prim", "/World/A", "", {"type": "Cube"}), "path"),
        (Op("add_prim", "/Nowhere/B", "", {"type": "Cube"}), "gone"),
        (Op("add_prim", "/World/9lives", "", {"type": "Cube"}), "path"),
        (Op("add_prim", "/World/B", "", {"type": "Cubicle"}), "type"),
        (Op("add_prim", "/World/B", "", {"reference": "../outside.usda"}), "asset"),
        (Op("add_prim", "/World/B", "", {"reference": "none.usda"}), "asset"),
        (Op("add_prim", "/World/B", "", {"reference": "/etc/passwd"}), "asset"),
        (Op("add_prim", "/World/A/B", "", {"copy": "/World"}), "path"),
        (Op("move_prim", "/World/A", "", "/World/B"), "base"),
        (Op("set_variant", "/World/Ref", "look", "huge"), "type"),
        (Op("set_variant", "/World/A", "look", "plain"), "path"),
        (Op("apply_api", "/World/A", "TwinNonsenseAPI"), "type"),
        (Op("apply_api", "/World/A", "TwinSignalAPI"), "type"),
        (Op("set_relationship", "/World/A", "twin:next", []), "path"),
        (Op("set_relationship", "/World/Buffer", "twin:next", ["nowhere in particular"]), "path"),
        (Op("list_edit", "/World/Buffer", "twin:next", ["/World/A"]), "type"),
        (Op("list_edit", "/World/Buffer", "twin:next", {"append": []}), "type"),
        (Op("list_edit", "/World/Buffer", "twin:next", {"replace": ["/World/A"]}), "type"),
        (Op("list_edit", "/World/Buffer", "twin:next", {"append": ["/World/A"], "delete": ["/World/A"]}), "type"),
        (Op("list_edit", "/World/A", "references", {"append": ["/World/M"]}), "path"),
        (Op("set_metadata", "/World/A", "apiSchemas", "x"), "path"),
        (Op("set_metadata", "/World/A", "active", "no"), "type"),
        (Op("explode", "/World/A"), "type"),
        (Op("restore_spec", "/World/A", "", {"text": "", "index": -1}), "type"),
    ],
)
def test_refusals_leave_the_whole_transaction_undone(doc, op, code):
    stage, layer = doc
    apply_txn(stage, layer, [Op("add_prim", "/World/Kept", "", {"type": "Cube"})])
    before = layer_to_text(layer)
    good = [
        Op("set_field", "/World/A", "xformOp:rotateXYZ", ["float3", [0, 0, 90]]),
        Op("add_prim", "/World/Temp", "", {"reference": "part.usda"}),
        Op("set_field", "/World/Temp", "xformOp:translate", ["double3", [1, 0, 0]]),
        Op("remove_prim", "/World/Kept"),
        Op("apply_api", "/World/A", "TwinSignalAPI:temp"),
    ]
    with pytest.raises(Rejected) as error:
        apply_txn(stage, layer, [*good, op])
    assert error.value.code == code
    assert layer_to_text(layer) == before


def test_infinity_where_the_schema_has_it(doc):
    stage, layer = doc
    apply_txn(stage, layer, [Op("set_field", "/World/Joint", "physics:upperLimit", ["float", math.inf])])
    assert stage.GetPrimAtPath("/World/Joint").GetAttribute("physics:upperLimit").Get() == math.inf


def test_move_turn_and_scale_make_an_order(doc):
    stage, layer = doc
    apply_txn(stage, layer, [Op("set_field", "/World/A", "xformOp:scale", ["float3", [2, 2, 2]])])
    apply_txn(stage, layer, [Op("set_field", "/World/A", "xformOp:rotateXYZ", ["float3", [0, 0, 90]])])
    order = stage.GetPrimAtPath("/World/A").GetAttribute("xformOpOrder").Get()
    assert list(order) == ["xformOp:translate", "xformOp:rotateXYZ", "xformOp:scale"]
    np.testing.assert_allclose(world(stage, "/World/A")[0], [0, 2, 0, 0], atol=1e-6)


def test_a_matrix_becomes_operations_without_a_jump(doc):
    stage, layer = doc
    before = world(stage, "/World/M")
    done = apply_txn(
        stage,
        layer,
        [
            Op("set_field", "/World/M", "xformOp:translate", ["double3", [9, 6, 7]]),
            Op("set_field", "/World/M", "xformOp:scale", ["float3", [2, 2, 2]]),
        ],
    )
    after = world(stage, "/World/M")
    np.testing.assert_allclose(after[:3], before[:3], atol=1e-5)
    np.testing.assert_allclose(after[3], [9, 6, 7, 1])
    apply_txn(stage, layer, done.inverse, internal=True)
    assert layer.empty
    np.testing.assert_allclose(world(stage, "/World/M"), before)


def test_any_rotation_survives_as_euler_angles():
    from twin.scene.edits.xform import euler
    from twin.scene.frames import array, split

    rng = np.random.default_rng(3)
    cases = [Gf.Rotation(Gf.Vec3d(*rng.normal(size=3)), rng.uniform(0, 360)) for _ in range(50)]
    cases += [Gf.Rotation(Gf.Vec3d(0, 1, 0), a) for a in (90, -90)]
    stage = Usd.Stage.CreateInMemory()
    op = UsdGeom.Xform.Define(stage, "/X").AddRotateXYZOp()
    for rotation in cases:
        matrix = array(Gf.Matrix4d(rotation, Gf.Vec3d(0)))
        op.Set(euler(split(matrix).rotation))
        np.testing.assert_allclose(np.array(op.GetOpTransform(0)), matrix, atol=2e-6)


def test_a_part_is_added_by_reference_and_edited(doc):
    stage, layer = doc
    done = apply_txn(
        stage,
        layer,
        [
            Op("add_prim", "/World/P", "", {"type": "Xform", "reference": "part.usda", "name": "Nice part"}),
            Op("set_field", "/World/P", "xformOp:translate", ["double3", [4, 0, 0]]),
            Op("set_variant", "/World/P", "look", "fancy"),
        ],
    )
    assert stage.GetPrimAtPath("/World/P/Knob").GetTypeName() == "Sphere"
    assert world(stage, "/World/P/Body")[3][0] == 4
    assert "/World/P" in done.resync
    apply_txn(stage, layer, done.inverse, internal=True)
    assert layer.empty


@pytest.mark.parametrize("source", ["/World/A", "/World/Ref", "/World/Ref/Body", "/World/Buffer", "/World/Mine"])
def test_copies_look_like_their_source_and_are_their_own(doc, source):
    stage, layer = doc
    apply_txn(stage, layer, [Op("add_prim", "/World/Mine", "", {"reference": "part.usda"})])
    apply_txn(stage, layer, [Op("set_metadata", source, "displayName", "before")])
    before = layer_to_text(layer)
    done = apply_txn(stage, layer, [Op("add_prim", "/World/Copy", "", {"copy": source})])
    original, copy = stage.GetPrimAtPath(source), stage.GetPrimAtPath("/World/Copy")
    assert copy.GetTypeName() == original.GetTypeName()
    assert [c.GetName() for c in copy.GetChildren()] == [c.GetName() for c in original.GetChildren()]
    assert copy.GetMetadata("displayName") == "before"
    for name in original.GetAuthoredPropertyNames():
        if original.GetAttribute(name):
            assert copy.GetAttribute(name).Get() == original.GetAttribute(name).Get()
        else:
            assert copy.GetRelationship(name).GetTargets() == original.GetRelationship(name).GetTargets()
    apply_txn(stage, layer, [Op("set_metadata", source, "displayName", "after")])
    assert copy.GetMetadata("displayName") == "before"
    apply_txn(stage, layer, [Op("set_metadata", source, "displayName", "before")])
    apply_txn(stage, layer, done.inverse, internal=True)
    assert layer_to_text(layer) == before


def test_removing_base_prims_switches_them_off_and_edits_vanish(doc):
    stage, layer = doc
    done = apply_txn(stage, layer, [Op("remove_prim", "/World/A")])
    assert not stage.GetPrimAtPath("/World/A").IsActive()
    with pytest.raises(Rejected) as error:
        apply_txn(stage, layer, [Op("set_field", "/World/A", "size", ["double", 1])])
    assert error.value.code == "gone"
    apply_txn(stage, layer, done.inverse)
    assert layer.empty
    assert stage.GetPrimAtPath("/World/A").IsActive()


def test_a_removed_edit_comes_back_in_its_place_with_all_below(doc):
    stage, layer = doc
    for name in "XYZ":
        apply_txn(stage, layer, [Op("add_prim", f"/World/{name}", "", {"type": "Xform"})])
    apply_txn(stage, layer, [Op("add_prim", "/World/Y/Child", "", {"type": "Cube"})])
    before = layer_to_text(layer)
    done = apply_txn(stage, layer, [Op("remove_prim", "/World/Y")])
    assert not stage.GetPrimAtPath("/World/Y/Child")
    apply_txn(stage, layer, done.inverse, internal=True)
    assert layer_to_text(layer) == before


def test_a_moved_prim_keeps_what_points_at_it(doc):
    stage, layer = doc
    apply_txn(
        stage,
        layer,
        [
            Op("add_prim", "/World/X", "", {"type": "Cube"}),
            Op("set_relationship", "/World/Buffer", "twin:next", ["/World/X"]),
        ],
    )
    before = layer_to_text(layer)
    done = apply_txn(stage, layer, [Op("move_prim", "/World/X", "", "/World/Ref/Y")])
    assert stage.GetPrimAtPath("/World/Ref/Y").GetTypeName() == "Cube"
    assert [str(t) for t in stage.GetPrimAtPath("/World/Buffer").GetRelationship("twin:next").GetTargets()] == ["/World/Ref/Y"]
    apply_txn(stage, layer, done.inverse, internal=True)
    assert layer_to_text(layer) == before


def test_two_who_each_add_a_target_both_get_theirs_and_leave_the_base_alone(doc):
    stage, layer = doc
    relationship = stage.GetPrimAtPath("/World/Buffer").GetRelationship("twin:next")
    base = relationship.GetTargets()
    first = apply_txn(stage, layer, [Op("list_edit", "/World/Buffer", "twin:next", {"append": ["/World/Ref"]})])
    second = apply_txn(stage, layer, [Op("list_edit", "/World/Buffer", "twin:next", {"prepend": ["/World/M"]})])
    assert relationship.GetTargets() == ["/World/M", *base, "/World/Ref"]
    third = apply_txn(stage, layer, [Op("list_edit", "/World/Buffer", "twin:next", {"delete": ["/World/Ref"]})])
    assert relationship.GetTargets() == ["/World/M", *base]
    for done in (third, second, first):
        apply_txn(stage, layer, done.inverse, internal=True)
    assert relationship.GetTargets() == base
    assert layer.empty


def test_apis_blocks_and_checkpoints(doc):
    stage, layer = doc
    prim = stage.GetPrimAtPath("/World/Buffer")
    apply_txn(
        stage,
        layer,
        [
            Op("apply_api", "/World/Buffer", "TwinPowerAPI"),
            Op("set_field", "/World/Buffer", "twin:power:idle", ["double", 5.0]),
            Op("apply_api", "/World/Buffer", "TwinBufferAPI", False),
            Op("block", "/World/A", "size"),
        ],
    )
    assert prim.GetAppliedSchemas() == ["TwinPowerAPI"]
    assert not stage.GetPrimAtPath("/World/A").GetAttribute("size").HasAuthoredValue()
    text = layer_to_text(layer)
    layer_from_text(layer, "#usda 1.0\n")
    assert prim.GetAppliedSchemas() == ["TwinBufferAPI"]
    layer_from_text(layer, text)
    assert prim.GetAttribute("twin:power:idle").Get() == 5.0


def said(layer):
    """All that a layer says. The order of overs among siblings is left out: it has no meaning in USD."""
    found = {}

    def visit(path):
        spec = layer.GetObjectAtPath(path)
        if spec and not path.IsAbsoluteRootPath():
            found[str(path)] = {key: str(spec.GetInfo(key)) for key in spec.ListInfoKeys()}
            if path.IsPrimPath():
                found[str(path)]["made here"] = [c.name for c in spec.nameChildren if c.specifier == Sdf.SpecifierDef]

    layer.Traverse("/", visit)
    return found


def test_random_edits_undo_to_nothing(doc):
    stage, layer = doc
    rng = random.Random(7)
    undo = []
    for step in range(250):
        prims = [str(p.GetPath()) for p in stage.Traverse() if str(p.GetPath()) != "/World"]
        path, other = rng.choice(prims), rng.choice(prims)
        op = rng.choice(
            [
                Op("set_field", path, "xformOp:translate", ["double3", [rng.random(), 0, 0]]),
                Op("set_field", path, "xformOp:rotateXYZ", ["float3", [0, rng.randrange(360), 0]]),
                Op("set_field", path, "visibility", ["token", rng.choice(["inherited", "invisible"])]),
                Op("block", path, "visibility"),
                Op("clear", path, "xformOp:translate"),
                Op("add_prim", f"{path}/N{step}", "", {"type": "Cube"}),
                Op("add_prim", f"/World/R{step}", "", {"reference": "part.usda"}),
                Op("add_prim", f"/World/C{step}", "", {"copy": path}),
                Op("remove_prim", path),
                Op("move_prim", path, "", f"{other}/V{step}"),
                Op("set_variant", path, "look", rng.choice(["plain", "fancy"])),
                Op("apply_api", path, "TwinPowerAPI", rng.random() < 0.6),
                Op("apply_api", path, "TwinBufferAPI", rng.random() < 0.6),
                Op("set_metadata", path, "kind", rng.choice(["component", None])),
                Op("set_relationship", path, "twin:next", [other]),
                Op("list_edit", path, "twin:next", {rng.choice(["prepend", "append", "delete"]): [other]}),
            ]
        )
        before = said(layer)
        try:
            done = apply_txn(stage, layer, [op])
        except Rejected:
            assert said(layer) == before, op
        else:
            undo.append((before, done.inverse, op))
    assert len(undo) > 80
    for before, inverse, op in reversed(undo):
        apply_txn(stage, layer, inverse, internal=True)
        assert said(layer) == before, op
    assert layer.empty
