"""What the browser gets to draw, and what a patch says after an edit."""

import json
import random
import struct

import msgspec
import numpy as np
import pytest
from pxr import Gf, Usd, UsdGeom

from twin.core.errors import SceneError
from twin.core.findings import Findings
from twin.protocol.messages import Op
from twin.scene import compile_factory, open_stage
from twin.scene.edits import apply_txn, make_edit_layer
from twin.scene.render import (
    AssetStore,
    SceneExtractor,
    library_parts,
    node_docs,
    part_doc,
    prim_detail,
    signal_docs,
    stage_layers,
    stage_variants,
)
from twin.scene.render import assets as assets_module


def read_buffer(data):
    """Decode a mesh buffer: groups [G,3], positions [V,3], normals [V,3], uv or None, triangles [T,3]."""
    assert data[:4] == b"TWM1"
    v, i, g, flags = struct.unpack_from("<4I", data, 4)
    at = 20

    def take(dtype, n):
        nonlocal at
        out = np.frombuffer(data, dtype, n, at)
        at += out.nbytes
        return out

    groups = take("<u4", 3 * g).reshape(-1, 3)
    positions, normals = take("<f4", 3 * v).reshape(-1, 3), take("<f4", 3 * v).reshape(-1, 3)
    uv = take("<f4", 2 * v).reshape(-1, 2) if flags & 1 else None
    triangles = take("<u4", i).reshape(-1, 3)
    assert at == len(data)
    return groups, positions, normals, uv, triangles


def extractor(stage, **options):
    store = AssetStore()
    return SceneExtractor(stage, assets=store, **options), store


def test_a_line_is_drawn_with_bodies_nodes_and_goods(line):
    stage = open_stage(line)
    model = compile_factory(stage)
    view, _ = extractor(stage, model=model)
    parts = view.scene()
    by_path = {p.path: p for p in parts.prims}
    assert list(by_path) == sorted(by_path, key=list(by_path).index)
    assert parts.prims[0].path == "/Line"
    assert by_path["/Line/M"].node == 2
    assert by_path["/Line/M"].geometry.kind == "cube"
    assert by_path["/Line/M"].matrix[12:15] == [3, 0, 1]
    assert "TwinStationAPI" in by_path["/Line/M"].schemas
    (goods,) = parts.prototypes
    assert (goods.path, goods.type) == ("/Line/Carton", "carton")
    assert goods.prims[0].geometry.size == [0.4] * 3
    assert [n.kind for n in node_docs(model)] == ["source", "conveyor", "station", "sink"]
    assert signal_docs(model)[0].unit == "m/s"
    json.loads(msgspec.json.encode(parts.prims))


def test_goods_are_in_metres_whatever_the_stage(stage_of):
    stage = stage_of(
        """class Xform "Tray" {
    float3 xformOp:scale = (2, 1, 1)
    uniform token[] xformOpOrder = ["xformOp:scale"]
    def Cube "Box" {
        double size = 10
        double3 xformOp:translate = (5, 0, 0)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Cube "Helper" {
        uniform token purpose = "guide"
    }
}
def "S" (apiSchemas = ["TwinSourceAPI"]) {
    rel twin:source:items = </Tray>
}""",
        mpu=0.01,
    )
    (goods,) = extractor(stage)[0].scene().prototypes
    (box,) = goods.prims
    matrix = np.reshape(box.matrix, (4, 4))
    np.testing.assert_allclose(np.array([5, 5, 5, 1]) @ matrix, [0.2, 0.05, 0.05, 1])


def test_a_mesh_with_subsets_uv_and_flat_normals(stage_of):
    stage = stage_of(
        """def Mesh "M" (apiSchemas = ["MaterialBindingAPI"]) {
    uniform token subdivisionScheme = "none"
    int[] faceVertexCounts = [4, 3]
    int[] faceVertexIndices = [0, 1, 2, 3, 1, 0, 4]
    point3f[] points = [(0,0,0), (1,0,0), (1,1,0), (0,1,0), (0,0,-1)]
    texCoord2f[] primvars:st = [(0,0), (1,0), (1,1), (0,1), (0.5,0.5)] (
        interpolation = "vertex"
    )
    rel material:binding = </Red>
    def GeomSubset "Side" (apiSchemas = ["MaterialBindingAPI"]) {
        uniform token elementType = "face"
        uniform token familyName = "materialBind"
        int[] indices = [1]
        rel material:binding = </Blue>
    }
}
def Material "Red" {
    token outputs:surface.connect = </Red/S.outputs:surface>
    def Shader "S" {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor = (1, 0, 0)
        float inputs:roughness = 0.25
        token outputs:surface
    }
}
def Material "Blue" {
    color3f inputs:tint = (0, 0, 1)
    token outputs:surface.connect = </Blue/S.outputs:surface>
    def Shader "S" {
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor.connect = </Blue.inputs:tint>
        token outputs:surface
    }
}"""
    )
    view, store = extractor(stage)
    parts = view.scene()
    geometry = next(p.geometry for p in parts.prims if p.path == "/M")
    groups, positions, normals, uv, triangles = read_buffer(store.get(geometry.mesh))
    assert groups.tolist() == [[0, 6, 0], [6, 3, 1]]
    np.testing.assert_allclose(normals[triangles[0]], [[0, 0, 1]] * 3)
    np.testing.assert_allclose(np.abs(normals[triangles[2]]), [[0, 1, 0]] * 3)
    np.testing.assert_allclose(uv, positions[:, :2] * (positions[:, 2:] == 0) + 0.5 * (positions[:, 2:] != 0))
    colors = [parts.materials[m].color for m in geometry.materials]
    assert colors == [[1, 0, 0], [0, 0, 1]]
    assert parts.materials[geometry.materials[0]].roughness == 0.25


def test_equal_meshes_share_a_buffer_and_paths_are_not_drawn(stage_of):
    mesh = 'def Mesh "{n}" {{\n    int[] faceVertexCounts = [3]\n    int[] faceVertexIndices = [0,1,2]\n    point3f[] points = [(0,0,0), (1,0,0), (0,1,0)]\n}}\n'  # noqa: E501
    text = mesh.format(n="A") + mesh.format(n="B")
    text += """def Xform "C" (apiSchemas = ["TwinConveyorAPI"]) {
    rel twin:conveyor:path = </Curve>
}
def BasisCurves "Curve" {
    uniform token type = "linear"
    int[] curveVertexCounts = [2]
    point3f[] points = [(0,0,0), (1,0,0)]
}
def SphereLight "L" {
    float inputs:intensity = 100
    float inputs:exposure = 1
    float inputs:radius = 2
}
"""
    view, store = extractor(stage_of(text))
    by_path = {p.path: p for p in view.scene().prims}
    assert by_path["/A"].geometry.mesh == by_path["/B"].geometry.mesh
    assert len(store) == 1
    assert by_path["/Curve"].geometry is None
    light = by_path["/L"].light
    assert (light.kind, light.intensity, light.size) == ("sphere", 200.0, [2.0])
    assert by_path["/L"].geometry is None


def test_patches_say_what_changed_and_no_more(line):
    stage = open_stage(line)
    layer = make_edit_layer(stage)
    view, _ = extractor(stage, model=compile_factory(stage), edit_layer=layer)
    view.scene()
    done = apply_txn(stage, layer, [Op("set_field", "/Line/M", "xformOp:translate", ["double3", [4, 0, 1]])])
    parts = view.patch(done.changed, done.resync)
    assert [p.path for p in parts.prims] == ["/Line/M"]
    assert parts.prims[0].edited
    assert parts.prims[0].matrix[12] == 4
    assert (parts.removed, parts.materials) == ([], [])

    done = apply_txn(
        stage,
        layer,
        [
            Op("add_prim", "/Line/New", "", {"type": "Sphere"}),
            Op("set_field", "/Line/New", "primvars:displayColor", ["color3f[]", [[1, 0, 0]]]),
        ],
    )
    parts = view.patch(done.changed, done.resync)
    assert [p.path for p in parts.prims] == ["/Line/New"]
    assert parts.materials[parts.prims[0].geometry.materials[0]].color == [1, 0, 0]

    done = apply_txn(stage, layer, [Op("remove_prim", "/Line/Belt"), Op("remove_prim", "/Line/New")])
    parts = view.patch(done.changed, done.resync)
    assert (parts.prims, parts.removed) == ([], ["/Line/Belt", "/Line/New"])
    parts = view.patch([], ["/Line/Belt"])
    assert parts.removed == ["/Line/Belt"], "whoever was away has to be told, too"
    undone = apply_txn(stage, layer, done.inverse, internal=True)
    parts = view.patch(undone.changed, undone.resync)
    assert {p.path for p in parts.prims} == {"/Line/Belt", "/Line/Belt/Bed", "/Line/New"}


def test_materials_that_look_alike_are_one_until_one_of_them_changes(stage_of):
    material = """def Material "{n}" {{
    token outputs:surface.connect = </{n}/S.outputs:surface>
    def Shader "S" {{
        uniform token info:id = "UsdPreviewSurface"
        color3f inputs:diffuseColor = (1, 0, 0)
        token outputs:surface
    }}
}}
def Cube "On{n}" (apiSchemas = ["MaterialBindingAPI"]) {{
    rel material:binding = </{n}>
}}
"""
    stage = stage_of(material.format(n="A") + material.format(n="B"))
    layer = make_edit_layer(stage)
    view, _ = extractor(stage, edit_layer=layer)
    parts = view.scene()
    assert [m.color for m in parts.materials] == [[1, 0, 0]]
    done = apply_txn(stage, layer, [Op("set_field", "/A/S", "inputs:diffuseColor", ["color3f", [0, 1, 0]])])
    parts = view.patch(done.changed, done.resync)
    drawn = {p.path: p for p in parts.prims}
    assert set(drawn) == {"/A/S", "/OnA"}
    assert parts.materials[drawn["/OnA"].geometry.materials[0]].color == [0, 1, 0]
    assert parts.materials[0].color == [1, 0, 0]


def test_detail_names_type_doc_unit_and_layer(line):
    stage = open_stage(line)
    layer = make_edit_layer(stage)
    apply_txn(stage, layer, [Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 0.7])])
    detail = prim_detail(stage, "/Line/Belt", layer)
    by_name = {p.name: p for p in detail.properties}
    speed = by_name["twin:conveyor:speed"]
    assert (speed.type, speed.value, speed.unit, speed.layer, speed.edited) == ("double", 0.7, "m/s", "edits", True)
    assert speed.doc == "Speed of the belt."
    assert (speed.low, speed.high) == (0.0, None)
    assert [(o.layer, o.value) for o in speed.opinions] == [("edits", 0.7), ("line.usda", 0.5)]
    assert by_name["twin:next"].value == ["/Line/M"]
    assert by_name["twin:next"].layer == "line.usda"
    pitch = by_name["twin:conveyor:pitch"]
    assert (pitch.layer, pitch.authored) == ("", False)
    assert by_name["visibility"].allowed == ["inherited", "invisible"]
    json.loads(msgspec.json.encode(detail))
    with pytest.raises(SceneError, match="no such prim"):
        prim_detail(stage, "/Line/Nowhere")


def test_layers_and_variants_of_a_stage_are_listed_strongest_first(tmp_path):
    (tmp_path / "part.usda").write_text('#usda 1.0\n(defaultPrim = "Part")\ndef Xform "Part"\n{\ndef Cube "Box"\n{\n}\n}\n')
    (tmp_path / "base.usda").write_text('#usda 1.0\ndef Xform "Line" {}\n')
    (tmp_path / "line.usda").write_text(
        """#usda 1.0
(subLayers = [@./base.usda@])
over "Line" {
    def "A" (
        references = @./part.usda@
        variants = { string size = "small" }
        variantSets = "size"
    ) {
        variantSet "size" = {
            "small" {
            }
            "large" {
            }
        }
    }
}
"""
    )
    stage = open_stage(tmp_path / "line.usda")
    layer = make_edit_layer(stage)
    rows = stage_layers(stage, tmp_path, layer)
    assert [(r["name"], r["role"], r["path"]) for r in rows] == [
        ("edits", "edits", ""),
        ("line.usda", "root", "line.usda"),
        ("base.usda", "sublayer", "base.usda"),
        ("part.usda", "reference", "part.usda"),
    ]
    assert [r["prims"] for r in rows] == [0, 2, 1, 2]
    variants = stage_variants(stage)
    assert variants == [{"path": "/Line/A", "set": "size", "selection": "small", "choices": ["large", "small"]}]


def test_a_part_of_the_library_is_drawn_by_itself_and_nothing_else_is_read(tmp_path):
    (tmp_path / "_assets").mkdir()
    (tmp_path / "_assets" / "box.usda").write_text(
        '#usda 1.0\n(\ndefaultPrim = "Box"\nmetersPerUnit = 0.01\nupAxis = "Y"\n)\n'
        'def Xform "Box"\n{\ndef Cube "C"\n{\ndouble size = 3\n}\n}\n'
    )
    (tmp_path / "secret.usda").write_text("#usda 1.0\n")
    (tmp_path / "_uploads" / "box-1").mkdir(parents=True)
    (tmp_path / "_uploads" / "box-1" / "box.usda").write_text((tmp_path / "_assets" / "box.usda").read_text())
    assert [p.path for p in part_doc(tmp_path, "_uploads/box-1/box.usda", AssetStore()).prims] == ["/Box", "/Box/C"]
    doc = part_doc(tmp_path, "_assets/box.usda", AssetStore())
    assert [p.path for p in doc.prims] == ["/Box", "/Box/C"]
    assert (doc.prims[1].geometry.size, doc.up_axis, doc.meters_per_unit) == ([3, 3, 3], "Y", 0.01)
    for name in ("secret.usda", "_assets/../secret.usda", "_assets/none.usda", "_uploads/../secret.usda", "_uploads/box-1"):
        with pytest.raises(SceneError, match="no such part"):
            part_doc(tmp_path, name, AssetStore())


def test_the_library_lists_parts_and_names_broken_ones(tmp_path):
    folder = tmp_path / "_assets"
    folder.mkdir()
    (folder / "robot.usda").write_text(
        '#usda 1.0\n(defaultPrim = "Robot")\ndef Xform "Robot" (\n    doc = "Six axes."\n    displayName = "Robot arm"\n) {\n}\n'
    )
    (folder / "bad.usda").write_text("nonsense")
    (folder / "belt.usda").write_text(
        '#usda 1.0\n(\ndefaultPrim = "Belt"\ncustomLayerData = {string displayName = "Belt, 3 m"}\n)\n'
        'def Xform "Belt" (prepend apiSchemas = ["TwinPowerAPI", "TwinConveyorAPI"]) {\n}\n'
    )
    findings = Findings()
    belt, part = library_parts(tmp_path, findings)
    assert (part.asset, part.name, part.doc) == ("_assets/robot.usda", "Robot arm", "Six axes.")
    assert (part.prim, belt.name, belt.prim) == ("Robot", "Belt, 3 m", "Belt"), "a name for people, and one for prims"
    assert (part.node, belt.node) == ("", "conveyor"), "what joins a line says so"
    assert [f.path for f in findings] == ["bad.usda"]


def test_a_day_of_colours_and_meshes_does_not_pile_up(monkeypatch) -> None:
    monkeypatch.setattr(assets_module, "ROOM", 20_000)
    prims = "".join(f'def Cube "C{i}"\n{{\n}}\n' for i in range(20))
    stage = Usd.Stage.CreateInMemory()
    stage.GetRootLayer().ImportFromString(f'#usda 1.0\n{prims}def Mesh "M"\n{{\n}}\n')
    store = AssetStore()
    view = SceneExtractor(stage, assets=store)
    first = view.scene()
    shown, materials = {p.path: p for p in first.prims}, first.materials
    draw = random.Random(4)
    colours = {}
    for step in range(400):
        path = f"/C{draw.randrange(20)}"
        colours[path] = [round(draw.random(), 3) for _ in range(3)]
        color = UsdGeom.Gprim(stage.GetPrimAtPath(path)).CreateDisplayColorAttr()
        color.Set([Gf.Vec3f(*colours[path])])
        mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/M"))
        mesh.CreatePointsAttr([(0, 0, 0), (1, 0, 0), (0, 1, step)])
        mesh.CreateFaceVertexCountsAttr([3])
        mesh.CreateFaceVertexIndicesAttr([0, 1, 2])
        patch = view.patch([f"{path}.primvars:displayColor", "/M.points"], [])
        shown |= {p.path: p for p in patch.prims}
        materials = patch.materials or materials
        for each, colour in colours.items():
            assert materials[shown[each].geometry.materials[0]].color == pytest.approx(colour), (step, each)
        assert store.get(shown["/M"].geometry.mesh)
    assert len(materials) < 150
    assert len(store) < 350
