"""Intervals agree with scipy, and MSER-5 finds where a transient ends."""

import math

import numpy as np
import pytest
from scipy import stats

from twin.studies.statistics import estimate, mser, paired_difference, replications_needed


def test_the_half_width_is_the_t_interval_of_scipy():
    x = np.random.default_rng(1).normal(10.0, 3.0, 17)
    e = estimate(x)
    low, high = stats.t.interval(0.95, len(x) - 1, loc=x.mean(), scale=stats.sem(x))
    assert e.mean == pytest.approx((low + high) / 2)
    assert e.half_width == pytest.approx((high - low) / 2, rel=1e-12)
    assert e.std == pytest.approx(x.std(ddof=1))


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(2000):
        e = estimate(rng.normal(5.0, 1.0, 8))
        hits += abs(e.mean - 5.0) <= e.half_width
    assert abs(hits / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_what_is_undefined_stays_undefined():
    assert estimate(np.array([])).mean is None
    assert estimate(np.array([np.nan, np.nan])) == estimate(np.array([]))
    one = estimate(np.array([4.0, np.nan]))
    assert (one.mean, one.half_width, one.n) == (4.0, None, 1)


def test_equal_values_have_no_spread():
    e = estimate(np.full(7, 0.1))
    assert e.half_width == 0.0
    assert e.std == 0.0


def test_a_paired_difference_is_the_paired_t_test_of_scipy():
    rng = np.random.default_rng(3)
    common = rng.normal(0.0, 5.0, 40)
    a, b = 100.0 + common + rng.normal(0.0, 0.3, 40), 99.7 + common + rng.normal(0.0, 0.3, 40)
    d = paired_difference(a, b)
    test = stats.ttest_rel(a, b)
    assert d.p_value == pytest.approx(test.pvalue, rel=1e-9)
    interval = test.confidence_interval(0.95)
    assert d.mean - d.half_width == pytest.approx(interval.low)
    # common random numbers are the point: the same two samples, taken as independent, could tell nothing apart
    assert d.significant
    assert stats.ttest_ind(a, b).pvalue > 0.3


def test_bonferroni_widens_with_the_family():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0.5, 1.0, 20), rng.normal(0.0, 1.0, 20)
    alone, family = paired_difference(a, b), paired_difference(a, b, comparisons=10)
    assert alone.half_width == family.half_width == pytest.approx(alone.half_width_family)
    expected = stats.t.ppf(1 - 0.05 / 10 / 2, 19) * (a - b).std(ddof=1) / math.sqrt(20)
    assert family.half_width_family == pytest.approx(expected)


def test_a_difference_without_spread():
    same = paired_difference(np.full(5, 3.0), np.full(5, 3.0))
    assert same.p_value == 1.0
    assert not same.significant
    more = paired_difference(np.full(5, 4.0), np.full(5, 3.0))
    assert more.p_value == 0.0
    assert more.significant


def test_mser_cuts_a_transient_and_little_more():
    rng = np.random.default_rng(5)
    t = np.arange(500)
    series = 10.0 * (1.0 - np.exp(-t / 20.0)) + rng.normal(0.0, 0.1, 500)
    cut = mser(series)
    assert 50 <= cut.index <= 200
    assert not cut.too_short
    assert cut.index % 5 == 0


def test_mser_leaves_a_series_without_transient():
    assert mser(np.full(500, 3.0)).index == 0
    cuts = [mser(np.random.default_rng(seed).normal(0.0, 1.0, 500)).index for seed in range(20)]
    assert np.median(cuts) <= 50


def test_mser_says_when_a_run_is_too_short():
    ramp = mser(np.arange(500, dtype=float))
    assert ramp.too_short
    assert ramp.index == 250
    assert mser(np.arange(7, dtype=float)).too_short


def test_replications_needed_grow_with_the_square():
    assert replications_needed(2.0, 1.0, 32) == 128
    assert replications_needed(0.5, 1.0, 32) == 32
