"""What a study prints on a terminal: tables on stdout, progress on stderr."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from twin.model.kpis import kpi_unit
from twin.studies.plan import short_name, show_value
from twin.studies.words import few, interval, signed


class Bar:
    """A progress bar on stderr with the time left; replications done of those expected."""

    def __init__(self, title: str) -> None:
        console = Console(stderr=True, emoji=False)
        columns = (
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
            TextColumn("replications, left"), TimeRemainingColumn(elapsed_when_finished=True),
        )  # fmt: skip
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(escape(title), total=0)
        self._done = 0.0

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


def label_of(point: dict[str, Any]) -> str:
    """Scenario and swept values of a point of the summary."""
    parameters = point["parameters"]
    if not parameters:
        return str(point["scenario"])
    return f"{point['scenario']} [{', '.join(f'{short_name(k)} = {show_value(v)}' for k, v in parameters.items())}]"


def heading(kpi: str, unit: str) -> str:
    """Column heading of a figure."""
    name = short_name(kpi) if "/" in kpi else kpi.replace("_", " ")
    return f"{name} [{unit}]"


def _console() -> Console:
    # a pipe has no width: give tables the room that they need instead of cutting names; rich takes :station: for a picture
    return Console(emoji=False) if sys.stdout.isatty() else Console(width=200, emoji=False)


def print_names(settable: list[Any], figures: list[str]) -> None:
    """What a study may set (objects with ``path``, ``type``, ``value``, ``doc``, ``allowed``), and the figures of the line."""
    table = Table(title="set and sweep")
    for name in ("attribute", "value", "what it is"):
        table.add_column(name, overflow="fold")
    before = ""
    for s in settable:
        prim = s.path.partition(".")[0]
        if prim != before and before:
            table.add_section()
        before = prim
        about = f"{s.doc} ({', '.join(s.allowed)})" if s.allowed else s.doc
        table.add_row(escape(s.path), escape("–" if s.value is None else str(s.value)), escape(about))
    console = _console()
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
        f"warm-up {'found by the first run' if warmup is None else f'{warmup:g} s'}"
    )
    for text in document["warnings"]:
        print(f"note: {text}", file=sys.stderr)


def print_summary(document: dict[str, Any]) -> None:
    """The chosen figures of every point."""
    table = Table()
    table.add_column("point")
    table.add_column("n", justify="right")
    units = {name: k["unit"] for p in document["points"] for name, k in p["kpis"].items()}
    for name in document["kpis"]:
        table.add_column(heading(name, units.get(name, "1")), justify="right")
    for p in document["points"]:
        cells = [interval(p["kpis"].get(n, {}).get("mean"), p["kpis"].get(n, {}).get("half_width")) for n in document["kpis"]]
        table.add_row(escape(label_of(p)), str(p["replications"]), *cells)
    _console().print(table)
    print(f"computed {document['computed']} replications, {document['cached']} were there; ± is the 95 % interval")
    for p in document["points"]:
        if p["deadlocked"]:
            count, places = len(p["deadlocked"]), few(p["stuck"])
            print(f"note: {label_of(p)}: {count} replications came to a standstill at {places} (they count)", file=sys.stderr)
        if not p["precise"] and not p["error"] and p["replications"]:
            print(f"note: {label_of(p)}: the wanted precision is not reached", file=sys.stderr)
    if (document["warmup"] or {}).get("too_short"):
        print("note: the run is too short to say where its start-up ends", file=sys.stderr)
    for text in document["warnings"]:
        print(f"note: {text}", file=sys.stderr)


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
    print("differences of pairs of replications; * differs, at 95 % for all comparisons of a figure together")
