"""Files of other programs become parts: where they were, as large as they were, in the colour they had."""

import numpy as np
import pytest
import trimesh
from pxr import Usd, UsdGeom, UsdPhysics

from twin.core.errors import InputError
from twin.scene import check_stage
from twin.scene.importers import import_file


@pytest.fixture
def glb(tmp_path):
    """A red box 1 x 2 x 3 m and a cylinder 5 m above it, Y up."""
    box = trimesh.creation.box([1.0, 2.0, 3.0])
    box.visual.face_colors = [255, 0, 0, 255]
    knob = trimesh.creation.cylinder(0.1, 0.4)
    scene = trimesh.Scene()
    scene.add_geometry(box, node_name="body")
    scene.add_geometry(knob, node_name="knob 1", transform=trimesh.transformations.translation_matrix([0.0, 5.0, 0.0]))
    scene.export(tmp_path / "machine.glb")
    return tmp_path / "machine.glb"


def test_a_scene_keeps_its_meshes_places_and_colours(glb, tmp_path):
    made = import_file(glb, tmp_path / "machine.usda", collision="hull", mass=40.0)
    assert made.size_m == pytest.approx((1.0, 3.0, 6.1))  # Y up became Z up
    assert made.triangles == len(trimesh.creation.cylinder(0.1, 0.4).faces) + 12
    stage = Usd.Stage.Open(str(tmp_path / "machine.usda"))
    assert (UsdGeom.GetStageMetersPerUnit(stage), UsdGeom.GetStageUpAxis(stage)) == (1.0, "Z")
    root = stage.GetDefaultPrim()
    assert root.GetName() == "machine"
    assert sorted(p.GetName() for p in root.GetChildren()) == ["body", "knob_1"]
    body = UsdGeom.Mesh(root.GetChild("body"))
    assert np.allclose(body.GetDisplayColorAttr().Get()[0], [1.0, 0.0, 0.0])
    knob = np.asarray(UsdGeom.Mesh(root.GetChild("knob_1")).GetPointsAttr().Get())
    assert np.allclose((knob.min(axis=0) + knob.max(axis=0)) / 2.0, [0.0, 0.0, 5.0], atol=1e-5)
    assert UsdPhysics.MassAPI(root).GetMassAttr().Get() == 40.0
    assert body.GetPrim().GetAttribute("physics:approximation").Get() == "convexHull"
    assert not [f for f in check_stage(tmp_path / "machine.usda") if f.severity == "error"]


def test_faces_look_outwards(glb, tmp_path):
    import_file(glb, tmp_path / "out.usda")
    stage = Usd.Stage.Open(str(tmp_path / "out.usda"))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/machine/body"))
    points = np.asarray(mesh.GetPointsAttr().Get(), float)
    faces = np.asarray(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    assert trimesh.Trimesh(points, faces, process=False).volume == pytest.approx(6.0, rel=1e-5)


def test_units_of_a_mesh_become_metres(tmp_path):
    trimesh.creation.box([100.0, 200.0, 300.0]).export(tmp_path / "part.stl")
    made = import_file(tmp_path / "part.stl", tmp_path / "part.usdc", unit="mm")
    assert made.size_m == pytest.approx((0.1, 0.2, 0.3))


def test_a_usd_file_becomes_one_layer(tmp_path):
    (tmp_path / "leg.usda").write_text('#usda 1.0\n(\n    defaultPrim = "Leg"\n)\ndef Cube "Leg"\n{\n    double size = 2\n}\n')
    part = 'def "A" (references = @./leg.usda@)\n{\n}'
    text = f'#usda 1.0\n(\n    metersPerUnit = 0.01\n)\ndef Xform "Table"\n{{\n{part}\n}}\n'
    (tmp_path / "table.usda").write_text(text)
    folder = tmp_path / "parts"
    folder.mkdir()
    made = import_file(tmp_path / "table.usda", folder / "table.usda")
    assert made.size_m == pytest.approx((0.02, 0.02, 0.02))
    (tmp_path / "leg.usda").unlink()
    stage = Usd.Stage.Open(str(folder / "table.usda"))
    assert stage.GetDefaultPrim().GetName() == "Table"
    assert stage.GetPrimAtPath("/Table/A").GetTypeName() == "Cube"


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("missing.stl", {}, "no such file"),
        ("noise.stl", {}, "not a readable mesh|has no faces"),
        ("noise.txt", {}, "not a kind of file"),
        ("noise.usda", {}, "noise.usda"),
        ("part.stl", {"unit": "furlong"}, "--unit"),
        ("part.stl", {"collision": "sphere"}, "--collision"),
        ("part.stl", {"mass": -1.0}, "--mass"),
    ],
)
def test_what_cannot_be_imported_is_named(tmp_path, name, options, words):
    trimesh.creation.box([1.0, 1.0, 1.0]).export(tmp_path / "part.stl")
    for noise in ("noise.stl", "noise.txt", "noise.usda"):
        (tmp_path / noise).write_bytes(b"\x01\x02 nothing at all")
    with pytest.raises(InputError, match=words):
        import_file(tmp_path / name, tmp_path / "out.usda", **options)
    assert not (tmp_path / "out.usda").exists()


def test_it_never_writes_over_what_it_reads(tmp_path):
    (tmp_path / "a.usda").write_text('#usda 1.0\ndef Cube "A"\n{\n}\n')
    with pytest.raises(InputError, match="--out"):
        import_file(tmp_path / "a.usda", tmp_path / "a.usda")
    assert "Cube" in (tmp_path / "a.usda").read_text()
