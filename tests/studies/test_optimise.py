"""The search finds what an exhaustive study finds, and goes on where it was."""

import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from twin.core.errors import InputError, StudyError
from twin.studies import run_study, summarise
from twin.studies.optimise import add_cost, optimise_study, violations
from twin.studies.ranking import rank_points
from twin.studies.report import render
from twin.studies.text import print_summary

CAPACITY = "/Line/B1.twin:buffer:capacity"
MEAN_2 = "/Line/M2.twin:station:cycleTime:mean"
SWEEP = {CAPACITY: {"min": 1, "max": 12, "type": "int"}, MEAN_2: [10.0, 11.0, 12.0]}


def means(results, kpi="throughput"):
    return {tuple(p.point.parameters.values()): float(p.kpis[kpi].mean()) for p in results.points if p.point.parameters}


def test_it_comes_near_the_best_of_all_and_the_same_again(make_study, compile_line, tmp_path):
    study = make_study(
        sweep=SWEEP, design="lhs(2)", replications=8, optimise={"maximise": "throughput", "trials": 20, "batch": 5}
    )
    found = optimise_study(study, tmp_path / "r", compile=compile_line)
    tried = means(found)
    assert 10 <= len(tried) <= 20
    assert found.points[0].point.parameters == {}
    grid = make_study(sweep={CAPACITY: list(range(1, 13)), MEAN_2: [10.0, 11.0, 12.0]}, replications=8, sensitivity="none")
    best = max(means(run_study(grid, tmp_path / "grid", compile=compile_line)).values())
    assert max(tried.values()) > 0.99 * best
    again = optimise_study(study, tmp_path / "r", compile=compile_line)
    assert again.computed == 0
    assert means(again) == tried
    # trials beyond those that are there
    more = make_study(sweep=SWEEP, design="lhs(2)", replications=8, optimise={"maximise": "throughput", "trials": 25, "batch": 5})
    extended = optimise_study(more, tmp_path / "r", compile=compile_line)
    assert extended.computed <= 5 * 8
    assert list(means(extended))[: len(tried)] == list(tried)
    document = summarise(extended)
    assert document["design"] == "optuna"
    assert re.search(r"<b>trial \d+</b> has the best throughput found:.*(against|to) the present design", render(extended))


def test_limits_keep_the_search_where_it_may_be(make_study, compile_line, tmp_path):
    study = make_study(
        sweep={CAPACITY: {"min": 1, "max": 40, "type": "int"}},
        design="sobol(2)",
        replications=4,
        optimise={"maximise": "throughput", "trials": 24, "batch": 4, "limits": {"wip": {"max": 6.0}}},
    )
    found = optimise_study(study, tmp_path / "r", compile=compile_line)
    beyond = [p for p in found.points if not p.feasible]
    assert beyond
    assert all(float(p.kpis["wip"].mean()) > 6.0 for p in beyond)
    # more buffer is more throughput and more work in process: the largest buffer that is allowed is the best
    wip = {c: float(run_study(
        make_study(sweep={CAPACITY: [c]}, replications=4, sensitivity="none"), tmp_path / "r", compile=compile_line
    ).points[0].kpis["wip"].mean()) for c in range(2, 16)}  # fmt: skip
    largest = max(c for c, level in wip.items() if level <= 6.0)
    first = summarise(found)["ranking"]["throughput"][0]
    assert abs(first["parameters"][CAPACITY] - largest) <= 1
    assert "break the limits" in render(found)


def test_the_cheapest_within_a_share_of_the_best_is_found(make_study, compile_line, tmp_path, capsys):
    study = make_study(
        sweep={CAPACITY: {"min": 1, "max": 30, "type": "int"}},
        replications=8,
        sensitivity="none",
        optimise={
            "minimise": "cost",
            "cost": {CAPACITY: 2.0},
            "limits": {"throughput": {"min": "97 % of best"}},
            "trials": 24,
            "batch": 8,
        },
    )
    found = optimise_study(study, tmp_path / "r", compile=compile_line)
    tried = [p for p in found.points if p.point.parameters]
    means = {p.point.parameters[CAPACITY]: float(p.kpis["throughput"].mean()) for p in tried}
    able = {c for c, mean in means.items() if mean >= 0.97 * max(means.values())}
    assert {p.point.parameters[CAPACITY] for p in tried if p.feasible} == able
    assert 0 < len(able) < len(means)
    document = summarise(found)
    assert document["optimise"]["best"]["parameters"] == {CAPACITY: min(able)}
    assert document["optimise"]["best"]["mean"] == 2.0 * min(able)
    assert document["optimise"]["infeasible"] == len(means) - len(able)
    print_summary(document)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"best: as-is [B1 capacity = {min(able)}]")
    assert f"{len(means) - len(able)} of {len(means)} trials break the limits: throughput at least" in last
    page = render(found)
    assert "Looked for" in page
    # a cost is not random: it is the cheapest of what was tried, and what is uncertain is the limit
    assert re.search(r"<b>trial \d+</b> is the cheapest found: it costs", page)
    assert "as good" not in page
    (limit,) = document["optimise"]["limits"]
    assert (limit["kpi"], limit["end"]) == ("throughput", "min")
    best = next(p for p in tried if p.point.parameters[CAPACITY] == min(able))
    assert limit["room"] == pytest.approx(means[min(able)] - 0.97 * max(means.values()))
    assert limit["verdict"] == ("kept" if limit["room"] >= limit["half_width"] else "not proven")
    assert limit["verdict"] in page
    # of one cost, the one with more throughput goes first
    twin = replace(best, kpis={**best.kpis, "throughput": best.kpis["throughput"] + 1.0})
    assert [r.point for r in rank_points([best, twin], "cost", ("throughput",))] == [twin, best]
    # the design that is there has its price too, where its values are known
    add_cost(found.points[0], study, {CAPACITY: 3})
    assert set(found.points[0].kpis["cost"]) == {6.0}
    assert "against the present design" in render(found) or "as much as the present design" in render(found)
    with pytest.raises(StudyError, match=r"99 %.*not a limit.*99 % of best"):
        make_study(sweep=SWEEP, optimise={"maximise": "wip", "limits": {"throughput": {"min": "99 %"}}})
    with pytest.raises(StudyError, match="what a unit costs"):
        make_study(sweep=SWEEP, optimise={"minimise": "cost"})
    with pytest.raises(StudyError, match="is not swept"):
        make_study(sweep=SWEEP, optimise={"minimise": "cost", "cost": {"/Line/B2.twin:buffer:capacity": 1}})


def test_a_standstill_rules_a_point_out(make_study, compile_line, tmp_path):
    study = make_study(
        sweep={CAPACITY: [1, 2, 3]}, replications=4, sensitivity="none", optimise={"maximise": "throughput", "trials": 6}
    )
    result = run_study(study, tmp_path / "r", compile=compile_line).points[0]
    assert violations(result, study, {}) == {"standstill": 0.0}
    result.deadlocked = [2]
    assert violations(result, study, {})["standstill"] > 0.0


def test_an_undefined_figure_breaks_the_limits_that_there_are(make_study, compile_line, tmp_path):
    goal = {"maximise": "throughput", "trials": 6, "limits": {"lead_time": {"max": 60}}}
    study = make_study(sweep={CAPACITY: [1, 2, 3]}, replications=4, sensitivity="none", optimise=goal)
    result = run_study(study, tmp_path / "r", compile=compile_line).points[0]
    result.kpis["lead_time"][:] = np.nan
    broken = [name for name, beyond in violations(result, study, {}).items() if beyond > 0.0]
    assert broken == ["lead_time at most 60"]


def test_what_is_missing_is_named(make_study, compile_line, tmp_path, monkeypatch):
    with pytest.raises(StudyError, match="maximise"):
        optimise_study(make_study(sweep=SWEEP, design="lhs(2)"), tmp_path, compile=compile_line)
    with pytest.raises(StudyError, match="sweep"):
        optimise_study(make_study(optimise={"minimise": "wip"}), tmp_path, compile=compile_line)
    with pytest.raises(StudyError, match="one of maximise and minimise"):
        make_study(optimise={"trials": 3})
    study = make_study(sweep=SWEEP, design="lhs(2)", optimise={"maximise": "speed"})
    with pytest.raises(StudyError, match=r"optimise.*'speed'"):
        optimise_study(study, tmp_path, compile=compile_line)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"twin\[optimise\]"):
        optimise_study(study, tmp_path, compile=compile_line)
