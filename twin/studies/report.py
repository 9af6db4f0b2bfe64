"""The report: one HTML file without anything outside it, for the person who decides."""

from __future__ import annotations

import datetime
from html import escape
from importlib import resources
from pathlib import Path

from twin import __version__
from twin.studies import charts, flow_sections, sections, verdict
from twin.studies.charts import Interval
from twin.studies.compare import Comparison, compare_points
from twin.studies.effects import main_effects
from twin.studies.labels import short_name
from twin.studies.ranking import rank_points
from twin.studies.results import PointResult, Results
from twin.studies.spec import Scenario
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
        best = [r.point for r in rank_points(done, study.kpis[0])[:1]]
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
    kpis = results.plan.study.kpis
    head = "".join(f"<th>{escape(name_of(k))}<br>{escape(unit_of(k, done[0]))}</th>" for k in kpis)
    leaders = {k: {r.point.point.index for r in rank_points(done, k) if r.may_be_best} for k in kpis} if len(done) > 1 else {}
    rows = []
    many = len(done) > CHARTED // 2
    order = [r.point for r in rank_points(done, kpis[0])] if many else done
    base = [p for p in done if p.point is results.plan.baseline]
    for p in [*base, *(p for p in order if p not in base)] if many else done:
        cells = "".join(
            f"<td{' class=lead' if p.point.index in leaders.get(k, ()) else ''}>{_cell(estimate_of(p, k))}</td>" for k in kpis
        )
        rows.append(f"<tr><td>{escape(p.point.label)}</td><td>{len(p.replication):,}</td>{cells}</tr>")
    marked = (
        " Marked: points that may be the best in that figure; the runs exclude all others, with 95 % for all of them together."
        if leaders
        else ""
    )
    if many:
        marked += f" {escape(results.plan.baseline.label)} stands first, then the best in {name_of(kpis[0])}."
    return (
        "<section><h2>Key figures</h2><p>Mean over independent replications and its 95 % interval: the true mean lies inside "
        f"in 19 of 20 such studies.{marked}</p>"
        f'<div class="scroll"><table><thead><tr><th>Point</th><th>Replications</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _differences(results: Results, comparisons: list[Comparison]) -> str:
    if not comparisons:
        return ""
    study = results.plan.study
    out = []
    drawn = comparisons
    if len(comparisons) > CHARTED // 2:
        place = {r.point.point.index: n for n, r in enumerate(rank_points([c.point for c in comparisons], study.kpis[0]))}
        drawn = sorted(comparisons, key=lambda c: place.get(c.point.point.index, len(place)))[: CHARTED // 2]
    for kpi in study.kpis:
        items = []
        for c in drawn:
            d = c.differences.get(kpi)
            if d is None or d.mean is None or d.half_width_family is None:
                continue
            series = 7 if not d.significant else 0 if is_neutral(kpi) else 2 if d.mean * goodness(kpi) > 0 else 4
            note = signed(d.mean, d.half_width_family)
            items.append(Interval(c.point.point.label, d.mean, d.half_width_family, series, note=note))
        if items:
            drawing = charts.dots(items, unit=unit_of(kpi, drawn[0].point), title=f"difference in {name_of(kpi)}", zero=True)
            out.append(f"<h3>{escape(heading(name_of(kpi)))}</h3><figure>{drawing}</figure>")
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
    few = f"<p>The {len(drawn)} best in {name_of(study.kpis[0])} are drawn; all are in summary.json.</p>"
    more = few if len(drawn) < len(comparisons) else ""
    text += "Green is better, red is worse, blue is neither: a machine with less to do may be what is wanted."
    return f"<section><h2>What changes</h2><p>{text}</p>{more}{''.join(out)}</section>"


def _overview(results: Results, done: list[PointResult]) -> str:
    """The first figure of every point: over the swept number where there is one, else a row each."""
    study = results.plan.study
    kpi = study.kpis[0]
    scenarios = list(study.scenarios)
    unit = unit_of(kpi, done[0])
    known = [(p, e) for p in done if (e := estimate_of(p, kpi)).mean is not None]
    swept = [(p, e) for p, e in known if p.point.parameters]
    numeric = [n for n in study.sweep if swept and all(_is_number(p.point.parameters[n]) for p, _ in swept)]
    drawings = []
    for name in numeric[:6]:
        groups: dict[str, list[Interval]] = {}
        for p, e in swept:
            x = float(p.point.parameters[name])  # type: ignore[arg-type]
            series = scenarios.index(p.point.scenario)
            groups.setdefault(p.point.scenario, []).append(Interval(p.point.label, e.mean or 0.0, e.half_width or 0.0, series, x))
        joined = len(study.sweep) == 1
        drawings.append(
            charts.curve(groups, x_label=short_name(name), unit=unit, title=f"{name_of(kpi)} over {name}", joined=joined)
        )
    if not drawings:
        items = [
            Interval(
                p.point.label,
                e.mean or 0.0,
                e.half_width or 0.0,
                scenarios.index(p.point.scenario),
                note=interval(e.mean, e.half_width),
            )
            for p, e in known[:CHARTED]
        ]
        drawings.append(charts.dots(items, unit=unit, title=name_of(kpi)))
    figures = "".join(f"<figure>{d}</figure>" for d in drawings)
    return f"<section><h2>{escape(heading(name_of(kpi)))} per point</h2><p>Whiskers are 95 % intervals.</p>{figures}</section>"


def _levers(results: Results, done: list[PointResult]) -> str:
    """What each swept value does on average, by linear regression over all points of a design with several."""
    kpi = results.plan.study.kpis[0]
    effects = main_effects(results.plan.study, done, kpi)
    if not effects:
        return ""
    items = [
        Interval(e.label, e.change, e.half_width or 0.0, 0, note=signed(e.change, e.half_width))
        for e in sorted(effects, key=lambda e: -abs(e.change))
    ]
    drawing = charts.dots(items, unit=unit_of(kpi, done[0]), title=f"effect on {name_of(kpi)}", zero=True)
    return (
        f"<section><h2>What each swept value does</h2><p>Change of the mean {escape(name_of(kpi))} when a number goes from its "
        "lowest to its highest value, or anything else from its first to another one, by linear regression over all points of "
        "all scenarios, with 95 % intervals. Straight lines only: "
        f"where values act together or saturate, look at the curves above.</p><figure>{drawing}</figure></section>"
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
    chosen += [r.point for r in rank_points(done, results.plan.study.kpis[0])[:1]]
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
