"""Which points differ, and which station holds the line back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.core.errors import InputError
from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.studies.results import PointResult, Results
from twin.studies.statistics import Difference, paired_difference

NAMED = 24
"""Points that are listed where a name is not known."""


@dataclass(frozen=True)
class Comparison:
    """One point against its reference; a difference is the point's figure minus the reference's."""

    point: PointResult
    reference: PointResult
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Bottleneck:
    """How a station stands between its neighbours.

    Attributes:
        active: Share of its time on shift in which it is neither blocked nor starved (Roser, Nakano and Tanaka, "A practical
            bottleneck detection method", 2001), nor kept waiting for people, who are no fault of the machine.
        active_s: Mean time for which it is active between two periods blocked or starved [s]; None where not counted, infinite
            where it never waits. The method names the station where it is longest.
        working, setup, blocked, starved, waiting_crew: Shares of the horizon.
        points_to_it: The arrows drawn from blocked towards starved neighbours all end here (Kuo, Lim and Meerkov,
            "Bottlenecks in serial production lines", 1996).
        severity: What it costs its neighbours: blocked time before it plus starved time after it, the worst of each.
    """

    path: str
    active: float
    active_s: float | None
    blocked: float
    starved: float
    working: float
    setup: float
    waiting_crew: float
    points_to_it: bool
    severity: float


def compare_points(results: Results, baseline: str | None = None) -> list[Comparison]:
    """Every point against the baseline scenario at the same swept values; the baseline's own points against its first,
    unless they are samples of a design, whose first is as arbitrary as any.

    Intervals hold for all comparisons of one figure together (Bonferroni).

    Args:
        baseline: Instead of the study's: a scenario, or the label of one point, with which all others are then compared.

    Raises:
        InputError: No scenario and no point has that name.
    """
    if results.plan.study.compare == "none" and baseline is None:
        return []
    if baseline is not None and baseline not in results.plan.study.scenarios:
        one = next((p for p in results.points if p.point.label == baseline), None)
        if one is None:
            allowed = dict.fromkeys([*results.plan.study.scenarios, *(p.point.label for p in results.points)])
            raise InputError(f"no scenario and no point {baseline!r}", attribute="--baseline", allowed=list(allowed)[:NAMED])
        others = [p for p in results.points if p is not one and len(p.replication) and len(one.replication)]
        return [Comparison(p, one, _differences(p, one, len(others))) for p in others]
    baseline = baseline or results.plan.study.baseline
    own = [p for p in results.points if p.point.scenario == baseline]
    pairs = []
    for result in results.points:
        if result is own[0] or not len(result.replication):
            continue
        if result.point.scenario != baseline:
            reference = next(p for p in own if p.point.parameters == result.point.parameters)
        elif results.plan.study.design.n:
            continue
        else:
            reference = own[0]
        if len(reference.replication):
            pairs.append((result, reference))
    return [Comparison(a, b, _differences(a, b, len(pairs))) for a, b in pairs]


def compare_within(results: Results) -> list[Comparison]:
    """Of every scenario but the baseline, its points against its own first one: what the swept values do there. None where a
    design samples, or nothing is swept. Intervals hold for all of them together."""
    study = results.plan.study
    if study.compare == "none" or not study.sweep or study.design.n or study.design.kind == "optuna":
        return []
    pairs = []
    for name in study.scenarios:
        own = [p for p in results.points if p.point.scenario == name]
        if name != study.baseline and own and len(own[0].replication):
            pairs += [(p, own[0]) for p in own[1:] if len(p.replication)]
    return [Comparison(a, b, _differences(a, b, len(pairs))) for a, b in pairs]


def _differences(result: PointResult, reference: PointResult, comparisons: int) -> dict[str, Difference]:
    _, mine, theirs = np.intersect1d(result.replication, reference.replication, return_indices=True)
    return {
        name: paired_difference(values[mine], reference.kpis[name][theirs], comparisons=comparisons)
        for name, values in result.kpis.items()
        if name in reference.kpis
    }


def rank_bottlenecks(result: PointResult) -> list[Bottleneck]:
    """Stations, the one that holds the line back most first."""
    if not len(result.replication):
        return []
    model = result.point.runnable
    share = result.state_share
    stations = [i for i, node in enumerate(model.nodes) if node.kind == NodeKind.STATION]
    links = station_links(model)
    points_away = {i: False for i in stations}
    before = {i: 0.0 for i in stations}
    after = {i: 0.0 for i in stations}
    for i, j in links:
        blocked, starved = float(share[i, NodeState.BLOCKED]), float(share[j, NodeState.STARVED])
        points_away[i if blocked > starved else j] = True
        before[j], after[i] = max(before[j], blocked), max(after[i], starved)
    out = []
    for i in stations:
        on_shift = 1.0 - float(share[i, NodeState.OFF])
        waiting = float(share[i, [NodeState.BLOCKED, NodeState.STARVED, NodeState.WAITING_CREW]].sum())
        out.append(
            Bottleneck(
                path=model.nodes[i].path,
                active=(on_shift - waiting) / on_shift if on_shift > 0.0 else 0.0,
                active_s=None if np.isnan(result.active_s[i]) else float(result.active_s[i]),
                blocked=float(share[i, NodeState.BLOCKED]),
                starved=float(share[i, NodeState.STARVED]),
                working=float(share[i, NodeState.WORKING]),
                setup=float(share[i, NodeState.SETUP]),
                waiting_crew=float(share[i, NodeState.WAITING_CREW]),
                points_to_it=not points_away[i],
                severity=before[i] + after[i],
            )
        )
    return sorted(out, key=lambda b: (-b.points_to_it, -b.active, -b.severity))


def station_links(model: FactoryModel) -> list[tuple[int, int]]:
    """Pairs of stations between which an item may go with no other station in between."""
    return [(i, j) for i, n in enumerate(model.nodes) if n.kind == NodeKind.STATION for j in _next_stations(model, i)]


def _next_stations(model: FactoryModel, index: int) -> list[int]:
    """Stations that an item may reach next, through whatever lies between."""
    found: list[int] = []
    seen, frontier = {index}, list(model.nodes[index].next)
    while frontier:
        at = frontier.pop(0)
        if at in seen:
            continue
        seen.add(at)
        if model.nodes[at].kind == NodeKind.STATION:
            found.append(at)
        else:
            frontier.extend(model.nodes[at].next)
    return found
