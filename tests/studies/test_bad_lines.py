"""Lines that cannot work as they stand: what a study says of them, and that it goes on with the rest."""

import json
import sys

import pytest

from twin.cli.main import main
from twin.studies import run_study
from twin.studies.report import render
from twin.studies.summary import summarise

LINE = """#usda 1.0
(
    defaultPrim = "Line"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "Line"
{
    class Xform "Part" (prepend apiSchemas = ["TwinItemAPI"])
    {
        token twin:item:type = "part"
    }
    def Xform "In" (prepend apiSchemas = ["TwinSourceAPI"])
    {
        double twin:source:interarrival:mean = 20
        rel twin:source:items = </Line/Part>
        rel twin:next = </Line/M>
    }
    def Xform "M" (prepend apiSchemas = ["TwinStationAPI"])
    {
        token twin:station:cycleTime:distribution = "uniform"
        double twin:station:cycleTime:min = 5
        double twin:station:cycleTime:max = 9
        rel twin:next = </Line/Out>
    }
    def Xform "Out" (prepend apiSchemas = ["TwinSinkAPI"])
    {
    }
}
"""
STUDY = """
stage: line.usda
run: {horizon: 10 min}
replications: 8
kpis: [throughput]
"""


def study_says(folder, monkeypatch, capsys, line, verb="run"):
    """Exit code, and all that ``twin study`` says on the error output, of a study of this line."""
    (folder / "line.usda").write_text(line)
    (folder / "study.yaml").write_text(STUDY)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["twin", "study", verb, "study.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, " ".join(capsys.readouterr().err.split())


def test_a_deadlock_is_named_marked_and_the_study_goes_on(make_study, compile_line, tmp_path):
    def compile(study, scenario, parameters):
        model = compile_line(study, scenario, {})
        if scenario.name == "loop":
            # what M1 makes badly goes by M2 back to M1, which is full again at once
            model.nodes[1].scrap_rate, model.nodes[1].rework, model.nodes[1].next = 0.5, 3, [4]
            model.nodes[3].next = [1]
        return model

    study = make_study(scenarios={"as-is": {}, "loop": {}, "last": {}}, replications=8)
    results = run_study(study, tmp_path / "r", compile=compile)
    assert [len(p.replication) for p in results.points] == [8, 8, 8]
    assert [len(p.deadlocked) for p in results.points] == [0, 8, 0]
    assert results.points[1].stuck == ["/Line/Src", "/Line/M1", "/Line/M2"]
    assert summarise(results)["points"][1]["stuck"] == ["/Line/Src", "/Line/M1", "/Line/M2"]
    report = render(results)
    assert "8 of 8 replications came to a standstill (0, 1, 2, 3, 4, 5, 6, 7): M1 waits for room in M2, that for M1." in report


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max = 9", "max = 2", ["line.usda: /Line/M: twin:station:cycleTime:min: min 5 is not below max 2"]),
        ("double twin:station:cycleTime:max = 9", "", ["/Line/M: twin:station:cycleTime:max", "needs max"]),
        ("interarrival:mean = 20", "interarrival:mean = -1", ["/Line/In: twin:source:interarrival:mean", "-1"]),
    ],
)
def test_an_impossible_distribution_is_refused(tmp_path, monkeypatch, capsys, old, new, words):
    assert old in LINE
    code, said = study_says(tmp_path, monkeypatch, capsys, LINE.replace(old, new))
    assert code == 2
    for word in words:
        assert word in said
    assert not (tmp_path / "study.results").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("        rel twin:next = </Line/Out>\n", "", ["/Line/M", "no successor"]),
        ("rel twin:next = </Line/M>", "rel twin:next = </Line/Out>", ["/Line/M", "no source leads here"]),
        ("</Line/Out>", "</Line/M>", ["/Line/Out", "nothing leads to this sink"]),
    ],
)
def test_a_dead_end_and_what_nothing_reaches_are_said(tmp_path, monkeypatch, capsys, old, new, words):
    assert old in LINE
    code, said = study_says(tmp_path, monkeypatch, capsys, LINE.replace(old, new))
    assert code == 0  # a line that is being built may be looked at
    for word in words:
        assert word in said
    summary = json.loads((tmp_path / "study.results" / "summary.json").read_text())
    assert [p["replications"] for p in summary["points"]] == [8]
