"""The report's drawings: state times, bottlenecks, work in process and lead times of chosen points."""

from __future__ import annotations

from html import escape

import numpy as np

from twin.model.factory import NodeKind, NodeState
from twin.studies import charts
from twin.studies.limits import WAITED, Limit, away_share, waiting_texts
from twin.studies.results import PointResult, Results
from twin.studies.statistics import Estimate
from twin.studies.words import estimate_of

STATE_NAMES = ("working", "set-up", "blocked", "starved", "waiting for crew", "down", "off shift")
STATE_CSS = ("working", "setup", "blocked", "starved", "waiting-crew", "down", "off")
STATION_COLUMNS = {
    "availability": "Availability",
    "effectiveness": "Effectiveness",
    "quality": "Quality",
    "oee": "OEE",
    "oee_standalone": "OEE alone",
}


def stations(detailed: list[PointResult]) -> str:
    """State times and OEE of every station."""
    drawings = []
    for p in detailed:
        stations = [(i, n) for i, n in enumerate(p.point.runnable.nodes) if n.kind == NodeKind.STATION]
        rows = [(last_name(n.path), [float(v) for v in p.state_share[i]]) for i, n in stations]
        if not rows:
            continue
        body = [[last_name(n.path), *(_percent(estimate_of(p, f"{n.path}:{k}")) for k in STATION_COLUMNS)] for _, n in stations]
        drawing = charts.stacks(rows, STATE_NAMES, STATE_CSS, title=f"state times of {p.point.label}", width=charts.HALF)
        drawings.append(
            f"<div><h3>{escape(p.point.label)}</h3><figure>{drawing}</figure>"
            f"{table(['Station', *STATION_COLUMNS.values()], body)}</div>"
        )
    if not drawings:
        return ""
    used = {s for p in detailed for s in NodeState if len(p.state_share) and p.state_share[:, s].max() > 0.0}
    key = charts.legend([(STATE_NAMES[s], STATE_CSS[s]) for s in NodeState if s in used])
    return (
        "<section><h2>Where the time goes</h2><p>Share of the measured time that each station spends in each state. "
        "Blocked: it is done, and there is no room after it. Starved: it waits for work. OEE as in ISO 22400-2, where waiting "
        "counts against the station; "
        f"“OEE alone” (not ISO) leaves out the time in which its neighbours kept it waiting.</p>{key}"
        f'<div class="columns">{"".join(drawings)}</div></section>'
    )


FLEET_COLUMNS = {
    "utilisation": "Under way",
    "setup": "Charging",
    "blocked": "Waiting for goods or room",
    "starved": "Without a job",
}


def people_and_vehicles(detailed: list[PointResult]) -> str:
    """How much crews and fleets have to do, and which stations wait for people."""
    crews, fleets = [], []
    for p in detailed:
        model = p.point.runnable
        for c, crew in enumerate(model.crews):
            if any((n.crew == c and n.crew_size > 0) or n.repair_crew == c for n in model.nodes):
                busy = _percent(estimate_of(p, f"{crew.path}:utilisation"))
                waiting = ", ".join(waiting_texts(p, c)) or "nobody"
                crews.append((c, [last_name(crew.path), p.point.label, f"{crew.size:,}", busy, waiting]))
        for i, n in enumerate(model.nodes):
            if n.kind == NodeKind.FLEET:
                shares = [_percent(estimate_of(p, f"{n.path}:{k}")) for k in FLEET_COLUMNS]
                fleets.append((i, [last_name(n.path), p.point.label, f"{n.servers:,}", *shares]))
    tables = []
    if crews:
        rows = [row for _, row in sorted(crews, key=lambda entry: entry[0])]
        tables.append(table(["Crew", "Point", "People", "At work", "Waited for by (share of their time)"], rows))
    if fleets:
        rows = [row for _, row in sorted(fleets, key=lambda entry: entry[0])]
        tables.append(table(["Fleet", "Point", "Vehicles", *FLEET_COLUMNS.values()], rows))
    if not tables:
        return ""
    return (
        "<section><h2>People and vehicles</h2><p>How much of their time on shift people are at work, and how long stations wait "
        "for them: to run or to be set up, or, broken down, to be repaired. A crew that is hardly ever free and long waited for "
        f"is short of people; one with time to spare is not.</p>{'<br>'.join(tables)}</section>"
    )


def waiting_sentence(p: PointResult, limit: Limit) -> str:
    """Which crews stations wait for long, but for the one that was named as the limit, as sentences to go on with."""
    out = ""
    for c, crew in enumerate(p.point.runnable.crews):
        if crew.path == limit.path:
            continue
        waiting = waiting_texts(p, c, least=WAITED)
        busy = estimate_of(p, f"{crew.path}:utilisation").mean
        if waiting and busy is not None:
            out += (
                f" Stations wait for people of <b>{escape(last_name(crew.path))}</b>, at work {busy * 100:.0f}\u00a0% of their "
                f"time on shift: {escape(', '.join(waiting[:4]))}."
            )
    return out


BUSY = 0.75
"""From this share of its time under way or charging on, a fleet is said to be short."""


def fleet_sentence(p: PointResult, limit: Limit) -> str:
    """Which other fleets have hardly any time left, as sentences to go on with; empty where none."""
    out = []
    for n in p.point.runnable.nodes:
        if n.kind == NodeKind.FLEET and n.path != limit.path:
            away = away_share(p, n.path)
            if away >= BUSY:
                out.append(
                    f"<b>{escape(last_name(n.path))}</b> ({n.servers}) is under way or charging {away * 100:.0f} % of its time."
                )
    return "".join(f" {text}" for text in out)


def over_time(results: Results, detailed: list[PointResult]) -> str:
    """Work in process and throughput from the start on."""
    warmup_h = 0.0 if results.warmup is None else results.warmup.seconds / 3600.0
    wip, rate = [], []
    for k, p in enumerate(detailed):
        hours = (np.arange(len(p.wip)) + 0.5) * p.interval_s / 3600.0
        wip.append((p.point.label, k, hours, p.wip))
        rate.append((p.point.label, k, hours, p.sunk / p.interval_s * 3600.0 if p.interval_s > 0 else p.sunk))
    left = charts.traces(
        wip,
        x_label="hours since the start",
        unit="pieces inside",
        title="work in process over time",
        shade=warmup_h,
        shade_label="warm-up",
        width=charts.HALF,
    )
    right = charts.traces(
        rate,
        x_label="hours since the start",
        unit="pieces per hour",
        title="throughput over time",
        shade=warmup_h,
        shade_label="warm-up",
        width=charts.HALF,
    )
    return (
        "<section><h2>Over time</h2><p>Mean over replications. The shaded start-up is simulated but not measured.</p>"
        f'<div class="columns"><figure><h3>Work in process</h3>{left}</figure>'
        f"<figure><h3>Throughput</h3>{right}</figure></div></section>"
    )


def lead_times(detailed: list[PointResult]) -> str:
    """Histogram of lead times."""
    known = [(k, p) for k, p in enumerate(detailed) if p.lead_hist.sum() > 0]
    if not known:
        return ""
    low = min(_quantile(p, 0.001) for _, p in known)
    high = max(_quantile(p, 0.995) for _, p in known)
    high = high if high > low else low + 1.0
    scale, unit = (60.0, "minutes") if high > 600.0 else (1.0, "seconds")
    edges = np.linspace(low, high, 41)
    series = []
    for k, p in known:
        # counts of the logarithmic bins, spread evenly inside each, read off at linear edges
        cumulative = np.concatenate([[0.0], np.cumsum(p.lead_hist)]) / p.lead_hist.sum()
        shares = np.diff(np.interp(edges, p.lead_edges_s, cumulative)) * 100.0
        series.append((p.point.label, k, edges / scale, np.append(shares, 0.0)))
    drawing = charts.traces(series, x_label=f"lead time [{unit}]", unit="% of pieces", title="lead-time histogram", steps=True)
    return (
        "<section><h2>How long a piece takes</h2><p>From leaving the source to a good sink, all replications together; the "
        f"slowest 0.5 % are cut off.</p><figure>{drawing}</figure></section>"
    )


def table(head: list[str], rows: list[list[str]], *, best: int | None = None) -> str:
    """A table that scrolls by itself; row ``best`` is in bold."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(
        f"<tr{' class=best' if k == best else ''}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for k, row in enumerate(rows)
    )
    return f'<div class="scroll"><table class="wrap"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def last_name(path: str) -> str:
    """A prim's own name."""
    return path.rsplit("/", 1)[-1]


def _percent(e: Estimate) -> str:
    return "–" if e.mean is None else f"{e.mean * 100:.1f} %"


def _quantile(result: PointResult, q: float) -> float:
    cumulative = np.concatenate([[0.0], np.cumsum(result.lead_hist)]) / result.lead_hist.sum()
    first = int(np.searchsorted(cumulative, q))
    return float(result.lead_edges_s[min(first, len(result.lead_edges_s) - 1)])
