"""What a clipboard holds of a stage, pasted into another one."""

import json
from pathlib import Path

import msgspec
import pytest
from pxr import Usd

from twin.core.errors import InputError
from twin.protocol.messages import Op
from twin.scene import open_stage
from twin.scene.clip import clip_of
from twin.scene.edits import apply_txn, make_edit_layer

PART = """#usda 1.0
(
    defaultPrim = "Part"
)
def Xform "Part" (
    prepend apiSchemas = ["TwinConveyorAPI"]
    variants = { string length = "short" }
    prepend variantSets = "length"
)
{
    double twin:conveyor:speed = 0.5
    def Cube "Bed" (prepend apiSchemas = ["PhysicsCollisionAPI"])
    {
    }
    variantSet "length" = {
        "short" {
        }
        "long" {
            over "Bed"
            {
                double size = 4
            }
        }
    }
}
"""
EXTRA = """
def Xform "Hall"
{
    def Xform "Feed" (
        prepend references = @part.usda@
        variants = { string length = "long" }
    )
    {
        double twin:conveyor:speed = 0.75
        rel twin:next = </Line/Out>
        over "Bed"
        {
            color3f[] primvars:displayColor = [(1, 0, 0)]
        }
    }
    def Cube "Turned"
    {
        matrix4d xformOp:transform = ( (0, 1, 0, 0), (-1, 0, 0, 0), (0, 0, 1, 0), (1, 2, 3, 1) )
        uniform token[] xformOpOrder = ["xformOp:transform"]
        custom double odd = 1
        double size.timeSamples = { 0: 1, 1: 2 }
    }
}
"""
EMPTY = '#usda 1.0\n(\n    defaultPrim = "World"\n    metersPerUnit = 1\n    upAxis = "Z"\n)\ndef Xform "World"\n{\n}\n'


@pytest.fixture
def stages(line: Path, tmp_path: Path):
    """A line with parts, and an empty stage of another folder."""
    line.write_text(line.read_text() + EXTRA)
    (line.parent / "part.usda").write_text(PART)
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "part.usda").write_text(PART)
    (other / "empty.usda").write_text(EMPTY)
    return open_stage(line), open_stage(other / "empty.usda")


def paste(stage, clip, below: str) -> list[str]:
    """As the page does: the clip has been text meanwhile."""
    layer = make_edit_layer(stage)
    sent = json.loads(json.dumps(msgspec.to_builtins(clip.prims)))
    places = [f"{below}/{prim['name']}" for prim in sent]

    def moved(text: str) -> str:
        for i, place in enumerate(places):
            if text == f"${i}" or text.startswith(f"${i}/"):
                return place + text[len(f"${i}") :]
        return text

    txn = []
    for prim in sent:
        for raw in prim["ops"]:
            op = msgspec.convert(raw, Op)
            op.path = moved(op.path)
            if op.kind == "set_relationship":
                op.value = [moved(target) for target in op.value if target.startswith("$")]
            txn.append(op)
    apply_txn(stage, layer, txn)
    return places


def says(prim) -> dict[str, object]:
    """All that a prim and what is below it say."""
    out: dict[str, object] = {}
    for each in Usd.PrimRange(prim):
        name = str(each.GetPath())[len(str(prim.GetPath())) :]
        out[name] = (each.GetTypeName(), sorted(each.GetAppliedSchemas()))
        out |= {f"{name}.{a.GetName()}": str(a.Get()) for a in each.GetAuthoredAttributes() if a.GetName() != "xformOpOrder"}
    return out


def test_machines_are_the_same_elsewhere_and_know_each_other(stages) -> None:
    source, target = stages
    paths = ["/Line/Belt", "/Line/M", "/Line/Out"]
    clip = clip_of(source, paths, Path(source.GetRootLayer().realPath).parent)
    assert clip.left_out == []
    for before, after in zip(paths, paste(target, clip, "/World"), strict=True):
        assert says(target.GetPrimAtPath(after)) == says(source.GetPrimAtPath(before))
    following = target.GetPrimAtPath("/World/Belt").GetRelationship("twin:next").GetTargets()
    assert [str(path) for path in following] == ["/World/M"]


def test_a_part_of_the_library_stays_one(stages) -> None:
    source, target = stages
    clip = clip_of(source, ["/Hall/Feed"], Path(source.GetRootLayer().realPath).parent)
    [place] = paste(target, clip, "/World")
    feed = target.GetPrimAtPath(place)
    assert feed.GetAttribute("twin:conveyor:speed").Get() == 0.75
    assert feed.GetVariantSet("length").GetVariantSelection() == "long"
    assert says(feed) == says(source.GetPrimAtPath("/Hall/Feed"))
    assert target.GetPrimAtPath(f"{place}/Bed").GetAttribute("size").Get() == 4, "by the variant"
    assert feed.GetPrimStack()[-1].layer.GetDisplayName() == "part.usda"


def test_the_inside_of_a_part_is_written_out(stages) -> None:
    source, target = stages
    clip = clip_of(source, ["/Hall/Feed/Bed"], Path(source.GetRootLayer().realPath).parent)
    [place] = paste(target, clip, "/World")
    assert says(target.GetPrimAtPath(place)) == says(source.GetPrimAtPath("/Hall/Feed/Bed"))


def test_what_cannot_be_said_is_left_out_and_named(stages) -> None:
    source, target = stages
    clip = clip_of(source, ["/Hall/Turned"], Path(source.GetRootLayer().realPath).parent)
    assert clip.left_out == ["/Hall/Turned.odd", "/Hall/Turned.size"]
    [place] = paste(target, clip, "/World")
    turned = target.GetPrimAtPath(place)
    assert turned.GetAttribute("xformOp:translate").Get() == (1, 2, 3)
    assert turned.GetAttribute("xformOp:rotateXYZ").Get() == pytest.approx((0, 0, 90))


def test_too_much_and_nothing_are_refused(stages, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = stages
    root = Path(source.GetRootLayer().realPath).parent
    for path in ("/Nowhere", "not a path", "/"):
        with pytest.raises(InputError, match="does not exist"):
            clip_of(source, [path], root)
    monkeypatch.setattr("twin.scene.clip.MAX_OPS", 3)
    with pytest.raises(InputError, match="too much for a clipboard"):
        clip_of(source, ["/Line"], root)
