"""Drawings that are no charts: the flow of goods, what places did over time, and which neighbours wait for whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from twin.studies.charts import FULL, Axis, line, number, shorten, svg, text
from twin.studies.network import SCRAP, Network


def sankey(network: Network, names: Mapping[int, str], *, per_hour: float, css: Callable[[int], str], title: str) -> str:
    """Goods from left to right; a band is as wide as what it carries. ``per_hour``: factor from pieces to pieces per hour."""
    if not network.links:
        return ""
    into: dict[int, float] = {}
    out: dict[int, float] = {}
    for link in network.links:
        out[link.begin] = out.get(link.begin, 0.0) + link.pieces
        into[link.end] = into.get(link.end, 0.0) + link.pieces
    size = {n: max(into.get(n, 0.0), out.get(n, 0.0)) for column in network.columns for n in column}
    gap, bar, top = 46.0, 12.0, 34.0
    rows = max(len(c) for c in network.columns)
    room = min(120.0 + 50.0 * (rows - 1), 420.0)
    scale = min((room - gap * (len(c) - 1)) / total if (total := sum(size[n] for n in c)) > 0 else 1e9 for c in network.columns)
    scale = max(scale, 20.0 / max(size.values()))
    step = (FULL - 120.0) / max(len(network.columns) - 1, 1)
    at: dict[int, tuple[float, float]] = {}
    for k, column in enumerate(network.columns):
        height = sum(size[n] * scale for n in column) + gap * (len(column) - 1)
        y = top + max(room - height, 0.0) / 2.0
        for n in column:
            at[n] = (60.0 + k * step - bar / 2.0, y)
            y += max(size[n] * scale, 1.0) + gap
    bottom = max(y + size[n] * scale for n, (_, y) in at.items())
    used_out, used_in = dict.fromkeys(size, 0.0), dict.fromkeys(size, 0.0)
    back = [link for link in network.links if link.backward]
    body = []
    order = sorted(network.links, key=lambda link: (link.backward, at[link.end][1], at[link.begin][1]))
    for link in order:
        (x1, y1), (x2, y2) = at[link.begin], at[link.end]
        width = max(link.pieces * scale, 1.2)
        a = y1 + used_out[link.begin] + width / 2.0
        b = y2 + used_in[link.end] + width / 2.0
        used_out[link.begin] += width
        used_in[link.end] += width
        if link.backward:
            low = bottom + 22.0 + 14.0 * back.index(link)
            path = f"M{x1 + bar:.1f} {a:.1f} C{x1 + bar + 60:.1f} {low:.1f} {x2 - 60:.1f} {low:.1f} {x2:.1f} {b:.1f}"
        else:
            middle = (x1 + bar + x2) / 2.0
            path = f"M{x1 + bar:.1f} {a:.1f} C{middle:.1f} {a:.1f} {middle:.1f} {b:.1f} {x2:.1f} {b:.1f}"
        kind = "rework" if link.backward else "scrap" if css(link.end) == "scrap" else "goods"
        tip = f"{names[link.begin]} to {names[link.end]}: {number(link.pieces * per_hour)} pieces per hour"
        body.append(f'<path d="{path}" class="band {kind}" stroke-width="{width:.1f}"><title>{escape(tip)}</title></path>')
    most = max(int(step / 7.2), 6)
    for n, (x, y) in at.items():
        height = max(size[n] * scale, 1.0)
        tip = f"{names[n]}: {number(size[n] * per_hour)} pieces per hour"
        body.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar:g}" height="{height:.1f}" rx="2" class="node-{css(n)}">'
            f"<title>{escape(tip)}</title></rect>"
        )
        body.append(text(x + bar / 2.0, y - 18.0, shorten(names[n], most), anchor="middle", css="label halo"))
        body.append(text(x + bar / 2.0, y - 5.0, f"{number(size[n] * per_hour)}/h", anchor="middle", css="tick halo"))
    return svg(FULL, bottom + (30.0 + 14.0 * len(back) if back else 12.0), "".join(body), title)


def gantt(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]],
    levels: Sequence[tuple[str, np.ndarray, np.ndarray, float]],
    *,
    begin_s: float,
    end_s: float,
    names: Sequence[str],
    css: Sequence[str],
    title: str,
) -> str:
    """What each place did over time, a row a place; below, how full buffers and conveyors were.

    Args:
        rows: Label, state [B], from and to [B,2] in seconds.
        levels: Label, times [C] in seconds, items from then on [C], items that fit.
    """
    left, right, row, high = 130.0, 16.0, 26.0, 40.0
    unit_s, unit = (60.0, "minutes") if end_s - begin_s > 300.0 else (1.0, "seconds")
    axis = Axis(0.0, (end_s - begin_s) / unit_s, left, FULL - right)

    def at(t: np.ndarray) -> np.ndarray:
        return left + (t - begin_s) / (end_s - begin_s) * (FULL - right - left)

    body = []
    y = 4.0
    bottom = y + row * len(rows) + high * len(levels) + 6.0
    for tick in axis.ticks(10):
        body.append(line(axis(tick), 2.0, axis(tick), bottom, "grid"))
        body.append(text(axis(tick), bottom + 16.0, number(tick), anchor="middle", css="tick"))
    for label, state, stretch in rows:
        body.append(text(left - 10.0, y + 17.0, shorten(label, 18), anchor="end", css="label"))
        body.append(f'<rect x="{left:g}" y="{y + 4:g}" width="{FULL - right - left:g}" height="18" class="starved pale"/>')
        for s, style in enumerate(css):
            mine = stretch[state == s]
            if not len(mine) or style == "starved":
                continue
            x1, x2 = at(mine[:, 0]), at(mine[:, 1])
            d = "".join(f"M{a:.1f} {y + 4:g}H{max(b, a + 0.4):.1f}v18H{a:.1f}z" for a, b in zip(x1, x2, strict=True))
            total = float((mine[:, 1] - mine[:, 0]).sum() / (end_s - begin_s) * 100.0)
            tip = escape(f"{label}: {names[s]} {total:.0f} % of this window")
            body.append(f'<path d="{d}" class="{style}"><title>{tip}</title></path>')
        y += row
    y += 6.0
    for label, times, level, most in levels:
        body.append(text(left - 10.0, y + 24.0, shorten(label, 18), anchor="end", css="label"))
        top = max(float(level.max()), 1.0) if not np.isfinite(most) else max(most, 1.0)
        x = np.append(at(times), FULL - right)
        steps = "".join(
            f"L{a:.1f} {y + 32 - 28 * v / top:.1f}L{b:.1f} {y + 32 - 28 * v / top:.1f}"
            for a, b, v in zip(x, x[1:], level, strict=False)
        )
        body.append(line(left, y + 4.0, FULL - right, y + 4.0, "grid"))
        body.append(
            f'<path d="M{left:g} {y + 32:g}{steps}L{FULL - right:g} {y + 32:g}z" class="level">'
            f"<title>{escape(f'{label}: 0 to {number(top)} items')}</title></path>"
        )
        body.append(text(left - 10.0, y + 37.0, f"0 to {number(top)}", anchor="end", css="tick"))
        y += high
    body.append(
        text((left + FULL - right) / 2.0, bottom + 33.0, f"{unit} since the measured time began", anchor="middle", css="unit")
    )
    return svg(FULL, bottom + 40.0, "".join(body), title)


def arrows(
    network: Network, names: Mapping[int, str], waits: Mapping[int, tuple[float, float]], marked: set[int], *, title: str
) -> str:
    """Stations, and between neighbours an arrow towards the one for which the other waits.

    Args:
        waits: Blocked and starved share of each station. marked: where all arrows end.
    """
    columns = [c for c in network.columns if c]
    if not columns or SCRAP in columns[0]:
        return ""
    step = FULL / len(columns)
    width = min(step - 34.0, 128.0)
    if width < 50.0:
        return ""
    row = 78.0
    high = row * max(len(c) for c in columns)
    at = {
        n: (step * (k + 0.5), (high - row * len(column)) / 2.0 + row * (r + 0.5))
        for k, column in enumerate(columns)
        for r, n in enumerate(column)
    }
    body = []
    for link in network.links:
        (x1, y1), (x2, y2) = at[link.begin], at[link.end]
        blocked, starved = waits[link.begin][0], waits[link.end][1]
        forward = blocked > starved
        side = width / 2.0 + 3.0
        begin, end = ((x1 + side, y1), (x2 - side, y2)) if x2 > x1 else ((x1 - side, y1), (x2 + side, y2))
        if not forward:
            begin, end = end, begin
        angle = np.arctan2(end[1] - begin[1], end[0] - begin[0])
        tip = f"{names[link.begin]} is blocked {blocked * 100:.1f} %, {names[link.end]} is starved {starved * 100:.1f} %"
        head = [(end[0] - 9.0 * np.cos(angle + a), end[1] - 9.0 * np.sin(angle + a)) for a in (-0.45, 0.45)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in ((end[0], end[1]), *head))
        body.append(
            f"<g><title>{escape(tip)}</title>{line(*begin, *end, 'arrow')}<polygon points='{points}' class='arrow-head'/></g>"
        )
    for n, (x, y) in at.items():
        kind = "station held" if n in marked else "station"
        blocked, starved = waits[n]
        body.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - 27:.1f}" width="{width:.1f}" height="54" rx="8" class="{kind}"/>'
            f"{text(x, y - 9, shorten(names[n], int(width / 7.0)), anchor='middle', css='label strong')}"
            f"{text(x, y + 6, f'blocked {blocked * 100:.0f} %', anchor='middle', css='tick')}"
            f"{text(x, y + 20, f'starved {starved * 100:.0f} %', anchor='middle', css='tick')}"
        )
    return svg(FULL, high + 4.0, "".join(body), title)
