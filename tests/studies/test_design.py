"""Designs lay out the points that their names promise."""

import pytest

from twin.core.errors import StudyError
from twin.studies.design import Range, design_points, parse_design

SWEEP = {"/A.x": [1, 2, 3], "/B.y": ["p", "q"]}


def points(sweep, text, seed=1):
    return design_points(sweep, parse_design(text), seed=seed)


def test_a_grid_is_every_combination_in_a_fixed_order():
    out = points(SWEEP, "grid")
    assert len(out) == 6
    assert out[0] == {"/A.x": 1, "/B.y": "p"}
    assert out[1] == {"/A.x": 1, "/B.y": "q"}
    assert out[-1] == {"/A.x": 3, "/B.y": "q"}


def test_no_sweep_is_one_point():
    assert points({}, "grid") == [{}]


def test_zip_goes_through_lists_together():
    assert points({"/A.x": [1, 2], "/B.y": [5, 6]}, "zip") == [{"/A.x": 1, "/B.y": 5}, {"/A.x": 2, "/B.y": 6}]
    with pytest.raises(StudyError, match=r"/A\.x has 3, /B\.y has 2"):
        points(SWEEP, "zip")


@pytest.mark.parametrize("kind", ["lhs(60)", "sobol(60)"])
def test_samples_fill_the_ranges_evenly(kind):
    out = points({"/A.x": Range(2.0, 4.0), "/B.n": Range(1, 6, integer=True), "/C.t": ["a", "b"]}, kind)
    assert len(out) == 60
    x = [p["/A.x"] for p in out]
    assert all(2.0 <= v < 4.0 for v in x)
    counts = [sum(2.0 + k / 5 <= v < 2.0 + (k + 1) / 5 for v in x) for k in range(10)]
    assert min(counts) >= 4
    assert max(counts) <= 8
    assert {p["/B.n"] for p in out} == {1, 2, 3, 4, 5, 6}
    assert all(type(p["/B.n"]) is int for p in out)
    assert {p["/C.t"] for p in out} == {"a", "b"}


def test_a_latin_hypercube_meets_every_stratum_once():
    x = sorted(p["/A.x"] for p in points({"/A.x": Range(0.0, 16.0)}, "lhs(16)"))
    assert [int(v) for v in x] == list(range(16))


def test_samples_repeat_with_their_seed():
    sweep = {"/A.x": Range(0.0, 1.0)}
    assert points(sweep, "lhs(8)", seed=3) == points(sweep, "lhs(8)", seed=3)
    assert points(sweep, "lhs(8)", seed=3) != points(sweep, "lhs(8)", seed=4)
    assert points(sweep, "sobol(8)", seed=3) != points(sweep, "sobol(8)", seed=4)


def test_a_grid_of_a_range_says_what_to_write():
    with pytest.raises(StudyError, match=r"takes a list of values.*lhs\(N\)"):
        points({"/A.x": Range(0.0, 1.0)}, "grid")


def test_designs_that_are_none():
    for text in ("lhs", "grid(4)", "sobol(0)", "sobol(-1)", "lhs(999999999)"):
        with pytest.raises(StudyError):
            parse_design(text)
