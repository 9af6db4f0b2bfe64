"""What limits the line at a point: what comes in, people, vehicles or a station. The sentence and the drawing say the same."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.studies.compare import Bottleneck
from twin.studies.labels import few
from twin.studies.levers import Lever
from twin.studies.results import PointResult
from twin.studies.statistics import estimate
from twin.studies.words import estimate_of, goodness

SHORT = 0.9
"""From this share of their time at work or under way on, people and vehicles are named before any station."""
WAITED = 0.05
"""Share of its time that a station waits for people, from which on it is told."""
UNBLOCKED = 0.01
"""Up to this share of the time in which a source cannot let go what it has, it brings all that there is."""
GROWTH = 0.01
"""What comes in may differ from what leaves by this share of it, or by the interval of the throughput."""

Kind = Literal["demand", "people", "vehicles", "station", "none"]


@dataclass(frozen=True)
class Limit:
    """``path``: of the crew, fleet or station; the busiest station where nothing clearly limits. ``tried``: a little more of
    it brought the most of all that was tried."""

    kind: Kind
    path: str
    tried: bool = False

    @property
    def marked(self) -> set[str]:
        """Stations that a drawing marks."""
        return {self.path} if self.kind == "station" else set()


def demand_limits(p: PointResult) -> bool:
    """Whether all that the sources have comes in and, but for scrap, leaves again: the line takes whatever there is.

    No source is saturated or held up, and the pieces inside grow by less than the throughput is uncertain by.
    """
    model = p.point.runnable
    sources = [i for i, n in enumerate(model.nodes) if n.kind == NodeKind.SOURCE]
    if not sources or not len(p.replication) or not len(p.wip) or len(p.node_out) != len(model.nodes):
        return False
    if any(model.nodes[i].saturated or p.state_share[i, NodeState.BLOCKED] > UNBLOCKED for i in sources):
        return False
    came = float(p.node_out[sources].sum())
    rate = estimate(p.kpis.get("throughput", np.zeros(0)))
    if came <= 0.0 or not rate.mean:
        return False
    # the series covers the warm-up too; its last tenths stand for the beginning and the end of the measured time
    first = len(p.wip) - round(p.horizon_s / p.interval_s) if p.interval_s > 0.0 else 0
    measured = p.wip[max(first, 0) :]
    tenth = max(len(measured) // 10, 1)
    growth = float(measured[-tenth:].mean() - measured[:tenth].mean())
    return growth <= max((rate.half_width or 0.0) / rate.mean, GROWTH) * came


def what_limits(p: PointResult, ranked: list[Bottleneck], levers: list[Lever]) -> Limit:
    """What a planner should look at first.

    Args:
        ranked: Its stations, as ``rank_bottlenecks`` has them; at least one.
        levers: What was tried on this very point; empty where nothing was.
    """
    if demand_limits(p):
        return Limit("demand", "")
    best = best_levers(levers)[:1]
    if best and best[0].change.kind != "speed":
        return Limit(best[0].change.kind, best[0].path, tried=True)
    model = p.point.runnable
    busy: list[tuple[float, Limit]] = []
    for c, crew in enumerate(model.crews):
        share = estimate_of(p, f"{crew.path}:utilisation").mean or 0.0
        if share > SHORT and waiting_texts(p, c, least=WAITED):
            busy.append((share, Limit("people", crew.path)))
    for n in model.nodes:
        if n.kind == NodeKind.FLEET and (share := away_share(p, n.path)) > SHORT:
            busy.append((share, Limit("vehicles", n.path)))
    if busy:
        return max(busy, key=lambda entry: entry[0])[1]
    if best:
        return Limit("station", best[0].path, tried=True)
    return Limit("station" if ranked[0].points_to_it else "none", ranked[0].path)


def best_levers(levers: list[Lever]) -> list[Lever]:
    """What was proven to be for the better, the most of it first."""
    known = [v for v in levers if v.effect.significant and goodness(v.kpi) * (v.effect.mean or 0.0) > 0.0]
    return sorted(known, key=lambda v: -goodness(v.kpi) * (v.effect.mean or 0.0))


def limit_sentence(p: PointResult, limit: Limit, ranked: list[Bottleneck]) -> str:
    """What limits the line, and what else is to be known of its stations."""
    by_path = {b.path: b for b in ranked}
    busiest = max(ranked, key=lambda b: b.active)
    first = ranked[0]
    name = f"<b>{escape(_last(limit.path))}</b>"
    if limit.kind == "demand":
        sources = _sources(p.point.runnable)
        return f"throughput is what comes in{sources}, and nothing inside holds it back: look at lead time, or raise demand."
    if limit.kind in ("people", "vehicles"):
        text = f"the {'crew' if limit.kind == 'people' else 'fleet'} {name} holds the line back: {_why(p, limit)}."
        if first.points_to_it:
            text += f" Of the stations, the neighbours of {escape(_last(first.path))} wait most: it {_doing(first)}."
        return text
    if limit.kind == "none":
        if first.starved > 0.05 and max(b.blocked for b in ranked) < 0.02:
            return f"goods come slower than the stations could work: even <b>{escape(_last(busiest.path))}</b> {_doing(busiest)}."
        return f"no station clearly holds the line back; {name} is the busiest: it {_doing(first)}."
    here = by_path.get(limit.path, first)
    if not here.points_to_it:
        text = f"{name} holds the line back: a little faster, it brings the most of all that was tried. It {_doing(here)}."
        return f"{text} By the waits of its neighbours it is {escape(_last(first.path))}." if first.points_to_it else text
    text = f"{name} is what its neighbours wait for: it {_doing(here)}."
    if busiest is not here and busiest.active > here.active + 0.02:
        text += f" {escape(_last(busiest.path))} has more to do still: it {_doing(busiest)}."
    return text


def _why(p: PointResult, limit: Limit) -> str:
    model = p.point.runnable
    more = ", and one more of it brings the most of all that was tried" if limit.tried else ""
    if limit.kind == "vehicles":
        n = model.nodes[model.node_index(limit.path)]
        return f"{n.servers:,} under way or charging {away_share(p, limit.path) * 100:.0f}\u00a0% of the time{more}"
    c = next(i for i, crew in enumerate(model.crews) if crew.path == limit.path)
    share = (estimate_of(p, f"{limit.path}:utilisation").mean or 0.0) * 100
    waiting = waiting_texts(p, c, least=WAITED)
    who = f"; stations wait for its people: {escape(few(waiting, 4))}" if waiting else ""
    return f"{model.crews[c].size:,} at work {share:.0f}\u00a0% of the time on shift{more}{who}"


def _sources(model: FactoryModel) -> str:
    names = [_last(n.path) for n in model.nodes if n.kind == NodeKind.SOURCE]
    return f" from {escape(few(names, 3))}"


def away_share(p: PointResult, fleet: str) -> float:
    """Share of its time that a fleet is under way or charging."""
    return sum(estimate_of(p, f"{fleet}:{k}").mean or 0.0 for k in ("utilisation", "setup"))


def waiting_texts(p: PointResult, crew: int, least: float = 0.0005) -> list[str]:
    """Stations that wait for a crew for at least some share of the time, those that wait longest first, in words."""
    found = []
    for node in p.point.runnable.nodes:
        for mine, figure, what in (
            (node.crew == crew and node.crew_size > 0, "waiting_crew", ""),
            (node.repair_crew == crew, "waiting_repair", " for repair"),
        ):
            share = estimate_of(p, f"{node.path}:{figure}").mean if mine else None
            if share is not None and share >= least:
                found.append((share, f"{_last(node.path)} {share * 100:.{1 if share < 0.0995 else 0}f}\u00a0%{what}"))
    return [text for _, text in sorted(found, key=lambda entry: -entry[0])]


def first_that_moves(p: PointResult, kpis: tuple[str, ...]) -> str:
    """The figure in which to try what more of something brings: the first one, or where throughput is what comes in, and so
    cannot grow, how long it takes."""
    known = [k for k in kpis if k in p.kpis] or ["throughput"]
    if known[0] != "throughput" or not demand_limits(p):
        return known[0]
    for wanted in ("lead_time", "wip", "energy_per_item"):
        for kpi in known:
            if kpi.startswith(wanted):
                return kpi
    return known[0]


def _doing(b: Bottleneck) -> str:
    """What a station does while it has something to do."""
    parts = [f"works {b.working * 100:.0f} % of the time"]
    if b.setup >= 0.005:
        parts.append(f"is being set up {b.setup * 100:.0f} %")
    if b.waiting_crew >= 0.005:
        parts.append(f"waits for people {b.waiting_crew * 100:.0f} %")
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]
