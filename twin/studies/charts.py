"""Charts of the report as inline SVG: no scripts, no fonts, no files beside the page; colours come from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

FULL, HALF = 1030.0, 500.0
"""Widths of a drawing across the page and of one of two beside each other: at these, text keeps its size."""
SERIES_COLOURS = 8
"""Classes ``s0`` to ``s7`` that the stylesheet knows."""


@dataclass(frozen=True)
class Interval:
    """A labelled estimate: ``series`` picks its colour; ``x`` is used where the horizontal axis is a number;
    ``shape`` its mark there."""

    label: str
    mean: float
    half_width: float
    series: int = 0
    x: float = 0.0
    note: str = ""
    shape: int = 0


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values that cover [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick or a tooltip's number."""
    if value == 0.0 or not math.isfinite(value):
        return "0" if value == 0.0 else "–"
    if abs(value) >= 1000.0:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


class Axis:
    """A linear axis from data to pixels."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        if not high > low:
            low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
        self.low, self.high, self.begin, self.end = low, high, begin, end

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self, count: int = 5) -> list[float]:
        return ticks(self.low, self.high, count)


def svg(width: float, height: float, body: str, title: str) -> str:
    """A drawing that scales with the page; ``title`` is what a screen reader says."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title, quote=True)}" '
        f'style="max-width:{width:g}px">{body}</svg>'
    )


def text(x: float, y: float, content: str, *, anchor: str = "start", css: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def dots(items: Sequence[Interval], *, unit: str, title: str, zero: bool = False, width: float = FULL) -> str:
    """One row an estimate, with its interval; ``zero`` draws and includes the line of no difference."""
    if not items:
        return ""
    row, top = 26.0, 8.0
    longest = max(len(i.label) for i in items)
    left, right = (min(max(290.0, 7.0 * longest + 20.0), 430.0), 170.0) if width > 700.0 else (120.0, 136.0)
    ends = [v for i in items for v in (i.mean - i.half_width, i.mean + i.half_width)] + ([0.0] if zero else [])
    margin = 0.06 * (max(ends) - min(ends))
    axis = Axis(min(ends) - margin, max(ends) + margin, left, width - right)
    bottom = top + row * len(items)
    body = []
    for tick in axis.ticks():
        body.append(line(axis(tick), top, axis(tick), bottom, "grid"))
        body.append(text(axis(tick), bottom + 16, number(tick), anchor="middle", css="tick"))
    if zero:
        body.append(line(axis(0.0), top, axis(0.0), bottom, "zero"))
    for k, item in enumerate(items):
        y = top + row * (k + 0.5)
        css = f"s{item.series % SERIES_COLOURS}"
        low, high = axis(item.mean - item.half_width), axis(item.mean + item.half_width)
        body.append(text(left - 12, y + 4, shorten(item.label, 60 if width > 700.0 else 18), anchor="end", css="label"))
        body.append(
            f"<g><title>{escape(f'{item.label}: {number(item.mean)} ± {number(item.half_width)} {unit}')}</title>"
            f"{line(low, y, high, y, f'{css} whisker')}{line(low, y - 4, low, y + 4, f'{css} whisker')}"
            f"{line(high, y - 4, high, y + 4, f'{css} whisker')}{dot(axis(item.mean), y, css)}</g>"
        )
        body.append(text(width - right + 14, y + 4, item.note, css="value"))
    body.append(text((left + width - right) / 2, bottom + 34, unit, anchor="middle", css="unit"))
    return svg(width, bottom + 42, "".join(body), title)


def curve(
    groups: dict[str, list[Interval]],
    *,
    x_label: str,
    unit: str,
    title: str,
    joined: bool,
    whole: bool = False,
    limit: tuple[float, str] | None = None,
    width: float = FULL,
) -> str:
    """Estimates over a number, a colour a group; ``joined`` draws a line through each, ``whole`` marks whole numbers only,
    ``limit`` draws a line at a place of the horizontal axis, with a text."""
    items = [i for group in groups.values() for i in group]
    if not items:
        return ""
    left, right, top, bottom = 84.0, 20.0, 12.0, 268.0
    xs = [i.x for i in items] + ([limit[0]] if limit is not None else [])
    ys = [v for i in items for v in (i.mean - i.half_width, i.mean + i.half_width)]
    pad_x, pad_y = 0.04 * (max(xs) - min(xs)), 0.08 * (max(ys) - min(ys))
    ax, ay = Axis(min(xs) - pad_x, max(xs) + pad_x, left, width - right), Axis(min(ys) - pad_y, max(ys) + pad_y, bottom, top)
    body = [_frame(ax, ay, x_label, unit, left, width - right, top, bottom, whole=whole)]
    if limit is not None:
        at, side = ax(limit[0]), "start" if ax(limit[0]) < (left + width - right) / 2.0 else "end"
        body.append(line(at, top, at, bottom, "zero"))
        body.append(text(at + (6 if side == "start" else -6), top + 10, limit[1], anchor=side, css="tick"))
    for group in groups.values():
        ordered = sorted(group, key=lambda i: i.x)
        css = f"s{ordered[0].series % SERIES_COLOURS}"
        if joined and len(ordered) > 1:
            points = " ".join(f"{ax(i.x):.1f},{ay(i.mean):.1f}" for i in ordered)
            body.append(f'<polyline points="{points}" class="{css} line"/>')
        for i in ordered:
            tip = f"{i.label}: {number(i.mean)} ± {number(i.half_width)} {unit}"
            whisker = line(ax(i.x), ay(i.mean - i.half_width), ax(i.x), ay(i.mean + i.half_width), f"{css} whisker")
            body.append(f"<g><title>{escape(tip)}</title>{whisker}{dot(ax(i.x), ay(i.mean), css, i.shape)}</g>")
    return svg(width, bottom + 44, "".join(body), title) + legend(
        [(name, f"s{g[0].series % SERIES_COLOURS}") for name, g in groups.items()]
    )


def traces(
    series: list[tuple[str, int, np.ndarray, np.ndarray]],
    *,
    x_label: str,
    unit: str,
    title: str,
    shade: float = 0.0,
    shade_label: str = "",
    steps: bool = False,
    width: float = FULL,
) -> str:
    """Lines (label, colour, x [n], y [n]) from zero up; [0, ``shade``] is marked as not measured."""
    series = [s for s in series if len(s[2])]
    if not series:
        return ""
    left, right, top, bottom = 70.0, 20.0, 12.0, 248.0
    high_x = max(float(x.max()) for _, _, x, _ in series)
    low_x = 0.0 if not steps else min(float(x.min()) for _, _, x, _ in series)
    ax = Axis(low_x, high_x, left, width - right)
    ay = Axis(0.0, max(float(y.max()) for _, _, _, y in series) * 1.08 or 1.0, bottom, top)
    body = []
    if shade > 0.0:
        body.append(
            f'<rect x="{ax(0.0):.1f}" y="{top:g}" width="{ax(shade) - ax(0.0):.1f}" height="{bottom - top:g}" class="shade"/>'
        )
        body.append(text(ax(0.0) + 6, top + 14, shade_label, css="tick"))
    body.append(_frame(ax, ay, x_label, unit, left, width - right, top, bottom))
    for label, colour, x, y in series:
        if steps:
            points = "".join(f"{ax(a):.1f},{ay(v):.1f} {ax(b):.1f},{ay(v):.1f} " for a, b, v in zip(x, x[1:], y, strict=False))
            points = f"{ax(float(x[0])):.1f},{ay(0.0):.1f} {points}"
        else:
            points = " ".join(f"{ax(a):.1f},{ay(v):.1f}" for a, v in zip(x, y, strict=True))
        body.append(
            f'<polyline points="{points}" class="s{colour % SERIES_COLOURS} line"><title>{escape(label)}</title></polyline>'
        )
    return svg(width, bottom + 44, "".join(body), title) + legend([(s[0], f"s{s[1] % SERIES_COLOURS}") for s in series])


def stacks(
    rows: list[tuple[str, list[float]]], names: Sequence[str], css: Sequence[str], *, title: str, width: float = FULL
) -> str:
    """Shares of a whole, a bar a row."""
    if not rows:
        return ""
    row, left, right = 30.0, 110.0, 26.0
    axis = Axis(0.0, 1.0, left, width - right)
    bottom = 6.0 + row * len(rows)
    body = []
    for k, (label, shares) in enumerate(rows):
        y = 6.0 + row * k
        body.append(text(left - 10, y + 17, shorten(label, 16), anchor="end", css="label"))
        at = 0.0
        for name, style, share in zip(names, css, shares, strict=True):
            if share <= 0.0:
                continue
            x, w = axis(at), axis(at + share) - axis(at)
            body.append(f'<rect x="{x:.2f}" y="{y + 3:g}" width="{w:.2f}" height="20" class="{style}"><title>')
            body.append(f"{escape(f'{label}: {name} {share * 100:.1f} %')}</title></rect>")
            if w > 34.0:
                body.append(text(x + w / 2, y + 17, f"{share * 100:.0f} %", anchor="middle", css=f"in-bar on-{style}"))
            at += share
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        body.append(text(axis(tick), bottom + 14, f"{tick * 100:.0f} %", anchor="middle", css="tick"))
    return svg(width, bottom + 22, "".join(body), title)


def bars(
    rows: Sequence[tuple[str, Sequence[float], str]],
    names: Sequence[str],
    css: Sequence[str],
    *,
    unit: str,
    title: str,
    width: float = HALF,
) -> str:
    """Amounts from zero, stacked, a bar a row: label, amounts, and what stands at its end."""
    if not rows:
        return ""
    row, left, right = 28.0, 130.0, max(96.0, 7.2 * max(len(note) for _, _, note in rows) + 12.0)
    most = max(sum(amounts) for _, amounts, _ in rows)
    axis = Axis(0.0, most or 1.0, left, width - right)
    bottom = 4.0 + row * len(rows)
    body = []
    for tick in axis.ticks(4):
        body.append(line(axis(tick), 2.0, axis(tick), bottom, "grid"))
        body.append(text(axis(tick), bottom + 15.0, number(tick), anchor="middle", css="tick"))
    for k, (label, amounts, note) in enumerate(rows):
        y = 4.0 + row * k
        body.append(text(left - 10, y + 17, shorten(label, 18), anchor="end", css="label"))
        at = 0.0
        for name, style, amount in zip(names, css, amounts, strict=True):
            if amount > 0.0:
                x, w = axis(at), axis(at + amount) - axis(at)
                body.append(f'<rect x="{x:.2f}" y="{y + 4:g}" width="{w:.2f}" height="18" class="{style}">')
                tip = f"{label}, {name}: {number(amount)} {unit}" if name else f"{label}: {number(amount)} {unit}"
                body.append(f"<title>{escape(tip)}</title></rect>")
                at += amount
        body.append(text(axis(at) + 8, y + 17, note, css="value"))
    body.append(text((left + width - right) / 2, bottom + 32, unit, anchor="middle", css="unit"))
    return svg(width, bottom + 40, "".join(body), title)


def dot(x: float, y: float, css: str, shape: int = 0) -> str:
    """A mark: circle, square, diamond or triangle."""
    if shape % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" class="{css} dot"/>'
    corners = {
        1: ((-4.2, -4.2), (4.2, -4.2), (4.2, 4.2), (-4.2, 4.2)),
        2: ((0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)),
        3: ((0.0, -5.6), (5.4, 4.2), (-5.4, 4.2)),
    }[shape % 4]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" class="{css} dot"/>'


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names with their colour, as HTML under or above a drawing."""
    items = "".join(f'<li><i class="{css}"></i>{escape(name)}</li>' for name, css in entries)
    return f'<ul class="legend">{items}</ul>'


def shorten(label: str, most: int) -> str:
    """A label that fits; the whole one is in the tooltip."""
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _frame(
    ax: Axis, ay: Axis, x_label: str, unit: str, left: float, right: float, top: float, bottom: float, *, whole: bool = False
) -> str:
    out = []
    for tick in ay.ticks():
        out.append(line(left, ay(tick), right, ay(tick), "grid"))
        out.append(text(left - 8, ay(tick) + 4, number(tick), anchor="end", css="tick"))
    for tick in dict.fromkeys(float(round(t)) for t in ax.ticks(8) if ax.low <= round(t) <= ax.high) if whole else ax.ticks(8):
        out.append(line(ax(tick), bottom, ax(tick), bottom + 4, "axis"))
        out.append(text(ax(tick), bottom + 17, number(tick), anchor="middle", css="tick"))
    out.append(line(left, bottom, right, bottom, "axis"))
    out.append(text((left + right) / 2, bottom + 36, x_label, anchor="middle", css="unit"))
    middle = (top + bottom) / 2
    turned = f'transform="rotate(-90 16 {middle:g})"'
    out.append(f'<text x="16" y="{middle:g}" text-anchor="middle" {turned} class="unit">{escape(unit)}</text>')
    return "".join(out)
