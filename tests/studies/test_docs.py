"""The guide is right: its studies can be planned, its recipes set what is there, its Python runs."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

import twin
from twin.model.kpis import LINE_KPIS, STATION_KPIS
from twin.scene import compile_scenario
from twin.studies import load_study, plan_study, run_study
from twin.studies.spec import _TOP_KEYS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDE = (ROOT / "docs" / "studies.md").read_text()
HERO = ROOT / "scenes" / "packaging_line" / "scene.usda"
CELL = ROOT / "scenes" / "machining_cell" / "scene.usda"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def hero_studies() -> list[str]:
    return [b for b in blocks("yaml") if "stage: scene.usda" in b]


@pytest.mark.parametrize("text", hero_studies())
def test_its_studies_can_be_planned(tmp_path, text):
    stage = CELL if "machining_cell" in text else HERO
    (tmp_path / "study.yaml").write_text(text.replace("stage: scene.usda", f"stage: {stage}"))
    study = load_study(tmp_path / "study.yaml")
    plan = plan_study(study)
    assert [p.error for p in plan.points] == [None] * len(plan.points)
    assert plan.idle == []


def test_it_names_every_key_and_figure():
    whole = next(b for b in hero_studies() if "fidelity" in b)
    assert set(yaml.safe_load(whole)) == {"stage", "run", *_TOP_KEYS}
    for name in LINE_KPIS:
        assert f"`{name}`" in GUIDE or f"`{name.removeprefix('lead_time')}`" in GUIDE, name
    for name in STATION_KPIS:
        assert f":{name}`" in GUIDE, name


def test_its_recipes_are_attributes_of_the_schema():
    schema = (ROOT / "docs" / "schema-reference.md").read_text()
    table = GUIDE.split("## Recipes")[1].split("## Key figures")[0]
    names = re.findall(r'"/[\w/]+\.(twin:[\w:]+)"', table)
    assert len(names) > 14
    for name in names:
        known = re.sub(r":type:\w+(:\w+)$", r"\1", name)
        assert known in schema, name


def test_its_layer_adds_a_second_machine(tmp_path):
    shutil.copy(HERE / "line.usda", tmp_path)
    layer, _ = blocks("usda")
    (tmp_path / "second.usda").write_text(layer)
    model = compile_scenario(tmp_path / "line.usda", layers=[tmp_path / "second.usda"])
    assert {"/Line/Share", "/Line/M2b"} <= {n.path for n in model.nodes}
    text = "stage: line.usda\nscenarios: {as-is: {}, two: {layers: [second.usda]}}\nrun: {horizon: 2 h}\nreplications: 8\n"
    (tmp_path / "study.yaml").write_text(text + "sensitivity: none\n")
    one, two = run_study(load_study(tmp_path / "study.yaml"), tmp_path / "r").points
    assert two.kpis["throughput"].mean() > 1.1 * one.kpis["throughput"].mean()


def test_its_second_mill_works_beside_the_first(tmp_path):
    shutil.copytree(ROOT / "scenes", tmp_path / "scenes", ignore=shutil.ignore_patterns(".twin", "*.results"))
    _, layer = blocks("usda")
    path = tmp_path / "scenes" / "machining_cell" / "second_mill.usda"
    path.write_text(layer)
    model = compile_scenario(path.with_name("scene.usda"), layers=[path])
    nodes = {n.path.rsplit("/", 1)[-1]: n for n in model.nodes}
    rows = model.distributions.rows
    first, second = nodes["Mill"], nodes["Mill2"]
    assert [rows[c] for c in first.cycle] == [rows[c] for c in second.cycle]
    for name in ("setup", "time_to_failure", "time_to_repair"):
        assert rows[getattr(first, name)] == rows[getattr(second, name)], name
    assert (first.crew, first.crew_size, first.repair_crew) == (second.crew, second.crew_size, second.repair_crew)
    assert {nodes["Mills"].next[0], nodes["Mills"].next[1]} == {model.node_index(n.path) for n in (first, second)}


def test_its_python_runs(tmp_path, monkeypatch):
    shutil.copy(HERE / "line.usda", tmp_path)
    (tmp_path / "buffers.study.yaml").write_text("stage: line.usda\nrun: {horizon: 600}\nreplications: 2\nsensitivity: none\n")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    # the tables of other libraries are tested where those are installed
    code = re.sub(r"\.to_(pandas|polars)\(\)", ".to_arrow()", code.replace("replications=64", "replications=3, progress=False"))
    known: dict[str, object] = {}
    exec(code, known)
    assert isinstance(known["study"], twin.Study)
    assert len(known["results"].replications) == 3


def test_the_readme_leads_to_it():
    assert "docs/studies.md" in (ROOT / "README.md").read_text()
