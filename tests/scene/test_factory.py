"""A line as plain arrays: units, distributions, routes, zones, belts."""

import numpy as np
import pytest

from twin.model.distributions import NEVER, ZERO, Distribution
from twin.model.factory import NodeKind, RouterRule, stream_id
from twin.scene import compile_factory, list_signals, open_stage
from twin.scene.check import check_stage

SOURCE = """def Cube "S" (apiSchemas = ["TwinSourceAPI"]) {{
    rel twin:source:items = {items}
    rel twin:next = {next}
{more}}}
"""


def codes(model):
    return {f.code for f in model.findings if f.severity != "info"}


def test_the_whole_line(line):
    model = compile_factory(open_stage(line))
    assert [n.path for n in model.nodes] == ["/Line/In", "/Line/Belt", "/Line/M", "/Line/Out"]
    source, belt, machine, sink = model.nodes
    assert [n.next for n in model.nodes] == [[1], [2], [3], []]
    assert source.stream == stream_id("/Line/In")
    arrival = model.distributions.rows[source.interarrival]
    assert (arrival.kind, arrival.mean) == (Distribution.EXPONENTIAL, 5.0)
    assert machine.time_to_failure == NEVER
    assert machine.setup == ZERO
    assert model.distributions.rows[machine.cycle[0]].mean == 3.0
    assert sink.kind == NodeKind.SINK
    assert (belt.speed, belt.length) == pytest.approx((0.5, 3.0))
    shape = model.rigid.shapes[belt.belt_shapes[0]]
    assert shape.surface_drive == pytest.approx(0.5)
    np.testing.assert_allclose(shape.surface_linear, [1, 0, 0])
    np.testing.assert_allclose(machine.zone.center, [3, 0, 1])
    np.testing.assert_allclose(machine.zone.floor, [3, 0, 0])
    # The belt's top is at 1.0 m and the carton is 0.4 m high: its centre rides inside the belt's zone.
    np.testing.assert_allclose(belt.zone.floor, [1, 0, 0.8])
    assert belt.zone.center[2] + belt.zone.half_extents[2] == pytest.approx(1.4)
    carton = model.rigid.prototypes[0]
    assert (carton.type, carton.length) == ("carton", pytest.approx(0.4))
    assert carton.body.mass == pytest.approx(64)
    assert model.rigid.bodies == []
    assert codes(model) == set()


def test_centimetres_scale_lengths_and_leave_times(tmp_path, line):
    path = tmp_path / "cm.usda"
    path.write_text(line.read_text().replace("metersPerUnit = 1", "metersPerUnit = 0.01"))
    model = compile_factory(open_stage(path))
    belt, machine = model.nodes[1:3]
    assert (belt.speed, belt.length) == pytest.approx((0.005, 0.03))
    assert model.distributions.rows[machine.cycle[0]].mean == 3.0


def test_prototypes_in_the_open_are_not_part_of_the_world(stage_of):
    body = 'def Cube "P" (apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"]) {\n}\n'
    model = compile_factory(stage_of(body + SOURCE.format(items="</P>", next="None", more="")))
    assert (model.rigid.bodies, model.rigid.shapes) == ([], [])
    assert [p.path for p in model.rigid.prototypes] == ["/P"]
    assert model.item_types == ["P"]


def test_curved_conveyor_has_its_paths_length_and_drives_only_its_belt(stage_of):
    model = compile_factory(
        stage_of(
            """def Xform "C" (apiSchemas = ["TwinConveyorAPI"]) {
    double twin:conveyor:speed = 1
    rel twin:conveyor:path = </C/Path>
    rel twin:conveyor:belt = </C/Belt>
    def BasisCurves "Path" {
        uniform token type = "linear"
        int[] curveVertexCounts = [3]
        point3f[] points = [(0, 0, 0), (3, 0, 0), (3, 4, 0)]
    }
    def Cube "Belt" (apiSchemas = ["PhysicsCollisionAPI"]) {
    }
    def Cube "Rail" (apiSchemas = ["PhysicsCollisionAPI"]) {
    }
}"""
        )
    )
    node = model.nodes[0]
    assert node.length == pytest.approx(7)
    assert [model.rigid.shapes[i].path for i in node.belt_shapes] == ["/C/Belt"]
    shapes = {s.path: s for s in model.rigid.shapes}
    np.testing.assert_allclose(model.rigid.paths[shapes["/C/Belt"].surface_path][-1], [3, 4, 0])
    assert shapes["/C/Rail"].surface_drive == 0.0


def test_a_marked_collider_is_the_belt_and_turned_conveyors_run_along_their_own_x(stage_of):
    model = compile_factory(
        stage_of(
            """def Xform "C" (apiSchemas = ["TwinConveyorAPI"]) {
    double twin:conveyor:speed = 2
    float xformOp:rotateZ = 90
    uniform token[] xformOpOrder = ["xformOp:rotateZ"]
    def Cube "Belt" (apiSchemas = ["PhysicsCollisionAPI"]) {
        custom bool twin:belt = 1
        float xformOp:rotateZ = -90
        uniform token[] xformOpOrder = ["xformOp:rotateZ"]
    }
    def Cube "Leg" (apiSchemas = ["PhysicsCollisionAPI"]) {
    }
}"""
        )
    )
    belt = model.rigid.shapes[model.nodes[0].belt_shapes[0]]
    assert belt.path == "/C/Belt"
    assert len(model.nodes[0].belt_shapes) == 1
    # The conveyor runs along the world's Y, and the belt's own axes are the world's.
    np.testing.assert_allclose(belt.surface_linear, [0, 1, 0], atol=1e-12)


def test_routers_types_weights_and_crews(stage_of):
    goods = "".join(f'class Cube "{n}" (apiSchemas = ["TwinItemAPI"]) {{\n}}\n' for n in "AB")
    text = goods + SOURCE.format(items="[</A>, </B>]", next="</R>", more="    float[] twin:source:weights = [3, 1]\n")
    text += """def "R" (apiSchemas = ["TwinRouterAPI"]) {
    uniform token twin:router:rule = "byType"
    token[] twin:router:types = ["B", ""]
    rel twin:next = [</M>, </K>]
}
def "M" (apiSchemas = ["TwinStationAPI"]) {
    rel twin:station:crew = </People>
    int twin:station:crewSize = 2
    double twin:station:timeToFailure:mean = 100
    token twin:station:timeToFailure:distribution = "exponential"
    double twin:station:timeToRepair:min = 1
    double twin:station:timeToRepair:max = 5
    token twin:station:timeToRepair:distribution = "uniform"
    token twin:station:failureMode = "time"
    rel twin:next = </K>
}
def "People" (apiSchemas = ["TwinCrewAPI"]) {
    int twin:crew:size = 3
}
def "K" (apiSchemas = ["TwinSinkAPI"]) {
}
"""
    model = compile_factory(stage_of(text))
    source, router, machine, _ = model.nodes
    assert source.weights == [0.75, 0.25]
    assert router.rule == RouterRule.BY_TYPE
    assert router.router_types == [1, -1]
    assert (machine.crew, machine.crew_size, machine.failure_while_working) == (0, 2, False)
    repair = model.distributions.rows[machine.time_to_repair]
    assert (repair.kind, repair.low, repair.high) == (Distribution.UNIFORM, 1.0, 5.0)


def test_shifts_and_crews_are_carried_over(stage_of):
    model = compile_factory(
        stage_of(
            """def "M" (apiSchemas = ["TwinStationAPI"]) {
    rel twin:station:repairCrew = </People>
    rel twin:node:shift = </Early>
}
def "People" (apiSchemas = ["TwinCrewAPI"]) {
    int twin:crew:size = 3
    rel twin:node:shift = </Early>
}
def "Early" (apiSchemas = ["TwinShiftAPI"]) {
    string[] twin:shift:pattern = ["mon-fri 06:00-14:00", "whenever"]
}
"""
        )
    )
    assert [(c.path, c.size, c.shift) for c in model.crews] == [("/People", 3, 0)]
    assert [(s.path, s.patterns) for s in model.shifts] == [("/Early", ["mon-fri 06:00-14:00"])]
    assert (model.nodes[0].repair_crew, model.nodes[0].shift) == (0, 0)
    assert [f.path for f in model.findings if f.code == "bad-value"] == ["/Early.twin:shift:pattern"]


@pytest.mark.parametrize(
    ("attributes", "code", "where"),
    [
        ("rel twin:next = </Nowhere>", "unknown-successor", "twin:next"),
        ("rel twin:node:zone = </Nowhere>", "missing-zone", "twin:node:zone"),
        ('token twin:station:cycleTime:distribution = "gauss"', "unknown-distribution", "cycleTime:distribution"),
        (
            'token twin:station:cycleTime:distribution = "normal"\ndouble twin:station:cycleTime:mean = 1',
            "missing-parameter",
            "cv",
        ),
        ("double twin:station:cycleTime:mean = -1", "bad-parameter", "cycleTime:mean"),
        ("double twin:station:cycleTime:mean = inf", "bad-parameter", "cycleTime:mean"),
        ("double twin:station:cycleTime:mean = 1\ndouble twin:station:cycleTime:cv = 1", "unused-parameter", "cycleTime:cv"),
        ("double twin:station:cycleTime:maen = 1", "unknown-attribute", "cycleTime:maen"),
        ("double twin:buffer:capacity = 1", "api-not-applied", "buffer:capacity"),
        ("custom double twin:station:cycleTime:type:pallet:mean = 1", "unknown-type", "pallet"),
        ("int twin:station:servers = 0", "bad-value", "servers"),
        ("double twin:station:scrapRate = 1.5", "bad-value", "scrapRate"),
        ('token twin:station:blocking = "never"', "bad-token", "blocking"),
        ("string twin:station:servers = \"two\"", "wrong-type", "servers"),
        ("rel twin:station:crew = </Line/Out>", "unknown-target", "crew"),
    ],
)  # fmt: skip
def test_check_names_what_is_wrong(line, attributes, code, where):
    names = [a.split("=")[0].split()[-1] for a in attributes.splitlines()]
    text = line.read_text()
    head, tail = text.split('def Cube "M" (prepend apiSchemas = ["TwinStationAPI"])\n    {\n')
    tail = "\n".join(row for row in tail.splitlines() if not any(f" {n} =" in row for n in names))
    line.write_text(f'{head}def Cube "M" (prepend apiSchemas = ["TwinStationAPI"])\n    {{\n{attributes}\n{tail}\n')
    found = [f for f in check_stage(line) if f.code == code]
    assert found, [str(f) for f in check_stage(line)]
    assert where in found[0].path


def test_goods_without_a_shape_are_no_error(line):
    """A line need not be drawn to be counted."""
    text = line.read_text().replace("rel twin:source:items = </Line/Carton>", "rel twin:source:items = </Bare>")
    line.write_text(text + '\ndef Xform "Bare"\n{\n}\n')
    found = {(f.severity, f.path) for f in check_stage(line) if f.code == "prototype-empty"}
    assert found == {("warning", "/Bare")}


def test_a_slip_of_the_pen_gets_a_suggestion(line):
    line.write_text(
        line.read_text().replace("twin:conveyor:speed", "twin:conveyor:sped").replace('"TwinSinkAPI"', '"TwinSnkAPI"')
    )
    messages = {f.code: f.message for f in check_stage(line)}
    assert "did you mean twin:conveyor:speed?" in messages["unknown-attribute"]
    assert "did you mean TwinSinkAPI?" in messages["unknown-api"]


def test_check_of_the_graph(stage_of):
    stage = stage_of(
        """def "A" (apiSchemas = ["TwinStationAPI"]) {
    rel twin:next = </B>
}
def "B" (apiSchemas = ["TwinStationAPI"]) {
    rel twin:next = </A>
}
def "R" (apiSchemas = ["TwinRouterAPI"]) {
}
def "K" (apiSchemas = ["TwinSinkAPI"]) {
}
def "T" (apiSchemas = ["TwinSignalAPI:temp"]) {
    string twin:signal:temp:unit = "degrees"
}"""
    )
    found = {(f.path, f.code) for f in check_stage(stage.GetRootLayer().realPath)}
    assert ("/A", "cycle-without-buffer") in found
    assert ("/A", "unreachable") in found
    assert ("/R", "router-without-successor") in found
    assert ("/K", "sink-without-predecessor") in found
    assert ("/T.twin:signal:temp:unit", "unit-not-ucum") in found


def test_a_good_line_has_nothing_said_against_it(line):
    assert check_stage(line) == []


def test_missing_assets_are_errors(tmp_path):
    path = tmp_path / "a.usda"
    path.write_text('#usda 1.0\ndef "A" (references = @./gone.usda@) {\n}\n')
    assert "missing-asset" in {f.code for f in check_stage(path) if f.severity == "error"}


def test_signals_and_sensors(stage_of):
    stage = stage_of(
        """def Xform "Eye" (apiSchemas = ["TwinSensorAPI", "TwinSignalAPI:blocked"]) {
    double twin:sensor:range = 50
    rel twin:sensor:signal = </Eye.twin:signal:blocked:value>
    custom bool twin:signal:blocked:value = 0
    uniform token twin:signal:blocked:role = "state"
    double3 xformOp:translate = (100, 0, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
}""",
        mpu=0.01,
    )
    (signal,) = list_signals(stage)
    assert (signal.prim, signal.name, signal.role, signal.value) == ("/Eye", "blocked", "state", False)
    (sensor,) = compile_factory(stage).sensors
    assert (sensor.kind, sensor.signal, sensor.range) == ("photoEye", 0, pytest.approx(0.5))
    np.testing.assert_allclose(sensor.position, [1, 0, 0])
