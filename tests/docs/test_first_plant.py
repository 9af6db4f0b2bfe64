"""The first tutorial, done as it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "first-plant.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    (folder / "plant.usda").write_text(blocks("usda")[0])
    (folder / "sealer.study.yaml").write_text(blocks("yaml")[0])
    return folder


def twin(folder, command):
    words = command.split()
    assert words[0] == "twin"
    return subprocess.run(
        [sys.executable, "-m", "twin.cli.main", *words[1:]], cwd=folder, capture_output=True, text=True, timeout=250, check=False
    )


def test_the_stage_is_right_and_a_wrong_target_is_named(folder):
    assert twin(folder, "twin check plant.usda").returncode == 0
    (folder / "wrong.usda").write_text(blocks("usda")[0].replace("</Plant/Belt>", "</Plant/Bell>"))
    done = twin(folder, "twin check wrong.usda --json")
    assert done.returncode == 1
    assert any(f["path"] == "/Plant/Infeed.twin:next" and "/Plant/Bell" in f["message"] for f in json.loads(done.stdout))


def test_it_runs_in_rigid_bodies(folder):
    done = twin(folder, "twin simulate plant.usda --seconds 60 --out run.npz --json")
    result = json.loads(done.stdout)
    assert result["sunk"] > 2
    assert result["spawned"] == result["inside"] + result["sunk"] + result["scrapped"] + result["lost"]
    assert (result["lost"], result["findings"]) == (0, [])


def test_the_study_says_what_the_page_says(folder):
    assert twin(folder, "twin study run sealer.study.yaml").returncode == 0
    summary = json.loads(twin(folder, "twin study show sealer.study.yaml --json").stdout)
    more = {c["scenario"]: c["kpis"]["throughput"]["difference"] for c in summary["comparisons"]}
    assert more["quick-repair"] == pytest.approx(25, abs=2)
    assert more["second-sealer"] == pytest.approx(17, abs=2)
    assert more["longer-belt"] == pytest.approx(17, abs=2)
    lead = {c["scenario"]: c["kpis"]["lead_time"]["difference"] for c in summary["comparisons"]}
    assert lead["longer-belt"] > 0 > lead["quick-repair"]


def test_the_signal_fits_into_the_stage(folder):
    text = blocks("usda")[0].replace(
        '["TwinStationAPI", "TwinPowerAPI"]', '["TwinStationAPI", "TwinPowerAPI", "TwinSignalAPI:temperature"]'
    )
    head, tail = text.split('def Cube "Sealer"', 1)
    opening, rest = tail.split("{\n", 1)
    (folder / "live.usda").write_text(f'{head}def Cube "Sealer"{opening}{{\n{blocks("usda")[1]}{rest}')
    done = twin(folder, "twin check live.usda")
    assert (done.returncode, "nothing to say" in done.stdout) == (0, True), done.stdout
