"""A study file is understood, and every mistake in one is named with its file, key and what is allowed."""

from pathlib import Path

import pytest

from twin.core.errors import StudyError
from twin.studies.spec import load_study

GOOD = """
stage: line.usda
fidelity: flow
scenarios:
  as-is: {}
  faster-m2: {layers: [scenarios/faster_m2.usda]}
  more-buffer: {set: {"/Line/B1.twin:buffer:capacity": 12}}
  other-machine: {variants: {"/Line/M2": {machine: fast}}}
baseline: as-is
sweep:
  "/Line/B1.twin:buffer:capacity": [2, 4, 8]
design: grid
run: {begin: "2026-11-23T06:00", horizon: 8 h, warmup: 1 h, seed: 7, crn: true}
replications: {min: 32, max: 4096, until: {throughput: 1 %, wip: 0.5}}
kpis: [throughput, wip, lead_time]
compare: paired-t
start: empty
physics: {horizon: 10 min, replications: 4}
"""


def load(folder: Path, text: str):
    file = folder / "study.yaml"
    file.write_text(text)
    return load_study(file)


def test_the_example_of_the_contract(tmp_path):
    study = load(tmp_path, GOOD)
    assert study.name == "study"
    assert study.stage == tmp_path / "line.usda"
    assert study.run.horizon_s == 8 * 3600
    assert study.run.warmup_s == 3600
    assert study.run.seed == 7
    assert study.run.begin == "2026-11-23T06:00:00"
    assert study.run.begin_s == 6 * 3600  # that day is a Monday
    assert study.scenarios["faster-m2"].layers == (tmp_path / "scenarios/faster_m2.usda",)
    assert study.scenarios["more-buffer"].values == {"/Line/B1.twin:buffer:capacity": 12}
    assert study.scenarios["other-machine"].variants == {"/Line/M2": {"machine": "fast"}}
    assert (study.replications.low, study.replications.high) == (32, 4096)
    assert study.replications.until["throughput"].relative
    assert study.replications.until["throughput"].value == 0.01
    assert not study.replications.until["wip"].relative


def test_physics_has_its_own_horizon_and_replications(tmp_path):
    study = load(tmp_path, GOOD.replace("fidelity: flow", "fidelity: physics"))
    assert study.run.horizon_s == 600.0
    assert study.run.warmup_s == 3600.0
    assert study.replications.plain
    assert study.replications.low == 4


def test_what_is_left_out_has_a_plain_meaning(tmp_path):
    study = load(tmp_path, "stage: a.usda\nrun: {horizon: 600}\n")
    assert list(study.scenarios) == ["as-is"]
    assert study.baseline == "as-is"
    assert study.run.warmup_s == 0.0
    assert study.run.crn
    assert study.replications.plain
    assert study.replications.low == 32


def test_an_automatic_warm_up_and_none(tmp_path):
    assert load(tmp_path, "stage: a\nrun: {horizon: 600, warmup: auto}").run.warmup_s is None
    assert load(tmp_path, "stage: a\nrun: {horizon: 600, warmup: none}").run.warmup_s == 0.0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("stage: line.usda", "", ["'stage'", "missing"]),
        ("fidelity: flow", "fidelity: fluid", ["fidelity", "'fluid'", "flow, physics"]),
        ("baseline: as-is", "baseline: today", ["baseline", "'today'", "as-is", "faster-m2"]),
        ("kpis: [", "kpi: [", ["'kpi'", "kpis"]),
        ("horizon: 8 h", "horizon: 8 parsecs", ["run.horizon", "8 parsecs", "8 h"]),
        ("horizon: 8 h", "horizon: 0", ["run.horizon", "above 0"]),
        ("warmup: 1 h", "warmup: soon", ["run.warmup", "'soon'", "auto", "none"]),
        ("seed: 7", "seed: -1", ["run.seed", "-1"]),
        ("crn: true", "crn: maybe", ["run.crn", "'maybe'"]),
        ('begin: "2026-11-23T06:00"', 'begin: "2026-11-23T06:00Z"', ["run.begin", "plant-local"]),
        ("design: grid", "design: lattice", ["design", "'lattice'", "lhs(N)"]),
        ("[2, 4, 8]", "[]", ["sweep./Line/B1.twin:buffer:capacity", "list of values or a range"]),
        ("[2, 4, 8]", "{min: 8, max: 2}", ["sweep./Line/B1", "min must be below max"]),
        ('"/Line/B1.twin:buffer:capacity": [', '"B1 capacity": [', ["sweep", "'B1 capacity'", "attribute path"]),
        ("{set:", "{sets:", ["scenarios.more-buffer", "'sets'", "layers, variants, set"]),
        ("throughput: 1 %", "throughput: tiny", ["replications.until.throughput", "'tiny'", "1 %"]),
        ("max: 4096", "max: 8", ["replications.max", "8", "32 to"]),
        ("compare: paired-t", "compare: gut", ["compare", "'gut'", "paired-t"]),
        ("start: empty", "start: history@noon", ["start", "'noon'", "history@2026"]),
        ("start: empty", "start: yesterday", ["start", "'yesterday'", "empty"]),
        ("  as-is: {}", "  as-is: {}\n  as-is: {}", ["line 6", "'as-is'", "twice"]),
        ("  as-is: {}", "  1: {}", ["line 5", "quotes"]),
        ("kpis: [throughput, wip, lead_time]", "kpis: [throughput", ["line", "not a YAML file"]),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, words):
    assert old in GOOD
    with pytest.raises(StudyError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    for word in ["study.yaml", *words]:
        assert word in str(caught.value)


def test_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(StudyError, match="no such file"):
        load_study(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(StudyError, match=r"b\.yaml"):
        load_study(tmp_path / "b.yaml")


def test_min_and_max_without_a_precision_say_nothing(tmp_path):
    with pytest.raises(StudyError, match="until"):
        load(tmp_path, "stage: a\nrun: {horizon: 600}\nreplications: {min: 4, max: 9}")
