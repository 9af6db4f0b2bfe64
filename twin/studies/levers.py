"""What a little more of each thing is worth: every station a little faster, every crew and fleet with one more.

Only what was tried is known: a lever says nothing about buffers, set-ups, a second machine, or two changes at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from twin.model.distributions import DistributionRow, DistributionTable
from twin.model.factory import FactoryModel, NodeKind
from twin.studies.compare import rank_bottlenecks
from twin.studies.plan import Point, content_hash
from twin.studies.results import PointResult
from twin.studies.start import Found
from twin.studies.statistics import Difference, paired_difference

MOST_STATIONS = 12
"""Stations of which the sensitivity is found, those that hold the line back most first."""
MOST_CREWS = 6
"""Crews, and fleets, of which it is found, those that have most to do first."""

Kind = Literal["speed", "people", "vehicles"]


@dataclass(frozen=True)
class Change:
    """One thing to try on the baseline. ``step``: of ``speed``, how much faster as a share of the rate; else how many more.
    ``before``: how many there are."""

    path: str
    kind: Kind
    step: float
    before: int = 0

    @property
    def name(self) -> str:
        """In words: ``Mill 5 % faster``, ``Operators 2 → 3``."""
        last = self.path.rsplit("/", 1)[-1]
        return f"{last} {self.step * 100:g} % faster" if self.kind == "speed" else f"{last} {self.before} → {self.before + 1}"

    @property
    def short(self) -> str:
        """The same for narrow places."""
        return self.name.replace(" % faster", " %")


@dataclass(frozen=True)
class Lever:
    """What a change is worth.

    Attributes:
        effect: Of the study's first figure, changed minus as it is, on the same random numbers; its family is all changes tried.
        difference: The same of throughput [1/h], by itself.
        elasticity, half_width: Of ``speed``, % of throughput gained for each % of speed, and its 95 % t half-width; None where
            undefined.
    """

    change: Change
    kpi: str
    effect: Difference
    difference: Difference
    elasticity: float | None
    half_width: float | None

    @property
    def path(self) -> str:
        """Prim path of the station, crew or fleet."""
        return self.change.path

    @property
    def step(self) -> float:
        """See ``Change``."""
        return self.change.step


def changes_to_try(result: PointResult, step: float) -> list[Change]:
    """What is varied on a point: stations by ``step`` of their rate, crews and fleets that are made use of by one."""
    model = result.point.runnable
    out = [Change(b.path, "speed", step) for b in rank_bottlenecks(result)[:MOST_STATIONS]]
    used = {n.crew for n in model.nodes if n.crew_size > 0} | {n.repair_crew for n in model.nodes}
    crews = [Change(c.path, "people", 1.0, c.size) for i, c in enumerate(model.crews) if i in used]
    fleets = [Change(n.path, "vehicles", 1.0, n.servers) for n in model.nodes if n.kind == NodeKind.FLEET]

    def busy(change: Change) -> float:
        values = result.kpis.get(f"{change.path}:utilisation", np.zeros(0))
        return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0

    for some in (crews, fleets):
        out += sorted(some, key=lambda c: -busy(c))[:MOST_CREWS]
    return out


def changed_point(base: Point, change: Change, fidelity: str, found: Found | None) -> Point:
    """The point with a change: all cycle times of a station divided by 1 + step, or one more in a crew or fleet.

    Args:
        found: The line that it starts with, where it does not start empty.
    """
    model = base.runnable
    if change.kind == "people":
        crews = [replace(c, size=c.size + 1) if c.path == change.path else c for c in model.crews]
        changed: FactoryModel = replace(model, crews=crews)
        name = f"{change.path} size"
    elif change.kind == "vehicles":
        nodes = [replace(n, servers=n.servers + 1) if n.path == change.path else n for n in model.nodes]
        changed = replace(model, nodes=nodes)
        name = f"{change.path} size"
    else:
        changed = _faster(model, model.node_index(change.path), change.step)
        name = f"{change.path} rate"
    return Point(
        index=-1,
        scenario=base.scenario,
        parameters={**base.parameters, name: f"+{change.step * 100:g} %" if change.kind == "speed" else "+1"},
        seed=base.seed,
        model=changed,
        content=content_hash(changed, fidelity),
        start=base.start if found is None else found.line_state(changed, model),
    )


def _faster(model: FactoryModel, node: int, step: float) -> FactoryModel:
    rows = list(model.distributions.rows)
    cycle = []
    for row in model.nodes[node].cycle:
        rows.append(_scaled(model.distributions.rows[row], 1.0 / (1.0 + step)))
        cycle.append(len(rows) - 1)
    nodes = list(model.nodes)
    nodes[node] = replace(nodes[node], cycle=cycle)
    return replace(model, nodes=nodes, distributions=DistributionTable(rows))


def _scaled(row: DistributionRow, factor: float) -> DistributionRow:
    return replace(
        row,
        mean=row.mean * factor,
        low=row.low * factor,
        high=row.high * factor,
        mode=row.mode * factor,
        values=tuple(v * factor for v in row.values),
    )


def lever_of(base: PointResult, changed: PointResult, change: Change, kpi: str, comparisons: int) -> Lever:
    """Compare the figure ``kpi`` and throughput with and without a change, on the replications that both have.

    Args:
        comparisons: How many changes are tried, which shall hold together.
    """
    _, mine, theirs = np.intersect1d(changed.replication, base.replication, return_indices=True)

    def difference(name: str, family: int) -> Difference:
        none = np.full(len(mine), np.nan)
        after = changed.kpis[name][mine] if name in changed.kpis else none
        return paired_difference(after, base.kpis[name][theirs] if name in base.kpis else none, comparisons=family)

    effect, throughput = difference(kpi, comparisons), difference("throughput", 1)
    before = base.kpis["throughput"][theirs]
    mean = float(before.mean()) if len(before) else 0.0
    if mean <= 0.0 or throughput.mean is None or change.kind != "speed":
        return Lever(change, kpi, effect, throughput, None, None)
    scale = 1.0 / mean / change.step
    spread = None if throughput.half_width is None else throughput.half_width * scale
    return Lever(change, kpi, effect, throughput, throughput.mean * scale, spread)
