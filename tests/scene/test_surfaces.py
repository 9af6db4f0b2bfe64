"""Every kind of geometry as triangles: closed, the right size, facing outwards."""

import numpy as np
import pytest
from pxr import UsdGeom

from twin.core.findings import Findings
from twin.scene.render import AssetStore, SceneExtractor
from twin.scene.render import instancers as instancers_module
from twin.scene.render import meshes as meshes_module
from twin.scene.render import shapes as shapes_module
from twin.scene.render import surface as surface_module
from twin.scene.render.meshes import material_subsets, mesh_surface
from twin.scene.render.polygons import triangulated
from twin.scene.render.shapes import analytic, cloud, tubes
from twin.scene.render.surface import simplified, welded

CAGE = """    int[] faceVertexCounts = [4, 4, 4, 4, 4, 4]
    int[] faceVertexIndices = [0,3,2,1, 4,5,6,7, 0,1,5,4, 1,2,6,5, 2,3,7,6, 3,0,4,7]
    point3f[] points = [(-1,-1,-1), (1,-1,-1), (1,1,-1), (-1,1,-1), (-1,-1,1), (1,-1,1), (1,1,1), (-1,1,1)]
"""


@pytest.fixture
def prim_of(stage_of):
    """The prim /A of a stage that is kept open as long as the test runs."""
    kept = []

    def make(body):
        kept.append(stage_of(body))
        return kept[-1].GetPrimAtPath("/A")

    return make


def volume(surface):
    """Enclosed volume; negative where triangles face inwards."""
    a, b, c = (surface.position[surface.triangles[:, i]].astype(float) for i in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0)


def faces_as_its_normals(surface):
    a, b, c = (surface.position[surface.triangles[:, i]].astype(float) for i in range(3))
    across = np.cross(b - a, c - a)
    mean = surface.normal[surface.triangles].mean(axis=1)
    return bool((np.einsum("ij,ij->i", across, mean) > 0).all())


def mesh_of(stage_of, body, findings=None):
    stage = stage_of(f'def Mesh "M" {{\n{body}}}\n')
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/M"))
    return mesh_surface(mesh, material_subsets(mesh), findings if findings is not None else Findings())


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("Cube", "double size = 3", 27.0),
        ("Sphere", "double radius = 2", 4 / 3 * np.pi * 8),
        ("Cylinder", 'double radius = 1\n double height = 4\n uniform token axis = "X"', 4 * np.pi),
        ("Cone", 'double radius = 1\n double height = 3\n uniform token axis = "Y"', np.pi),
        ("Capsule", "double radius = 1\n double height = 2", 2 * np.pi + 4 / 3 * np.pi),
        ("Cylinder_1", "double radiusTop = 1\n double radiusBottom = 2\n double height = 3", 7 * np.pi),
        ("Capsule_1", "double radiusTop = 1\n double radiusBottom = 1\n double height = 2", 2 * np.pi + 4 / 3 * np.pi),
    ],
)
def test_analytic_shapes_are_closed_and_face_outwards(prim_of, kind, body, expected):
    surface = analytic(prim_of(f'def {kind} "A" {{\n {body}\n}}'))
    assert volume(surface) == pytest.approx(expected, rel=0.03)
    assert faces_as_its_normals(surface)


@pytest.mark.parametrize("axis", ["X", "Y", "Z"])
def test_a_plane_faces_its_axis(prim_of, axis):
    prim = prim_of(f'def Plane "A" {{\n double width = 2\n double length = 6\n uniform token axis = "{axis}"\n}}')
    surface = analytic(prim)
    assert faces_as_its_normals(surface)
    assert surface.normal[:, "XYZ".index(axis)].min() == 1.0
    extent = np.array(UsdGeom.Boundable.ComputeExtentFromPlugins(UsdGeom.Plane(prim), 0))
    np.testing.assert_allclose(surface.position.max(axis=0) - surface.position.min(axis=0), extent[1] - extent[0])


def test_concave_faces_are_cut_into_ears():
    letter_l = np.array([[0, 0, 0], [3, 0, 0], [3, 1, 0], [1, 1, 0], [1, 3, 0], [0, 3, 0]], float)
    for axes in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        for order in (range(6), range(5, -1, -1), [3, 4, 5, 0, 1, 2]):
            points = letter_l[list(order)][:, axes]
            corners, face = triangulated(points, np.array([6]), np.arange(6))
            area = np.cross(points[corners[:, 1]] - points[corners[:, 0]], points[corners[:, 2]] - points[corners[:, 0]]) / 2
            assert np.linalg.norm(area.sum(axis=0)) == pytest.approx(5.0)
            assert np.linalg.norm(area, axis=1).sum() == pytest.approx(5.0), "no triangle lies outside"
            assert face.tolist() == [0] * 4


def test_subdivision_is_refined_where_it_is_authored(stage_of):
    cube = mesh_of(stage_of, '    uniform token subdivisionScheme = "catmullClark"\n' + CAGE)
    assert len(cube) == 6 * 16 * 2
    assert 2.0 < volume(cube) < 4.5, "rounder than its cage of 8"
    assert faces_as_its_normals(cube)
    assert len(mesh_of(stage_of, CAGE)) == 12, "what says nothing is the mesh that it lists"
    crease = (
        "    int[] creaseIndices = [4,5,6,7,4]\n    int[] creaseLengths = [5]\n    float[] creaseSharpnesses = [10]\n"
        '    uniform token subdivisionScheme = "catmullClark"\n'
    )
    creased = mesh_of(stage_of, crease + CAGE)
    assert creased.position[:, 2].max() == pytest.approx(1.0), "the sharp rim keeps the top flat"
    assert creased.position[:, 2].min() > -0.95


def test_a_flat_sheet_stays_where_it_is_when_refined(stage_of):
    sheet = mesh_of(
        stage_of,
        '    uniform token subdivisionScheme = "catmullClark"\n    int[] faceVertexCounts = [4, 4]\n'
        "    int[] faceVertexIndices = [0,1,2,3, 1,4,5,2]\n"
        "    point3f[] points = [(0,0,0), (1,0,0), (1,1,0), (0,1,0), (2,0,0), (2,1,0)]\n"
        "    texCoord2f[] primvars:st = [(0,0), (0.5,0), (0.5,1), (0,1), (1,0), (1,1)] (\n"
        '        interpolation = "vertex"\n    )\n'
        "    int[] holeIndices = [1]\n",
    )
    np.testing.assert_allclose([sheet.position.min(axis=0), sheet.position.max(axis=0)], [[0, 0, 0], [1, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(sheet.uv, sheet.position[:, :2] * [0.5, 1.0], atol=0.02)


def test_left_handed_faces_keep_what_is_said_corner_by_corner(stage_of):
    body = (
        '    uniform token orientation = "leftHanded"\n    uniform token subdivisionScheme = "none"\n'
        "    int[] faceVertexCounts = [3, 3]\n    int[] faceVertexIndices = [0,2,1, 1,2,3]\n"
        "    point3f[] points = [(0,0,0), (1,0,0), (0,1,0), (1,1,0)]\n"
        "    texCoord2f[] primvars:st = [(0,0), (0,1), (1,0), (1,0), (0,1), (1,1)] (\n"
        '        interpolation = "faceVarying"\n    )\n'
    )
    surface = mesh_of(stage_of, body)
    assert faces_as_its_normals(surface)
    assert surface.normal[:, 2].min() == 1.0
    np.testing.assert_allclose(surface.uv, surface.position[:, :2])


def test_colours_of_faces_and_points_come_with_the_mesh_and_one_for_all_is_a_material(stage_of):
    faces = "    color3f[] primvars:displayColor = [(1,0,0), (0,1,0), (1,0,0), (1,0,0), (1,0,0), (1,0,0)] (\n"
    faces += '        interpolation = "uniform"\n    )\n'
    surface = mesh_of(stage_of, CAGE + faces)
    top = surface.position[:, 2] == 1.0
    green = surface.color[:, 1] == 1.0
    assert (surface.position[green, 2] == 1.0).all()
    assert green.sum() == 4
    assert top.sum() > 4
    assert mesh_of(stage_of, CAGE + "    color3f[] primvars:displayColor = [(1,0,0)]\n").color is None
    stage = stage_of(f'def Mesh "M" {{\n{CAGE}{faces}}}\ndef Points "P" {{\n point3f[] points = [(0,0,0), (1,0,0)]\n'
                     ' color3f[] primvars:displayColor = [(1,0,0), (0,0,1)] (\n interpolation = "vertex"\n )\n}')  # fmt: skip
    view = SceneExtractor(stage, assets=AssetStore())
    parts = view.scene()
    for prim in parts.prims:
        assert parts.materials[prim.geometry.materials[0]].vertex_colors


def test_a_heavy_mesh_is_simplified_and_says_so(stage_of, monkeypatch):
    monkeypatch.setattr(meshes_module, "MOST_TRIANGLES", 400)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    rings = np.linspace(-1.4, 1.4, 40)
    points = [(np.cos(a) * np.cos(r), np.sin(a) * np.cos(r), np.sin(r)) for r in rings for a in angle]
    quads = [
        (60 * i + j, 60 * i + (j + 1) % 60, 60 * (i + 1) + (j + 1) % 60, 60 * (i + 1) + j) for i in range(39) for j in range(60)
    ]
    body = (
        f"    int[] faceVertexCounts = {[4] * len(quads)}\n    int[] faceVertexIndices = {[c for q in quads for c in q]}\n"
        f"    point3f[] points = [{', '.join(f'({x:.5f}, {y:.5f}, {z:.5f})' for x, y, z in points)}]\n"
    )
    findings = Findings()
    surface = mesh_of(stage_of, body, findings)
    assert 100 < len(surface) <= 400
    assert [f.code for f in findings] == ["mesh-simplified"]
    radius = np.linalg.norm(surface.position, axis=1)
    assert radius.min() > 0.85
    assert radius.max() <= 1.0001


def test_simplifying_keeps_materials_and_does_nothing_where_it_fits(prim_of):
    surface = analytic(prim_of('def Sphere "A" {\n}'))
    assert simplified(surface, 10_000) is surface
    assert set(simplified(surface, 60).material.tolist()) == {0}


def test_curves_become_tubes_of_their_width(stage_of):
    stage = stage_of(
        """def BasisCurves "A" {
    uniform token type = "cubic"
    uniform token basis = "bezier"
    int[] curveVertexCounts = [4, 4]
    point3f[] points = [(0,0,0), (1,0,0), (2,0,0), (3,0,0), (0,5,0), (0,6,0), (0,7,0), (0,8,1)]
    float[] widths = [0.4] (
        interpolation = "constant"
    )
}
def BasisCurves "B" {
    uniform token type = "linear"
    int[] curveVertexCounts = [2]
    point3f[] points = [(0,0,0), (0,0,1)]
}"""
    )
    surface = tubes(stage.GetPrimAtPath("/A"), 0.01)
    straight = surface.position[surface.position[:, 1] < 1.0]
    np.testing.assert_allclose(np.hypot(straight[:, 1], straight[:, 2]), 0.2, atol=1e-6)
    assert straight[:, 0].max() == pytest.approx(3.0)
    assert faces_as_its_normals(surface)
    view = SceneExtractor(stage, assets=AssetStore())
    view.scene()
    assert [(f.path, f.code) for f in view.all_findings()] == [("/B", "no-width")]


def test_points_are_seen_and_many_are_thinned(prim_of, monkeypatch):
    monkeypatch.setattr(shapes_module, "MOST_POINTS", 5)
    points = ", ".join(f"({i}, 0, 0)" for i in range(20))
    prim = prim_of(f'def Points "A" {{\n point3f[] points = [{points}]\n float[] widths = [0.5]\n}}')
    surface, count = cloud(prim, 0.01)
    assert count == 20
    assert len(surface) == 5 * 8
    assert (surface.position[:, 0].min(), surface.position[:, 0].max()) == (-0.25, 19.25)
    assert volume(surface) > 0.0


INSTANCER = """def PointInstancer "I" {{
    rel prototypes = [</I/Block>, </I/Ball>]
    int[] protoIndices = [0, 1, 0, 0]
    int64[] invisibleIds = [3]
    point3f[] positions = [(0,0,0), (10,0,0), (20,0,0), (30,0,0)]
    float3[] scales = [(1,1,1), (1,1,1), (2,1,1), (1,1,1)]
    def Xform "Block" {{
        double3 xformOp:translate = (0, 0, 5)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        def Cube "Box" {{
            double size = 2
            color3f[] primvars:displayColor = [(1, 0, 0)]
        }}
        def Cube "Helper" {{
            uniform token purpose = "guide"
        }}
    }}
    def {ball} "Ball" {{
        color3f[] primvars:displayColor = [(0, 0, 1)]
    }}
}}"""


def test_an_instancer_draws_its_copies_where_they_are_and_its_prototypes_nowhere_else(stage_of):
    view = SceneExtractor(stage_of(INSTANCER.format(ball="Sphere")), assets=(store := AssetStore()))
    parts = view.scene()
    by_path = {p.path: p for p in parts.prims}
    assert not by_path["/I/Block"].visible
    assert not by_path["/I/Ball"].visible
    geometry = by_path["/I"].geometry
    assert geometry.kind == "mesh"
    assert [parts.materials[m].color for m in geometry.materials] == [[1, 0, 0], [0, 0, 1]]
    data = store.get(geometry.mesh)
    vertices = int.from_bytes(data[4:8], "little")
    groups = int.from_bytes(data[12:16], "little")
    position = np.frombuffer(data, "<f4", 3 * vertices, 20 + 12 * groups).reshape(-1, 3)
    np.testing.assert_allclose(position.min(axis=0), [-1, -1, -1])
    np.testing.assert_allclose(position.max(axis=0), [22, 1, 6])
    assert position[position[:, 0] > 15, 2].min() == 4.0, "the prototype's own transform counts"
    assert view.all_findings() == []


def test_an_instancer_of_too_much_is_simplified_and_one_of_the_impossible_says_so(stage_of, monkeypatch):
    monkeypatch.setattr(instancers_module, "MOST_TRIANGLES", 150)
    view = SceneExtractor(stage_of(INSTANCER.format(ball="Sphere")), assets=AssetStore())
    view.scene()
    assert [f.code for f in view.all_findings()] == ["instances-simplified"]
    view = SceneExtractor(stage_of(INSTANCER.format(ball="NurbsPatch")), assets=AssetStore())
    view.scene()
    assert ("/I/Ball", "not-drawn") in [(f.path, f.code) for f in view.all_findings()]


def test_what_native_instances_share_is_read_once(stage_of, monkeypatch):
    reads = []
    monkeypatch.setattr("twin.scene.render.geometry.mesh_surface", lambda *a: reads.append(a) or mesh_surface(*a))
    text = f'class Xform "Part" {{\n    def Mesh "M" {{\n{CAGE}    }}\n}}\n'
    text += "".join(f'def Xform "I{i}" (\n    instanceable = true\n    references = </Part>\n) {{}}\n' for i in range(5))
    parts = SceneExtractor(stage_of(text), assets=(store := AssetStore())).scene()
    assert len([p for p in parts.prims if p.geometry]) == 5
    assert (len(reads), len(store)) == (1, 1)


def test_a_camera_and_what_cannot_be_drawn(stage_of):
    stage = stage_of(
        """def Camera "C" {
    float focalLength = 24
    float verticalAperture = 24
    float horizontalAperture = 36
    float2 clippingRange = (10, 2000)
}
def NurbsPatch "N" {
    float3[] extent = [(-1, -1, 0), (1, 1, 0.5)]
}
def Mesh "Broken" {
    int[] faceVertexCounts = [3]
    int[] faceVertexIndices = [0, 1, 9]
    point3f[] points = [(0,0,0), (1,0,0), (0,1,0)]
}""",
        mpu=0.01,
    )
    view = SceneExtractor(stage, assets=AssetStore())
    by_path = {p.path: p for p in view.scene().prims}
    camera = by_path["/C"].camera
    assert camera.vertical_fov == pytest.approx(np.degrees(2 * np.arctan(0.5)))
    assert (camera.aspect, camera.near, camera.far) == pytest.approx((1.5, 0.1, 20.0))
    assert by_path["/N"].geometry.kind == "bounds"
    assert by_path["/Broken"].geometry is None
    assert [(f.path, f.code) for f in view.all_findings()] == [("/N", "shown-as-bounds"), ("/Broken", "mesh-unusable")]


def test_images_of_a_material_are_found_and_those_that_no_browser_shows_are_named(stage_of, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG rest")
    (tmp_path / "b.exr").write_bytes(b"v/1\x01 rest")
    images = {"diffuseColor": "a.png", "roughness": "a.png", "emissiveColor": "b.exr"}
    shaders = "".join(
        f'    def Shader "T{name}" {{\n        uniform token info:id = "UsdUVTexture"\n        asset inputs:file = @./{file}@\n'
        '        token inputs:wrapT = "mirror"\n        float3 outputs:rgb\n    }\n'
        for name, file in images.items()
    )
    inputs = "".join(f"        color3f inputs:{name}.connect = </M/T{name}.outputs:rgb>\n" for name in images)
    stage = stage_of(
        'def Material "M" {\n    token outputs:surface.connect = </M/S.outputs:surface>\n    def Shader "S" {\n'
        f'        uniform token info:id = "UsdPreviewSurface"\n        float inputs:clearcoat = 0.5\n{inputs}'
        f'        token outputs:surface\n    }}\n{shaders}}}\ndef Cube "C" (prepend apiSchemas = ["MaterialBindingAPI"]) {{\n'
        "    rel material:binding = </M>\n}\n"
    )
    view = SceneExtractor(stage, assets=(store := AssetStore()), asset_root=tmp_path)
    (material,) = view.scene().materials
    assert store.get(material.color_texture) == b"\x89PNG rest"
    assert material.roughness_texture == material.color_texture
    assert (material.wrap, material.clearcoat, material.emissive_texture) == (["repeat", "mirror"], 0.5, "")
    (finding,) = view.all_findings()
    assert (finding.path, finding.code) == ("/M", "texture-not-shown")
    assert "b.exr" in finding.message


def test_what_has_no_normals_keeps_the_edges_that_it_seems_to_have(stage_of):
    cube = mesh_of(stage_of, CAGE)
    assert np.abs(cube.normal).max(axis=1).min() == pytest.approx(1.0), "a box has flat sides"
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = [(np.cos(a), np.sin(a)) for a in angle]
    points = ", ".join(f"({x:.6f}, {y:.6f}, {z})" for z in (0, 1) for x, y in ring)
    quads = [(i, (i + 1) % 24, 24 + (i + 1) % 24, 24 + i) for i in range(24)]
    pipe = mesh_of(
        stage_of,
        f"    int[] faceVertexCounts = {[4] * 24}\n    int[] faceVertexIndices = {[c for q in quads for c in q]}\n"
        f"    point3f[] points = [{points}]\n",
    )
    np.testing.assert_allclose(pipe.normal[:, :2], pipe.position[:, :2], atol=1e-5)
    assert len(pipe.position) == 48, "a pipe is round"


@pytest.mark.parametrize("spread", [surface_module.SPREAD, np.uint64(0)], ids=["as it is", "all rows share a number"])
def test_corners_that_agree_become_one_vertex_in_the_order_in_which_they_come(monkeypatch, spread):
    monkeypatch.setattr(surface_module, "SPREAD", spread)
    position = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0], [-0.0, 0, 0], [0, 0, 1]], float)
    normal = np.tile([0.0, 0.0, 1.0], (6, 1))
    surface = welded(position, normal, np.array([[0, 1, 2], [3, 4, 5]]), np.zeros(2))
    assert len(surface.position) == 4
    np.testing.assert_array_equal(surface.position[surface.triangles.ravel()], position)
    if spread:
        np.testing.assert_array_equal(surface.triangles, [[0, 1, 2], [2, 1, 3]])
