"""What each swept value does to a figure, over all points of a design."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.studies.design import Range
from twin.studies.labels import short_name, show_value
from twin.studies.results import PointResult
from twin.studies.spec import Study
from twin.studies.statistics import CONFIDENCE, estimate, t_quantile


@dataclass(frozen=True)
class Effect:
    """``change`` of a figure's mean when ``attribute`` goes from ``low`` to ``high``, and its 95 % half-width: a number from its
    lowest to its highest value, anything else (a list of shares, a text) from its first value to another one."""

    attribute: str
    low: object
    high: object
    change: float
    half_width: float | None

    @property
    def label(self) -> str:
        """For people: a number's name, and the values as well where they are levels."""
        name = short_name(self.attribute)
        return name if _is_number(self.high) else f"{name} {show_value(self.low)} → {show_value(self.high)}"


def main_effects(study: Study, points: list[PointResult], kpi: str) -> list[Effect]:
    """Ordinary least squares of a figure's mean on all swept values at once, with a constant for each scenario.

    Numbers are taken as such; of anything else, every value but the first has a constant. Empty where fewer than two attributes
    are swept, or where the points do not suffice to tell them apart.
    """
    known = [(p, e.mean) for p in points if p.point.parameters and (e := estimate(p.kpis.get(kpi, np.zeros(0)))).mean is not None]
    if len(study.sweep) < 2 or not known:
        return []
    columns: list[np.ndarray] = []
    changes: list[tuple[str, object, object]] = []
    for name, swept in study.sweep.items():
        values = [p.point.parameters[name] for p, _ in known]
        if isinstance(swept, Range) or all(map(_is_number, swept)):
            x = np.array(values, float)
            if x.max() > x.min():
                columns.append((x - x.min()) / (x.max() - x.min()))
                changes.append((name, float(x.min()), float(x.max())))
        else:
            levels = [v for v in swept if v in values]
            for level in levels[1:]:
                columns.append(np.array([float(v == level) for v in values]))
                changes.append((name, levels[0], level))
    scenarios = sorted({p.point.scenario for p, _ in known})
    constants = [np.array([float(p.point.scenario == s) for p, _ in known]) for s in scenarios]
    if not columns or len(known) < len(columns) + len(scenarios) + 2:
        return []
    a, y = np.stack([*columns, *constants], axis=1), np.array([m for _, m in known])
    if np.linalg.matrix_rank(a) < a.shape[1]:
        return []  # such as a zip: what always changes together cannot be told apart
    solution = np.linalg.lstsq(a, y, rcond=None)[0]
    free = len(y) - a.shape[1]
    variance = float(((y - a @ solution) ** 2).sum()) / free
    error = np.sqrt(variance * np.diag(np.linalg.inv(a.T @ a)))
    factor = t_quantile(0.5 + CONFIDENCE / 2.0, free)
    found = zip(changes, solution, error, strict=False)
    return [Effect(name, low, high, float(c), float(factor * e)) for (name, low, high), c, e in found]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
