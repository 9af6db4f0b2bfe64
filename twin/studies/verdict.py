"""The answer, first: which point wins, by how much, how sure that is, and what holds the line back."""

from __future__ import annotations

from html import escape

import numpy as np

from twin.studies.compare import compare_points, rank_bottlenecks
from twin.studies.labels import few
from twin.studies.ranking import Rank, rank_points
from twin.studies.results import PointResult, Results
from twin.studies.sections import bottleneck_sentence, fleet_sentence, waiting_sentence
from twin.studies.statistics import Difference, estimate, paired_difference
from twin.studies.words import estimate_of, goodness, heading, interval, is_neutral, name_of, signed, unit_of

CLOSE = 0.02
"""So near to the best [share of its mean] a point is as good for most purposes, however certain the difference is."""
LINES = 8
"""Points that have a line each in the answer."""
WARNINGS = 4
"""Warnings of one kind, at most."""
NAMED = 4
"""Rivals that are named; more are counted."""


def verdict(results: Results, done: list[PointResult], base: PointResult | None) -> str:
    """The first section of the report."""
    if not done:
        return f'<section><p class="verdict">Nothing is finished yet.</p>{_alarms(results)}</section>'
    kpi = results.plan.study.kpis[0]
    ranks = rank_points(done, kpi)
    out = []
    if len(ranks) > 1 and base is not None:
        out += _winner(ranks, base, kpi, sampled=bool(results.plan.study.design.n))
    elif ranks:
        label = escape(ranks[0].point.point.label)
        out.append(f'<p class="verdict"><b>{label}</b> reaches a {name_of(kpi)} of {_quantity(ranks[0].point, kpi)}.</p>')
    else:
        out.append(f'<p class="verdict">{escape(heading(name_of(kpi)))} is undefined in every point.</p>')
    best = ranks[0].point if ranks else done[0]
    if len(done) > 1 and base is not None:
        out += _elsewhere(results, done, base, best)
    told = []
    for p in [base, best]:
        if p is not None and p not in told and len(ranked := rank_bottlenecks(p)) > 1:
            told.append(p)
            worth = _worth(results) if p is base else ""
            out.append(
                f'<p class="sub">In {escape(p.point.label)}, {bottleneck_sentence(ranked)}'
                f"{waiting_sentence(p)}{fleet_sentence(p)}{worth}</p>"
            )
    shown = best if base is None or len(ranks) > 1 else base
    out.append(_lines(results, kpi))
    whole = [k for k in results.plan.study.kpis if "/" not in k]
    tiles = "".join(_tile(shown, base, k) for k in whole or results.plan.study.kpis)
    against = "" if base is None or shown is base else f"; below, the change against {escape(base.point.label)}"
    out.append(f'<div class="tiles">{tiles}</div><p class="soft">{escape(shown.point.label)}, with 95 % intervals{against}.</p>')
    return f"<section class='answer'>{''.join(out)}{_alarms(results)}</section>"


def _winner(ranks: list[Rank], base: PointResult, kpi: str, *, sampled: bool) -> list[str]:
    best = ranks[0].point
    label, name = escape(best.point.label), name_of(kpi)
    rivals = [r.point for r in ranks[1:] if r.may_be_best]
    out = []
    worst = (sampled and base.point.parameters) or kpi not in base.kpis  # the first sample is as arbitrary as any
    reference = ranks[-1].point if worst else base
    d = paired(best, reference, kpi)
    if best is base:
        text = f"Nothing is proven to beat <b>{label}</b>" if rivals else f"Nothing beats <b>{label}</b>"
        text += f": a {name} of {_quantity(best, kpi)}"
    elif d.significant:
        against = escape(reference.point.label) if reference is base else f"the worst point, {escape(reference.point.label)}"
        wins = f"has the best {name}:" if rivals else f"is best: a {name} of"
        text = f"<b>{label}</b> {wins} {_quantity(best, kpi)}, {_change(d, reference, kpi)} against {against}"
    else:
        text = f"Nothing is proven to beat <b>{escape(reference.point.label)}</b>: a {name} of {_quantity(reference, kpi)}; "
        text += f"{label} has {_quantity(best, kpi)}, which may be chance"
    out.append(f'<p class="verdict">{text}.</p>')
    count = f"{len(ranks)} points"
    if not rivals:
        out.append(
            f'<p class="sub">The runs exclude, with 95 % for all {count} together, that any other is as good. '
            f"Next best: {escape(ranks[1].point.point.label)}, {_behind(best, ranks[1].point, kpi)}.</p>"
        )
    else:
        names = ", ".join(f"<b>{escape(p.point.label)}</b>" for p in rivals[:NAMED])
        more = f" and {len(rivals) - NAMED} more" if len(rivals) > NAMED else ""
        others = len(ranks) - 1 - len(rivals)
        text = f"Not yet told apart from it, at 95 % for all {count} together: {names}{more}."
        if others:
            text += f" The other {others} are behind for certain." if others > 1 else " The other one is behind for certain."
        out.append(f'<p class="sub">{text}</p>')
    scale = abs(ranks[0].estimate.mean or 0.0)
    near = [
        r.point.point.label
        for r in ranks[1:]
        if not r.may_be_best and scale > 0.0 and abs((r.estimate.mean or 0.0) - (ranks[0].estimate.mean or 0.0)) <= CLOSE * scale
    ]
    if near:
        out.append(
            f'<p class="sub">Certainly behind, but within {CLOSE * 100:g} % of the best, which may not matter: '
            f"{escape(few(near, NAMED))}.</p>"
        )
    return out


def _lines(results: Results, kpi: str) -> str:
    """Where a study has few points, what becomes of the first figure in each, against what it is compared with."""
    comparisons = compare_points(results)
    if not 1 < len(comparisons) <= LINES:
        return ""
    rows = []
    for c in comparisons:
        d = c.differences.get(kpi)
        if d is None or d.mean is None:
            continue
        change = _change(d, c.reference, kpi, family=True) if d.significant else "no proven change"
        rows.append(f"<b>{escape(c.point.point.label)}</b>: {change}")
    same = len({c.reference.point.index for c in comparisons}) == 1
    against = f" against {escape(comparisons[0].reference.point.label)}" if same else ""
    return (
        f'<p class="sub">{escape(heading(name_of(kpi)))}{against}, all together with 95 %: {"; ".join(rows)}.</p>' if rows else ""
    )


def _elsewhere(results: Results, done: list[PointResult], base: PointResult, best: PointResult) -> list[str]:
    """Points that are the best in a figure other than the first, and differ in it from the baseline for certain."""
    wins: dict[int, list[str]] = {}
    for kpi in results.plan.study.kpis[1:]:
        ranks = rank_points(done, kpi)
        first = ranks[0].point if ranks else base
        if first is base or first is best or any(r.may_be_best for r in ranks[1:] if r.point is best):
            continue
        d = paired(first, base, kpi, comparisons=len(done) - 1)
        if d.significant:
            wins.setdefault(first.point.index, []).append(f"{escape(name_of(kpi))} ({_change(d, base, kpi)})")
    by_index = {p.point.index: p for p in done}
    texts = [f"<b>{escape(by_index[i].point.label)}</b> has the best {_listed(figures)}" for i, figures in wins.items()]
    return [f'<p class="sub">Against {escape(base.point.label)}, {_listed(texts)}.</p>'] if texts else []


def _listed(texts: list[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _worth(results: Results) -> str:
    """What a little more of something brings the baseline, of all that was tried."""
    levers = [] if results.insight is None else results.insight.levers
    known = [v for v in levers if v.effect.mean is not None]
    if not known:
        return ""
    kpi = known[0].kpi
    sign = goodness(kpi)
    steps = [f"each station {v.step * 100:g} % faster" for v in known if v.change.kind == "speed"][:1]
    steps += ["each crew and fleet with one more"] if any(v.change.kind != "speed" for v in known) else []
    tried = f"Tried there, one at a time: {' and '.join(steps)}."
    better = [v for v in known if v.effect.significant and sign * (v.effect.mean or 0.0) > 0.0]
    proven = sorted(better, key=lambda v: -sign * (v.effect.mean or 0.0))
    if not proven:
        return f" {tried} None of it improves {escape(name_of(kpi))} measurably."
    parts = [
        f"{'<b>' if i == 0 else ''}{escape(v.change.name)}{'</b>' if i == 0 else ''} "
        f"({signed(v.effect.mean, v.effect.half_width_family)} {escape(unit_of(kpi, results.points[0]))})".replace(" )", ")")
        for i, v in enumerate(proven[:2])
    ]
    return f" {tried} Most for {escape(name_of(kpi))} brings {', then '.join(parts)}."


def paired(point: PointResult, reference: PointResult, kpi: str, comparisons: int = 1) -> Difference:
    """The point's figure less the reference's, on the replications that both have; one of so many comparisons."""
    _, mine, theirs = np.intersect1d(point.replication, reference.replication, return_indices=True)
    if kpi not in point.kpis or kpi not in reference.kpis:
        return Difference(None, None, None, None, False, 0)
    return paired_difference(point.kpis[kpi][mine], reference.kpis[kpi][theirs], comparisons=comparisons)


def _behind(best: PointResult, other: PointResult, kpi: str) -> str:
    d = paired(other, best, kpi)
    if d.mean is None:
        return "undefined"
    return f"{interval(abs(d.mean), d.half_width)} {unit_of(kpi, best)} behind".replace("  ", " ")


def _change(d: Difference, reference: PointResult, kpi: str, *, family: bool = False) -> str:
    """A significant difference in per cent of the reference where that has a meaning."""
    mean, scale = d.mean or 0.0, estimate(reference.kpis[kpi]).mean
    half = d.half_width_family if family else d.half_width
    css = "soft" if is_neutral(kpi) else "good" if mean * goodness(kpi) > 0 else "bad"
    if not scale:
        return f'<b class="{css}">{interval(mean, half)}</b> {escape(unit_of(kpi, reference))}'
    text = f"{mean / abs(scale) * 100:+.1f} %".replace("-", "−")
    return f'<b class="{css}">{text}</b><span class="soft"> ± {(half or 0.0) / abs(scale) * 100:.1f} %</span>'


def _quantity(p: PointResult, kpi: str) -> str:
    e = estimate_of(p, kpi)
    return f"<b>{interval(e.mean, e.half_width)}</b> {escape(unit_of(kpi, p))}".strip()


def _tile(result: PointResult, base: PointResult | None, kpi: str) -> str:
    e = estimate_of(result, kpi)
    value, _, spread = interval(e.mean, e.half_width).partition(" ± ")
    spread = f"± {spread} " if spread else ""
    unit = escape(unit_of(kpi, result))
    change = ""
    if base is not None and base is not result:
        d = paired(result, base, kpi)
        change = f"<em>{_change(d, base, kpi)}</em>" if d.significant else "<em class='soft'>no proven change</em>"
    return f"<div class='tile'><span>{escape(name_of(kpi))}</span><b>{value}</b> <small>{spread}{unit}</small>{change}</div>"


def _first(texts: list[str], more: str) -> list[str]:
    """The first few warnings of a kind; the others are counted."""
    return texts if len(texts) <= WARNINGS else [*texts[: WARNINGS - 1], f"{len(texts) - WARNINGS + 1} more {more}."]


def _alarms(results: Results) -> str:
    out: list[str] = []
    stuck: list[str] = []
    vague: list[str] = []
    for p in results.points:
        label = escape(p.point.label)
        if p.error is not None:
            out.append(f"<b>{label}</b> failed: {escape(p.error)}")
        elif not len(p.replication):
            out.append(f"<b>{label}</b> has not been run yet.")
        elif p.deadlocked:
            numbers = ", ".join(map(str, p.deadlocked[:8])) + (", …" if len(p.deadlocked) > 8 else "")
            share = f"{len(p.deadlocked)} of {len(p.replication)} replications"
            places = escape(few(p.stuck))
            counts = "they count" if p.feasible else "it is not ranked"
            stuck.append(f"<b>{label}</b>: {share} came to a standstill ({numbers}) at {places}; {counts}.")
        elif not p.precise:
            text = f": {'; '.join(p.imprecise)}" if p.imprecise else ""
            vague.append(
                f"<b>{label}</b> has not reached the wanted precision after {len(p.replication)} replications{escape(text)}."
            )
    out += _first(vague, "points have not reached the wanted precision either") + _first(
        stuck, "points came to a standstill as well"
    )
    if beyond := sum(not p.feasible for p in results.points):
        out.append(f"{beyond} of the points tried break the limits that were set, or came to a standstill, and are not ranked.")
    if results.warmup is not None and results.warmup.too_short:
        out.append(
            "The run is too short to say where its start-up ends: the warm-up below is a guess, the horizon should be longer."
        )
    out += [escape(text) for text in results.plan.idle]
    return "".join(f'<p class="warning">{text}</p>' for text in out)
