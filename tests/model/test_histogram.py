"""Quantiles of what was counted in logarithmic bins."""

import numpy as np
import pytest

from twin.model.histogram import histogram_quantile

EDGES = np.geomspace(0.1, 1e5, 513)


def count(values):
    return np.histogram(values, EDGES)[0][None]


def test_quantiles_of_many_values_are_those_of_the_sample():
    values = np.random.default_rng(1).gamma(4.0, 30.0, 50_000)
    for q in (0.5, 0.95, 0.99):
        assert histogram_quantile(count(values), EDGES, q)[0] == pytest.approx(np.quantile(values, q), rel=0.01)


def test_a_constant_is_its_own_quantile():
    counted = count(np.full(7, 12.0))
    bounds = np.array([12.0])
    assert [histogram_quantile(counted, EDGES, q, bounds, bounds)[0] for q in (0.01, 0.5, 0.99)] == [12.0] * 3


def test_bounds_that_nobody_knows_change_nothing():
    counted, unknown = count(np.full(7, 12.0)), np.array([np.nan])
    assert histogram_quantile(counted, EDGES, 0.5, unknown, unknown) == histogram_quantile(counted, EDGES, 0.5)


def test_nothing_counted_has_no_quantile():
    assert np.isnan(histogram_quantile(count([]), EDGES, 0.5)[0])
