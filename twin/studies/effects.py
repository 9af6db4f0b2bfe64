"""What each swept number does to a figure, over all points of a design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.studies.design import Range
from twin.studies.results import PointResult
from twin.studies.spec import Study
from twin.studies.statistics import CONFIDENCE, estimate, t_quantile


@dataclass(frozen=True)
class Effect:
    """``change`` of a figure's mean when ``attribute`` goes from ``low`` to ``high``, and its 95 % half-width."""

    attribute: str
    low: float
    high: float
    change: float
    half_width: float | None


def main_effects(study: Study, points: list[PointResult], kpi: str) -> list[Effect]:
    """Ordinary least squares of a figure's mean on all swept numbers at once, with a constant for each scenario.

    Empty where fewer than two numbers are swept, or where the points do not suffice to tell them apart.
    """
    known = [(p, e.mean) for p in points if p.point.parameters and (e := estimate(p.kpis.get(kpi, np.zeros(0)))).mean is not None]
    names = [n for n, values in study.sweep.items() if isinstance(values, Range) or all(map(_is_number, values))]
    scenarios = sorted({p.point.scenario for p, _ in known})
    if len(names) < 2 or len(known) < len(names) + len(scenarios) + 2:
        return []
    x = np.array([[float(p.point.parameters[n]) for n in names] for p, _ in known])  # type: ignore[arg-type]
    low, high = x.min(axis=0), x.max(axis=0)
    varied = high > low
    unit = (x[:, varied] - low[varied]) / (high - low)[varied]
    constants = np.array([[float(p.point.scenario == s) for s in scenarios] for p, _ in known])
    a, y = np.hstack([unit, constants]), np.array([m for _, m in known])
    if np.linalg.matrix_rank(a) < a.shape[1]:
        return []  # such as a zip: what always changes together cannot be told apart
    solution = np.linalg.lstsq(a, y, rcond=None)[0]
    free = len(y) - a.shape[1]
    variance = float(((y - a @ solution) ** 2).sum()) / free
    error = np.sqrt(variance * np.diag(np.linalg.inv(a.T @ a)))
    factor = t_quantile(0.5 + CONFIDENCE / 2.0, free)
    shown = [n for n, v in zip(names, varied, strict=True) if v]
    return [
        Effect(n, float(lo), float(hi), float(c), float(factor * e))
        for n, lo, hi, c, e in zip(shown, low[varied], high[varied], solution, error, strict=False)
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
