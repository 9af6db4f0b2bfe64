"""Which points answer the same question: what comes in is no merit of a design, so points are compared where it is alike."""

from __future__ import annotations

from dataclasses import dataclass

from twin.model.factory import FactoryModel, NodeKind
from twin.studies.labels import point_label, short_name, show_value
from twin.studies.results import PointResult, Results


@dataclass(frozen=True)
class Contest:
    """Points to choose from, and the one that they are compared with. ``name``: what is the same for all of them, empty where
    there is one contest; ``common``: the swept values that it names."""

    name: str
    points: list[PointResult]
    reference: PointResult
    common: frozenset[str] = frozenset()

    def label(self, p: PointResult) -> str:
        """Name of a point within its contest."""
        if self.name and len({q.point.scenario for q in self.points}) == 1:
            varied = {n: v for n, v in p.point.parameters.items() if n not in self.common}
            return ", ".join(f"{short_name(n)} = {show_value(v)}" for n, v in varied.items()) or p.point.scenario
        if not self.common:
            return p.point.label
        return point_label(p.point.scenario, {n: v for n, v in p.point.parameters.items() if n not in self.common})


def contests(results: Results, done: list[PointResult], base: PointResult) -> list[Contest]:
    """All finished points as one contest where the study has one scenario, or no sweep. Else one for each combination of swept
    values, in which the scenarios compete. Where scenarios differ in what the sources bring, those of one demand compete at
    each combination, and a scenario that is alone with its demand is searched for the best of the other swept values."""
    study = results.plan.study
    whole = [Contest("", done, base)]
    if len(study.scenarios) < 2 or not study.sweep:
        return whole
    classes = _same_demand(done, list(study.scenarios))
    out: list[Contest] = []
    for scenarios in classes:
        mine = [p for p in done if p.point.scenario in scenarios]
        common = frozenset(n for n in study.sweep if len(scenarios) > 1 or ":source:" in n)
        groups: dict[str, list[PointResult]] = {}
        for p in mine:
            groups.setdefault(repr([v for n, v in p.point.parameters.items() if n in common]), []).append(p)
        first = study.baseline if study.baseline in scenarios else scenarios[0]
        for group in groups.values():
            reference = next((p for p in group if p.point.scenario == first), None)
            if reference is not None and len(group) > 1:
                fixed = {n: v for n, v in reference.point.parameters.items() if n in common}
                parts = [f"{short_name(n)} = {show_value(v)}" for n, v in fixed.items()]
                parts = [scenarios[0], *parts] if len(classes) > 1 and len(scenarios) == 1 else parts
                out.append(Contest(", ".join(parts), group, reference, common))
    return out or whole


def other_demand(results: Results, done: list[PointResult]) -> list[str]:
    """Scenarios whose sources bring other goods than those of the baseline."""
    classes = _same_demand(done, list(results.plan.study.scenarios))
    return [name for c in classes if results.plan.study.baseline not in c for name in c]


def _same_demand(done: list[PointResult], scenarios: list[str]) -> list[list[str]]:
    """Scenarios in classes of one demand, in their order."""
    first: dict[str, PointResult] = {}
    for p in done:
        first.setdefault(p.point.scenario, p)
    classes: list[list[str]] = []
    for name in scenarios:
        if name not in first:
            continue
        mine = demand(first[name].point.runnable)
        known = next((c for c in classes if demand(first[c[0]].point.runnable) == mine), None)
        if known is None:
            classes.append([name])
        else:
            known.append(name)
    return classes


def demand(model: FactoryModel) -> object:
    """What the sources of a line bring, and when."""
    rows = model.distributions.rows
    return [
        (n.path, n.saturated, n.limit, rows[n.interarrival] if n.interarrival >= 0 else None, *n.items, *n.weights, n.shift)
        for n in model.nodes
        if n.kind == NodeKind.SOURCE
    ]
