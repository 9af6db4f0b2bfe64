"""The report's pictures of the line itself: what holds it back, what flows where, one replication, and energy."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from twin.flow import Trace
from twin.model.factory import FactoryModel, NodeKind, NodeState
from twin.studies import charts, diagrams
from twin.studies.charts import Interval
from twin.studies.compare import Bottleneck, rank_bottlenecks, station_links
from twin.studies.insight import Insight
from twin.studies.levers import Lever
from twin.studies.limits import limit_sentence, what_limits
from twin.studies.network import SCRAP, flow_network, station_network
from twin.studies.results import PointResult
from twin.studies.sections import STATE_CSS, STATE_NAMES, last_name, table
from twin.studies.words import goodness, heading, name_of, signed, unit_of

ROWS = 14
"""Places in one Gantt chart, and buffers below them."""


def bottlenecks(detailed: list[PointResult], insight: Insight | None, baseline: PointResult | None) -> str:
    """Three views of what holds the line back: active periods, who waits for whom, and what more speed is worth."""
    blocks = []
    for p in detailed:
        ranked = rank_bottlenecks(p)
        if len(ranked) < 2:
            continue
        levers = insight.levers if insight is not None and p is baseline else []
        blocks.append(_three_views(p, ranked, levers))
    if not blocks:
        return ""
    return (
        "<section><h2>What holds the line back</h2><p>Three views that may differ. <b>Active</b>: a bottleneck is hardly ever "
        "kept waiting, so its uninterrupted active periods are the longest; waiting for people is not activity. <b>Arrows</b>: "
        "each points to the neighbour for which the other waits, from blocked stations forward and from starved ones back; "
        "where they meet is the bottleneck, as long as neither what comes in nor people or vehicles limit the line; the frame "
        f"marks the station that the sentence names. {_what_was_tried(insight, baseline)}</p>"
        f"{''.join(blocks)}</section>"
    )


def _what_was_tried(insight: Insight | None, baseline: PointResult | None) -> str:
    levers = [] if insight is None else insight.levers
    if not levers or baseline is None:
        return "What more of something would bring was not tried."
    step = next((f"each station alone {v.step * 100:g} % faster" for v in levers if v.change.kind == "speed"), "")
    more = "each crew and fleet alone with one more" if any(v.change.kind != "speed" for v in levers) else ""
    return (
        f"<b>Sensitivity</b> of {escape(name_of(levers[0].kpi))} in {escape(baseline.point.label)}, to "
        f"{' and to '.join(t for t in (step, more) if t)}. Nothing else was tried: a buffer, a second machine, a quicker set-up, "
        "or two changes at once may bring more. Intervals hold for all that was tried together."
    )


def _three_views(p: PointResult, ranked: list[Bottleneck], levers: list[Lever]) -> str:
    model = p.point.runnable
    index = {b.path: model.node_index(b.path) for b in ranked}
    limit = what_limits(p, ranked, levers)
    drawing = diagrams.arrows(
        station_network(model, station_links(model)),
        {i: last_name(path) for path, i in index.items()},
        {index[b.path]: (b.blocked, b.starved) for b in ranked},
        {index[path] for path in limit.marked if path in index},
        title=f"who waits for whom in {p.point.label}",
    )
    shown = ranked[:8]
    counted = [b for b in shown if b.active_s is not None]
    halves = []
    if counted:
        longest = max((b.active_s or 0.0 for b in counted if math.isfinite(b.active_s or 0.0)), default=0.0) or 1.0
        rows = [
            (last_name(b.path), [min(b.active_s or 0.0, longest * 1.15)], _active_note(b))
            for b in sorted(counted, key=lambda b: -(b.active_s or 0.0))
        ]
        chart = charts.bars(rows, [""], ["working"], unit="seconds active at a stretch", title="active periods")
        halves.append(f"<div><h4>Active periods</h4><figure>{chart}</figure></div>")
    if levers:
        kpi, sign = levers[0].kpi, goodness(levers[0].kpi)
        items = [
            Interval(
                v.change.short,
                v.effect.mean,
                v.effect.half_width_family or 0.0,
                7 if not v.effect.significant else 2 if v.effect.mean * sign > 0.0 else 4,
                note=signed(v.effect.mean, v.effect.half_width_family),
            )
            for v in sorted(levers, key=lambda v: -sign * (v.effect.mean or 0.0))
            if v.effect.mean is not None
        ]
        chart = charts.dots(items, unit=unit_of(kpi, p), title=f"sensitivity of {name_of(kpi)}", zero=True, width=charts.HALF)
        halves.append(f"<div><h4>Sensitivity: change of {escape(name_of(kpi))}</h4><figure>{chart}</figure></div>")
    if not drawing:
        head = ["Station", "Active", "Blocked", "Starved", "Waiting for people", "Arrows end here"]
        body = [
            [
                last_name(b.path),
                *(f"{v * 100:.1f} %" for v in (b.active, b.blocked, b.starved, b.waiting_crew)),
                "yes" if b.points_to_it else "–",
            ]
            for b in shown
        ]
        drawing = table(head, body, best=next((k for k, b in enumerate(shown) if b.path in limit.marked), None))
    return (
        f"<div class='block'><h3>{escape(p.point.label)}</h3><p class='soft'>{heading(limit_sentence(p, limit, ranked))}</p>"
        f"<figure>{drawing}</figure><div class='columns'>{''.join(halves)}</div></div>"
    )


def _active_note(b: Bottleneck) -> str:
    period = "never waits" if b.active_s is None or math.isinf(b.active_s) else _rounded(b.active_s)
    return f"{period} · {b.active * 100:.0f} %"


def _rounded(seconds: float) -> str:
    """A duration with three digits."""
    return f"{seconds / 60.0:.3g} min" if seconds >= 120.0 else f"{seconds:.3g} s"


def goods(detailed: list[PointResult]) -> str:
    """Sankey diagrams."""
    drawings = []
    for p in detailed:
        network = flow_network(p)
        if network is None or len(network.columns) < 2:
            continue
        model = p.point.runnable
        names = {n: "scrapped" if n == SCRAP else last_name(model.nodes[n].path) for c in network.columns for n in c}
        horizon_h = p.horizon_s / 3600.0
        drawing = diagrams.sankey(
            network,
            names,
            per_hour=1.0 / horizon_h,
            css=lambda n, model=model: _kind_css(model, n),  # type: ignore[misc]
            title=f"flow of goods in {p.point.label}",
        )
        drawings.append(f"<div class='block'><h3>{escape(p.point.label)}</h3><figure>{drawing}</figure></div>")
    if not drawings:
        return ""
    return (
        "<section><h2>What flows where</h2><p>Pieces per hour of the measured time, mean over replications; a pallet or an "
        "assembly counts as the pieces in it. Belts and buffers that only pass goods on are left out. Red goes to scrap, amber "
        f"goes back for rework.</p>{''.join(drawings)}</section>"
    )


def _kind_css(model: FactoryModel, n: int) -> str:
    if n == SCRAP or (model.nodes[n].kind == NodeKind.SINK and model.nodes[n].reject):
        return "scrap"
    return {NodeKind.SOURCE: "end", NodeKind.SINK: "end", NodeKind.STATION: "work"}.get(model.nodes[n].kind, "place")


def one_replication(detailed: list[PointResult], insight: Insight | None) -> str:
    """Gantt charts."""
    if insight is None or not insight.traces:
        return ""
    drawings = []
    for p in detailed:
        if p.point.index in insight.traces:
            drawings.append(_gantt(p, insight.traces[p.point.index]))
    if not drawings:
        return ""
    seen = {int(s) for trace in insight.traces.values() for s in np.unique(trace.state)} - {int(NodeState.STARVED)}
    key = charts.legend([(STATE_NAMES[s], STATE_CSS[s]) for s in sorted(seen)] + [("starved", "pale starved")])
    return (
        "<section><h2>One replication in full</h2><p>The first minutes of the measured time of replication 0: what every station "
        f"did, and how full buffers and belts were. One of many, to understand by, not to decide by.</p>{key}"
        f"{''.join(drawings)}</section>"
    )


def _gantt(p: PointResult, trace: Trace) -> str:
    model = p.point.runnable
    rows: list[tuple[str, np.ndarray, np.ndarray]] = []
    for place, node in enumerate(trace.place_node):
        n = model.nodes[int(node)]
        if n.kind != NodeKind.STATION or len(rows) >= ROWS:
            continue
        mine = trace.place == place
        server = place - int(np.flatnonzero(trace.place_node == node)[0]) + 1
        label = last_name(n.path) if n.servers == 1 else f"{last_name(n.path)} {server}"
        rows.append((label, trace.state[mine], trace.stretch_s[mine]))
    levels = []
    fullest = sorted(
        (i for i, n in enumerate(model.nodes) if n.kind in (NodeKind.BUFFER, NodeKind.CONVEYOR)),
        key=lambda i: (model.nodes[i].kind != NodeKind.BUFFER, -float(trace.level[trace.level_node == i].max(initial=0))),
    )[: max(ROWS - len(rows) - 3, 4)]
    for i in sorted(fullest):
        n, mine = model.nodes[i], trace.level_node == i
        if trace.level[mine].max(initial=0) > 0:
            most = float(n.capacity) if n.kind == NodeKind.BUFFER and n.capacity > 0 else math.inf
            levels.append((last_name(n.path), trace.level_s[mine], trace.level[mine], most))
    drawing = diagrams.gantt(
        rows,
        levels,
        begin_s=trace.begin_s,
        end_s=trace.end_s,
        names=STATE_NAMES,
        css=STATE_CSS,
        title=f"replication {trace.replication} of {p.point.label}",
    )
    return f"<div class='block'><h3>{escape(p.point.label)}</h3><figure>{drawing}</figure></div>"


def energy(detailed: list[PointResult]) -> str:
    """Where energy goes, by station and state."""
    drawings = []
    for p in detailed[:4]:
        kw = p.energy_j / 1e3 / max(p.horizon_s, 1e-9)
        nodes = [(i, n) for i, n in enumerate(p.point.runnable.nodes) if len(kw) and kw[i].sum() > 0.0]
        if not nodes:
            continue
        total = float(kw.sum())
        rows = [
            (last_name(n.path), [float(v) for v in kw[i]], f"{float(kw[i].sum()):.3g} kW")
            for i, n in sorted(nodes, key=lambda node: -float(kw[node[0]].sum()))[:12]
        ]
        drawing = charts.bars(rows, STATE_NAMES, STATE_CSS, unit="mean power [kW]", title=f"energy in {p.point.label}")
        waiting = float(kw[:, [NodeState.BLOCKED, NodeState.STARVED, NodeState.WAITING_CREW, NodeState.DOWN]].sum()) / total
        drawings.append(
            f"<div><h3>{escape(p.point.label)}</h3><p class='soft'>{total:.3g} kW on average, of which "
            f"{waiting * 100:.0f} % while machines wait or are down.</p><figure>{drawing}</figure></div>"
        )
    if not drawings:
        return ""
    used = {s for p in detailed for s in NodeState if len(p.energy_j) and p.energy_j[:, s].max() > 0.0}
    key = charts.legend([(STATE_NAMES[s], STATE_CSS[s]) for s in NodeState if s in used])
    return (
        "<section><h2>Where the energy goes</h2><p>Mean electric power of each machine by what it was doing, from the power it "
        f'states for each state.</p>{key}<div class="columns">{"".join(drawings)}</div></section>'
    )
