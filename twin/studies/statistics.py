"""Intervals, paired comparisons and the warm-up: what may be said about a line after R replications.

Formulas: Student's t intervals and paired t as in Law, "Simulation Modeling and Analysis"; Bonferroni's bound for several
comparisons at once; MSER-5 as in White, Cobb and Spratt, "A comparison of five steady-state truncation heuristics" (2000).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
"""Of every interval that Twin reports."""


@dataclass(frozen=True)
class Estimate:
    """Mean over replications with its 95 % t half-width; None where undefined.

    Attributes:
        mean: None without a single defined value. half_width, std: None below two values. n: defined values.
    """

    mean: float | None
    half_width: float | None
    std: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """A paired difference to the reference on the same replications.

    Attributes:
        mean: Mean of the differences. half_width: 95 % t half-width of this one comparison.
        half_width_family: Half-width at which all comparisons of the family hold together with 95 % (Bonferroni).
        p_value: Two-sided, of this comparison alone. significant: the family-wise interval excludes zero.
        n: Replications that both sides have.
    """

    mean: float | None
    half_width: float | None
    half_width_family: float | None
    p_value: float | None
    significant: bool
    n: int


@dataclass(frozen=True)
class Truncation:
    """Where the start-up ends by MSER.

    Attributes:
        index: First observation to keep. too_short: the best point lies in the second half, so that the series says
            nothing reliable; ``index`` is then the middle.
    """

    index: int
    too_short: bool


def t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t."""
    return float(special.stdtrit(degrees, probability))


def estimate(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """Mean, t half-width and standard deviation of ``values`` [R]; NaN marks replications in which it is undefined."""
    x = np.asarray(values, float)
    x = x[np.isfinite(x)]
    n = len(x)
    if n == 0:
        return Estimate(None, None, None, 0)
    mean = float(x.mean())
    if n == 1:
        return Estimate(mean, None, None, 1)
    # identical values must have no spread at all, whatever the rounding of their mean
    std = 0.0 if x.min() == x.max() else float(x.std(ddof=1))
    return Estimate(mean, t_quantile(0.5 + confidence / 2.0, n - 1) * std / math.sqrt(n), std, n)


def paired_difference(values: np.ndarray, reference: np.ndarray, *, comparisons: int = 1) -> Difference:
    """Paired t of two figures that were observed on the same replications.

    Args:
        values, reference: [R], row r of both from replication r; NaN where undefined.
        comparisons: Size of the family that shall hold together.
    """
    d = np.asarray(values, float) - np.asarray(reference, float)
    d = d[np.isfinite(d)]
    n = len(d)
    single = estimate(d)
    if single.std is None or single.mean is None or single.half_width is None:
        return Difference(single.mean, None, None, None, False, n)
    error = single.std / math.sqrt(n)
    family = t_quantile(1.0 - (1.0 - CONFIDENCE) / 2.0 / max(comparisons, 1), n - 1) * error
    without_spread = 1.0 if single.mean == 0.0 else 0.0
    p_value = 2.0 * float(special.stdtr(n - 1, -abs(single.mean) / error)) if error > 0.0 else without_spread
    return Difference(single.mean, single.half_width, family, p_value, abs(single.mean) > family, n)


def mser(series: np.ndarray, batch: int = 5) -> Truncation:
    """MSER-m truncation of a series [n] that starts in a transient (m = 5: MSER-5).

    The kept part minimises the squared standard error of its mean, computed over means of ``batch`` observations.
    """
    x = np.asarray(series, float)
    count = len(x) // batch
    if count < 4:
        return Truncation(0, True)
    y = x[: count * batch].reshape(count, batch).mean(axis=1)
    tail = np.arange(count, 0, -1)
    # sums over y[d:], centred first so that squares do not cancel
    z = y - y.mean()
    total = np.cumsum(z[::-1])[::-1]
    squares = np.cumsum((z * z)[::-1])[::-1]
    error = np.maximum(squares - total * total / tail, 0.0) / tail.astype(float) ** 2
    # the last few points have hardly any data behind them and win by chance
    usable = error[: max(count - 5, 1)]
    best = int(np.argmax(usable <= usable.min() + 1e-12 * float(squares[0]) / count**2))
    if best > count // 2:
        return Truncation(count // 2 * batch, True)
    return Truncation(best * batch, False)


def replications_needed(half_width: float, target: float, n: int) -> int:
    """How many replications should bring ``half_width``, seen after ``n``, down to ``target``."""
    if half_width <= target:
        return n
    if target <= 0.0:
        return 2 * n
    return math.ceil(n * (half_width / target) ** 2)
