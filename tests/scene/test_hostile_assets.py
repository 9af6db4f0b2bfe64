"""Asset paths that lead out, wherever one can enter, and files that mean harm."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from pxr import Sdf

from twin.core.errors import InputError, Rejected, SceneError
from twin.protocol.messages import Op
from twin.scene import intake as intake_module
from twin.scene import open_stage
from twin.scene.edits import apply_txn, make_edit_layer
from twin.scene.edits.context import MAX_DEPTH
from twin.scene.intake import take_in

PART = '#usda 1.0\n(\n    defaultPrim = "P"\n)\ndef Xform "P"\n{\n    def Cube "C"\n    {\n    }\n}\n'
OUT = [
    "/etc/passwd",
    "../secret.usda",
    "a/../../secret.usda",
    "./../site/../secret.usda",
    "link/secret.usda",
    "link.usda",
    "http://evil.example/x.usda",
    "https://evil.example/x.usda",
    "file:///etc/passwd",
    "omniverse://evil/x.usda",
    "\u202e../secret.usda",
    "x\x00.usda",
    "./link.usda:SDF_FORMAT_ARGS:a=b",
    "../secret.usda:SDF_FORMAT_ARGS:a=b",
    '`"../secret.usda"`',
    '`"${ANY}"`',
    "cwd.usda",
]
"""Each leads out of the asset root; the last is found in the working directory, where USD looks when all else fails."""
PLACES = {
    "sublayer": "#usda 1.0\n(\n    subLayers = [@{}@]\n)\n",
    "reference": '#usda 1.0\ndef "A" (references = @{}@) {{\n}}\n',
    "payload": '#usda 1.0\ndef "A" (payload = @{}@) {{\n}}\n',
    "value": '#usda 1.0\ndef "A"\n{{\n    asset t = @{}@\n}}\n',
    "array": '#usda 1.0\ndef "A"\n{{\n    asset[] t = [@ok.usda@, @{}@]\n}}\n',
    "sample": '#usda 1.0\ndef "A"\n{{\n    asset t.timeSamples = {{ 0: @{}@ }}\n}}\n',
    "custom data": '#usda 1.0\ndef "A" (\n    customData = {{\n        asset t = @{}@\n    }}\n)\n{{\n}}\n',
    "of a property": """#usda 1.0
def "A"
{{
    double x (
        customData = {{
            asset t = @{}@
        }}
    )
}}
""",
    "of the layer": "#usda 1.0\n(\n    customLayerData = {{\n        asset[] t = [@{}@]\n    }}\n)\n",
    "asset info": '#usda 1.0\ndef "A" (\n    assetInfo = {{\n        asset identifier = @{}@\n    }}\n)\n{{\n}}\n',
    "clip": """#usda 1.0
def "A" (
    clips = {{
        dictionary d = {{
            asset manifestAssetPath = @{}@
        }}
    }}
)
{{
}}
""",
    "variant": """#usda 1.0
def "A" (
    append variantSets = "v"
)
{{
    variantSet "v" = {{
        "x" (references = @{}@) {{
        }}
    }}
}}
""",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "secret.usda").write_text(PART)
    (folder / "ok.usda").write_text(PART)
    (folder / "link").symlink_to(tmp_path)
    (folder / "link.usda").symlink_to(tmp_path / "secret.usda")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "cwd.usda").write_text(PART)
    monkeypatch.chdir(elsewhere)
    return folder


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("place", PLACES)
def test_no_file_of_a_stage_may_lead_out(root: Path, place: str, path: str) -> None:
    text = PLACES[place].format(path)
    (root / "stage.usda").write_text(text)
    with pytest.raises(SceneError):
        open_stage(root / "stage.usda", root)


CLIPS = """#usda 1.0
def "A" (
    clips = {{
        dictionary d = {{
            string templateAssetPath = "{}"
            double templateStartTime = 1
            double templateEndTime = 2
            double templateStride = 1
        }}
    }}
)
{{
}}
"""
SECOND = '#usda 1.0\n(\n    defaultPrim = "A"\n)\ndef "A" (references = {})\n{{\n}}\n'


@pytest.mark.parametrize("template", ["{}/clip.###.usda", "../clip.###.usda"])
def test_no_pattern_of_clips_may_lead_out(root: Path, template: str) -> None:
    for number in (1, 2):
        (root.parent / f"clip.{number:03}.usda").write_text(PART)
    (root / "stage.usda").write_text(CLIPS.format(template.format(root.parent)))
    with pytest.raises(SceneError):
        open_stage(root / "stage.usda", root)


@pytest.mark.parametrize("kind", ["usda", "usdc"])
@pytest.mark.parametrize("own", ["", 'expressionVariables = { string X = "./ok.usda" }'])
@pytest.mark.parametrize(
    "place", ['def "A" (references = @`"${X}"`@)\n{\n}\n', 'def "A"\n{\n    asset t = @`"${X}"`@\n}\n',
              'def "A" (\n    customData = {\n        asset t = @`"${X}"`@\n    }\n)\n{\n}\n']
)  # fmt: skip
def test_what_a_stronger_layer_makes_of_a_path_cannot_lead_out(root: Path, place: str, own: str, kind: str) -> None:
    """Variables of the layer itself would say that all is well."""
    weaker = Sdf.Layer.CreateAnonymous(".usda")
    weaker.ImportFromString(f'#usda 1.0\n(\n    defaultPrim = "A"\n    {own}\n)\n{place}')
    weaker.Export(str(root / f"weaker.{kind}"))
    out = f'(\n    expressionVariables = {{ string X = "{root.parent}/secret.usda" }}\n)\n'
    (root / "stage.usda").write_text(f'#usda 1.0\n{out}def "A" (references = @./weaker.{kind}@)\n{{\n}}\n')
    with pytest.raises(SceneError, match="computed"):
        open_stage(root / "stage.usda", root)


def test_what_is_addressed_in_a_package_is_checked_and_not_its_first_layer_alone(root: Path) -> None:
    good, evil = SECOND.format("@./b.usda@"), SECOND.format(f"@{root.parent}/secret.usda@")
    packed(root / "p.usdz", {"in.usda": good, "b.usda": PART, "evil.usda": evil})
    (root / "stage.usda").write_text(SECOND.format("@./p.usdz[in.usda]@"))
    assert open_stage(root / "stage.usda", root).GetPrimAtPath("/A/C")
    for name in ("evil", "none"):
        (root / f"{name}_stage.usda").write_text(SECOND.format(f"@./p.usdz[{name}.usda]@"))
        with pytest.raises(SceneError):
            open_stage(root / f"{name}_stage.usda", root)


def test_packages_in_packages_are_refused(root: Path) -> None:
    packed(root / "inner.usdz", {"in.usda": SECOND.format("@./b.usda@")})
    writer = Sdf.ZipFileWriter.CreateNew(str(root / "outer.usdz"))
    (root / "main.usda").write_text(SECOND.format("@./inner.usdz@"))
    (root / "b.usda").write_text(SECOND.format(f"@{root.parent}/secret.usda@"))
    for name in ("main.usda", "inner.usdz", "b.usda"):
        writer.AddFile(str(root / name), name)
    writer.Save()
    with pytest.raises(SceneError, match="inside a package"):
        open_stage(root / "outer.usdz", root)


def test_the_search_path_of_usd_is_outside(root: Path) -> None:
    """It is read when the first stage is opened, so this takes a process of its own."""
    (root / "stage.usda").write_text(PLACES["reference"].format("secret.usda"))
    probe = f"from twin.scene import open_stage; open_stage({str(root / 'stage.usda')!r}, {str(root)!r})"
    environment = os.environ | {"PXR_AR_DEFAULT_SEARCH_PATH": str(root.parent), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=environment, check=False)
    assert "outside the asset root" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("path", OUT)
def test_no_edit_may_lead_out(root: Path, path: str) -> None:
    (root / "stage.usda").write_text('#usda 1.0\ndef Xform "W"\n{\n}\n')
    stage = open_stage(root / "stage.usda", root)
    layer = make_edit_layer(stage)
    for op in (
        Op("add_prim", "/W/X", "", {"type": "Xform", "reference": path}),
        Op("set_field", "/W", "userProperties:t", ["asset", path]),
        Op("set_field", "/W", "userProperties:t", ["asset[]", ["ok.usda", path]]),
        Op("set_field", "/W", "primvars:t", ["asset", path]),
    ):
        with pytest.raises(Rejected) as refused:
            apply_txn(stage, layer, [op], asset_root=root)
        assert refused.value.code in ("asset", "type"), op
    assert layer.empty


def packed(file: Path, inner: dict[str, str]) -> Path:
    writer = Sdf.ZipFileWriter.CreateNew(str(file))
    for name, text in inner.items():
        source = file.parent / "source.usda"
        source.write_text(text)
        writer.AddFile(str(source), name)
    writer.Save()
    return file


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.usda", "./../secret.usda", "cwd.usda", "http://evil.example/x"])
def test_a_package_holds_all_that_it_names(root: Path, path: str) -> None:
    """USD resolves absolute paths inside a package, and those it does not hold, outside of it."""
    with pytest.raises(SceneError):
        open_stage(packed(root / "bad.usdz", {"in.usda": PLACES["reference"].format(path)}), root)
    packed(root / "good.usdz", {"sub/in.usda": PLACES["reference"].format("./b.usda"), "sub/b.usda": PART})
    assert open_stage(root / "good.usdz", root).GetPrimAtPath("/A/C")


def test_copies_of_copies_end_at_the_limit_and_leave_nothing(root: Path) -> None:
    (root / "stage.usda").write_text('#usda 1.0\ndef Xform "W"\n{\n}\n')
    stage = open_stage(root / "stage.usda", root)
    layer = make_edit_layer(stage)
    doubling = [Op("add_prim", f"/C{i + 1}", "", {"copy": f"/C{i}"}) for i in range(30)]
    inside = [
        op
        for i in range(30)
        for op in (Op("add_prim", f"/C{i + 1}", "", {"type": "Xform"}), Op("add_prim", f"/C{i + 1}/A", "", {"copy": f"/C{i}"}),
                   Op("add_prim", f"/C{i + 1}/B", "", {"copy": f"/C{i}"}))
    ]  # fmt: skip
    for txn in (doubling, inside):
        with pytest.raises(Rejected) as refused:
            apply_txn(stage, layer, [Op("add_prim", "/C0", "", {"type": "Xform"}), *txn], asset_root=root, room=25)
        assert refused.value.code == "limit"
        assert layer.empty
    deep = [Op("add_prim", "".join(f"/D{j}" for j in range(i + 1)), "", {"type": "Xform"}) for i in range(MAX_DEPTH + 1)]
    with pytest.raises(Rejected, match="deep"):
        apply_txn(stage, layer, deep, asset_root=root)
    half = deep[: MAX_DEPTH // 2 + 1]
    apply_txn(stage, layer, [*half, Op("add_prim", "/E", "", {"copy": "/D0"})], asset_root=root)
    with pytest.raises(Rejected, match="deep"):
        apply_txn(stage, layer, [Op("move_prim", "/E", "", f"{half[-1].path}/E")], asset_root=root)


# ---- files that people bring


def png(width: int = 2, height: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")


STL = b"solid x\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\nendsolid x\n"


def taken(root: Path, data: bytes, name: str, **options) -> dict:
    raw = root.parent / "raw"
    raw.write_bytes(data)
    folder = root / "_uploads" / "part"
    folder.mkdir(parents=True, exist_ok=True)
    return take_in(raw, name, folder, root, **options)


def test_good_files_are_taken_in(root: Path) -> None:
    assert taken(root, PART.encode(), "part.usda")["asset"] == "part.usda"
    layer = Sdf.Layer.FindOrOpen(str(root / "ok.usda"))
    layer.Export(str(root.parent / "c.usdc"))
    assert taken(root, (root.parent / "c.usdc").read_bytes(), "crate.usd") == {"asset": "crate.usdc", "prims": 3}
    assert taken(root, png(), "look.png")["asset"] == "look.png"
    named = PART.replace("def Cube", "asset t = @./tex/look.png@\n    def Cube")
    writer = Sdf.ZipFileWriter.CreateNew(str(root.parent / "z.usdz"))
    (root.parent / "main.usda").write_text(named)
    (root.parent / "look.png").write_bytes(png())
    writer.AddFile(str(root.parent / "main.usda"), "main.usda")
    writer.AddFile(str(root.parent / "look.png"), "tex/look.png")
    writer.Save()
    assert taken(root, (root.parent / "z.usdz").read_bytes(), "z.usdz")["asset"] == "main.usda"
    assert (root / "_uploads" / "part" / "tex" / "look.png").is_file()


def test_a_mesh_comes_in_the_unit_and_with_the_axes_that_it_was_made_in(root: Path) -> None:
    answer = taken(root, STL, "tri.stl", unit=0.001, turn="y-to-z")
    assert answer == {"asset": "tri.usdc", "prims": 3, "low": [0.0, 0.0, 0.0]}
    stage = open_stage(root / "_uploads" / "part" / "tri.usdc", root)
    points = sorted(tuple(round(x, 6) + 0.0 for x in p) for p in stage.GetPrimAtPath("/tri/Mesh").GetAttribute("points").Get())
    assert points == [(0.0, 0.0, 0.0), (0.0, 0.0, 0.001), (0.001, 0.0, 0.0)]


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED, mode: int = 0o100644) -> bytes:
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, compression
            file.writestr(info, data)
    return out.getvalue()


MAIN = {"main.usda": PART.encode()}
BAD: dict[str, tuple[str, bytes]] = {
    "no ending": ("part", b""),
    "a program": ("part.exe", b"MZ"),
    "script in a picture's clothes": ("x.png", b"<svg onload=alert(1)>"),
    "too large a picture": ("x.png", png(100_000, 100_000)),
    "no jpeg": ("x.jpg", b"\xff\xd8\xff\xe0"),
    "jpeg of one endless segment": ("x.jpg", b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000),
    "empty": ("x.usda", b""),
    "nonsense": ("x.usda", b"#usda 1.0\n" + b"(" * 10_000),
    "deeply nested": ("x.usda", b"#usda 1.0\n" + b'def "A" {\n' * 3000 + b"}\n" * 3000),
    "broken crate": ("x.usdc", b"PXR-USDC" + bytes(range(256)) * 40),
    "no prim": ("x.usda", b"#usda 1.0\n"),
    "nothing to set down": ("x.usda", b'#usda 1.0\n(defaultPrim = "M")\ndef Material "M"\n{\n}\n'),
    "reference out": ("x.usda", PLACES["reference"].format("../../../secret.usda").encode()),
    "reference to a url": ("x.usda", PLACES["reference"].format("http://evil.example/x").encode()),
    "absolute texture": ("x.usda", PLACES["value"].format("/etc/passwd").encode()),
    "missing texture": ("x.usda", PART.replace("def Cube", "asset t = @./none.png@\n    def Cube").encode()),
    "reference to itself": ("x.usda", b'#usda 1.0\n(defaultPrim = "A")\ndef Xform "A" (references = @./x.usda@)\n{\n}\n'),
    "not a zip": ("x.usdz", b"PK\x03\x04" + bytes(100)),
    "compressed": ("x.usdz", zipped({"main.usda": PART.encode() * 100}, zipfile.ZIP_DEFLATED)),
    "path up": ("x.usdz", zipped(MAIN | {"../../evil.usda": b"x"})),
    "absolute path": ("x.usdz", zipped(MAIN | {"/tmp/evil.usda": b"x"})),
    "backslashes": ("x.usdz", zipped(MAIN | {"..\\evil.usda": b"x"})),
    "link": ("x.usdz", zipped(MAIN | {"evil.png": b"/etc/passwd"}, mode=0o120777)),
    "something else inside": ("x.usdz", zipped(MAIN | {"evil.sh": b"x"})),
    "too many files": ("x.usdz", zipped(MAIN | {f"{i}.usda": b"" for i in range(1001)})),
    "twice the same": ("x.usdz", zipped(MAIN | {"Main.usda": PART.encode()})),
    "main layer that leads out": ("x.usdz", zipped({"main.usda": PLACES["reference"].format("/etc/passwd").encode()})),
    "broken stl": ("x.stl", b"solid \xff\xfe"),
    "stl that promises more than it has": ("x.stl", bytes(80) + struct.pack("<I", 4_000_000_000)),
    "obj without faces": ("x.obj", b"v 0 0 0\n"),
    "obj with numbers that are none": ("x.obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    "obj with points that are not there": ("x.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 900000\n"),
    "broken ply": ("x.ply", b"ply\nformat ascii 1.0\nelement vertex 1000000000\nend_header\n"),
    "broken glb": ("x.glb", b"glTF" + struct.pack("<II", 2, 1 << 31)),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_stay_out(root: Path, case: str) -> None:
    name, data = BAD[case]
    with pytest.raises((InputError, SceneError)):
        taken(root, data, name)
    assert not (root.parent / "evil.usda").exists()


def test_a_small_file_cannot_say_more_than_can_be_drawn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "MAX_VALUES", 1000)
    zeros = Sdf.Layer.CreateAnonymous(".usdc")
    zeros.ImportFromString(f'#usda 1.0\n(defaultPrim = "P")\ndef Xform "P"\n{{\n    int[] x = [{", ".join(["0"] * 1001)}]\n}}\n')
    zeros.Export(str(root.parent / "zeros.usdc"))
    samples = "".join(f"{i}: [0, 0, 0], " for i in range(400))
    again = "".join(f'    def Mesh "M{i}" (references = </Q>) {{\n    }}\n' for i in range(30))
    many = f'def Xform "P"\n{{\n{again}}}\nclass Mesh "Q"\n{{\n    int[] faceVertexCounts = [{", ".join(["3"] * 40)}]\n}}\n'
    head = '#usda 1.0\n(defaultPrim = "P")\n'
    cases = {
        "zeros.usdc": (root.parent / "zeros.usdc").read_bytes(),
        "samples.usda": f'{head}def Xform "P"\n{{\n    int[] x.timeSamples = {{ {samples} }}\n}}\n'.encode(),
        "again.usda": f"{head}{many}".encode(),
    }
    for name, data in cases.items():
        with pytest.raises(InputError, match="values in arrays"):
            taken(root, data, name)


@pytest.mark.parametrize("text", ["mtllib ../../secret.mtl\n", "mtllib /etc/passwd\n", "call ../secret.usda\n", "csh rm\n"])
def test_a_mesh_file_brings_nothing_along(root: Path, text: str) -> None:
    (root.parent / "secret.mtl").write_text("newmtl a\nmap_Kd ../secret.png\n")
    made = taken(root, f"{text}v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n".encode(), "x.obj")
    layer = Sdf.Layer.FindOrOpen(str(root / "_uploads" / "part" / made["asset"]))
    assert "secret" not in layer.ExportToString()
    assert sorted(p.name for p in (root / "_uploads" / "part").iterdir()) == ["x.usdc"]


def test_the_process_that_reads_is_limited_and_says_one_line(root: Path) -> None:
    raw, folder = root.parent / "raw", root / "_uploads" / "part"
    folder.mkdir(parents=True)
    for data, name, code in ((PART.encode(), "x.usda", 0), (b"\x00", "x.usdc", 2)):
        raw.write_bytes(data)
        command = [sys.executable, "-m", "twin.scene.intake", str(raw), name, str(folder), str(root), "1.0", "none"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == code, done
        assert len(done.stdout.splitlines()) == 1
    probe = (
        "from twin.scene.intake import limit_process; limit_process()\n"
        "try:\n    bytearray(8 << 30)\nexcept MemoryError:\n    print('limited')\n"
    )
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[2])
    assert done.stdout == "limited\n", done.stderr
