"""The report: one HTML file without anything outside it, for the person who decides."""

from __future__ import annotations

import datetime
from html import escape
from importlib import resources
from pathlib import Path

from twin import __version__
from twin.studies import charts, flow_sections, sections, verdict
from twin.studies.charts import Interval
from twin.studies.compare import Comparison, compare_points, compare_within
from twin.studies.effects import main_effects
from twin.studies.labels import brief_labels, point_label, short_name, show_value
from twin.studies.margins import margins
from twin.studies.ranking import rank_points
from twin.studies.results import PointResult, Results
from twin.studies.spec import COST, Scenario
from twin.studies.statistics import Estimate
from twin.studies.store import write_atomically
from twin.studies.words import (
    duration,
    estimate_of,
    goodness,
    heading,
    in_readable_units,
    interval,
    is_neutral,
    name_of,
    signed,
    unit_of,
)

DETAILED = 6
"""Points that get drawings of their own."""
DENSE = 8
"""From more columns than so many on, intervals of a table stand below their means."""
STANDSTILL = "⚠"
"""Marks a comparison in which a line stood still."""
CHARTED = 24
"""Rows of one dot chart; what is beyond stands in summary.json."""


def write_report(results: Results, folder: Path) -> Path:
    """Write ``folder/report.html``."""
    path = folder / "report.html"
    write_atomically(path, render(results))
    return path


def render(results: Results) -> str:
    """The whole page."""
    results = in_readable_units(results)
    study = results.plan.study
    comparisons = compare_points(results)
    done = [p for p in results.points if len(p.replication)]
    detailed = _detailed(results, done)
    css = resources.files("twin.studies").joinpath("report.css").read_text(encoding="utf-8")
    base = next((p for p in done if p.point is results.plan.baseline), None)
    parts = [verdict.verdict(results, done, base)]
    if done:
        best = [r.point for r in rank_points(done, study.kpis[0], study.kpis[1:])[:1]]
        closest = [p for p in detailed if p is base or p in best]
        parts += [
            _figures(results, done),
            _differences(results, comparisons),
            _overview(results, done),
            _levers(results, done),
            flow_sections.bottlenecks(closest, results.insight, base),
            sections.stations(detailed),
            sections.people_and_vehicles(detailed),
            flow_sections.goods(closest),
            sections.over_time(results, detailed),
            sections.lead_times(detailed),
            flow_sections.one_replication(detailed, results.insight),
            flow_sections.energy(detailed),
        ]
    parts.append(_assumptions(results, done))
    title = study.name.removesuffix(".study").replace("_", " ").replace("-", " ").capitalize()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)} · study</title><style>{css}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1><p>What-if study of {escape(study.stage.name)} · "
        f"{_count(len(results.points), 'point')}, {duration(study.run.horizon_s)} each</p></header>"
        f"{''.join(parts)}<footer>Twin {escape(__version__)} · {now} · every figure with its interval is in summary.json</footer>"
        "</main></body></html>\n"
    )


def _figures(results: Results, done: list[PointResult]) -> str:
    study = results.plan.study
    kpis = study.kpis
    swept = list(study.sweep)
    counts = sorted({len(p.replication) for p in done})
    names = ["Trial"] if study.design.kind == "optuna" else ["Scenario"] if swept else ["Point"]
    names += [heading(short_name(n)) for n in swept] + (["Replications"] if len(counts) > 1 else [])
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    head += "".join(f"<th>{escape(name_of(k))}<br>{escape(unit_of(k, done[0]))}</th>" for k in kpis)
    marked_kpis = [k for k in kpis if not is_neutral(k)]
    leaders = (
        {k: {r.point.point.index for r in rank_points(done, k) if r.may_be_best} for k in marked_kpis} if len(done) > 1 else {}
    )
    rows = []
    many = len(done) > CHARTED // 2
    order = [r.point for r in rank_points(done, kpis[0], kpis[1:])] if many else done
    order += [p for p in done if p not in order]
    base = [p for p in done if p.point is results.plan.baseline]
    for p in [*base, *(p for p in order if p not in base)] if many else done:
        cells = "".join(
            f"<td{' class=lead' if p.point.index in leaders.get(k, ()) else ''}>{_cell(estimate_of(p, k))}</td>" for k in kpis
        )
        values = "".join(f"<td>{escape(show_value(p.point.parameters.get(n, '–')))}</td>" for n in swept)
        values += f"<td>{len(p.replication):,}</td>" if len(counts) > 1 else ""
        label = p.point.name or p.point.scenario
        rows.append(f"<tr{'' if p.feasible else ' class=beyond'}><td>{escape(label)}</td>{values}{cells}</tr>")
    marked = (
        " Marked: points that may be the best in that figure; the runs exclude all others, with 95 % for all of them together."
        if leaders
        else ""
    )
    if len(counts) == 1:
        marked = f" {_count(counts[0], 'replication')} of each point.{marked}"
    if many:
        marked += f" {escape(results.plan.baseline.label)} stands first, then the best in {name_of(kpis[0])}."
    if any(not p.feasible for p in done):
        marked += " Pale ones break a limit or came to a standstill."
    if any(is_neutral(k) for k in kpis):
        marked += " Where more is neither better nor worse (how busy something is), nothing is marked."
    dense = " class=dense" if len(names) + len(kpis) > DENSE else ""
    return (
        "<section><h2>Key figures</h2><p>Mean over independent replications and its 95 % interval: the true mean lies inside "
        f"in 19 of 20 such studies.{marked}</p>"
        f'<div class="scroll"><table{dense}><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _differences(results: Results, comparisons: list[Comparison]) -> str:
    if not comparisons:
        return ""
    study = results.plan.study
    text = f"Difference to {escape(results.plan.baseline.label)}. "
    if study.sweep and any(c.reference.point is not results.plan.baseline for c in comparisons):
        name = escape(study.baseline)
        first = "" if study.design.n else f", and of {name} itself to its first point"
        text = f"Difference to {name} at the same swept values{first}. "
    if study.run.crn:
        text += "Both sides of a pair meet the same random events, so that only the change itself is left between them. "
    text += (
        f"The intervals hold for {_count(len(comparisons), 'comparison')} together; one that crosses zero proves no difference. "
    )
    text += "Green is better, red is worse, blue is neither: a machine with less to do may be what is wanted."
    within = compare_within(results)
    inside = ""
    if within:
        inside = (
            "<h2>What the swept values do in each other scenario</h2><p>Difference to the first point of the same scenario. The "
            f"intervals hold for {_count(len(within), 'comparison')} together.</p>{_drawn(results, within)}"
        )
    return f"<section><h2>What changes</h2><p>{text}</p>{_drawn(results, comparisons)}{inside}</section>"


def _drawn(results: Results, comparisons: list[Comparison]) -> str:
    """A dot chart a figure; of many comparisons the best."""
    study = results.plan.study
    out = []
    drawn = comparisons
    if len(comparisons) > CHARTED:
        ranks = rank_points([c.point for c in comparisons], study.kpis[0], study.kpis[1:])
        place = {r.point.point.index: n for n, r in enumerate(ranks)}
        drawn = sorted(comparisons, key=lambda c: place.get(c.point.point.index, len(place)))[: CHARTED // 2]
        out.append(f"<p>The {len(drawn)} best in {name_of(study.kpis[0])} are drawn; all are in summary.json.</p>")
    stuck = [c for c in drawn if c.point.deadlocked or c.reference.deadlocked]
    if stuck:
        out.append(
            f"<p class='warning'>Marked with {STANDSTILL}: some replications of one side or the other came to a standstill. They "
            "count, so that the difference is not one between lines that run.</p>"
        )
    labels, legend = brief_labels([(c.point.point.scenario, c.point.point.parameters, c.point.point.name) for c in drawn])
    if legend:
        out.append(f"<p class='soft'>Points: {escape(legend)}.</p>")
    for kpi in study.kpis:
        items = []
        for c, label in zip(drawn, labels, strict=True):
            d = c.differences.get(kpi)
            if d is None or d.mean is None or d.half_width_family is None:
                continue
            series = 7 if not d.significant else 0 if is_neutral(kpi) else 2 if d.mean * goodness(kpi) > 0 else 4
            note = signed(d.mean, None if kpi == COST else d.half_width_family)
            mark = f"{STANDSTILL} " if c in stuck else ""
            items.append(Interval(mark + label, d.mean, d.half_width_family, series, note=note))
        if items:
            drawing = charts.dots(items, unit=unit_of(kpi, drawn[0].point), title=f"difference in {name_of(kpi)}", zero=True)
            out.append(f"<h3>{escape(heading(name_of(kpi)))}</h3><figure>{drawing}</figure>")
    return "".join(out)


def _overview(results: Results, done: list[PointResult]) -> str:
    """The first figure of every point: over the swept number where there is one, else a row each; of a search, over the
    figures that it limits."""
    study = results.plan.study
    kpi = study.kpis[0]
    title = f"{escape(heading(name_of(kpi)))} per point"
    if study.design.kind == "optuna" and (over := _over_limits(results, done)):
        return f"<section><h2>{title}</h2><p>Every point tried. Whiskers are 95 % intervals.</p>{over}</section>"
    scenarios = list(study.scenarios)
    unit = unit_of(kpi, done[0])
    known = [(p, e) for p in done if (e := estimate_of(p, kpi)).mean is not None]
    swept = [(p, e) for p, e in known if p.point.parameters]
    numeric = [n for n in study.sweep if swept and all(_is_number(p.point.parameters[n]) for p, _ in swept)]
    drawings = []
    for name in numeric[:6]:
        others = {p.point.index: _without(p, name) for p, _ in swept}
        apart = len(set(others.values())) <= charts.SERIES_COLOURS  # more could not be told apart: colours of scenarios then
        groups: dict[str, list[Interval]] = {}
        for p, e in swept:
            x = float(p.point.parameters[name])  # type: ignore[arg-type]
            group = others[p.point.index] if apart else p.point.scenario
            series = len(groups) if group not in groups else groups[group][0].series
            shape = scenarios.index(p.point.scenario)
            one = Interval(p.point.label, e.mean or 0.0, e.half_width or 0.0, series, x, shape=shape)
            groups.setdefault(group, []).append(one)
        whole = all(isinstance(p.point.parameters[name], int) for p, _ in swept)
        drawings.append(
            charts.curve(
                groups,
                x_label=short_name(name),
                unit=unit,
                title=f"{name_of(kpi)} over {name}",
                joined=apart and not study.design.n,
                whole=whole,
            )
        )
    if not drawings:
        some = known[:CHARTED]
        labels, legend = brief_labels([(p.point.scenario, p.point.parameters, p.point.name) for p, _ in some])
        items = [
            Interval(
                label,
                e.mean or 0.0,
                e.half_width or 0.0,
                scenarios.index(p.point.scenario),
                note=interval(e.mean, e.half_width),
            )
            for (p, e), label in zip(some, labels, strict=True)
        ]
        drawings.append(f"<p class='soft'>Points: {escape(legend)}.</p>" if legend else "")
        drawings.append(charts.dots(items, unit=unit, title=name_of(kpi)))
    figures = "".join(f"<figure>{d}</figure>" if d.startswith("<svg") else d for d in drawings)
    return f"<section><h2>{title}</h2><p>Whiskers are 95 % intervals.</p>{figures}</section>"


def _without(p: PointResult, name: str) -> str:
    """Scenario and swept values but for one."""
    return point_label(p.point.scenario, {n: v for n, v in p.point.parameters.items() if n != name})


def _over_limits(results: Results, done: list[PointResult]) -> str:
    """What a search looks for, over each figure that has a limit."""
    study = results.plan.study
    kpi = study.kpis[0]
    base = next(p for p in results.points if p.point is results.plan.baseline)
    trials = [p for p in done if p is not base]
    ranks = rank_points(trials, kpi, study.kpis[1:])
    best = ranks[0].point if ranks else None
    out = []
    for m in margins(best or base, done, study)[:4]:
        groups: dict[str, list[Interval]] = {}
        for p in done:
            x, y = estimate_of(p, m.kpi), estimate_of(p, kpi)
            if x.mean is None or y.mean is None:
                continue
            who = 0 if p is best else 1 if p is base else 2 if p.feasible else 3
            group = ("the best found", "the present design", "keeps the limits", "breaks a limit, or stands still")[who]
            one = Interval(p.point.label, y.mean, y.half_width or 0.0, (2, 1, 0, 7)[who], x.mean, shape=who)
            groups.setdefault(group, []).append(one)
        unit = unit_of(m.kpi, done[0])
        drawing = charts.curve(
            groups,
            x_label=f"{name_of(m.kpi)} [{unit}]" if unit else name_of(m.kpi),
            unit=unit_of(kpi, done[0]) or name_of(kpi),
            title=f"{name_of(kpi)} over {name_of(m.kpi)}",
            joined=False,
            limit=(m.limit, f"at {'least' if m.low else 'most'} {m.limit:.5g}"),
        )
        out.append(f"<figure>{drawing}</figure>")
    return "".join(out)


def _levers(results: Results, done: list[PointResult]) -> str:
    """What each swept value does on average, by linear regression over all points of a design with several, scenario by
    scenario. A cost follows from its price list: of a search, what the values do to the figures is shown."""
    study = results.plan.study
    kpi = next((k for k in study.kpis if k != COST), study.kpis[0])
    drawings = []
    for scenario in study.scenarios:
        effects = main_effects(study, [p for p in done if p.point.scenario == scenario], kpi)
        if effects:
            items = [
                Interval(e.label, e.change, e.half_width or 0.0, 0, note=signed(e.change, e.half_width))
                for e in sorted(effects, key=lambda e: -abs(e.change))
            ]
            drawing = charts.dots(items, unit=unit_of(kpi, done[0]), title=f"effect on {name_of(kpi)} in {scenario}", zero=True)
            name = f"<h3>{escape(scenario)}</h3>" if len(study.scenarios) > 1 else ""
            drawings.append(f"{name}<figure>{drawing}</figure>")
    if not drawings:
        return ""
    return (
        f"<section><h2>What each swept value does</h2><p>Change of the mean {escape(name_of(kpi))} when a number goes from its "
        "lowest to its highest value, or anything else from its first to another one, by linear regression over all points of "
        f"{'each' if len(study.scenarios) > 1 else 'the'} scenario, with 95 % intervals. Straight lines only: "
        f"where values act together or saturate, look at the curves above.</p>{''.join(drawings)}</section>"
    )


def _assumptions(results: Results, done: list[PointResult]) -> str:
    study, warmup = results.plan.study, results.warmup
    if warmup is None:
        warm = "not found yet"
    else:
        how = {"auto": ", found by MSER-5 on the baseline", "given": "", "none": " (the start-up is part of the figures)"}[
            warmup.how
        ]
        warm = f"{duration(warmup.seconds)}{how}"
    engine = (
        "event-driven line engine: geometry counts only where a length follows from it"
        if study.fidelity == "flow"
        else "rigid-body physics"
    )
    counts = sorted({len(p.replication) for p in done})
    count = "none" if not counts else f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    if study.replications.until:
        count += ", until " + ", ".join(f"{name_of(k)} is known to ± {t}" for k, t in study.replications.until.items())
    entries = [
        ("Engine", engine),
        ("Begin", f"{study.run.begin.replace('T', ' ')[:16]} plant time, {_start_text(results)}"),
        ("Warm-up", warm),
        ("Measured time", duration(study.run.horizon_s)),
        ("Replications", count),
        ("Random numbers", f"seed {study.run.seed}, {'common to all points' if study.run.crn else 'separate for each point'}"),
        ("Scenarios", "; ".join(_scenario_text(s) for s in study.scenarios.values())),
    ]
    if study.sweep:
        entries.append(("Swept", f"{', '.join(study.sweep)} ({study.design})"))
    if study.design.kind == "optuna" and study.optimise is not None:
        entries.append(("Looked for", f"{study.optimise.text()}; a standstill in any replication rules a point out"))
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries)
    problems = [] if results.insight is None else results.insight.problems
    notes = list(
        dict.fromkeys(
            [*problems, *results.plan.warnings, *(n for p in done for n in p.notes), *_model_notes(done, study.fidelity)]
        )
    )
    listed = (
        f"<h3>Not simulated, or to be known</h3><ul class='notes'>{''.join(f'<li>{escape(n)}</li>' for n in notes)}</ul>"
        if notes
        else ""
    )
    return f"<section><h2>What was assumed</h2><dl>{rows}</dl>{listed}</section>"


def _model_notes(done: list[PointResult], fidelity: str) -> list[str]:
    found = [str(f) for p in done for f in p.point.runnable.findings if f.severity != "info"]
    if done and not any(any(n.power) for n in done[0].point.runnable.nodes):
        found.append("no machine says what power it draws: energy is unknown")
    if fidelity == "physics" and any(n.scrap_rate > 0.0 for p in done for n in p.point.runnable.nodes):
        found.append("quality of a station is its authored scrap rate, not a count")
    return found


def _start_text(results: Results) -> str:
    found = results.plan.found
    if found is None:
        return "with an empty line"
    moment = datetime.datetime.fromtimestamp(found.wall_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"with the {sum(found.level):,} items that stood on the line at {moment} ({found.source})"
    if found.line is not None:
        return text
    return f"{text}; how old they are and how far cycles had come is not known: cycles begin anew"


def _scenario_text(scenario: Scenario) -> str:
    parts = [layer.name for layer in scenario.layers]
    parts += [f"{prim} {s}={v}" for prim, sets in scenario.variants.items() for s, v in sets.items()]
    parts += [f"{name} = {value}" for name, value in scenario.values.items()]
    return f"{scenario.name} ({', '.join(parts) if parts else 'the stage as it is'})"


def _detailed(results: Results, done: list[PointResult]) -> list[PointResult]:
    """The baseline, the best point, and the first one of each scenario."""
    chosen = [p for p in done if p.point is results.plan.baseline]
    chosen += [r.point for r in rank_points(done, results.plan.study.kpis[0], results.plan.study.kpis[1:])[:1]]
    for name in results.plan.study.scenarios:
        chosen += [p for p in done if p.point.scenario == name][:1]
    unique = {p.point.index: p for p in chosen}
    return sorted(unique.values(), key=lambda p: p.point.index)[:DETAILED]


def _cell(e: Estimate) -> str:
    if e.mean is None:
        return "–"
    mean, _, spread = interval(e.mean, e.half_width).partition(" ± ")
    return f"{mean} <small>± {spread}</small>" if spread else mean


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
