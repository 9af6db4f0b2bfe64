"""Which points may be the best, with an error that holds for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twin.studies.results import PointResult
from twin.studies.statistics import CONFIDENCE, Estimate, estimate, t_quantile
from twin.studies.words import goodness

RIVALS = 24
"""Points with the best means against which every other is screened; more of them would only cost time."""


@dataclass(frozen=True)
class Rank:
    """A point's place. ``may_be_best``: the runs cannot exclude that it is the best of all."""

    point: PointResult
    place: int
    estimate: Estimate
    may_be_best: bool


def rank_points(points: list[PointResult], kpi: str, ties: Sequence[str] = ()) -> list[Rank]:
    """Points by the mean of a figure, the best first; points without it, or beyond the limits of a search, are left out.

    A point is screened out where another is better by more than chance, one-sided t on paired replications with Bonferroni's
    bound over all points: those left contain the best one with 95 % (Nelson, Swann, Goldsman and Song, "Simple procedures
    for selecting the best simulated system when the number of alternatives is large", 2001; paired differences allow common
    random numbers). Screening against some rivals only is valid too: it leaves more points, never the wrong ones.

    Args:
        ties: Figures that decide, one after the other, between points of the same mean, as designs of one cost have it.
    """
    sign = goodness(kpi)
    able = [p for p in points if p.feasible and len(p.replication)]
    known = [(p, e) for p in able if (e := estimate(p.kpis.get(kpi, np.zeros(0)))).mean is not None]

    def order(entry: tuple[PointResult, Estimate]) -> tuple[float, ...]:
        others = [(goodness(k), estimate(entry[0].kpis.get(k, np.zeros(0))).mean) for k in ties]
        return (-sign * (entry[1].mean or 0.0), *(np.inf if mean is None else -s * mean for s, mean in others))

    known.sort(key=order)
    rivals = [p for p, _ in known[:RIVALS]]
    level = 1.0 - (1.0 - CONFIDENCE) / max(len(known) - 1, 1)
    ranks = []
    for place, (point, e) in enumerate(known):
        beaten = any(_beaten(point, rival, kpi, sign, level) for rival in rivals if rival is not point)
        ranks.append(Rank(point, place + 1, e, not beaten))
    return ranks


def _beaten(point: PointResult, rival: PointResult, kpi: str, sign: int, level: float) -> bool:
    _, mine, theirs = np.intersect1d(point.replication, rival.replication, return_indices=True)
    d = sign * (rival.kpis[kpi][theirs] - point.kpis[kpi][mine])
    d = d[np.isfinite(d)]
    if len(d) < 2:
        return False
    if d.min() == d.max():
        return bool(d[0] > 0.0)
    return bool(d.mean() > t_quantile(level, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
