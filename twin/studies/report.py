"""The report: one HTML file without anything outside it, for the person who decides."""

from __future__ import annotations

import datetime
from html import escape
from importlib import resources
from pathlib import Path

from twin import __version__
from twin.studies import charts, sections
from twin.studies.charts import Interval
from twin.studies.compare import Comparison, compare_points, rank_bottlenecks
from twin.studies.plan import short_name
from twin.studies.results import PointResult, Results
from twin.studies.spec import Scenario
from twin.studies.statistics import Estimate
from twin.studies.store import write_atomically
from twin.studies.words import duration, estimate_of, goodness, interval, name_of, signed, unit_of

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
    study = results.plan.study
    comparisons = compare_points(results)
    done = [p for p in results.points if len(p.replication)]
    detailed = _detailed(results, done)
    css = resources.files("twin.studies").joinpath("report.css").read_text(encoding="utf-8")
    parts = [_verdict(results, done, comparisons)]
    if done:
        parts += [
            _figures(results, done),
            _differences(results, comparisons),
            _overview(results, done),
            sections.stations(detailed),
            sections.bottlenecks(detailed),
            sections.over_time(results, detailed),
            sections.lead_times(detailed),
        ]
    parts.append(_assumptions(results, done))
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(study.name)} · study</title><style>{css}</style></head><body><main>"
        f"<header><h1>{escape(study.name)}</h1><p>What-if study of {escape(study.stage.name)} · "
        f"{_count(len(results.points), 'point')}, {duration(study.run.horizon_s)} each</p></header>"
        f"{''.join(parts)}<footer>Twin {escape(__version__)} · {now} · every figure with its interval is in summary.json</footer>"
        "</main></body></html>\n"
    )


def _verdict(results: Results, done: list[PointResult], comparisons: list[Comparison]) -> str:
    """The answer first: the headline figure of the baseline, and what changes it."""
    study = results.plan.study
    headline = study.kpis[0]
    out = []
    base = next((p for p in done if p.point is results.plan.baseline), None)
    if base is not None:
        e = estimate_of(base, headline)
        text = f"<b>{escape(base.point.label)}</b> reaches a {name_of(headline)} of {_quantity(e, headline)}."
        ranked = rank_bottlenecks(base)
        if len(ranked) > 1:
            text += f" {sections.bottleneck_sentence(ranked)}"
        out.append(f'<p class="verdict">{text}</p>')
    found = [(c, c.differences[headline]) for c in comparisons if headline in c.differences]
    shown = sorted(found, key=lambda f: -goodness(headline) * (f[1].mean or 0.0))[:4]
    for c, d in shown:
        reference = estimate_of(c.reference, headline).mean
        if d.mean is None:
            continue
        name = f"<b>{escape(c.point.point.label)}</b>"
        against = escape(c.reference.point.label)
        if not d.significant:
            out.append(f'<p class="verdict">{name}: no difference to {against} that these runs can prove.</p>')
            continue
        css = "good" if d.mean * goodness(headline) > 0 else "bad"
        share = f"{d.mean / reference * 100:+.1f} %" if reference else f"{d.mean:+.4g}"
        spread = f" ± {(d.half_width_family or 0.0) / abs(reference) * 100:.1f} %" if reference else ""
        change = f'<b class="{css}">{share}</b><span class="soft">{spread}</span>'
        out.append(f'<p class="verdict">{name}: {name_of(headline)} {change} against {against}.</p>')
    if len(found) > len(shown):
        out.append(f"<p>{_count(len(found) - len(shown), 'more point')} below.</p>")
    if base is not None:
        tiles = "".join(_tile(base, kpi) for kpi in study.kpis)
        out.append(
            f'<div class="tiles">{tiles}</div><p class="soft">Figures of {escape(base.point.label)}, with 95 % intervals.</p>'
        )
    if not done:
        out.append('<p class="verdict">Nothing is finished yet.</p>')
    return f"<section>{''.join(out)}{_alarms(results)}</section>"


def _alarms(results: Results) -> str:
    out = []
    for p in results.points:
        label = escape(p.point.label)
        if p.error is not None:
            out.append(f"<b>{label}</b> failed: {escape(p.error)}")
        elif not len(p.replication):
            out.append(f"<b>{label}</b> has not been run yet.")
        elif p.deadlocked:
            numbers = ", ".join(map(str, p.deadlocked[:8])) + (", …" if len(p.deadlocked) > 8 else "")
            share = f"{len(p.deadlocked)} of {len(p.replication)} replications"
            out.append(f"<b>{label}</b>: {share} came to a standstill ({numbers}); they count.")
        elif not p.precise:
            out.append(f"<b>{label}</b> has not reached the wanted precision after {len(p.replication)} replications.")
    if results.warmup is not None and results.warmup.too_short:
        out.append(
            "The run is too short to say where its start-up ends: the warm-up below is a guess, the horizon should be longer."
        )
    return "".join(f'<p class="warning">{text}</p>' for text in out)


def _tile(result: PointResult, kpi: str) -> str:
    e = estimate_of(result, kpi)
    value = "–" if e.mean is None else interval(e.mean, e.half_width).split(" ± ")[0]
    spread = "" if e.half_width is None else f"± {interval(e.mean, e.half_width).split(' ± ')[-1]} "
    return (
        f"<div class='tile'><span>{escape(name_of(kpi))}</span><b>{value}</b> <small>{spread}{escape(unit_of(kpi))}</small></div>"
    )


def _figures(results: Results, done: list[PointResult]) -> str:
    kpis = results.plan.study.kpis
    head = "".join(f"<th>{escape(name_of(k))}<br>{escape(unit_of(k))}</th>" for k in kpis)
    means = [(estimate_of(p, kpis[0]).mean, p) for p in done]
    defined = [(m, p) for m, p in means if m is not None]
    best = max(defined, key=lambda mp: mp[0] * goodness(kpis[0]))[1] if len(defined) > 1 else None
    rows = []
    for p in done:
        cells = "".join(f"<td>{_cell(estimate_of(p, k))}</td>" for k in kpis)
        css = ' class="best"' if p is best else ""
        rows.append(f"<tr{css}><td>{escape(p.point.label)}</td><td>{len(p.replication):,}</td>{cells}</tr>")
    return (
        "<section><h2>Key figures</h2><p>Mean over independent replications and its 95 % interval: the true mean lies inside "
        "in 19 of 20 such studies. The best point is in bold.</p>"
        f'<div class="scroll"><table><thead><tr><th>Point</th><th>Replications</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _differences(results: Results, comparisons: list[Comparison]) -> str:
    if not comparisons:
        return ""
    study = results.plan.study
    out = []
    for kpi in study.kpis:
        items = []
        for c in comparisons[:CHARTED]:
            d = c.differences.get(kpi)
            if d is None or d.mean is None or d.half_width_family is None:
                continue
            series = 7 if not d.significant else 2 if d.mean * goodness(kpi) > 0 else 4
            note = signed(d.mean, d.half_width_family)
            items.append(Interval(c.point.point.label, d.mean, d.half_width_family, series, note=note))
        if items:
            drawing = charts.dots(items, unit=unit_of(kpi), title=f"difference in {name_of(kpi)}", zero=True)
            out.append(f"<h3>{escape(name_of(kpi).capitalize())}</h3><figure>{drawing}</figure>")
    text = f"Difference to {escape(results.plan.baseline.label)}. "
    if study.sweep:
        name = escape(study.baseline)
        first = "" if study.design.n else f", and of {name} itself to its first point"
        text = f"Difference to {name} at the same swept values{first}. "
    if study.run.crn:
        text += "Both sides of a pair meet the same random events, so that only the change itself is left between them. "
    text += (
        f"The intervals hold for {_count(len(comparisons), 'comparison')} together; one that crosses zero proves no difference. "
    )
    more = f"<p>The first {CHARTED} are drawn; all are in summary.json.</p>" if len(comparisons) > CHARTED else ""
    return f"<section><h2>What changes</h2><p>{text}Green is better, red is worse.</p>{more}{''.join(out)}</section>"


def _overview(results: Results, done: list[PointResult]) -> str:
    """The first figure of every point: over the swept number where there is one, else a row each."""
    study = results.plan.study
    kpi = study.kpis[0]
    scenarios = list(study.scenarios)
    known = [(p, e) for p in done if (e := estimate_of(p, kpi)).mean is not None]
    numeric = [n for n in study.sweep if all(_is_number(p.point.parameters[n]) for p, _ in known)]
    drawings = []
    for name in numeric[:6]:
        groups: dict[str, list[Interval]] = {}
        for p, e in known:
            x = float(p.point.parameters[name])  # type: ignore[arg-type]
            series = scenarios.index(p.point.scenario)
            groups.setdefault(p.point.scenario, []).append(Interval(p.point.label, e.mean or 0.0, e.half_width or 0.0, series, x))
        joined = len(study.sweep) == 1
        drawings.append(
            charts.curve(groups, x_label=short_name(name), unit=unit_of(kpi), title=f"{name_of(kpi)} over {name}", joined=joined)
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
        drawings.append(charts.dots(items, unit=unit_of(kpi), title=name_of(kpi)))
    figures = "".join(f"<figure>{d}</figure>" for d in drawings)
    return (
        f"<section><h2>{escape(name_of(kpi).capitalize())} per point</h2><p>Whiskers are 95 % intervals.</p>{figures}</section>"
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
        ("Begin", f"{study.run.begin.replace('T', ' ')[:16]} plant time, with an empty line"),
        ("Warm-up", warm),
        ("Measured time", duration(study.run.horizon_s)),
        ("Replications", count),
        ("Random numbers", f"seed {study.run.seed}, {'common to all points' if study.run.crn else 'separate for each point'}"),
        ("Scenarios", "; ".join(_scenario_text(s) for s in study.scenarios.values())),
    ]
    if study.sweep:
        entries.append(("Swept", f"{', '.join(study.sweep)} ({study.design})"))
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries)
    notes = list(
        dict.fromkeys([*results.plan.warnings, *(n for p in done for n in p.notes), *_model_notes(done, study.fidelity)])
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


def _scenario_text(scenario: Scenario) -> str:
    parts = [layer.name for layer in scenario.layers]
    parts += [f"{prim} {s}={v}" for prim, sets in scenario.variants.items() for s, v in sets.items()]
    parts += [f"{name} = {value}" for name, value in scenario.values.items()]
    return f"{scenario.name} ({', '.join(parts) if parts else 'the stage as it is'})"


def _detailed(results: Results, done: list[PointResult]) -> list[PointResult]:
    """The baseline, the best point, and the first one of each scenario."""
    kpi = results.plan.study.kpis[0]
    chosen = [p for p in done if p.point is results.plan.baseline]
    best = [p for p in done if estimate_of(p, kpi).mean is not None]
    chosen += sorted(best, key=lambda p: -goodness(kpi) * (estimate_of(p, kpi).mean or 0.0))[:1]
    for name in results.plan.study.scenarios:
        chosen += [p for p in done if p.point.scenario == name][:1]
    unique = {p.point.index: p for p in chosen}
    return sorted(unique.values(), key=lambda p: p.point.index)[:DETAILED]


def _cell(e: Estimate) -> str:
    if e.mean is None:
        return "–"
    mean, _, spread = interval(e.mean, e.half_width).partition(" ± ")
    return f"{mean} <small>± {spread}</small>" if spread else mean


def _quantity(e: Estimate, kpi: str) -> str:
    return f"<b>{interval(e.mean, e.half_width)}</b> {escape(unit_of(kpi))}".strip()


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
