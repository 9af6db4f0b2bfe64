"""``twin.Study`` in a script: tables in three libraries, the same numbers as the command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import twin
from twin.core.errors import InputError, StudyError

HERE = Path(__file__).parent
CAPACITY = "/Line/B1.twin:buffer:capacity"
STUDY = {
    "stage": "line.usda",
    "scenarios": {"as-is": {}, "new": {"variants": {"/Line/M2": {"machine": "new"}}}},
    "sweep": {CAPACITY: [2, 6]},
    "run": {"horizon": "30 min", "warmup": "5 min"},
    "replications": 8,
    "sensitivity": "none",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(HERE / "line.usda", folder)
    study = twin.Study(STUDY, base=folder, name="machines")
    assert study.plan().arrow.to_pydict() == {
        "scenario": ["as-is", "as-is", "new", "new"], CAPACITY: [2, 6, 2, 6], "error": [None] * 4,
    }  # fmt: skip
    return study, study.run(progress=False)


def test_tables_hold_what_the_summary_holds(results):
    study, found = results
    assert study.folder.name == "machines.results"
    summary = json.loads((study.folder / "summary.json").read_text())
    points = found.points.to_arrow()
    assert isinstance(points, pa.Table)
    rows = [r for r in points.to_pylist() if r["kpi"] == "throughput"]
    assert [(r["scenario"], r[CAPACITY]) for r in rows] == [("as-is", 2), ("as-is", 6), ("new", 2), ("new", 6)]
    for row, point in zip(rows, summary["points"], strict=True):
        assert row["mean"] == point["kpis"]["throughput"]["mean"]
        assert row["half_width"] == point["kpis"]["throughput"]["half_width"]
    each = found.replications.to_arrow()
    assert each.num_rows == 32
    assert each["replication"].to_pylist() == list(range(8)) * 4
    assert np.mean(each["throughput"].to_numpy()[:8]) == pytest.approx(rows[0]["mean"])
    best = found.ranking().to_arrow().to_pylist()[0]
    assert (best["scenario"], best[CAPACITY], best["may_be_best"]) == ("new", 6, True)
    difference = next(r for r in found.differences.to_arrow().to_pylist() if r["kpi"] == "throughput")
    assert difference["difference"] == pytest.approx(rows[1]["mean"] - rows[0]["mean"])
    again = study.results()
    assert again.points.to_arrow().equals(points)
    assert found.report.is_file()


def test_notebooks_show_tables(results):
    study, found = results
    assert repr(study) == "<twin.Study 'machines': as-is, new, sweep of B1 capacity (grid)>"
    assert repr(found) == "<twin.StudyResults of 'machines': 4 points, 32 replications>"
    page = found._repr_html_()
    for words in ("new [B1 capacity = 6]", "±", "pieces per hour", "font-weight:600"):
        assert words in page
    assert "<td>throughput</td>" in found.points._repr_html_()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(results, library):
    try:
        __import__(library)
    except ImportError:
        with pytest.raises(InputError, match=f"pip install {library}"):
            getattr(results[1].points, f"to_{library}")()
        return
    frame = getattr(results[1].points, f"to_{library}")()
    assert list(frame.columns) == results[1].points.to_arrow().column_names
    assert len(frame) == len(results[1].points)


def test_mistakes_are_those_of_a_study_file(tmp_path):
    with pytest.raises(StudyError, match="horizon"):
        twin.Study({"stage": "line.usda", "run": {}}, base=tmp_path)
    with pytest.raises(StudyError, match="no such file"):
        twin.Study(tmp_path / "none.yaml")
    with pytest.raises(AttributeError, match="Studies"):
        twin.Studies  # noqa: B018
