"""The sample scenes check without complaint, and their studies say what their READMEs say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twin.scene.check import check_stage
from twin.studies import load_study, run_study
from twin.studies.spec import Replications

SCENES = Path(__file__).parents[2] / "scenes"


def results_of(study, tmp_path, replications=40, only=None):
    """Mean of each figure by scenario (and value of the sweep)."""
    spec = load_study(SCENES / study)
    spec = replace(spec, replications=Replications(replications, replications), sensitivity=0.0)
    if only is not None:
        spec = replace(spec, scenarios={name: spec.scenarios[name] for name in only})
    return {
        (p.point.scenario, *p.point.parameters.values()): {name: float(np.mean(v)) for name, v in p.kpis.items()}
        for p in run_study(spec, tmp_path / "out").points
    }


@pytest.mark.parametrize("scene", ["machining_cell", "assembly_line"])
def test_scenes_check_without_complaint(scene):
    assert [f for f in check_stage(SCENES / scene / "scene.usda") if f.severity != "info"] == []


def test_machining_cell_needs_an_operator_more_than_a_robot(tmp_path):
    found = results_of("machining_cell/studies/operators.study.yaml", tmp_path)
    lead = {name[0]: figures["lead_time"] / 60.0 for name, figures in found.items()}
    assert lead["as-is"] == pytest.approx(76.0, rel=0.15)
    assert lead["third-operator"] == pytest.approx(39.0, rel=0.1)
    assert lead["quick-setup"] == pytest.approx(56.0, rel=0.1)
    assert lead["third-operator"] < lead["quick-setup"] < lead["second-robot"]
    assert abs(lead["second-robot"] - lead["as-is"]) < 8.0
    for figures in found.values():
        assert figures["throughput"] == pytest.approx(9.25, rel=0.03)
    two, three = found[("as-is",)], found[("third-operator",)]
    assert two["/World/Cell/Operators:utilisation"] == pytest.approx(0.82, abs=0.02)
    assert three["/World/Cell/Operators:utilisation"] == pytest.approx(0.54, abs=0.02)
    assert two["/World/Cell/Inspect:waiting_crew"] == pytest.approx(0.35, abs=0.03)
    assert three["/World/Cell/Inspect:waiting_crew"] < 0.06
    assert two["/World/Cell/CarrierCell:starved"] > 0.75


def test_assembly_line_grows_with_a_second_test_stand_or_a_late_shift(tmp_path):
    found = results_of("assembly_line/studies/growth.study.yaml", tmp_path, 24)
    pieces = {name[0]: figures["throughput"] for name, figures in found.items()}
    assert pieces["as-is"] == pytest.approx(107.0, rel=0.02)
    assert pieces["more-orders"] == pytest.approx(110.0, rel=0.02)
    assert pieces["second-test-stand"] == pytest.approx(126.0, rel=0.02)
    assert pieces["late-shift"] == pytest.approx(129.0, rel=0.01)
    busy = found[("more-orders",)]
    assert busy["/World/Line/Test:utilisation"] > busy["/World/Line/Press:utilisation"]
    assert busy["/World/Line/Test:starved"] < 0.02


def test_assembly_line_needs_room_for_what_failed(tmp_path):
    found = results_of("assembly_line/studies/rework.study.yaml", tmp_path, 24, only=("as-is", "fails-15-percent"))
    pieces = {name: figures["throughput"] for name, figures in found.items()}
    assert pieces["as-is", 1] / pieces["as-is", 6] == pytest.approx(0.975, abs=0.01)
    assert pieces["fails-15-percent", 6] / pieces["as-is", 6] == pytest.approx(0.93, abs=0.02)
    assert pieces["fails-15-percent", 1] / pieces["as-is", 6] == pytest.approx(0.82, abs=0.02)
