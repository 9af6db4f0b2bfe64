"""How figures are worded for people, on the terminal and in the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import numpy as np

from twin.model.kpis import kpi_unit
from twin.studies.labels import short_name
from twin.studies.plan import Plan
from twin.studies.results import PointResult, Results
from twin.studies.spec import COST
from twin.studies.statistics import Difference, Estimate, estimate, paired_difference

LESS_IS_BETTER = (
    "wip",
    "cost",
    "lead_time",
    "lead_time_p50",
    "lead_time_p95",
    "lead_time_p99",
    "energy_per_item",
    "power",
    "blocked",
    "starved",
    "down",
    "setup",
    "waiting_crew",
    "waiting_repair",
    "setup_rate",
    "scrap_ratio",
    "mean_level",
)
NEUTRAL = ("utilisation", "starved", "off")
"""Figures of a place that are good or bad only for what they come from."""
UNIT_NAMES = {"1/h": "pieces per hour", "s": "seconds", "J": "joule", "W": "watt", "1": ""}


ROUNDING = 1e-9
"""Half-widths below this share of their mean are what is left of rounding, not spread."""
LARGER = {
    "s": ((36_000.0, 3600.0, "hours"), (600.0, 60.0, "minutes")),
    "J": ((1e7, 1e6, "megajoule"), (1e4, 1e3, "kilojoule")),
    "W": ((1e4, 1e3, "kilowatt"),),
}
"""Units for large amounts: from which mean on, how many of the figure's own they are, and their name."""


def in_readable_units(results: Results) -> Results:
    """The same results with the figures of the study in the units that people would use; all times in one, and so on."""
    shown = list(results.plan.study.kpis)
    means = {k: [abs(e.mean) for p in results.points if (e := estimate_of(p, k)).mean is not None] for k in shown}
    scale = readable_units(means)
    if not scale:
        return results
    units = {k: name for k, (_, name) in scale.items()}
    points = [
        replace(p, units=units, kpis={k: v / scale[k][0] if k in scale else v for k, v in p.kpis.items()}) for p in results.points
    ]
    insight = results.insight
    if insight is not None:
        levers = [replace(v, effect=_scaled(v.effect, scale[v.kpi][0])) if v.kpi in scale else v for v in insight.levers]
        insight = replace(insight, levers=levers)
    return replace(results, plan=_scaled_limits(results.plan, scale), points=points, insight=insight)


def readable_units(means: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, str]]:
    """For figures (name to the sizes of its means) that people would give in a larger unit: how many of their own it is, and its
    name; all times in one, and so on."""
    scale: dict[str, tuple[float, str]] = {}
    for unit, steps in LARGER.items():
        mine = [k for k in means if kpi_unit(k) == unit]
        most = max((v for k in mine for v in means[k]), default=0.0)
        for least, size, name in steps:
            if most >= least:
                scale |= dict.fromkeys(mine, (size, name))
                break
    return scale


def _scaled_limits(plan: Plan, scale: Mapping[str, tuple[float, str]]) -> Plan:
    goal = plan.study.optimise
    if goal is None:
        return plan
    size = {k: s for k, (s, _) in scale.items()}
    limits = {k: (low / size.get(k, 1.0), high / size.get(k, 1.0)) for k, (low, high) in goal.limits.items()}
    return replace(plan, study=replace(plan.study, optimise=replace(goal, limits=limits)))


def _scaled(d: Difference, size: float) -> Difference:
    mean, half, family = (None if v is None else v / size for v in (d.mean, d.half_width, d.half_width_family))
    return replace(d, mean=mean, half_width=half, half_width_family=family)


def interval(mean: float | None, half_width: float | None) -> str:
    """``251.3 ± 1.2`` with the digits that the interval supports; a dash where undefined."""
    if mean is None:
        return "–"
    if half_width is None:
        return (f"{mean:.4g}" if abs(mean) < 1000.0 else f"{mean:,.0f}").replace("-", "−")
    half_width = half_width if half_width > abs(mean) * ROUNDING else 0.0
    scale = half_width if half_width > 0.0 else abs(mean) * 1e-3
    digits = 0 if scale <= 0.0 else min(max(1 - math.floor(math.log10(scale)), 0), 6)
    return f"{mean:,.{digits}f} ± {half_width:,.{digits}f}".replace("-", "−")


def signed(mean: float | None, half_width: float | None) -> str:
    """An interval of a difference, with its sign."""
    text = interval(mean, half_width)
    return f"+{text}" if mean is not None and mean > 0.0 else text


def estimate_of(result: PointResult, kpi: str) -> Estimate:
    """Estimate of a figure; empty where the point does not have it. A cost follows from the design: it has no interval."""
    e = estimate(result.kpis.get(kpi, np.zeros(0)))
    return replace(e, half_width=None) if kpi == COST else e


def paired(point: PointResult, reference: PointResult, kpi: str, comparisons: int = 1) -> Difference:
    """The point's figure less the reference's, on the replications that both have; one of so many comparisons."""
    _, mine, theirs = np.intersect1d(point.replication, reference.replication, return_indices=True)
    if kpi not in point.kpis or kpi not in reference.kpis:
        return Difference(None, None, None, None, False, 0)
    return paired_difference(point.kpis[kpi][mine], reference.kpis[kpi][theirs], comparisons=comparisons)


def change_text(d: Difference, reference: PointResult, kpi: str, *, family: bool = False) -> str:
    """A significant difference in per cent of the reference where that has a meaning, as HTML."""
    mean, scale = d.mean or 0.0, estimate(reference.kpis[kpi]).mean
    half = d.half_width_family if family else d.half_width
    css = "soft" if is_neutral(kpi) else "good" if mean * goodness(kpi) > 0 else "bad"
    if not scale:
        return f'<b class="{css}">{interval(mean, half)}</b> {escape(unit_of(kpi, reference))}'
    text = f"{mean / abs(scale) * 100:+.1f} %".replace("-", "−")
    if kpi == COST:
        return f'<b class="{css}">{text}</b>'
    return f'<b class="{css}">{text}</b><span class="soft"> ± {(half or 0.0) / abs(scale) * 100:.1f} %</span>'


def quantity(p: PointResult, kpi: str) -> str:
    """A figure of a point with its interval and unit, as HTML."""
    e = estimate_of(p, kpi)
    return f"<b>{interval(e.mean, e.half_width)}</b> {escape(unit_of(kpi, p))}".strip()


def name_of(kpi: str) -> str:
    """Name of a figure in a sentence."""
    special = {
        "wip": "work in process",
        "lead_time_p50": "median lead time",
        "lead_time_p95": "lead time, 95th percentile",
        "lead_time_p99": "lead time, 99th percentile",
        "power": "mean power",
    }
    name = special.get(kpi, short_name(kpi) if "/" in kpi else kpi.replace("_", " "))
    name = name.replace("waiting_crew", "waiting for people").replace("waiting_repair", "waiting for repair")
    return re.sub(r"\b(oee|nee)\b", lambda m: m[0].upper(), name.replace("oee_standalone", "OEE alone")).replace("_", " ")


def heading(text: str) -> str:
    """With a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def unit_of(kpi: str, result: PointResult) -> str:
    """Unit of a figure of a point in words."""
    return result.units.get(kpi) or ("pieces" if kpi == "wip" else UNIT_NAMES[kpi_unit(kpi)])


def goodness(kpi: str) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if kpi.rsplit(":", 1)[-1] in LESS_IS_BETTER else 1


def is_neutral(kpi: str) -> bool:
    """Whether more of it is neither better nor worse in itself."""
    return kpi.rsplit(":", 1)[-1] in NEUTRAL


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    for size, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        whole = abs(seconds / size - round(seconds / size)) < 1e-9
        if (name != "days" and seconds >= size) or (seconds >= 2 * size and (whole or seconds >= 10 * size)):
            return f"{seconds / size:.4g} {name}"
    return f"{seconds:g} s"
