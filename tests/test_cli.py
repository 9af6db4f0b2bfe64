"""The command line as its users meet it: help, errors, exit codes, results."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
HERO = ROOT / "scenes" / "packaging_line" / "scene.usda"
EXAMPLES = ROOT.parent / "shared" / "data" / "usdphysics"


def twin(*arguments, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "twin.cli.main", *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=ROOT
    )


def simulate(stage, tmp_path, *options):
    out = tmp_path / "run.npz"
    done = twin("simulate", stage, "--out", out, "--json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), np.load(out)


def test_help_needs_nothing_heavy():
    script = "import sys; sys.argv = ['twin', '--help']\ntry:\n import twin.cli.main as m; m.main()\nexcept SystemExit: pass\n"
    script += "heavy = {'warp', 'pxr', 'numpy', 'fastapi', 'typer', 'duckdb'} & set(sys.modules)\nassert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("simulat",), ("did you mean 'simulate'",)),
        (("simulate", "missing.usda", "--seconds", "1"), ("missing.usda", "no such file")),
        (("simulate", HERO, "--seconds", "-1"), ("--seconds", "positive")),
        (("simulate", HERO, "--seconds", "1", "--out", "x.csv"), ("x.csv", ".npz")),
        (("simulate", HERO, "--seconds", "1", "--device", "cuda:7"), ("cuda:7", "cpu")),
        (("serve", "missing.usda"), ("missing.usda",)),
        (("serve", HERO, "--host", "0.0.0.0"), ("TWIN_TOKEN",)),
        (("serve", HERO, "--project", HERO), ("--project", "scene.usda", "not a folder")),
        (("serve", HERO, "--public-url", "twin.example.com"), ("--public-url", "https://")),
        (("serve", HERO, "--public-url", "https://example.com/twin"), ("--public-url", "/twin", "https://example.com")),
        (("replay", "missing.db", "--to", "http://x"), ("--to", "mqtt://")),
        (("simulate", HERO, "--seconds", "1", "--out", HERO), ("--out", "scene.usda", "the stage itself")),
        (("study", "run", "missing.study.yaml"), ("missing.study.yaml",)),
        (("import", "missing.stl", "--out", "x.usda"), ("missing.stl", "no such file")),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(arguments, words):
    done = twin(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_mapping_to_what_does_not_exist_is_named(tmp_path):
    mapping = tmp_path / "plant.mapping.yaml"
    mapping.write_text(
        'schema: twin.mapping/1\nconnections:\n  - {name: plant, driver: mqtt, address: "mqtt://127.0.0.1:1"}\n'
        "signals:\n  - connection: plant\n    source: {topic: t}\n    target: {prim: /World/Line/Nowhere, signal: temperature}\n"
    )
    done = twin("serve", HERO, "--port", "0", "--project", tmp_path / "project", "--mapping", mapping)
    assert done.returncode == 2
    for word in ("plant.mapping.yaml", "signals[0]", "/World/Line/Nowhere"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_port_in_use_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = twin("serve", HERO, "--port", taken.getsockname()[1], "--project", tmp_path / "project")
    assert done.returncode == 2
    assert "--port" in done.stderr


def test_broken_stage_is_named_not_traced(tmp_path):
    broken = tmp_path / "broken.usda"
    broken.write_text("#usda 1.0\ndef Xform {{{\n")
    for verb in (("simulate", broken, "--seconds", "1"), ("serve", broken)):
        done = twin(*verb)
        assert done.returncode == 2
        assert "broken.usda" in done.stderr
        assert "Traceback" not in done.stderr


def test_check_exits_1_on_errors(tmp_path):
    assert twin("check", HERO).returncode == 0
    stage = tmp_path / "line.usda"
    stage.write_text(
        '#usda 1.0\n(metersPerUnit = 1)\ndef Xform "S" (prepend apiSchemas = ["TwinSourceAPI"])\n'
        '{\n    rel twin:next = </Nowhere>\n    token twin:source:interarrival:distribution = "sometimes"\n}\n'
    )
    done = twin("check", stage, "--json")
    assert done.returncode == 1
    findings = json.loads(done.stdout)
    assert {f["severity"] for f in findings} >= {"error"}
    assert any("/Nowhere" in f["message"] for f in findings)
    assert any("sometimes" in f["message"] for f in findings)


needs_examples = pytest.mark.skipif(not EXAMPLES.exists(), reason=f"{EXAMPLES} is not there")


@needs_examples
@pytest.mark.parametrize("name", ["BoxOnBox", "Joints", "PairFiltering", "SpheresWithMaterial"])
def test_openusd_example_stages_run(name, tmp_path):
    report, run = simulate(EXAMPLES / f"usdPhysics{name}.usda", tmp_path, "--seconds", 4)
    for column in ("position", "rotation", "linear_velocity", "angular_velocity"):
        assert np.isfinite(run[column]).all(), column
    assert run["position"].shape == (len(run["time"]), len(run["path"]), 3)
    assert report["max_penetration_m"] < 0.005
    assert report["overflow"] == 0
    np.testing.assert_allclose(np.linalg.norm(run["rotation"], axis=-1), 1.0, atol=1e-4)
    end, moving = run["position"][-1], run["linear_velocity"][-1]
    if name == "Joints":
        assert run["angular_velocity"][-1, 0] == pytest.approx([0.0, 0.0, np.radians(10.0)], abs=0.002), "driven about Z only"
        assert np.ptp(run["position"][:, 0, 2]) < 1e-4, "the other axes are locked"
        assert report["asleep"] == 0
    else:
        assert np.abs(moving).max() < 1e-3, "it has come to rest"
        assert report["energy_j"]["most_gained"] <= 1e-6 * report["energy_j"]["start"]
        assert report["energy_j"]["drift"] < 0.0
    if name == "PairFiltering":
        assert np.linalg.norm(end[0] - end[1]) < 0.01, "two boxes that ignore each other lie in the same place"


@needs_examples
def test_centimetre_stage_comes_out_in_metres(tmp_path):
    _, run = simulate(EXAMPLES / "usdPhysicsSpheresWithMaterial.usda", tmp_path, "--seconds", 4)
    start, end = run["position"][0], run["position"][-1]
    assert start[:, 2].tolist() == pytest.approx([5.0, 5.0])
    assert end[:, 2].tolist() == pytest.approx([0.25, 0.25], abs=0.01), "spheres of 25 cm on the ground"
    bouncy, regular = (list(run["path"]).index(f"/World/{n}Sphere") for n in ("Bouncy", "Regular"))
    landed = int(np.argmax(run["position"][:, regular, 2] < 0.27))
    assert run["position"][landed:, bouncy, 2].max() > run["position"][landed:, regular, 2].max() + 0.1


def test_belt_of_half_a_metre_a_second(tmp_path):
    stage = tmp_path / "belt.usda"
    stage.write_text(
        """#usda 1.0
(
    metersPerUnit = 0.01
    upAxis = "Y"
)
def PhysicsScene "Scene" {}
def Cube "Belt" (prepend apiSchemas = ["PhysicsCollisionAPI", "PhysicsRigidBodyAPI", "PhysxSurfaceVelocityAPI"])
{
    bool physics:kinematicEnabled = 1
    bool physxSurfaceVelocity:surfaceVelocityEnabled = 1
    bool physxSurfaceVelocity:surfaceVelocityLocalSpace = 0
    vector3f physxSurfaceVelocity:surfaceVelocity = (50, 0, 0)
    double size = 1
    float3 xformOp:scale = (800, 10, 60)
    uniform token[] xformOpOrder = ["xformOp:scale"]
}
def Cube "Carton" (prepend apiSchemas = ["PhysicsCollisionAPI", "PhysicsRigidBodyAPI", "PhysicsMassAPI"])
{
    float physics:mass = 5
    double size = 30
    double3 xformOp:translate = (-300, 20.2, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
}
"""
    )
    _, run = simulate(stage, tmp_path, "--seconds", 3)
    carton = list(run["path"]).index("/Carton")
    assert run["linear_velocity"][-1, carton, 0] == pytest.approx(0.5, rel=0.01)
    assert run["position"][-1, carton, 0] - run["position"][-121, carton, 0] == pytest.approx(1.0, rel=0.01)


def test_simulate_the_line_in_two_worlds_and_write_usd(tmp_path):
    report, run = simulate(HERO, tmp_path, "--seconds", 20, "--worlds", 2, "--sample-hz", 5)
    assert run["item_position"].shape[:2] == (2, len(run["time"]))
    assert report["spawned"] == report["inside"] + report["sunk"] + report["scrapped"] + report["lost"] > 0
    alive = run["item_alive"]
    assert np.isnan(run["item_position"][~alive]).all()
    assert np.isfinite(run["item_position"][alive]).all()
    assert set(run["item_type"][alive]) == {"carton", "tote"}
    if EXAMPLES.exists():
        out = tmp_path / "run.usda"
        done = twin("simulate", EXAMPLES / "usdPhysicsBoxOnBox.usda", "--seconds", 1, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "timeSamples" in out.read_text()


def test_a_study_of_the_packaging_line_resumes_with_nothing_to_do(tmp_path):
    study = ROOT / "scenes" / "packaging_line" / "studies" / "buffers.study.yaml"
    first = twin("study", "run", study, "--out", tmp_path, "--replications", 32, "--json", timeout=300)
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    assert summary["computed"] == 32 * len(summary["points"])
    for point in summary["points"]:
        throughput = point["kpis"]["throughput"]
        assert throughput["mean"] > 0.0
        assert throughput["half_width"] > 0.0
    again = json.loads(twin("study", "run", study, "--out", tmp_path, "--replications", 32, "--json").stdout)
    assert again["computed"] == 0
    assert again["points"] == summary["points"]
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_doctor_answers():
    done = twin("doctor", "--json")
    report = json.loads(done.stdout)
    assert report["versions"]["warp-lang"]
    assert done.stderr == "" or not report["web_client_built"]


def test_bench_measures_both_engines():
    done = twin("bench", ROOT / "tests" / "studies" / "line.usda", "--seconds", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["nodes"] > 0
    assert result["physics"]["steps"] > 0
    assert result["physics"]["times_real_time"] > 0.0
    assert result["line"]["shifts"] > 0
    assert result["line"]["pieces_per_hour"] > 0.0
