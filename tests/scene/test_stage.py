"""Opening stages: what cannot be used is said in one sentence with its place."""

import pytest

from twin.core.errors import SceneError
from twin.scene import compile_factory, find_asset_root, open_stage

SPEED = '#usda 1.0\ndef "A" (apiSchemas = ["TwinConveyorAPI"]) {\n    string twin:conveyor:speed = "fast"\n}'
MASS = '#usda 1.0\ndef Cube "A" (apiSchemas = ["PhysicsMassAPI"]) {\n    token physics:mass = "x"\n}'


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.usda", '#usda 1.0\ndef "A" {', "not a readable USD layer"),
        ("a.usdc", "rubbish", "not a readable USD layer"),
        ("a.txt", "hello", "not a readable USD layer"),
        ("a.usda", '#usda 1.0\ndef "A" (references = @../../x.usda@) {\n}', "outside the asset root"),
        ("a.usda", '#usda 1.0\ndef "A" {\n    asset t = @/etc/passwd@\n}', "outside the asset root"),
        ("a.usda", '#usda 1.0\ndef "A" (payload = @http://example.org/x.usda@) {\n}', "URL"),
        ("a.usda", '#usda 1.0\n(metersPerUnit = -1)\ndef "A" {\n}', "metersPerUnit"),
        ("a.usda", SPEED, "must be double"),
        ("a.usda", MASS, "must be float"),
    ],
)  # fmt: skip
def test_bad_input_is_a_scene_error(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SceneError, match=says) as error:
        compile_factory(open_stage(path))
    assert name in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(SceneError, match="no such file"):
        open_stage(tmp_path / "none.usda")


def test_bad_layer_names_who_asked_for_it(tmp_path):
    (tmp_path / "a.usda").write_text("#usda 1.0\n(subLayers = [@./b.usda@])\n")
    (tmp_path / "b.usda").write_text("#usda 1.0\nthis is not usd")
    with pytest.raises(SceneError, match=r"named in .*a\.usda") as error:
        open_stage(tmp_path / "a.usda")
    assert "b.usda" in str(error.value)


def test_a_marker_widens_the_asset_root(tmp_path):
    (tmp_path / "twin.toml").write_text("")
    (tmp_path / "part.usda").write_text('#usda 1.0\n(defaultPrim = "P")\ndef Cube "P" {\n}\n')
    (tmp_path / "plant").mkdir()
    stage = tmp_path / "plant" / "a.usda"
    stage.write_text('#usda 1.0\ndef "A" (references = @../part.usda@) {\n}\n')
    assert find_asset_root(stage) == tmp_path
    assert open_stage(stage).GetPrimAtPath("/A").GetTypeName() == "Cube"


def test_a_link_out_of_the_root_is_refused(tmp_path):
    outside = tmp_path / "outside.usda"
    outside.write_text('#usda 1.0\n(defaultPrim = "P")\ndef "P" {\n}\n')
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.usda").symlink_to(outside)
    stage = tmp_path / "root" / "a.usda"
    stage.write_text('#usda 1.0\ndef "A" (references = @./link.usda@) {\n}\n')
    with pytest.raises(SceneError, match="outside the asset root"):
        open_stage(stage)
