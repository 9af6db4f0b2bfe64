"""Which points may be the best, and what swept values do."""

import numpy as np
import pytest

from twin.studies.effects import main_effects
from twin.studies.plan import Point
from twin.studies.ranking import rank_points
from twin.studies.results import PointResult


def result(index, values, **parameters):
    values = np.asarray(values, float)
    point = Point(index, "as-is", dict(parameters), 1)
    return PointResult(point, replication=np.arange(len(values)), kpis={"throughput": values, "lead_time": -values})


def test_the_best_point_is_kept_as_often_as_is_said():
    rng = np.random.default_rng(1)
    kept = 0
    for _ in range(400):
        common = rng.normal(0.0, 3.0, 12)
        # the true best is hardly better than four others
        points = [result(k, 100.0 - 0.2 * (k > 0) + common + rng.normal(0.0, 0.5, 12)) for k in range(5)]
        kept += next(r for r in rank_points(points, "throughput") if r.point is points[0]).may_be_best
    assert kept / 400 >= 0.95


def test_clear_differences_are_told_even_where_intervals_overlap():
    rng = np.random.default_rng(2)
    common = rng.normal(0.0, 5.0, 20)
    points = [result(k, 100.0 + k + common + rng.normal(0.0, 0.2, 20)) for k in range(4)]
    ranks = rank_points(points, "throughput")
    assert [r.point.point.index for r in ranks] == [3, 2, 1, 0]
    assert [r.may_be_best for r in ranks] == [True, False, False, False]
    # less lead time is better
    assert rank_points(points, "lead_time")[0].point.point.index == 3
    assert [r.place for r in ranks] == [1, 2, 3, 4]


def test_equal_points_may_all_be_best_and_undefined_ones_are_left_out():
    points = [result(0, [5.0, 6.0, 7.0]), result(1, [5.0, 6.0, 7.0]), result(2, [np.nan] * 3), result(3, [])]
    ranks = rank_points(points, "throughput")
    assert [(r.point.point.index, r.may_be_best) for r in ranks] == [(0, True), (1, True)]


def test_main_effects_are_the_slopes_of_a_plane(make_study):
    study = make_study(sweep={"/A.x": {"min": 0, "max": 10}, "/B.y": {"min": 1, "max": 3}, "/C.t": ["p", "q"]}, design="lhs(16)")
    rng = np.random.default_rng(3)
    points = []
    for k in range(16):
        x, y = (0.0, 1.0) if k == 0 else (10.0, 3.0) if k == 1 else (rng.uniform(0, 10), rng.uniform(1, 3))
        value = 50.0 + 2.0 * x - 7.0 * y + rng.normal(0.0, 0.1)
        points.append(result(k, np.full(4, value), **{"/A.x": x, "/B.y": y, "/C.t": "p"}))
    effects = {e.attribute: e for e in main_effects(study, points, "throughput")}
    assert set(effects) == {"/A.x", "/B.y"}
    assert effects["/A.x"].change == pytest.approx(20.0, abs=0.5)
    assert effects["/B.y"].change == pytest.approx(-14.0, abs=0.5)
    for e, truth in ((effects["/A.x"], 20.0), (effects["/B.y"], -14.0)):
        assert abs(e.change - truth) <= 2 * e.half_width < 1.0


def test_what_always_changes_together_has_no_effects_of_its_own(make_study):
    study = make_study(sweep={"/A.x": [1, 2, 3, 4, 5, 6], "/B.y": [2, 4, 6, 8, 10, 12]}, design="zip")
    points = [result(k, [float(k)] * 3, **{"/A.x": k + 1, "/B.y": 2 * k + 2}) for k in range(6)]
    assert main_effects(study, points, "throughput") == []
