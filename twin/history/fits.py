"""Distributions fitted to durations: candidates by maximum likelihood, intervals of their parameters, goodness of fit.

Candidates are those of the USD schema. The best is the one with the smallest BIC; its fit is tested by Kolmogorov and Smirnov
with a parametric bootstrap (Lilliefors 1967; the parameters are estimated from the same data, so the usual tables do not
hold). Intervals are those of the same bootstrap, 95 %. What no candidate fits is told so, and the empirical distribution offered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

FEWEST = 20
"""Fewer durations say too little."""
ROUNDS = 200
LEVEL = 0.05
MOST_VALUES = 200
"""Values of an empirical distribution: quantiles of more."""


@dataclass(frozen=True)
class Fit:
    """One distribution with its parameters as the schema names them, ``low`` and ``high`` 95 % bounds by parameter.

    ``statistic`` is Kolmogorov's D, ``p`` the share of bootstrap samples whose D is larger; ``fits``: p >= 0.05.
    """

    kind: str
    parameters: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    bic: float
    statistic: float
    p: float
    count: int

    @property
    def fits(self) -> bool:
        return self.p >= LEVEL


def _parameters(kind: str, x: np.ndarray) -> dict[str, float]:
    from scipy import stats

    mean = float(np.mean(x))
    if kind == "exponential":
        return {"mean": mean}
    if kind == "normal":
        return {"mean": mean, "cv": float(np.std(x)) / mean}
    if kind == "lognormal":
        log = np.log(x)
        variance = float(np.var(log))
        return {"mean": math.exp(float(np.mean(log)) + variance / 2.0), "cv": math.sqrt(math.expm1(min(variance, 700.0)))}
    if kind == "gamma":
        shape, _, scale = stats.gamma.fit(x, floc=0.0)
        return {"mean": shape * scale, "cv": 1.0 / math.sqrt(shape)}
    shape, _, scale = stats.weibull_min.fit(x, floc=0.0)
    return {"mean": scale * math.gamma(1.0 + 1.0 / shape), "shape": float(shape)}


def frozen(kind: str, p: dict[str, float]) -> Any:
    """The scipy distribution with the schema's parameters."""
    from scipy import stats

    if kind == "exponential":
        return stats.expon(scale=p["mean"])
    if kind == "normal":
        return stats.norm(p["mean"], max(p["cv"] * p["mean"], 1e-12))
    if kind == "lognormal":
        variance = math.log1p(p["cv"] ** 2)
        return stats.lognorm(math.sqrt(variance), scale=p["mean"] / math.exp(variance / 2.0))
    if kind == "gamma":
        shape = 1.0 / p["cv"] ** 2
        return stats.gamma(shape, scale=p["mean"] / shape)
    return stats.weibull_min(p["shape"], scale=p["mean"] / math.gamma(1.0 + 1.0 / p["shape"]))


KINDS = ("exponential", "lognormal", "gamma", "weibull", "normal")


def _distance(x: np.ndarray, distribution: Any) -> float:
    """Kolmogorov's D of sorted ``x``."""
    n = len(x)
    cdf = distribution.cdf(x)
    steps = np.arange(1, n + 1) / n
    return float(max(np.max(steps - cdf), np.max(cdf - (steps - 1.0 / n))))


def fit(durations: np.ndarray, *, seed: int = 1, rounds: int = ROUNDS) -> list[Fit]:
    """Fits of all candidates, the best first.

    Args:
        durations: [n] s, positive; at least ``FEWEST``. seed: Of the bootstrap. rounds: Of the bootstrap, for the best only.

    Raises:
        ValueError: Too few, or not positive.
    """
    x = np.sort(np.asarray(durations, float))
    if len(x) < FEWEST:
        raise ValueError(f"{len(x)} durations are too few, {FEWEST} are needed")
    if not np.all(np.isfinite(x)) or x[0] <= 0.0:
        raise ValueError("durations are positive numbers")
    found = []
    for kind in KINDS:
        if np.ptp(x) == 0.0:
            break
        parameters = _parameters(kind, x)
        likelihood = float(np.sum(frozen(kind, parameters).logpdf(x)))
        if math.isfinite(likelihood):
            found.append((len(parameters) * math.log(len(x)) - 2.0 * likelihood, kind, parameters))
    if not found:  # all the same
        mean = float(x[0])
        return [Fit("constant", {"mean": mean}, {"mean": mean}, {"mean": mean}, -math.inf, 0.0, 1.0, len(x))]
    found.sort(key=lambda f: f[0])
    fits = []
    for rank, (bic, kind, parameters) in enumerate(found):
        statistic = _distance(x, frozen(kind, parameters))
        low, high, p = _bootstrap(kind, parameters, len(x), statistic, rounds if rank == 0 else rounds // 4, seed)
        fits.append(Fit(kind, parameters, low, high, bic, statistic, p, len(x)))
    return fits


def _bootstrap(
    kind: str, parameters: dict[str, float], n: int, statistic: float, rounds: int, seed: int
) -> tuple[dict[str, float], dict[str, float], float]:
    rng = np.random.default_rng(seed)
    distribution = frozen(kind, parameters)
    values: dict[str, list[float]] = {name: [] for name in parameters}
    larger = 0
    for _ in range(rounds):
        again = np.sort(distribution.rvs(n, random_state=rng))
        if kind != "normal":
            again = np.maximum(again, 1e-12)
        refitted = _parameters(kind, again)
        larger += _distance(again, frozen(kind, refitted)) >= statistic
        for name, value in refitted.items():
            values[name].append(value)
    low = {name: float(np.quantile(v, 0.025)) for name, v in values.items()}
    high = {name: float(np.quantile(v, 0.975)) for name, v in values.items()}
    return low, high, larger / rounds


def empirical(durations: np.ndarray) -> list[float]:
    """Values of an empirical distribution with equal weights: the durations, or quantiles of them."""
    x = np.sort(np.asarray(durations, float))
    if len(x) <= MOST_VALUES:
        return [float(v) for v in x]
    return [float(v) for v in np.quantile(x, (np.arange(MOST_VALUES) + 0.5) / MOST_VALUES)]


@dataclass(frozen=True)
class Spells:
    """Durations [s] of a machine's states: ``up`` between failures (working time only), ``down`` of repairs."""

    up: np.ndarray
    down: np.ndarray


def spells(time_s: np.ndarray, down: np.ndarray, working: np.ndarray) -> Spells:
    """Times to failure and to repair out of a state signal, whole ones only: what was cut off at begin and end is left out.

    Args:
        time_s: [n] increasing, when a state began. down, working: [n] bool, which holds from there to the next.
    """
    ups, downs = [], []
    up: float | None = None
    since: float | None = None
    last = np.diff(time_s, append=time_s[-1:])
    for t, is_down, works, span in zip(time_s.tolist(), down.tolist(), working.tolist(), last.tolist(), strict=True):
        if is_down:
            if since is None:
                if up is not None and up > 0.0:
                    ups.append(up)
                since = t
            continue
        if since is not None:
            downs.append(t - since)
            since, up = None, 0.0
        if up is not None and works:
            up += span
    # the first spell of each kind began before the record did
    first_down = bool(len(down)) and bool(down[0])
    return Spells(np.array(ups), np.array(downs[1:] if first_down else downs))


def cycles(time_s: np.ndarray, count: np.ndarray, longest: float | None = None) -> np.ndarray:
    """Durations [s] between two pieces of a counter, those of one piece each; a reset of the counter and stops are left out.

    Args:
        longest: Longer ones are stops and no cycles [s]; None: five times the median.
    """
    step = np.diff(count)
    changed = np.flatnonzero(step != 0) + 1
    single = [time_s[b] - time_s[a] for a, b in pairwise(changed) if step[a - 1] == 1 and step[b - 1] == 1]
    found = np.array(single, float)
    if not len(found):
        return found
    limit = 5.0 * float(np.median(found)) if longest is None else longest
    return found[(found > 0.0) & (found <= limit)]
