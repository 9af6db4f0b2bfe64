"""``twin connectors`` as a person calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from twin.connectors.emulated import spawn_emulated
from twin.connectors.mapping import parse

MAPPING = Path(__file__).parents[2] / "twin" / "connectors" / "emulated" / "packaging_line.mapping.yaml"

STAGE = """#usda 1.0
(
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World" {
    def Xform "Line" {
        def Xform "Sealer" (apiSchemas = ["TwinSignalAPI:temperature", "TwinSignalAPI:speed"]) {
            string twin:signal:temperature:unit = "Cel"
            string twin:signal:speed:unit = "m/s"
        }
    }
}
"""


def twin(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin.cli.main", "connectors", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def endpoint():
    endpoint, process = spawn_emulated()
    yield endpoint
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def test_a_plant_is_probed_browsed_and_tried_out(endpoint):
    fill = ("--set", f"endpoint={endpoint}", "--json")
    (answer,) = json.loads(twin("probe", str(MAPPING), *fill).stdout)
    assert answer["ok"]
    assert "urn:twin:emulated:packaging-line" in answer["details"]["namespaces"]
    tried = twin("dry-run", str(MAPPING), *fill, "--seconds", "6")
    assert tried.returncode == 0, tried.stderr
    signals = {s["target"]: s for s in json.loads(tried.stdout)["signals"]}
    assert len(signals) == 6
    weight = signals["/World/Line/Checkweigher:weight"]
    assert (weight["unit"], weight["quality"]) == ("g", "0x00000000")
    found = twin("browse", endpoint, "--emit-mapping")
    drafted = parse(found.stdout, file="draft", folder=Path())
    assert len(drafted.points) == 10
    assert str(drafted.points[0].target) == "/World/Sealer:temperature"


def test_lint_checks_against_the_stage(tmp_path):
    stage = tmp_path / "line.usda"
    stage.write_text(STAGE)
    result = twin("lint", str(MAPPING), "--stage", str(stage), "--set", "endpoint=opc.tcp://h", "--json")
    assert result.returncode == 1, result.stderr
    codes = [f["code"] for f in json.loads(result.stdout)]
    assert sorted(codes) == ["unit-mismatch", "unknown-prim", "unknown-prim", "unknown-prim", "unknown-prim"]


def test_lint_of_a_broken_mapping_is_a_finding(tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text(MAPPING.read_text().replace("raw_unit: bar", "raw_unit: m"))
    result = twin("lint", str(broken), "--set", "endpoint=opc.tcp://h", "--json")
    (finding,) = json.loads(result.stdout)
    assert (result.returncode, finding["code"]) == (1, "mapping")
    assert "signals[4].raw_unit" in finding["path"]


def test_nobody_there_is_exit_code_1_and_nonsense_2(tmp_path):
    silent = twin("probe", "opc.tcp://127.0.0.1:1", "--json")
    assert (silent.returncode, json.loads(silent.stdout)[0]["ok"]) == (1, False)
    for wrong in (("probe", "carrier://pigeon"), ("lint", str(tmp_path / "none.yaml")), ("dry-run", str(tmp_path / "none.yaml"))):
        result = twin(*wrong)
        assert result.returncode == 2, wrong
        assert "Traceback" not in result.stderr
        assert result.stderr.startswith("error: ")


def test_drivers_are_listed():
    assert [d["name"] for d in json.loads(twin("list", "--json").stdout)] == [
        "mqtt",
        "opcua",
        "sparkplug",
        "modbus",
        "mtconnect",
        "mtconnect-agent",
        "vda5050",
        "sql",
        "http",
        "replay",
    ]
