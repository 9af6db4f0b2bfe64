"""What-if on top of a stage: what dangles or would be cut off is an error that names it; nothing is written."""

import pytest

from twin.core.errors import SceneError, StudyError
from twin.scene import compile_scenario


def write(path, text):
    path.write_text(f"#usda 1.0\n{text}\n")
    return path


def test_values_layers_and_their_order(line, tmp_path):
    before = line.read_text()
    over = 'over "Line" {{\n    over "M" {{\n        int twin:station:servers = {n}\n    }}\n}}'
    a, b = write(tmp_path / "a.usda", over.format(n=2)), write(tmp_path / "b.usda", over.format(n=3))
    assert compile_scenario(line).nodes[2].servers == 1
    assert compile_scenario(line, layers=[a]).nodes[2].servers == 2
    assert compile_scenario(line, layers=[a, b]).nodes[2].servers == 3
    model = compile_scenario(line, layers=[a, b], values={"/Line/M.twin:station:servers": 4, "/Line/Belt.twin:conveyor:speed": 1})
    assert model.nodes[2].servers == 4
    assert model.nodes[1].speed == 1.0
    assert compile_scenario(line).nodes[2].servers == 1
    assert line.read_text() == before


def test_variants(tmp_path):
    stage = write(
        tmp_path / "v.usda",
        """def "K" (apiSchemas = ["TwinBufferAPI"]
    variantSets = "size"
    variants = {
        string size = "small"
    }
) {
    variantSet "size" = {
        "small" {
            int twin:buffer:capacity = 2
        }
        "large" {
            int twin:buffer:capacity = 20
        }
    }
}""",
    )
    assert compile_scenario(stage).nodes[0].capacity == 2
    assert compile_scenario(stage, variants={"/K": {"size": "large"}}).nodes[0].capacity == 20
    with pytest.raises(StudyError, match=r"/K: size: .*'huge' \(allowed: large, small\)"):
        compile_scenario(stage, variants={"/K": {"size": "huge"}})
    with pytest.raises(StudyError, match="no such variant set"):
        compile_scenario(stage, variants={"/K": {"colour": "red"}})


@pytest.mark.parametrize(
    ("target", "value", "says"),
    [
        ("/Line/Nowhere.twin:station:servers", 1, "/Line/Nowhere: the base stage has no such prim to set twin:station:servers"),
        ("/Line/M.twin:station:severs", 1, "did you mean twin:station:servers?"),
        ("/Line/M.twin:station:servers", 2.7, "not a whole number"),
        ("/Line/M.twin:station:servers", "two", "needs a number"),
        ("/Line/M.twin:station:cycleTime:mean", float("nan"), "NaN"),
        ("/Line/M.twin:next", 1, "no such attribute"),
        ("Line/M.twin:station:servers", 1, "not an absolute prim path"),
        ("/Line/M", 1, "no such attribute"),
    ],
)
def test_bad_values_are_named(line, target, value, says):
    with pytest.raises(StudyError) as error:
        compile_scenario(line, values={target: value})
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('over "Line" {\n    over "Gone" {\n    }\n}', "/Line/Gone"),
        ('over "Line" {\n    over "M" {\n        int twin:station:severs = 2\n    }\n}', "did you mean twin:station:servers?"),
        ('over "Line" {\n    over "M" {\n        string twin:station:servers = "2"\n    }\n}', "must be int"),
    ],
)
def test_dangling_layers_are_named(line, tmp_path, text, says):
    layer = write(tmp_path / "over.usda", text)
    with pytest.raises(StudyError) as error:
        compile_scenario(line, layers=[layer])
    assert says in str(error.value)


def test_a_layer_may_add(line, tmp_path):
    text = """over "Line" {
    def "Spare" (apiSchemas = ["TwinBufferAPI"]) {
        int twin:buffer:capacity = 9
    }
    over "M" (prepend apiSchemas = ["TwinPowerAPI"]) {
        double twin:power:busy = 300
    }
}"""
    model = compile_scenario(line, layers=[write(tmp_path / "add.usda", text)])
    assert model.nodes[model.node_index("/Line/Spare")].capacity == 9
    assert model.nodes[model.node_index("/Line/M")].power[1] == 300.0


def test_a_missing_layer_is_a_scene_error(line, tmp_path):
    with pytest.raises(SceneError, match="no such file"):
        compile_scenario(line, layers=[tmp_path / "none.usda"])
