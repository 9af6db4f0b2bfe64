"""Running a study: the numbers, resuming by content, stopping at a precision, shards, failures, a killed process."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from twin.core.errors import InputError, StudyError, WorkError
from twin.flow import simulate
from twin.model.factory import FactoryModel
from twin.studies import Options, plan_study, read_study, run_study, summarise
from twin.studies.backends import open_backend
from twin.studies.run import shard_spans

CAPACITY = "/Line/B1.twin:buffer:capacity"
MEAN_2 = "/Line/M2.twin:station:cycleTime:mean"
FASTER = {"as-is": {}, "faster": {"set": {MEAN_2: 10.0}}}


def means(results):
    return {p.point.label: {k: v.tolist() for k, v in p.kpis.items()} for p in results.points}


def test_figures_are_those_of_the_engine(make_study, compile_line, two_machines, tmp_path):
    results = run_study(make_study(), tmp_path / "r", compile=compile_line)
    direct = simulate(two_machines(), horizon_s=1200.0, warmup_s=120.0, seed=3, replications=40)
    (point,) = results.points
    assert results.computed == 40
    assert results.cached == 0
    assert np.array_equal(point.kpis["throughput"], direct.throughput_per_h)
    assert np.array_equal(point.kpis["/Line/B1:mean_level"], direct.level_mean[:, 2])
    assert np.array_equal(point.kpis["/Line/M2:down"], direct.state_time_s[:, 3, 5] / direct.state_time_s[:, 3].sum(axis=1))
    document = summarise(results)
    assert document["points"][0]["replications"] == 40
    assert document["points"][0]["kpis"]["throughput"]["mean"] == pytest.approx(direct.throughput_per_h.mean())
    assert document["points"][0]["kpis"]["throughput"]["unit"] == "1/h"
    json.dumps(document, allow_nan=False)


def test_a_second_run_computes_nothing_and_more_replications_extend(make_study, compile_line, tmp_path):
    folder = tmp_path / "r"
    first = run_study(make_study(scenarios=FASTER), folder, compile=compile_line)
    again = run_study(make_study(scenarios=FASTER), folder, compile=compile_line)
    assert (first.computed, first.cached) == (80, 0)
    assert (again.computed, again.cached) == (0, 80)
    assert means(again) == means(first)
    more = run_study(make_study(scenarios=FASTER, replications=100), folder, compile=compile_line)
    assert (more.computed, more.cached) == (120, 80)
    # extending is the same as having asked for all of them at once
    at_once = run_study(make_study(scenarios=FASTER, replications=100), tmp_path / "other", compile=compile_line)
    assert means(more) == means(at_once)
    fewer = run_study(make_study(scenarios=FASTER, replications=8), folder, compile=compile_line)
    assert (fewer.computed, len(fewer.points[0].replication)) == (0, 8)


def test_only_what_alters_numbers_alters_identity(make_study, compile_line, tmp_path):
    folder = tmp_path / "r"
    run_study(make_study(replications=8), folder, compile=compile_line)

    def moved(study, scenario, parameters):
        model = compile_line(study, scenario, parameters)
        model.name = "renamed"
        model.rigid.gravity = np.array([0.0, -9.81, 0.0])
        return model

    assert run_study(make_study(replications=8), folder, compile=moved).computed == 0
    assert run_study(make_study(replications=8, kpis=["wip"]), folder, compile=compile_line).computed == 0
    slower = {"as-is": {"set": {MEAN_2: 12.5}}}
    assert run_study(make_study(replications=8, scenarios=slower), folder, compile=compile_line).computed == 8
    longer = {"horizon": "21 min", "warmup": "2 min", "seed": 3}
    assert run_study(make_study(replications=8, run=longer), folder, compile=compile_line).computed == 8
    other_seed = {"horizon": "20 min", "warmup": "2 min", "seed": 4}
    assert run_study(make_study(replications=8, run=other_seed), folder, compile=compile_line).computed == 8


def test_scenarios_with_the_same_content_run_once(make_study, compile_line, tmp_path):
    same = {"as-is": {}, "no-change": {"set": {MEAN_2: 12.0}}}
    results = run_study(make_study(scenarios=same), tmp_path / "r", compile=compile_line)
    assert (results.computed, results.cached) == (40, 40)


def test_a_sweep_is_crossed_with_every_scenario(make_study, compile_line, tmp_path):
    study = make_study(scenarios=FASTER, sweep={CAPACITY: [1, 6]}, replications=16)
    results = run_study(study, tmp_path / "r", compile=compile_line)
    found = [(p["scenario"], p["parameters"]) for p in summarise(results)["points"]]
    assert found == [("as-is", {CAPACITY: 1}), ("as-is", {CAPACITY: 6}), ("faster", {CAPACITY: 1}), ("faster", {CAPACITY: 6})]
    throughput = [p.kpis["throughput"].mean() for p in results.points]
    assert throughput[1] > throughput[0]
    assert throughput[3] > throughput[1]


def test_common_random_numbers_narrow_the_difference(make_study, compile_line, tmp_path):
    def width(crn, folder):
        run = {"horizon": "2 h", "warmup": "10 min", "seed": 3, "crn": crn}
        study = make_study(scenarios={"as-is": {}, "faster": {"set": {MEAN_2: 11.5}}}, run=run, replications=32)
        document = summarise(run_study(study, tmp_path / folder, compile=compile_line))
        (comparison,) = document["comparisons"]
        assert comparison["reference"] == {"scenario": "as-is", "parameters": {}}
        return comparison["kpis"]["throughput"]["half_width"]

    assert width(True, "common") < 0.5 * width(False, "separate")


def test_it_stops_when_the_precision_is_reached(make_study, compile_line, tmp_path):
    rough = make_study(replications={"min": 32, "max": 4096, "until": {"throughput": "5 %"}})
    fine = make_study(replications={"min": 32, "max": 4096, "until": {"throughput": "1 %"}})
    a = run_study(rough, tmp_path / "r", compile=compile_line)
    b = run_study(fine, tmp_path / "r", compile=compile_line)
    (p,) = summarise(b)["points"]
    assert len(a.points[0].replication) < p["replications"] < 4096
    assert p["precise"]
    assert p["kpis"]["throughput"]["half_width"] <= 0.01 * p["kpis"]["throughput"]["mean"]
    assert b.cached == len(a.points[0].replication)
    again = run_study(fine, tmp_path / "r", compile=compile_line)
    assert (again.computed, again.cached) == (0, p["replications"])


def test_a_precision_out_of_reach_ends_at_the_most_and_says_so(make_study, compile_line, tmp_path):
    study = make_study(replications={"min": 8, "max": 50, "until": {"throughput": "0.01 %"}})
    (p,) = summarise(run_study(study, tmp_path / "r", compile=compile_line))["points"]
    assert p["replications"] == 50
    assert not p["precise"]


def test_an_automatic_warm_up_is_found_once_and_kept(make_study, compile_line, tmp_path):
    run = {"horizon": "4 h", "warmup": "auto", "seed": 3}
    first = run_study(make_study(run=run, replications=8), tmp_path / "r", compile=compile_line)
    assert first.warmup.how == "auto"
    assert first.warmup.seconds < 2 * 3600
    more = run_study(make_study(run=run, replications=40), tmp_path / "r", compile=compile_line)
    assert more.warmup == first.warmup
    assert (more.computed, more.cached) == (32, 8)
    # another scenario does not move it: warm-ups that differ would make scenarios differ
    both = run_study(make_study(run=run, replications=8, scenarios=FASTER), tmp_path / "r", compile=compile_line)
    assert both.warmup == first.warmup
    assert both.computed == 8


def test_shards_cover_everything_once_and_show_merges_them(make_study, compile_line, tmp_path):
    study = make_study(scenarios=FASTER, replications=100)
    folder = tmp_path / "r"
    parts = [run_study(study, folder, options=Options(shard=(i, 3)), compile=compile_line) for i in range(3)]
    assert sum(p.computed for p in parts) == 200
    merged = read_study(study, folder, compile=compile_line)
    assert means(merged) == means(run_study(study, tmp_path / "whole", compile=compile_line))
    assert (merged.computed, merged.cached) == (0, 200)


def test_shards_count_from_zero_or_from_one():
    for shards in ([(0, 4), (1, 4), (2, 4), (3, 4)], [(1, 4), (2, 4), (3, 4), (4, 4)]):
        taken = [shard_spans(3, 70, shard) for shard in shards]
        for point in range(3):
            spans = sorted(t[point] for t in taken if t[point][0] < t[point][1])
            assert spans[0][0] == 0
            assert spans[-1][1] == 70
            assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_a_shard_needs_a_plain_number(make_study, compile_line, tmp_path):
    study = make_study(replications={"min": 32, "max": 64, "until": {"throughput": "1 %"}})
    with pytest.raises(StudyError, match="plain number"):
        run_study(study, tmp_path / "r", options=Options(shard=(0, 2)), compile=compile_line)


def test_a_dangling_override_is_named_before_anything_runs(make_study, compile_line, tmp_path):
    study = make_study(scenarios={"as-is": {}, "typo": {"set": {"/Line/M3.twin:station:servers": 2}}})
    plan = plan_study(study, compile_line)
    assert [p.error is None for p in plan.points] == [True, False]
    with pytest.raises(StudyError) as caught:
        run_study(study, tmp_path / "r", compile=compile_line)
    for word in ("study.yaml", "typo", "/Line/M3", "twin:station:servers"):
        assert word in str(caught.value)
    assert not (tmp_path / "r").exists()


def test_a_figure_that_the_line_lacks(make_study, compile_line):
    with pytest.raises(StudyError, match=r"no figure '/Line/M1:utilization'.*/Line/M1:utilisation"):
        plan_study(make_study(kpis=["/Line/M1:utilization"]), compile_line)
    with pytest.raises(StudyError, match=r"replications\.until.*speed"):
        plan_study(make_study(replications={"min": 4, "max": 8, "until": {"speed": 1}}), compile_line)


def test_a_point_that_fails_does_not_lose_the_others(make_study, compile_line, tmp_path):
    def compile(study, scenario, parameters):
        model: FactoryModel = compile_line(study, scenario, {})
        if scenario.name == "endless":
            # more arrives than can leave: the buffer without a limit outgrows memory
            model.nodes[2].capacity = -1
            model.nodes[1].cycle = [0]
        return model

    study = make_study(scenarios={"as-is": {}, "endless": {}, "last": {}}, replications=8)
    results = run_study(study, tmp_path / "r", compile=compile)
    assert [len(p.replication) for p in results.points] == [8, 0, 8]
    (failed,) = results.failed
    assert failed.point.scenario == "endless"
    assert failed.error
    document = summarise(results)
    assert document["points"][1]["kpis"] == {}
    assert [c["scenario"] for c in document["comparisons"]] == ["last"]


def test_a_line_that_sinks_nothing_has_undefined_figures(make_study, two_machines, tmp_path):
    study = make_study(replications=4)
    results = run_study(study, tmp_path / "r", compile=lambda *_: two_machines(mean_2=1e9))
    kpis = summarise(results)["points"][0]["kpis"]
    assert kpis["throughput"]["mean"] == 0.0
    for name in ("lead_time", "lead_time_p95", "energy_per_item"):
        assert kpis[name]["mean"] is None
        assert kpis[name]["half_width"] is None


def test_energy_is_unknown_where_no_machine_states_its_power(make_study, two_machines, tmp_path):
    study = make_study(replications=4)
    silent = run_study(study, tmp_path / "r", compile=lambda *_: two_machines(power=(0.0,) * 5))
    assert summarise(silent)["points"][0]["kpis"]["energy_per_item"]["mean"] is None


def test_a_damaged_part_is_named(make_study, compile_line, tmp_path):
    run_study(make_study(replications=8), tmp_path / "r", compile=compile_line)
    (part,) = (tmp_path / "r" / "parts").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(WorkError, match=part.name):
        run_study(make_study(replications=8), tmp_path / "r", compile=compile_line)


def test_parts_can_be_queried(make_study, compile_line, tmp_path):
    import duckdb

    run_study(make_study(scenarios=FASTER, replications=40), tmp_path / "r", compile=compile_line)
    rows = duckdb.sql(
        f"select scenario, count(*), avg(sunk_measured) from '{tmp_path}/r/parts/*.parquet' group by 1 order by 1"
    ).fetchall()
    assert [(r[0], r[1]) for r in rows] == [("as-is", 40), ("faster", 40)]
    assert rows[1][2] > rows[0][2]


def test_ray_says_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="ray"):
        open_backend("ray")
    with pytest.raises(InputError, match="local"):
        open_backend("slurm")


def test_ray_gives_the_same_numbers(make_study, two_machines, tmp_path):
    pytest.importorskip("ray", reason="the extra twin[ray] is not installed")
    study = make_study(scenarios={"as-is": {}, "again": {}}, replications=96, run={"horizon": "1 h", "seed": 3, "crn": False})
    there = run_study(study, tmp_path / "ray", options=Options(backend="ray"), compile=lambda *_: two_machines())
    here = run_study(study, tmp_path / "local", compile=lambda *_: two_machines())
    assert not there.failed
    assert there.computed == here.computed == 192
    assert means(there) == means(here)


SCRIPT = """
import signal, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lines import two_machines
from twin.studies import Options, parse_study, run_study
stop = threading.Event()
signal.signal(signal.SIGINT, lambda number, frame: stop.set())
folder = Path(sys.argv[2])
document = {"stage": "line.usda", "run": {"horizon": "8 h", "seed": 3}, "replications": 768}
study = parse_study(document, folder / "study.yaml")
results = run_study(study, folder / "r", options=Options(stop=stop), compile=lambda *_: two_machines())
print(results.interrupted, results.computed)
"""


def _start_and_stop(tmp_path: Path, how: signal.Signals) -> tuple[int, str]:
    """Run a long study in a process of its own and end it after its first part."""
    script = tmp_path / "long.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120.0
        while not list((tmp_path / "r" / "parts").glob("*.parquet")):
            assert process.poll() is None, "the study ended before its first part"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(how)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, output


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_goes_on_where_it_was(make_study, two_machines, tmp_path, how):
    code, output = _start_and_stop(tmp_path, how)
    finished = sum(int(p.stem.rsplit("-", 1)[1]) for p in (tmp_path / "r" / "parts").glob("*.parquet"))
    assert 0 < finished < 768
    if how == signal.SIGINT:
        assert code == 0
        assert output.split() == ["True", str(finished)]
    study = make_study(run={"horizon": "8 h", "seed": 3}, replications=768)
    results = run_study(study, tmp_path / "r", compile=lambda *_: two_machines())
    assert (results.computed, results.cached) == (768 - finished, finished)
    assert results.points[0].replication.tolist() == list(range(768))
    again = simulate(two_machines(), horizon_s=28800.0, seed=3, replications=64)
    assert np.array_equal(results.points[0].kpis["throughput"][:64], again.throughput_per_h)


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lines import two_machines
from twin.core.errors import TwinError
from twin.studies import parse_study, run_study
folder = Path(sys.argv[2])
document = {"stage": "line.usda", "run": {"horizon": "2 h", "seed": 3}, "replications": int(sys.argv[3])}
study = parse_study(document, folder / "study.yaml")
if sys.argv[4] != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
try:
    print(run_study(study, folder / "r", compile=lambda *_: two_machines()).computed)
except TwinError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def _run_script(tmp_path, folder, replications, most_bytes):
    script = tmp_path / "full.py"
    script.write_text(FULL)
    command = [sys.executable, str(script), str(Path(__file__).parent), str(folder), str(replications), str(most_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_cannot_be_written_is_said_and_what_is_finished_stays(tmp_path):
    assert _run_script(tmp_path, tmp_path, 64, 0).split() == ["64"]
    # the system refuses larger files from now on, as a full disk refuses any
    said = _run_script(tmp_path, tmp_path, 256, 1000)
    assert said.startswith("StorageError 1 ")
    for words in (str(tmp_path / "r" / "parts"), "File too large", "finished replications are kept"):
        assert words.lower() in said.lower()
    assert not list((tmp_path / "r" / "parts").glob(".*"))
    assert _run_script(tmp_path, tmp_path, 256, 0).split() == ["192"]


def test_a_full_disk_is_named(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True).returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    try:
        said = _run_script(tmp_path, disk, 2048, 0)
        kept = sum(int(p.stem.rsplit("-", 1)[1]) for p in (disk / "r" / "parts").glob("*.parquet"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert said.startswith("StorageError 1 ")
    assert "the disk is full" in said
    assert 0 < kept < 2048
