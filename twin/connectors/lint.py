"""What is wrong with a mapping, on its own and against the signals of a stage."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from twin.connectors.mapping import Mapping, Point
from twin.connectors.units import compile_unit, same_dimension
from twin.core.errors import MappingError
from twin.core.findings import Findings
from twin.core.samples import SignalKey
from twin.model.factory import Signal


def lint(
    mappings: Sequence[Mapping], signals: Sequence[Signal] | None, *, was_there: Callable[[str], bool] = lambda prim: False
) -> Findings:
    """Findings over ``mappings`` together; ``signals`` are the stage's, None checks without a stage.

    ``was_there`` tells of a prim that the stage does not have whether an edit took it away: then that is no mistake of the
    mapping, and a warning.
    """
    findings = Findings()
    writers: dict[SignalKey, str] = {}
    for mapping in mappings:
        used = {point.connection for point in mapping.points}
        for number, connection in enumerate(mapping.connections):
            if connection.name not in used:
                where = f"{mapping.file}: connections[{number}]"
                findings.warning(where, "unused-connection", f"no signal uses the connection {connection.name!r}")
        for point in mapping.points:
            where = f"{mapping.file}: signals[{point.index}]"
            _one_writer(point, where, writers, findings)
            _limits(point, where, findings)
            if signals is not None:
                _against_stage(point, where, signals, was_there, findings)
    return findings


def _one_writer(point: Point, where: str, writers: dict[SignalKey, str], findings: Findings) -> None:
    if point.target in writers:
        findings.error(where, "two-writers", f"{point.target} is written by {writers[point.target]} already")
    writers.setdefault(point.target, where)


def _limits(point: Point, where: str, findings: Findings) -> None:
    if point.write is None:
        return
    if point.write.min is None and point.write.max is None and point.write.text is None:
        findings.error(where, "write-without-limits", "writing is permitted without min or max")
    elif point.write.min is not None and point.write.max is not None and point.write.min > point.write.max:
        findings.error(where, "write-limits", f"min {point.write.min:g} is above max {point.write.max:g}")
    if point.is_template:
        findings.error(where, "write-wildcard", "a source with wildcards cannot be written")


def _against_stage(
    point: Point, where: str, signals: Sequence[Signal], was_there: Callable[[str], bool], findings: Findings
) -> None:
    pattern = re.compile(re.sub(r"\\\{\d+\\\}", "[^/]+", re.escape(point.target.prim)))
    here = [s for s in signals if pattern.fullmatch(s.prim)]
    named = [s for s in here if s.name == point.target.name]
    if not here and was_there(point.target.prim):
        gone = f"an edit has taken {point.target.prim} away: what comes for it is recorded and shown nowhere"
        findings.warning(where, "prim-gone", gone)
    elif not here:
        findings.error(where, "unknown-prim", f"no prim {point.target.prim} declares signals")
    elif not named:
        names = ", ".join(sorted({s.name for s in here}))
        findings.error(where, "unknown-signal", f"{point.target.prim} declares no signal {point.target.name!r} (it has: {names})")
    for signal in named:
        _units(point, where, signal, findings)


def _units(point: Point, where: str, signal: Signal, findings: Findings) -> None:
    if not signal.unit and not point.unit:
        return
    if not signal.unit or not point.unit:
        lacking = "the stage" if not signal.unit else "the mapping"
        findings.warning(where, "unit-missing", f"{lacking} gives no unit for {point.target} ({signal.unit or point.unit!r})")
        return
    try:
        if not same_dimension(point.unit, signal.unit):
            findings.error(where, "unit-mismatch", f"{point.unit!r} is mapped onto {point.target}, which is in {signal.unit!r}")
        elif not compile_unit(point.unit, signal.unit).is_identity:
            findings.error(where, "unit-differs", f"values come in {point.unit!r}, the stage has {signal.unit!r}: set unit")
    except MappingError as error:
        findings.error(where, "unit-unknown", error.message)
