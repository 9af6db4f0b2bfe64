"""What a study prints on a terminal: tables on stdout, progress on stderr."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from twin.model.kpis import kpi_unit
from twin.studies.labels import few, point_label, short_name
from twin.studies.spec import COST
from twin.studies.words import interval, readable_units, signed

NARROW = 100
"""On a terminal of fewer columns points are paragraphs instead of rows."""
SHORT = {"minutes": "min", "hours": "h", "kilojoule": "kJ", "megajoule": "MJ", "kilowatt": "kW"}
NOTES = 6
"""Notes of one kind that are told one by one."""


QUIET_S = 30.0
"""Without a terminal, progress is a line so often [s]."""


class Bar:
    """A progress bar on stderr with the time left; replications done of those expected. Without a terminal: a line at times."""

    def __init__(self, title: str) -> None:
        console = Console(stderr=True, emoji=False)
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
            TextColumn("replications, left"), TimeRemainingColumn(elapsed_when_finished=True),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(escape(title), total=0)
        self._title, self._plain = title, not console.is_terminal
        self._done = 0.0
        self._said = time.monotonic()

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def expect(self, replications: int) -> None:
        total = self._progress.tasks[0].total or 0
        self._progress.update(self._task, total=total + replications)

    def advance(self, replications: float, label: str) -> None:
        self._done += replications
        self._progress.update(self._task, completed=math.floor(self._done + 1e-6), description=escape(label))
        if self._plain and time.monotonic() - self._said >= QUIET_S:
            self._said = time.monotonic()
            total = self._progress.tasks[0].total or 0
            print(f"{self._title}: {math.floor(self._done):,} of {total:,.0f} replications, {label}", file=sys.stderr, flush=True)


def label_of(point: dict[str, Any]) -> str:
    """Scenario and swept values of a point of the summary."""
    return point_label(point["scenario"], point["parameters"])


def heading(kpi: str, unit: str) -> str:
    """Column heading of a figure."""
    name = short_name(kpi) if "/" in kpi else kpi.replace("_", " ")
    return escape(f"{name} [{unit}]")


def _console() -> Console:
    # a pipe has no width: give tables the room that they need instead of cutting names; rich takes :station: for a picture
    return Console(emoji=False) if sys.stdout.isatty() else Console(width=200, emoji=False)


def print_names(settable: list[Any], figures: list[str]) -> None:
    """What a study may set (objects with ``path``, ``type``, ``value``, ``doc``, ``allowed``, ``unit``, ``unread``), and the
    figures of the line."""
    table = Table(title="set and sweep")
    for name in ("attribute", "value", "unit", "what it is"):
        table.add_column(name, overflow="fold")
    before = ""
    for s in settable:
        prim = s.path.partition(".")[0]
        if prim != before and before:
            table.add_section()
        before = prim
        about = f"{s.doc} ({', '.join(s.allowed)})" if s.allowed else s.doc
        about = f"not read: {s.unread}" if s.unread else about
        table.add_row(escape(s.path), escape("–" if s.value is None else str(s.value)), escape(s.unit), escape(about))
    console = _console()
    if settable:
        console.print(table)
    table = Table(title="kpis")
    for name in ("figure", "unit"):
        table.add_column(name, overflow="fold")
    groups: dict[str, list[str]] = {}
    for name in figures:
        place, _, figure = name.rpartition(":")
        groups.setdefault(place, []).append(figure)
    for place, names in groups.items():
        for name in names if not place else [f"{place}:{'|'.join(names)}"]:
            table.add_row(escape(name), "1" if place else kpi_unit(name))
    if figures:
        console.print(table)


def print_plan(document: dict[str, Any]) -> None:
    """The points of a plan."""
    table = Table(title=None)
    for name in ("point", "replications", "finished", "problem"):
        table.add_column(name, justify="right" if name in ("replications", "finished") else "left")
    for p in document["points"]:
        most = f" to {p['most']}" if p["most"] != p["replications"] else ""
        table.add_row(escape(label_of(p)), f"{p['replications']}{most}", str(p["cached"]), escape(p["error"] or ""))
    _console().print(table)
    warmup = document["warmup_s"]
    print(
        f"{len(document['points'])} points, {document['fidelity']}, horizon {document['horizon_s']:g} s, "
        f"warm-up {f'{warmup:g} s' if warmup is not None else 'found by the first run'}"
    )
    for text in document["warnings"]:
        print(f"note: {text}", file=sys.stderr)


def print_summary(document: dict[str, Any]) -> None:
    """The chosen figures of every point; of a search the best first, and last what keeps the others out."""
    search = document.get("optimise")
    names = document["kpis"]
    points = _in_order(document) if search else document["points"]
    columns, cells = _figures(document, points, names)
    if search:
        columns.append("breaks")
        cells = [[*row, escape("; ".join(_broken(p)))] for row, p in zip(cells, points, strict=True)]
    labels = [label_of(p) for p in points]
    if search:
        trial = {id(p): k for k, p in enumerate(document["points"])}
        labels = [f"trial {trial[id(p)]}: {label_of(p)}" if p["parameters"] else label_of(p) for p in points]
    console = _console()
    if console.width < NARROW:
        # a table would break every word: a paragraph a point
        for label, row in zip(labels, cells, strict=True):
            console.print(f"[bold]{escape(label)}[/bold]")
            for name, cell in zip(columns, row, strict=True):
                if cell:
                    console.print(f"  {name}: {cell}")
    else:
        table = Table()
        table.add_column("point")
        for name in columns:
            table.add_column(name, justify="left" if name == "breaks" else "right")
        for label, row in zip(labels, cells, strict=True):
            table.add_row(escape(label), *row)
        console.print(table)
    print(f"computed {document['computed']} replications, {document['cached']} were there; ± is the 95 % interval")
    if search:
        print(_found(document, search))
    for text in _notes(document):
        print(f"note: {text}", file=sys.stderr)


def _figures(document: dict[str, Any], points: list[dict[str, Any]], names: list[str]) -> tuple[list[str], list[list[str]]]:
    """Columns (replications, then figures in the units of the report) and what stands in them, a row a point."""
    units = {name: k["unit"] for p in document["points"] for name, k in p["kpis"].items()}
    means = {n: [abs(m) for p in document["points"] if (m := p["kpis"].get(n, {}).get("mean")) is not None] for n in names}
    scale = readable_units({n: v for n, v in means.items() if n in units})
    columns = ["n", *(heading(n, SHORT.get(scale[n][1], scale[n][1]) if n in scale else units.get(n, "1")) for n in names)]
    rows = []
    for p in points:
        row = [str(p["replications"])]
        for n in names:
            size = scale.get(n, (1.0, ""))[0]
            mean, half = p["kpis"].get(n, {}).get("mean"), p["kpis"].get(n, {}).get("half_width")
            half = None if half is None or n == COST else half / size
            row.append(interval(None if mean is None else mean / size, half))
        rows.append(row)
    return columns, rows


def _broken(point: dict[str, Any]) -> list[str]:
    """The limits that a point breaks, with as many digits of its mean as show it."""
    out = []
    for text in point["broken"]:
        mean = point["kpis"].get(text.split()[0], {}).get("mean")
        out.append(text if mean is None else f"{text}: {mean:.6g}")
    return out


def _in_order(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Points of a search: the stage as it is, then those within the limits by rank, then the others."""
    ranked = [(r["scenario"], r["parameters"]) for r in document["ranking"][document["kpis"][0]]]

    def place(p: dict[str, Any]) -> tuple[bool, bool, int]:
        at = (p["scenario"], p["parameters"])
        return bool(p["parameters"]), not p["feasible"], ranked.index(at) if at in ranked else len(ranked)

    return sorted(document["points"], key=place)


def _found(document: dict[str, Any], search: dict[str, Any]) -> str:
    """The result of a search in a line."""
    best = search["best"]
    if best is None:
        text = "best: none of the points tried keeps the limits"
    else:
        text = f"best: {label_of(best)} (trial {best['trial']}), {document['kpis'][0].replace('_', ' ')} {best['mean']:.6g}"
    if search["infeasible"]:
        reasons = ", ".join(f"{name} ({count})" for name, count in search["reasons"].items())
        text += f"; {search['infeasible']} of {search['tried']} trials break the limits: {reasons}"
    return f"looked for: {search['goal']}\n{text}"


def _notes(document: dict[str, Any]) -> list[str]:
    """What is to be known of the points, alike ones together."""
    out = []
    stuck = [p for p in document["points"] if p["deadlocked"]]
    if stuck:
        places = few(list(dict.fromkeys(place for p in stuck for place in p["stuck"])))
        count, runs = sum(len(p["deadlocked"]) for p in stuck), sum(p["replications"] for p in stuck)
        who = label_of(stuck[0]) if len(stuck) == 1 else f"{len(stuck)} points ({few([label_of(p) for p in stuck], 2)})"
        out.append(f"{who}: {count} of {runs} replications came to a standstill at {places} (they count)")
    vague: dict[str, list[str]] = {}
    for p in document["points"]:
        if not p["precise"] and not p["error"] and p["replications"]:
            vague.setdefault("; ".join(p["imprecise"]), []).append(label_of(p))
    if len(vague) <= NOTES:
        out += [f"{few(labels, 3)}: the wanted precision is not reached: {text}" for text, labels in vague.items()]
    else:
        first, labels = next(iter(vague.items()))
        more = sum(map(len, vague.values())) - 1
        out.append(f"{labels[0]} and {more} more: the wanted precision is not reached; the first: {first}")
    if (document["warmup"] or {}).get("too_short"):
        out.append("the run is too short to say where its start-up ends")
    return out + list(document["warnings"])


def print_comparisons(document: dict[str, Any]) -> None:
    """Paired differences of the chosen figures."""
    table = Table()
    table.add_column("point")
    table.add_column("against")
    units = {name: k["unit"] for c in document["comparisons"] for name, k in c["kpis"].items()}
    for name in document["kpis"]:
        table.add_column(heading(name, units.get(name, "1")), justify="right")
    for c in document["comparisons"]:
        cells = []
        for name in document["kpis"]:
            d = c["kpis"].get(name)
            text = "–" if d is None else signed(d["difference"], d["half_width_family"])
            cells.append(f"[bold]{text} *[/bold]" if d and d["significant"] else text)
        table.add_row(escape(label_of(c)), escape(label_of(c["reference"])), *cells)
    _console().print(table)
    if stuck := [p for p in document["points"] if p["deadlocked"]]:
        labels = few([label_of(p) for p in stuck], 3)
        print(f"note: some replications of {labels} came to a standstill; they count", file=sys.stderr)
    print("differences of pairs of replications; * differs, at 95 % for all comparisons of a figure together")
