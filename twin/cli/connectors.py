"""``twin connectors``: lint a mapping, see who answers, browse, and try it out without recording anything."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.core import log
from twin.core.errors import InputError, MappingError, WorkError
from twin.core.findings import Findings

if TYPE_CHECKING:
    from twin.connectors.mapping import ConnectionEntry, Mapping
    from twin.history import Recording

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Lint, probe and try out connections to a plant.")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Source = Annotated[str, typer.Argument(metavar="MAPPING", help="A mapping file, or an address like opc.tcp://HOST:4840.")]
Variables = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Fills ${NAME} in addresses.")]
Only = Annotated[str | None, typer.Option("--connection", help="Only this connection.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Longest time to wait for an answer [s].")]


@app.command("list")
def list_drivers(json: Json = False) -> None:
    """List the drivers."""
    from twin.connectors.drivers import KINDS

    if json:
        rows = [{"name": k.name, "summary": k.summary, "address": k.address} for k in KINDS.values()]
        print(json_module.dumps(rows, indent=2))
        return
    for k in KINDS.values():
        print(f"{k.name:<15} {k.summary}\n{'':<15} {k.address}")


@app.command()
def lint(
    mapping: Annotated[list[Path], typer.Argument(help="Mapping files, checked together.")],
    stage: Annotated[Path | None, typer.Option(help="The stage whose signals are written.")] = None,
    variables: Variables = None,
    json: Json = False,
) -> None:
    """Say what is wrong with a mapping. Exit code 1 if anything is an error."""
    from twin.connectors.lint import lint as check

    findings = Findings()
    loaded = []
    for path in mapping:
        if not path.is_file():
            raise MappingError("there is no such file", file=path)
        try:
            loaded.append(_load(path, variables))
        except MappingError as error:
            findings.error(f"{path}: {error.attribute or 'file'}", "mapping", _without_place(error))
    signals = None
    if stage is not None:
        from twin.scene import list_signals, open_stage

        signals = list_signals(open_stage(stage))
    findings.items += check(loaded, signals).items
    if json:
        print(json_module.dumps([f.as_dict() for f in findings], indent=2))
    else:
        for finding in findings:
            print(finding)
        errors = sum(f.severity == "error" for f in findings)
        print(f"{len(findings)} findings, {errors} errors" if len(findings) else "nothing to say against it")
    if findings.has_errors:
        raise typer.Exit(1)


@app.command()
def probe(
    source: Source, connection: Only = None, variables: Variables = None, timeout: Timeout = 10.0, json: Json = False
) -> None:
    """Connect once and say who answers. Exit code 1 if somebody does not."""
    from twin.connectors.inspect import probe as ask

    log.configure("error")
    mapping = _open(source, variables)
    answers: list[dict[str, Any]] = []
    for entry in _chosen(mapping, connection):
        begin = time.monotonic()
        answer: dict[str, Any] = {"connection": entry.name, "driver": entry.driver}
        try:
            found = ask(mapping, entry, timeout_s=timeout)
            answer |= {"ok": True, "peer": found.peer, "details": found.details}
        except (WorkError, MappingError) as error:
            answer |= {"ok": False, "error": str(error)}
        answers.append(answer | {"seconds": round(time.monotonic() - begin, 3)})
    if json:
        print(json_module.dumps(answers, indent=2))
    else:
        for answer in answers:
            print(f"{answer['connection']} ({answer['driver']}): {answer['peer'] if answer['ok'] else answer['error']}")
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(1)


@app.command()
def browse(
    source: Source,
    connection: Only = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to look; MQTT can only listen [s].")] = 5.0,
    emit_mapping: Annotated[bool, typer.Option("--emit-mapping", help="Print a mapping to begin from.")] = False,
    variables: Variables = None,
    timeout: Timeout = 10.0,
    json: Json = False,
) -> None:
    """List what could be mapped."""
    from twin.connectors.inspect import browse as look
    from twin.connectors.inspect import draft

    log.configure("error")
    mapping = _open(source, variables)
    chosen = _chosen(mapping, connection)
    if len(chosen) != 1:
        raise InputError("name one connection", file=mapping.file, attribute="--connection", allowed=[c.name for c in chosen])
    found = look(mapping, chosen[0], seconds=seconds, timeout_s=timeout)
    if emit_mapping:
        text = draft(chosen[0], found)
        print(json_module.dumps({"mapping": text}) if json else text, end="\n" if json else "")
    elif json:
        rows = [{"source": f.source, "label": f.label, "type": f.type, "sample": f.sample, "unit": f.unit} for f in found]
        print(json_module.dumps(rows, indent=2))
    else:
        _table(("label", "type", "sample", "source"), [(f.label, f.type, f.sample, str(f.source)) for f in found])


@app.command("dry-run")
def dry_run(
    source: Annotated[Path, typer.Argument(metavar="MAPPING", help="A mapping file.")],
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to listen [s].")] = 5.0,
    variables: Variables = None,
    json: Json = False,
) -> None:
    """Connect, listen, and show each signal: raw, converted, unit, quality, ages, target. Records nothing.

    Exit code 1 if a connection does not stand or a signal has no good value.
    """
    from twin.connectors import Plant

    log.configure("error")
    plant = Plant(_load(source, variables))
    plant.start()
    try:
        _listen(plant, seconds)
        now = time.time_ns()
        statuses, rows, losses = plant.statuses(), plant.view(), plant.losses()
    finally:
        plant.stop()
    signals = [
        {
            "target": str(row.key),
            "source": row.source,
            "raw": row.raw,
            "raw_unit": row.raw_unit,
            "value": row.value,
            "unit": row.unit,
            "quality": f"0x{row.quality:08X}",
            "age_s": None if row.age_s is None else round(row.age_s, 3),
            "source_age_s": None if row.source_time is None else round((now - row.source_time) / 1e9, 3),
            "stale": row.stale,
        }
        for row in rows
    ]
    connections = [{"name": s.name, "driver": s.driver, "state": s.state, "rate": s.rate, "error": s.error} for s in statuses]
    if json:
        print(json_module.dumps({"connections": connections, "signals": signals, "losses": losses}, indent=2))
    else:
        columns = ("target", "raw", "raw_unit", "value", "unit", "quality", "age_s", "source_age_s", "source")
        _table(columns, [[_shown(signal[c]) for c in columns] for signal in signals])
        for status in statuses:
            print(f"{status.name} ({status.driver}): {status.state}, {status.rate:g} values/s {status.error}".rstrip())
        for what, count in losses.items():
            print(f"lost: {count} x {what}")
    if any(s.good < s.signals or s.state != "live" for s in statuses):
        raise typer.Exit(1)


@app.command()
def export(
    history: Annotated[Path, typer.Argument(help="A history file.")],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    signal: Annotated[list[str] | None, typer.Option(help="PRIM:NAME; may be given again. Without it all.")] = None,
    begin: Annotated[str | None, typer.Option(help="First moment, ISO 8601, UTC where it names no zone.")] = None,
    end: Annotated[str | None, typer.Option(help="Last moment.")] = None,
    json: Json = False,
) -> None:
    """Write recorded samples as Parquet."""
    from twin.core.samples import SignalKey
    from twin.history import Recording, export_parquet

    if out.exists() and out.samefile(history):
        raise InputError("would replace the history itself", file=out, attribute="--out")
    recording = Recording(history)
    try:
        count = export_parquet(
            recording,
            out,
            signals=[SignalKey.parse(s) for s in signal] if signal else None,
            begin_ns=_moment("--begin", begin, 0),
            end_ns=_moment("--end", end, 2**62),
        )
    finally:
        recording.close()
    size = out.stat().st_size
    if json:
        print(json_module.dumps({"samples": count, "bytes": size, "file": str(out)}, indent=2))
    else:
        print(f"{count} samples, {size} bytes: {out}")


@app.command()
def sql(
    history: Annotated[Path, typer.Argument(help="A history file.")],
    query: Annotated[str, typer.Argument(help="SQL over the view samples: signal, time, value, text, quality, unit, ...")],
    signal: Annotated[list[str] | None, typer.Option(help="PRIM:NAME; may be given again. Without it all.")] = None,
    begin: Annotated[str | None, typer.Option(help="First moment, ISO 8601, UTC where it names no zone.")] = None,
    end: Annotated[str | None, typer.Option(help="Last moment.")] = None,
    json: Json = False,
) -> None:
    """Ask DuckDB about recorded samples."""
    from twin.core.samples import SignalKey
    from twin.history import Recording
    from twin.history import query as ask

    recording = Recording(history)
    try:
        keys = [SignalKey.parse(s) for s in signal] if signal else None
        span = {"begin_ns": _moment("--begin", begin, 0), "end_ns": _moment("--end", end, 2**62)}
        table = ask(recording, query, signals=keys, **span)
    finally:
        recording.close()
    rows = table.to_pylist()
    if json:
        print(json_module.dumps(rows, indent=2, default=str))
    else:
        _table(table.column_names, [[_shown(row[c]) for c in table.column_names] for row in rows])


@app.command()
def diff(
    history: Annotated[Path, typer.Argument(help="A history file.")],
    before: Annotated[str, typer.Argument(help="A moment, ISO 8601, UTC where it names no zone.")],
    after: Annotated[str, typer.Argument(help="Another one.")],
    json: Json = False,
) -> None:
    """Say which signals were another at two moments."""
    from twin.history import Recording
    from twin.history import diff as compare

    recording = Recording(history)
    try:
        changes = compare(recording, _moment("BEFORE", before, 0), _moment("AFTER", after, 0))
    finally:
        recording.close()
    rows = [
        {
            "signal": str(c.key),
            "before": None if c.before is None else c.before.value,
            "after": None if c.after is None else c.after.value,
            "difference": c.difference,
            "quality": None if c.after is None else f"0x{c.after.quality:08X}",
        }
        for c in changes
    ]
    if json:
        print(json_module.dumps(rows, indent=2))
    else:
        columns = ("signal", "before", "after", "difference", "quality")
        _table(columns, [[_shown(row[c]) for c in columns] for row in rows])


@app.command()
def anomalies(
    history: Annotated[Path, typer.Argument(help="A history file.")],
    signal: Annotated[str, typer.Argument(metavar="PRIM:NAME", help="The signal that is judged.")],
    against: Annotated[str | None, typer.Option(help="A signal that it should follow; without it its own past.")] = None,
    window: Annotated[str, typer.Option(help="How far back the usual is learned.")] = "14 d",
    hold: Annotated[str, typer.Option(help="How long it must stay unusual.")] = "1 h",
    threshold: Annotated[float, typer.Option(min=0.1, help="Modified z-score that is unusual.")] = 3.5,
    json: Json = False,
) -> None:
    """Say when a recorded number was unusual."""
    from datetime import UTC, datetime

    from twin.core.clock import parse_duration
    from twin.history import Recording
    from twin.live.residual import Detector, alarms, residual, scores

    detector = Detector(
        window_s=parse_duration(window, attribute="--window"),
        hold_s=parse_duration(hold, attribute="--hold"),
        threshold=threshold,
    )
    recording = Recording(history)
    try:
        time_s, value = _numbers(recording, signal)
        if against is not None:
            value = residual(time_s, value, *_numbers(recording, against))
    finally:
        recording.close()
    found = [
        {
            "begin": datetime.fromtimestamp(alarm.begin_s, UTC).isoformat(),
            "end": datetime.fromtimestamp(alarm.end_s, UTC).isoformat(),
            "score": round(alarm.score, 2),
        }
        for alarm in alarms(time_s, scores(time_s, value, detector), detector)
    ]
    if json:
        print(json_module.dumps({"signal": signal, "samples": len(value), "alarms": found}, indent=2))
    else:
        _table(("begin", "end", "score"), [[str(a[c]) for c in ("begin", "end", "score")] for a in found])
        print(f"{len(found)} alarms in {len(value)} samples")


def _numbers(recording: Recording, signal: str) -> tuple[Any, Any]:
    """Times [s UTC] and usable numbers of a recorded signal."""
    import numpy as np

    from twin.core.samples import SignalKey

    key = SignalKey.parse(signal)
    known = [str(SignalKey(s.prim, s.name)) for s in recording.summaries()]
    if signal not in known:
        raise InputError("not recorded", attribute=signal, allowed=known[:20])
    columns = recording.read_columns(key, 0, 2**62)
    value = columns.numeric()
    usable = np.isfinite(value) & (columns.quality & 0x80000000 == 0)
    return columns.time_ns[usable] / 1e9, value[usable]


def _moment(flag: str, text: str | None, default: int) -> int:
    from datetime import UTC

    from twin.connectors.stamps import StampError, parse_time

    if text is None:
        return default
    try:
        return parse_time(text, UTC)
    except StampError as error:
        raise InputError(str(error), attribute=flag) from error


def _listen(plant: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0.0:
        if all(s.state == "fatal" for s in plant.statuses()):
            return
        time.sleep(min(left, 0.1))


def _variables(pairs: list[str] | None) -> dict[str, str]:
    values = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{pair!r} is not NAME=VALUE", attribute="--set")
        values[name] = value
    return values


def _load(path: Path, variables: list[str] | None) -> Mapping:
    from twin.connectors.mapping import load

    return load(path, variables=_variables(variables))


def _open(source: str, variables: list[str] | None) -> Mapping:
    """A mapping file, or a mapping of nothing at an address."""
    from twin.connectors.drivers import KINDS
    from twin.connectors.inspect import driver_of
    from twin.connectors.mapping import ConnectionEntry, Mapping

    if "://" not in source:
        return _load(Path(source), variables)
    driver = driver_of(source)
    if driver is None:
        raise InputError(
            "no driver speaks this", attribute=source.partition("://")[0], allowed=[k.address for k in KINDS.values()]
        )
    return Mapping("command line", Path.cwd(), (ConnectionEntry(name=driver, driver=driver, address=source),), ())


def _chosen(mapping: Mapping, name: str | None) -> list[ConnectionEntry]:
    chosen = [c for c in mapping.connections if name in (None, c.name)]
    if not chosen:
        raise InputError(
            f"no connection {name!r}", file=mapping.file, attribute="--connection", allowed=[c.name for c in mapping.connections]
        )
    return chosen


def _without_place(error: MappingError) -> str:
    return error.message + (f" (allowed: {', '.join(error.allowed)})" if error.allowed else "")


def _shown(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(c), *(len(r[i]) for r in rows)) if rows else len(c) for i, c in enumerate(columns)]
    for row in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
