"""``twin study`` on a real stage, as a user calls it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twin.cli.main import main

HERE = Path(__file__).parent
OVER = """#usda 1.0
over "Line"
{
    over "M2"
    {
        double twin:station:cycleTime:mean = 10
    }
}
"""
STUDY = """
stage: line.usda
scenarios:
  as-is: {}
  faster-m2: {layers: [scenarios/faster_m2.usda]}
  more-buffer: {set: {"/Line/B1.twin:buffer:capacity": 12}}
  new-machine: {variants: {"/Line/M2": {machine: new}}}
run: {begin: "2026-11-23T06:00", horizon: 1 h, warmup: 10 min, seed: 1}
replications: 32
kpis: [throughput, wip, lead_time, "/Line/M2:oee"]
"""


@pytest.fixture
def folder(tmp_path):
    shutil.copy(HERE / "line.usda", tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "faster_m2.usda").write_text(OVER)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def twin_study(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "twin.cli.main", "study", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_plan_run_show_compare(folder):
    plan = json.loads(twin_study(folder, "plan", "study.yaml", "--json").stdout)
    assert [(p["scenario"], p["cached"], p["error"]) for p in plan["points"]] == [
        ("as-is", 0, None),
        ("faster-m2", 0, None),
        ("more-buffer", 0, None),
        ("new-machine", 0, None),
    ]
    assert not (folder / "study.results").exists()

    run = twin_study(folder, "run", "study.yaml", "--json")
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary == json.loads((folder / "study.results" / "summary.json").read_text())
    assert (summary["computed"], summary["cached"]) == (128, 0)
    assert (summary["horizon_s"], summary["warmup_s"]) == (3600.0, 600.0)
    throughput = {p["scenario"]: p["kpis"]["throughput"]["mean"] for p in summary["points"]}
    # each way of writing a scenario reaches the model
    assert throughput["as-is"] < throughput["more-buffer"]
    assert throughput["as-is"] < throughput["faster-m2"] < throughput["new-machine"]
    assert set(summary["points"][0]["kpis"]["wip"]) >= {"mean", "half_width", "std", "unit"}

    show = twin_study(folder, "show", "study.yaml")
    assert show.returncode == 0
    for word in ("faster-m2", "throughput", "M2 oee", "±"):
        assert word in show.stdout

    compare = json.loads(twin_study(folder, "compare", "study.yaml", "--json").stdout)
    faster = next(c for c in compare["comparisons"] if c["scenario"] == "faster-m2")
    assert faster["kpis"]["throughput"]["significant"]
    assert faster["kpis"]["throughput"]["difference"] == pytest.approx(throughput["faster-m2"] - throughput["as-is"])


def test_replications_seed_and_out_are_taken_from_the_command(folder):
    first = json.loads(twin_study(folder, "run", "study.yaml", "--out", "there", "--replications", "4", "--json").stdout)
    assert [p["replications"] for p in first["points"]] == [4, 4, 4, 4]
    assert (folder / "there" / "summary.json").is_file()
    more = json.loads(
        twin_study(folder, "run", "study.yaml", "--out", "there", "--replications", "6", "--jobs", "1", "--json").stdout
    )
    assert (more["computed"], more["cached"]) == (8, 16)
    # the study file says 32: what is finished is shown, and no more than is asked for
    shown = json.loads(twin_study(folder, "show", "study.yaml", "--out", "there", "--replications", "5", "--json").stdout)
    assert [p["replications"] for p in shown["points"]] == [5, 5, 5, 5]
    other = json.loads(
        twin_study(folder, "run", "study.yaml", "--out", "there", "--replications", "4", "--seed", "9", "--json").stdout
    )
    assert (other["computed"], other["seed"]) == (16, 9)


def test_shards_of_the_command(folder):
    for shard in ("0/2", "1/2"):
        assert twin_study(folder, "run", "study.yaml", "--shard", shard, "--replications", "64").returncode == 0
    shown = json.loads(twin_study(folder, "show", "study.yaml", "--json").stdout)
    assert [p["replications"] for p in shown["points"]] == [64, 64, 64, 64]  # though the study file says 32


@pytest.mark.parametrize(
    ("old", "new", "arguments", "words"),
    [
        ("/Line/B1.twin", "/Line/B7.twin", ["run"], ["more-buffer", "/Line/B7", "twin:buffer:capacity"]),
        ("buffer:capacity", "buffer:capacities", ["plan"], ["more-buffer", "/Line/B1", "twin:buffer:capacities"]),
        ("capacity\": 12", "capacity\": 2.5", ["run"], ["more-buffer", "/Line/B1", "twin:buffer:capacity", "2.5"]),
        ("{machine: new}", "{machine: newest}", ["run"], ["new-machine", "/Line/M2", "newest", "old"]),
        ("faster_m2.usda", "slower_m2.usda", ["run"], ["faster-m2", "slower_m2.usda"]),
        ("stage: line.usda", "stage: no.usda", ["run"], ["no.usda"]),
        ("seed: 1", "seed: one", ["run"], ["study.yaml", "run.seed", "'one'"]),
        ("kpis: [throughput", "kpis: [speed", ["run"], ["study.yaml", "kpis", "'speed'"]),
        ("", "", ["run", "--shard", "5/2"], ["--shard", "5/2"]),
        ("", "", ["run", "--backend", "slurm"], ["--backend", "slurm", "local"]),
        ("", "", ["run", "--device", "cuda:7"], ["--device", "cuda:7", "cpu"]),
        ("", "", ["show"], ["study.results", "twin study run"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_message(folder, monkeypatch, capsys, old, new, arguments, words):
    assert old in STUDY
    (folder / "study.yaml").write_text(STUDY.replace(old, new, 1) if old else STUDY)
    verb, *options = arguments
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["twin", "study", verb, "study.yaml", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert not (folder / "study.results").exists()


def test_an_interrupt_keeps_what_is_finished(folder):
    (folder / "study.yaml").write_text(STUDY.replace("horizon: 1 h", "horizon: 24 h").replace(": 32", ": 512"))
    command = [sys.executable, "-m", "twin.cli.main", "study", "run", "study.yaml", "--json"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120.0
        while not list((folder / "study.results" / "parts").glob("*.parquet")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "interrupted" in err
    assert "Traceback" not in err
    summary = json.loads(out)
    assert summary["interrupted"]
    assert 0 < summary["computed"] < 4 * 512
    assert sum(p["replications"] for p in summary["points"]) == summary["computed"]


def test_the_report_stands_alone_and_says_what_matters(folder):
    study = STUDY.replace("  as-is: {}", '  "<b>as-is</b> & more": {}')
    (folder / "study.yaml").write_text(study)
    assert twin_study(folder, "run", "study.yaml").returncode == 0
    page = (folder / "study.results" / "report.html").read_text()
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script|https?://(?!www\.w3\.org/)", page)
    assert os.fspath(folder) not in page
    for words in (
        "Key figures", "What changes", "Where the time goes", "holds the line back", "Over time", "How long a piece takes",
        "What was assumed", "faster-m2", "OEE", "seed 1", "prefers-color-scheme: dark",
    ):  # fmt: skip
        assert words in page
    assert "&lt;b&gt;as-is&lt;/b&gt; &amp; more" in page
    assert "<b>as-is</b> & more" not in page
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", page)


def test_names_lists_what_a_study_file_may_say(folder):
    text = twin_study(folder, "names", "line.usda").stdout
    for words in (
        "/Line/M1.twin:station:servers",
        "/Line/B1.twin:buffer:capacity",
        "fifo, lifo",
        "throughput",
        "/Line/M2:utilisation|",
    ):
        assert words in text
    assert "twin:station:cycleTime:cv" not in text
    assert "twin:station:cycleTime:cv" in twin_study(folder, "names", "line.usda", "--all").stdout
    listed = json.loads(twin_study(folder, "names", "study.yaml", "--json").stdout)
    values = {a["path"]: a["value"] for a in listed["attributes"]}
    assert values["/Line/B1.twin:buffer:capacity"] == 3
    assert values["/Line/M2.twin:station:cycleTime:mean"] == 12.0
    # every name is one that a study takes
    settings = "\n".join(f'      "{path}": {json.dumps(value)}' for path, value in values.items())
    kpis = json.dumps([k["name"] for k in listed["kpis"]])
    (folder / "all.yaml").write_text(
        f"stage: line.usda\nscenarios:\n  same:\n    set:\n{settings}\nrun: {{horizon: 600}}\nreplications: 2\nkpis: {kpis}\n"
    )
    assert twin_study(folder, "plan", "all.yaml").returncode == 0
