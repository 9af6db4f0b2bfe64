"""What a search found, for the report: the best of what was tried, against the present design and against its limits."""

from __future__ import annotations

from html import escape

from twin.studies.labels import few, short_name, show_value
from twin.studies.margins import Margin, margins
from twin.studies.ranking import Rank, rank_points
from twin.studies.results import PointResult, Results
from twin.studies.spec import COST
from twin.studies.words import change_text, estimate_of, interval, name_of, paired, quantity, signed, unit_of

NAMED = 4
"""Points that are named; more are counted."""


def answer(results: Results, done: list[PointResult], base: PointResult) -> tuple[list[str], PointResult]:
    """Paragraphs, and the point that they are about: the best trial, or the present design where no trial keeps the limits."""
    study = results.plan.study
    kpi = study.kpis[0]
    trials = [p for p in done if p is not base]
    ranks = rank_points(trials, kpi, study.kpis[1:])
    present = f"the present design ({escape(base.point.label)})"
    if not ranks:
        text = f"None of the {len(trials)} points tried keeps the limits"
        return [f'<p class="verdict">{text}.</p>', _limit_lines(results, base, done, "The present design")], base
    best = ranks[0].point
    label, name = escape(best.point.label), name_of(kpi)
    able = (
        f"{len(ranks)} of {len(trials)} points tried keep the limits"
        if len(ranks) < len(trials)
        else f"{len(trials)} points tried"
    )
    wins = "is the cheapest found: it costs" if kpi == COST else f"has the best {name} found:"
    text = f"<b>{label}</b> {wins} {quantity(best, kpi)}"
    d = paired(best, base, kpi)
    if d.mean is None:
        text += f"; the {name} of {present} is not known"
    elif d.mean == 0.0:
        text += f", as much as {present}"
    elif d.significant:
        text += f", {change_text(d, base, kpi)} against {present}"
    else:
        text += f"; no proven difference to {present}, which has {quantity(base, kpi)}"
    values = ", ".join(f"{short_name(n)} {show_value(v)}" for n, v in best.point.parameters.items())
    out = [f'<p class="verdict">{text}.</p>', f'<p class="sub">{label}: {escape(values)}. {able}.{_rivals(ranks, kpi)}</p>']
    out.append(_limit_lines(results, best, done, label))
    if base.broken:
        out.append(_limit_lines(results, base, done, "The present design"))
    out.append(
        '<p class="sub">A search picks what looked good on these very replications, and it has not tried everything. Confirm '
        "it: run what it found, its neighbours and the present design as scenarios with another seed and more replications.</p>"
    )
    return out, best


def _rivals(ranks: list[Rank], kpi: str) -> str:
    """What is as good, or cannot be told apart."""
    best = ranks[0]
    if kpi == COST:
        same = [r.point.point.label for r in ranks[1:] if r.estimate.mean == best.estimate.mean]
        nxt = next((r for r in ranks[1:] if r.estimate.mean != best.estimate.mean), None)
        text = f" As cheap, but no better in the next figure: {escape(few(same, NAMED))}." if same else ""
        if nxt is not None:
            text += f" The next cost is {interval(nxt.estimate.mean, None)} ({escape(nxt.point.point.label)})."
        return text
    rivals = [r.point.point.label for r in ranks[1:] if r.may_be_best]
    if rivals:
        return f" Not told apart from it, at 95 % for all of them together: {escape(few(rivals, NAMED))}."
    if len(ranks) > 1:
        return " It is proven better, at 95 % for all of them together, than any other point that was tried."
    return ""


def _limit_lines(results: Results, p: PointResult, done: list[PointResult], who: str) -> str:
    lines = [_limit_text(m, p) for m in margins(p, done, results.plan.study)]
    if p.deadlocked:
        lines.append(f"it came to a standstill in {len(p.deadlocked)} of {len(p.replication)} replications: <b>broken</b>")
    return f'<p class="sub">{who}: {"; ".join(lines)}.</p>' if lines else ""


def _limit_text(m: Margin, p: PointResult) -> str:
    """``throughput 11.463 ± 0.15, at least 11.428 (99 % of the best, trial 9): +0.035 ± 0.04, not proven``."""
    unit = unit_of(m.kpi, p)
    e = estimate_of(p, m.kpi)
    css = {"kept": "good", "broken": "bad"}.get(m.verdict, "soft")
    of = ""
    if m.share is not None and m.best is not None:
        of = f" ({m.share * 100:g} % of {'its own' if m.best is p else f'the best, {m.best.point.label}'})"
    room = signed(m.room.mean if m.low else _minus(m.room.mean), m.room.half_width)
    return (
        f"{escape(name_of(m.kpi))} {interval(e.mean, e.half_width)}, at {'least' if m.low else 'most'} {m.limit:.5g}{escape(of)} "
        f"{escape(unit)}: {room} from the limit, <b class='{css}'>{m.verdict}</b>"
    ).replace("  ", " ")


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
