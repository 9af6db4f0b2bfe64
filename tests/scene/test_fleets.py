"""Distances that vehicles drive, from curves and places on a stage."""

import numpy as np
import pytest

from twin.flow import simulate
from twin.scene import compile_factory, open_stage

STAGE = """#usda 1.0
(
    metersPerUnit = {unit}
    upAxis = "Z"
)
def Cube "P" (apiSchemas = ["TwinItemAPI"]) {{
}}
def Cube "S" (apiSchemas = ["TwinSourceAPI"]) {{
    double3 xformOp:translate = (0, 2, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    double twin:source:interarrival:mean = 100
    rel twin:source:items = </P>
    rel twin:next = </F>
}}
def Cube "K" (apiSchemas = ["TwinSinkAPI"]) {{
    double3 xformOp:translate = (10, 12, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
}}
def Scope "F" (apiSchemas = ["TwinFleetAPI"]) {{
    double twin:fleet:speed = 2
    double twin:fleet:loadTime:mean = 3
    double twin:fleet:unloadTime:mean = 4
{paths}
    rel twin:next = </K>
}}
def BasisCurves "Ways" {{
    uniform token type = "linear"
    int[] curveVertexCounts = [2, 2]
    point3f[] points = [(-4, 0, 0), (20, 0, 0), (10, 0, 0), (10, 20, 0)]
}}
"""


@pytest.fixture
def compiled(tmp_path):
    def compile_with(paths="    rel twin:fleet:paths = </Ways>", unit=1):
        path = tmp_path / "line.usda"
        path.write_text(STAGE.format(paths=paths, unit=unit))
        return compile_factory(open_stage(path))

    return compile_with


def test_ways_meet_where_one_ends_on_another(compiled):
    model = compiled()
    assert [f.code for f in model.findings if f.severity != "info"] == ["prototype-no-collider"]
    fleet = model.nodes[2]
    assert [model.nodes[i].path for i in fleet.stops] == ["/S", "/K"]
    # S stands 2 m beside x = 0 of the first way, K beside y = 12 of the second, which ends on the first at x = 10;
    # vehicles begin where the first way does, at x = -4
    np.testing.assert_allclose(fleet.ways, [[0, 22], [22, 0], [4, 26]])
    result = simulate(model, horizon_s=250.0, replications=1)
    # at 100 s: 4 m to S, 3 s, 22 m to K, 4 s; at 200 s the vehicle comes from K
    assert result.sunk[0] == 2
    assert result.lead_mean_s[0] == pytest.approx(3.0 + 11.0 + 4.0)


def test_units_and_straight_lines(compiled):
    np.testing.assert_allclose(compiled(unit=0.01).nodes[2].ways, np.array([[0, 22], [22, 0], [4, 26]]) * 0.01)
    assert compiled(unit=0.01).nodes[2].speed == pytest.approx(0.02)
    # without curves vehicles drive straight, and begin at the first stop
    far = np.hypot(10.0, 10.0)
    np.testing.assert_allclose(compiled("").nodes[2].ways, [[0, far], [far, 0], [0, far]])


def test_a_curve_that_is_none_is_named(compiled):
    findings = compiled("    rel twin:fleet:paths = </K>").findings
    assert [str(f.path) for f in findings if f.code == "unknown-target"] == ["/F.twin:fleet:paths"]
