"""Whether a point keeps the limits of a search for certain: its figure less the limit, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.studies.results import PointResult
from twin.studies.spec import Study
from twin.studies.statistics import Estimate, estimate


@dataclass(frozen=True)
class Margin:
    """``room``: by how much the figure is on the good side of its limit, over replications; negative: beyond it.

    Attributes:
        low: The limit is the least allowed, else the most. limit: its value. share, best: of which point's mean it is a share,
            and what share; compared in pairs of replications, so that the interval holds for both.
    """

    kpi: str
    low: bool
    limit: float
    room: Estimate
    share: float | None = None
    best: PointResult | None = None

    @property
    def verdict(self) -> str:
        """``kept`` or ``broken`` where the 95 % interval says so, else ``not proven``."""
        if self.room.mean is None:
            return "broken"
        half = self.room.half_width or 0.0
        return "kept" if self.room.mean >= half else "broken" if self.room.mean < -half else "not proven"


def margins(p: PointResult, points: list[PointResult], study: Study) -> list[Margin]:
    """The limits of a search at a point, of all points tried."""
    goal = study.optimise
    if goal is None:
        return []
    out = []
    for kpi, (low, high) in goal.limits.items():
        values = p.kpis.get(kpi, np.zeros(0))
        if np.isfinite(low):
            out.append(Margin(kpi, True, low, estimate(values - low)))
        if np.isfinite(high):
            out.append(Margin(kpi, False, high, estimate(high - values)))
    for kpi, (least, most) in goal.of_best.items():
        known = [q for q in points if not q.deadlocked and estimate(q.kpis.get(kpi, np.zeros(0))).mean is not None]
        if not known:
            continue
        for low_end, share in ((True, least), (False, most)):
            if share is not None:
                best = (max if low_end else min)(known, key=lambda q: estimate(q.kpis[kpi]).mean or 0.0)
                _, mine, theirs = np.intersect1d(p.replication, best.replication, return_indices=True)
                room = p.kpis[kpi][mine] - share * best.kpis[kpi][theirs] if kpi in p.kpis else np.zeros(0)
                limit = share * (estimate(best.kpis[kpi]).mean or 0.0)
                out.append(Margin(kpi, low_end, limit, estimate(room if low_end else -room), share, best))
    return out
