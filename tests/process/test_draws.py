"""Draws are the distributions they say they are, and the generator is Philox4x32-10."""

import numpy as np
import pytest
from scipy import stats

from twin.model.distributions import Distribution, DistributionRow, DistributionTable
from twin.process.draws import draw, philox_words, remainders, uniforms, variates


def test_philox_known_answers():
    # Random123's kat_vectors: zero, all ones, digits of pi
    assert philox_words((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = 0xFFFFFFFF
    assert philox_words((ones,) * 4, (ones, ones)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox_words(pi, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


CASES = {
    "exponential": (DistributionRow(Distribution.EXPONENTIAL, mean=3.0), stats.expon(scale=3.0)),
    "erlang": (DistributionRow(Distribution.ERLANG, mean=6.0, k=4), stats.gamma(4, scale=1.5)),
    "uniform": (DistributionRow(Distribution.UNIFORM, low=2.0, high=5.0), stats.uniform(2.0, 3.0)),
    "triangular": (DistributionRow(Distribution.TRIANGULAR, low=1.0, mode=2.0, high=5.0), stats.triang(0.25, 1.0, 4.0)),
    "normal": (DistributionRow(Distribution.NORMAL, mean=10.0, cv=0.2), stats.truncnorm(-5.0, np.inf, 10.0, 2.0)),
    "lognormal": (
        DistributionRow(Distribution.LOGNORMAL, mean=4.0, cv=0.5),
        stats.lognorm(np.sqrt(np.log(1.25)), scale=4.0 / np.sqrt(1.25)),
    ),
    "gamma, heavy": (DistributionRow(Distribution.GAMMA, mean=4.0, cv=1.5), stats.gamma(1 / 2.25, scale=9.0)),
    "gamma, narrow": (DistributionRow(Distribution.GAMMA, mean=4.0, cv=0.1), stats.gamma(100.0, scale=0.04)),
    "weibull": (
        DistributionRow(Distribution.WEIBULL, mean=2.0, shape=1.5),
        stats.weibull_min(1.5, scale=2.0 / 0.9027452929509336),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_quantiles_agree_with_scipy(name):
    row, reference = CASES[name]
    table = DistributionTable()
    u = np.concatenate([np.linspace(0.001, 0.999, 401), [1e-9, 1e-6, 1 - 1e-6]])
    assert variates(table, table.add(row), u) == pytest.approx(reference.ppf(u), rel=1e-7, abs=1e-9)


def test_truncation_is_conditional_not_clipped():
    table = DistributionTable()
    row = table.add(DistributionRow(Distribution.EXPONENTIAL, mean=3.0, low=1.0, high=4.0))
    u = np.linspace(0.01, 0.99, 99)
    base = stats.expon(scale=3.0)
    expected = base.ppf(base.cdf(1.0) + u * (base.cdf(4.0) - base.cdf(1.0)))
    assert variates(table, row, u) == pytest.approx(expected, rel=1e-9)


def test_empirical_takes_values_by_weight():
    table = DistributionTable()
    row = table.add(DistributionRow(Distribution.EMPIRICAL, values=(1.0, 5.0, 9.0), weights=(1.0, 2.0, 1.0)))
    assert variates(table, row, np.array([0.1, 0.24, 0.26, 0.74, 0.76, 0.99])).tolist() == [1, 1, 5, 5, 9, 9]


def test_a_constant_is_itself_and_durations_are_never_negative():
    table = DistributionTable()
    constant = table.add(DistributionRow(Distribution.CONSTANT, mean=7.5))
    wild = table.add(DistributionRow(Distribution.NORMAL, mean=1.0, cv=3.0))
    assert set(draw(table, constant, count=5)) == {7.5}
    assert draw(table, wild, count=5000).min() >= 0.0


def test_streams_purposes_and_replications_are_independent_and_repeatable():
    a = uniforms(count=20_000, stream=7)
    assert np.array_equal(a, uniforms(count=20_000, stream=7))
    for other in (uniforms(count=20_000, stream=8), uniforms(count=20_000, stream=7, purpose=1),
                  uniforms(count=20_000, stream=7, replication=1), uniforms(count=20_000, stream=7, seed=2)):  # fmt: skip
        assert abs(np.corrcoef(a, other)[0, 1]) < 0.03
    assert stats.kstest(a, "uniform").pvalue > 0.001


def test_ends_below_zero_are_cut_off():
    table = DistributionTable()
    u = np.linspace(0.01, 0.99, 99)
    uniform = table.add(DistributionRow(Distribution.UNIFORM, low=-1.0, high=3.0))
    assert variates(table, uniform, u) == pytest.approx(3.0 * u)
    triangular = table.add(DistributionRow(Distribution.TRIANGULAR, low=-2.0, mode=1.0, high=4.0))
    law = stats.triang(0.5, -2.0, 6.0)
    assert variates(table, triangular, u) == pytest.approx(law.ppf(law.cdf(0.0) + u * law.sf(0.0)), rel=1e-9)
    empirical = table.add(DistributionRow(Distribution.EMPIRICAL, values=(-5.0, 1.0, 2.0, 9.0), low=0.5, high=5.0))
    assert set(variates(table, empirical, u)) == {1.0, 2.0}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("age", [0.0, 1.5, 3.1])
def test_what_is_left_is_drawn_under_the_condition_of_age(name, age):
    row, law = CASES[name]
    table = DistributionTable()
    u = np.linspace(0.01, 0.99, 50)
    expected = law.ppf(law.cdf(age) + u * law.sf(age)) - age
    assert remainders(table, table.add(row), age, u) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_what_is_left_of_fixed_and_listed_times():
    table = DistributionTable()
    u = np.array([0.1, 0.6])
    assert remainders(table, table.add(DistributionRow(Distribution.CONSTANT, mean=5.0)), 2.0, u).tolist() == [3.0, 3.0]
    listed = table.add(DistributionRow(Distribution.EMPIRICAL, values=(1.0, 5.0, 9.0), weights=(2.0, 1.0, 1.0)))
    assert remainders(table, listed, 1.0, u).tolist() == [4.0, 8.0]
    assert remainders(table, listed, 9.0, u).tolist() == [0.0, 0.0]
    short = table.add(DistributionRow(Distribution.LOGNORMAL, mean=4.0, cv=0.5, high=3.0))
    assert (remainders(table, short, 2.0, u) <= 1.0).all()
