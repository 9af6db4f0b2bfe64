"""The answer, first: which point wins, by how much, how sure that is, and what holds the line back."""

from __future__ import annotations

from html import escape

from twin.studies import search_answer
from twin.studies.compare import compare_points, rank_bottlenecks
from twin.studies.contests import Contest, contests, other_demand
from twin.studies.labels import few
from twin.studies.limits import best_levers, demand_limits, first_that_moves, limit_sentence, what_limits
from twin.studies.loops import loop_text
from twin.studies.ranking import Rank, rank_points
from twin.studies.results import PointResult, Results
from twin.studies.sections import fleet_sentence, table, waiting_sentence
from twin.studies.words import (
    change_text,
    estimate_of,
    heading,
    interval,
    is_neutral,
    name_of,
    paired,
    quantity,
    signed,
    unit_of,
)

CLOSE = 0.02
"""So near to the best [share of its mean] a point is as good for most purposes, however certain the difference is."""
LINES = 8
"""Points that have a line each in the answer."""
WARNINGS = 4
"""Warnings of one kind, at most."""
NAMED = 4
"""Rivals that are named; more are counted."""
TOLD = 3
"""Questions (combinations of swept values) that are answered in a sentence each; more have a line each in a table."""
LISTED = 12
"""Lines of that table."""


def verdict(results: Results, done: list[PointResult], base: PointResult | None) -> str:
    """The first section of the report."""
    if not done:
        return f'<section><p class="verdict">Nothing is finished yet.</p>{_alarms(results)}</section>'
    study = results.plan.study
    kpi = study.kpis[0]
    if study.design.kind == "optuna" and base is not None:
        out, shown = search_answer.answer(results, done, base)
        told, asked = [base, shown], 1
    else:
        out, told = _answers(results, done, base)
        shown = told[-1]
        asked = len(contests(results, done, base)) if base is not None else 1
    for p in dict.fromkeys(p.point.index for p in told):
        out.append(_limits(results, next(q for q in told if q.point.index == p), base))
    if asked == 1:
        out.append(_lines(results, kpi))
    reference = _reference(results, shown, base, done)
    whole = [k for k in study.kpis if "/" not in k]
    tiles = "".join(_tile(shown, reference, k) for k in whole or study.kpis)
    against = "" if reference is None or shown is reference else f"; below, the change against {escape(reference.point.label)}"
    out.append(f'<div class="tiles">{tiles}</div><p class="soft">{escape(shown.point.label)}, with 95 % intervals{against}.</p>')
    return f"<section class='answer'>{''.join(out)}{_alarms(results)}</section>"


def _answers(results: Results, done: list[PointResult], base: PointResult | None) -> tuple[list[str], list[PointResult]]:
    """Who wins, in paragraphs, and the points of which it is told what limits them; the last one has the tiles."""
    study = results.plan.study
    kpi = study.kpis[0]
    ranks = rank_points(done, kpi)
    if not ranks:
        return [f'<p class="verdict">{escape(heading(name_of(kpi)))} is undefined in every point.</p>'], [base or done[0]]
    if len(ranks) < 2 or base is None:
        label = escape(ranks[0].point.point.label)
        text = f'<p class="verdict"><b>{label}</b> reaches a {name_of(kpi)} of {quantity(ranks[0].point, kpi)}.</p>'
        return [text], [base] if base is not None else [ranks[0].point]
    asked = contests(results, done, base)
    if len(asked) == 1:
        out = _winner(ranks, base, kpi, sampled=bool(study.design.n))
        best = ranks[0].point
        out += _elsewhere(results, asked[0], best)
        if (others := other_demand(results, done)) and best.point.scenario in others:
            out.append(
                f'<p class="sub">{escape(best.point.scenario)} is fed otherwise than {escape(study.baseline)}: what it gains is '
                "not the merit of a design alone.</p>"
            )
        return out, [base, best]
    out = []
    family = sum(len(c.points) - 1 for c in asked)
    found = [(c, rank_points(c.points, kpi)) for c in asked]
    told = [base]
    if len(asked) <= TOLD:
        for c, r in found:
            other = first_that_moves(c.reference, study.kpis)
            if other != kpi and all(demand_limits(p) for p in c.points):
                r = rank_points(c.points, other)
                text = _contest(c, r, other, family)
                out.append(
                    f'<p class="verdict several">{text}. The {name_of(kpi)} is what comes in, '
                    f"{quantity(c.reference, kpi)}, whatever of these is chosen.</p>"
                )
                told.append(c.reference)
                continue
            out.append(f'<p class="verdict several">{_contest(c, r, kpi, family)}.</p>')
            if r:
                out += _elsewhere(results, c, r[0].point, f"{c.name}: ")
                told += [c.reference, r[0].point]
    else:
        out += _count_of(found, kpi, family)
        told += [r[0].point for c, r in found if r and _wins(c, r, kpi, family)][:1]
    if other_demand(results, done):
        compared = "the first point of its case: scenarios that are fed otherwise are no rivals"
    else:
        compared = f"{escape(study.baseline)} at the same swept values"
    out.append(f'<p class="sub">Each is compared with {compared}; the intervals hold for all {family} comparisons together.</p>')
    return out, told


def _wins(c: Contest, ranks: list[Rank], kpi: str, family: int) -> bool:
    best = ranks[0].point
    return best is not c.reference and paired(best, c.reference, kpi, comparisons=family).significant


def _contest(c: Contest, ranks: list[Rank], kpi: str, family: int) -> str:
    """The answer to one question in a sentence."""
    name, place = name_of(kpi), f"{escape(heading(c.name))}: "
    if not ranks:
        return f"{place}{name} is undefined"
    best = ranks[0].point
    label, reference = escape(c.label(best)), escape(c.label(c.reference))
    rivals = [c.label(r.point) for r in ranks[1:] if r.may_be_best and r.point is not c.reference]
    also = f", not told apart from {escape(few(rivals, NAMED))}" if rivals else ""
    if _wins(c, ranks, kpi, family):
        d = paired(best, c.reference, kpi, comparisons=family)
        wins = f"has the {_most(kpi)} {name}" if rivals or is_neutral(kpi) else f"is best in {name}"
        change = change_text(d, c.reference, kpi, family=True)
        return f"{place}<b>{label}</b> {wins}: {quantity(best, kpi)}, {change} against {reference}{also}"
    proven = "nothing beats" if best is c.reference and not rivals else "nothing is proven to beat"
    return f"{place}{proven} <b>{reference}</b>: a {name} of {quantity(c.reference, kpi)}"


def _count_of(found: list[tuple[Contest, list[Rank]]], kpi: str, family: int) -> list[str]:
    """The answers to many questions: how often who wins, and a line each."""
    winners: dict[str, int] = {}
    open_, name = 0, name_of(kpi)
    rows = []
    for c, ranks in found:
        if not ranks:
            continue
        best = ranks[0].point
        if _wins(c, ranks, kpi, family):
            winners[c.label(best)] = winners.get(c.label(best), 0) + 1
            d = paired(best, c.reference, kpi, comparisons=family)
            change = signed(d.mean, d.half_width_family)
        else:
            open_ += 1
            change = "nothing proven to beat it"
        rivals = [c.label(r.point) for r in ranks[1:] if r.may_be_best]
        e = estimate_of(best, kpi)
        rows.append([c.name, c.label(best), interval(e.mean, e.half_width), change, c.label(c.reference), few(rivals, 2) or "–"])
    texts = [f"<b>{escape(w)}</b> in {n}" for w, n in sorted(winners.items(), key=lambda entry: -entry[1])]
    unnamed = sum(sorted(winners.values(), reverse=True)[NAMED:])
    many = f" and others in {unnamed}" if unnamed else ""
    if not texts:
        head = f"In none of {len(rows)} cases anything is proven to beat what it is compared with in {name}"
    else:
        head = f"Of {len(rows)} cases, the {_most(kpi)} {name} has {', '.join(texts[:NAMED])}{many}"
        head += f"; in {open_} of them nothing is proven to beat what it is compared with" if open_ else ""
    unit = unit_of(kpi, found[0][0].points[0])
    columns = ["Case", f"{heading(_most(kpi))} {name}", unit or "mean", "Change", "Against", "Not told apart"]
    more = f'<p class="soft">{len(rows) - LISTED} more are in summary.json.</p>' if len(rows) > LISTED else ""
    return [f'<p class="verdict several">{head}.</p>', table(columns, rows[:LISTED]), more]


def _most(kpi: str) -> str:
    return "highest" if is_neutral(kpi) else "best"


def _limits(results: Results, p: PointResult, base: PointResult | None) -> str:
    """What limits the line at a point, and at the baseline also what was tried."""
    ranked = rank_bottlenecks(p)
    if len(ranked) < 2:
        return ""
    levers = [] if results.insight is None or p is not base else results.insight.levers
    limit = what_limits(p, ranked, levers)
    worth = _worth(results) if p is base else ""
    return (
        f'<p class="sub">In {escape(p.point.label)}, {limit_sentence(p, limit, ranked)}'
        f"{waiting_sentence(p, limit)}{fleet_sentence(p, limit)}{worth}</p>"
    )


def _reference(results: Results, shown: PointResult, base: PointResult | None, done: list[PointResult]) -> PointResult | None:
    """What the point with the tiles is compared with."""
    if base is None or results.plan.study.design.kind == "optuna":
        return base
    return next((c.reference for c in contests(results, done, base) if any(p is shown for p in c.points)), base)


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
        text += f": a {name} of {quantity(best, kpi)}"
    elif d.significant:
        against = escape(reference.point.label) if reference is base else f"the worst point, {escape(reference.point.label)}"
        wins = f"has the {_most(kpi)} {name}:" if rivals or is_neutral(kpi) else f"is best: a {name} of"
        text = f"<b>{label}</b> {wins} {quantity(best, kpi)}, {change_text(d, reference, kpi)} against {against}"
    else:
        text = f"Nothing is proven to beat <b>{escape(reference.point.label)}</b>: a {name} of {quantity(reference, kpi)}; "
        text += f"{label} has {quantity(best, kpi)}, which may be chance"
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
    if not 1 < len(comparisons) <= LINES or results.plan.study.design.kind == "optuna":
        return ""
    rows = []
    for c in comparisons:
        d = c.differences.get(kpi)
        if d is None or d.mean is None:
            continue
        change = change_text(d, c.reference, kpi, family=True) if d.significant else "no proven change"
        rows.append(f"<b>{escape(c.point.point.label)}</b>: {change}")
    same = len({c.reference.point.index for c in comparisons}) == 1
    against = f" against {escape(comparisons[0].reference.point.label)}" if same else ""
    return (
        f'<p class="sub">{escape(heading(name_of(kpi)))}{against}, all together with 95 %: {"; ".join(rows)}.</p>' if rows else ""
    )


def _elsewhere(results: Results, c: Contest, best: PointResult, place: str = "") -> list[str]:
    """Points that are the best in a figure other than the first, and differ in it from the reference for certain."""
    base, wins = c.reference, dict[int, list[str]]()
    for kpi in results.plan.study.kpis[1:]:
        if is_neutral(kpi):
            continue  # a machine that is busier is neither better nor worse for it
        ranks = rank_points(c.points, kpi)
        first = ranks[0].point if ranks else base
        if first is base or (not place and (first is best or any(r.may_be_best for r in ranks[1:] if r.point is best))):
            continue
        d = paired(first, base, kpi, comparisons=len(c.points) - 1)
        if d.significant:
            wins.setdefault(first.point.index, []).append(f"{escape(name_of(kpi))} ({change_text(d, base, kpi)})")
    by_index = {p.point.index: p for p in c.points}
    texts = [f"<b>{escape(c.label(by_index[i]))}</b> has the best {_listed(figures)}" for i, figures in wins.items()]
    return [f'<p class="sub">{escape(heading(place))}Against {escape(c.label(base))}, {_listed(texts)}.</p>'] if texts else []


def _listed(texts: list[str]) -> str:
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def _worth(results: Results) -> str:
    """What a little more of something brings the baseline, of all that was tried."""
    levers = [] if results.insight is None else results.insight.levers
    known = [v for v in levers if v.effect.mean is not None]
    if not known:
        return ""
    kpi = known[0].kpi
    steps = [f"each station {v.step * 100:g} % faster" for v in known if v.change.kind == "speed"][:1]
    steps += ["each crew and fleet with one more"] if any(v.change.kind != "speed" for v in known) else []
    tried = f"Tried there, one at a time: {' and '.join(steps)}."
    proven = best_levers(known)
    if not proven:
        return f" {tried} None of it improves {escape(name_of(kpi))} measurably."
    parts = [
        f"{'<b>' if i == 0 else ''}{escape(v.change.name)}{'</b>' if i == 0 else ''} "
        f"({signed(v.effect.mean, v.effect.half_width_family)} {escape(unit_of(kpi, results.points[0]))})".replace(" )", ")")
        for i, v in enumerate(proven[:2])
    ]
    return f" {tried} Most for {escape(name_of(kpi))} brings {', then '.join(parts)}."


def _behind(best: PointResult, other: PointResult, kpi: str) -> str:
    d = paired(other, best, kpi)
    if d.mean is None:
        return "undefined"
    return f"{interval(abs(d.mean), d.half_width)} {unit_of(kpi, best)} behind".replace("  ", " ")


def _tile(result: PointResult, base: PointResult | None, kpi: str) -> str:
    e = estimate_of(result, kpi)
    value, _, spread = interval(e.mean, e.half_width).partition(" ± ")
    spread = f"± {spread} " if spread else ""
    unit = escape(unit_of(kpi, result))
    change = ""
    if base is not None and base is not result:
        d = paired(result, base, kpi)
        change = f"<em>{change_text(d, base, kpi)}</em>" if d.significant else "<em class='soft'>no proven change</em>"
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
            loop = loop_text(p.point.runnable, p.stuck)
            where = f": {escape(loop)}" if loop else f" at {escape(few(p.stuck))}"
            counts = "They count in its figures and comparisons." if p.feasible else "It is not ranked."
            stuck.append(f"<b>{label}</b>: {share} came to a standstill ({numbers}){where}. {counts}")
        elif not p.precise:
            text = f": {'; '.join(p.imprecise)}" if p.imprecise else ""
            vague.append(
                f"<b>{label}</b> has not reached the wanted precision after {len(p.replication)} replications{escape(text)}."
            )
    out += _first(vague, "points have not reached the wanted precision either") + _first(
        stuck, "points came to a standstill as well"
    )
    trials = [p for p in results.points if p.point is not results.plan.baseline]
    if beyond := sum(not p.feasible for p in trials):
        out.append(
            f"{beyond} of the {len(trials)} points tried break the limits that were set, or came to a standstill, and are not "
            "ranked."
        )
    if results.warmup is not None and results.warmup.too_short:
        out.append(
            "The run is too short to say where its start-up ends: the warm-up below is a guess, the horizon should be longer."
        )
    out += [escape(text) for text in results.plan.idle]
    return "".join(f'<p class="warning">{text}</p>' for text in out)
