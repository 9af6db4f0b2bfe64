"""``twin fit``: cycle, failure and repair times of stations out of history, written into a scenario layer."""

from __future__ import annotations

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from twin.core.errors import InputError, WorkError

if TYPE_CHECKING:
    from twin.history import Recording

app = typer.Typer(add_completion=False)


@app.command()
def fit(
    history: Annotated[Path, typer.Argument(help="A history file.")],
    stage: Annotated[Path, typer.Option(help="The stage whose stations are fitted.")],
    out: Annotated[Path | None, typer.Option("--out", help="Scenario layer to write (.usda).")] = None,
    station: Annotated[list[str] | None, typer.Option(help="Prim path; may be given again. Without it all.")] = None,
    begin: Annotated[str | None, typer.Option(help="First moment, ISO 8601, UTC where it names no zone.")] = None,
    end: Annotated[str | None, typer.Option(help="Last moment.")] = None,
    longest_cycle: Annotated[
        float | None, typer.Option(min=0.001, help="Longer ones are stops [s]; default five medians.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Fit distributions to what stations did: role count gives cycles, role state failures and repairs.

    A distribution that fails the test of fit (p < 0.05) is written as the empirical one. Exit code 1 if nothing could be fitted.
    """
    from twin.cli.connectors import _moment
    from twin.core.samples import SignalKey
    from twin.history import Recording
    from twin.history.fits import empirical
    from twin.model.factory import NodeKind
    from twin.scene import compile_factory, open_stage
    from twin.scene.fitted import write_fits

    model = compile_factory(open_stage(stage))
    stations = [n.path for n in model.nodes if n.kind == NodeKind.STATION]
    for path in station or []:
        if path not in stations:
            raise InputError("is no station of the stage", file=stage, prim=path, allowed=stations[:20])
    chosen = station or stations
    span = _moment("--begin", begin, 0), _moment("--end", end, 2**62)
    values: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    recording = Recording(history)
    try:
        recorded = {(s.prim, s.name) for s in recording.summaries()}
        for signal in model.signals:
            if signal.prim not in chosen or (signal.prim, signal.name) not in recorded:
                continue
            key = SignalKey(signal.prim, signal.name)
            for name, durations in _durations(recording, key, signal.role, span, longest_cycle).items():
                row = {
                    "station": signal.prim,
                    "attribute": f"twin:station:{name}",
                    "signal": signal.name,
                    "count": len(durations),
                }
                rows.append(row | _fitted(durations))
                if "kind" in rows[-1]:
                    authored = {"distribution": rows[-1]["kind"], **rows[-1]["parameters"]}
                    if not rows[-1]["fits"]:
                        authored = {"distribution": "empirical", "values": empirical(durations)}
                    values.setdefault(signal.prim, {})[name] = authored
    finally:
        recording.close()
    if out is not None and values:
        write_fits(out, values, comment=f"fitted from {history.name}")
    if json:
        print(json_module.dumps({"fits": rows, "layer": str(out) if out and values else None}, indent=2))
    else:
        for row in rows:
            print(_line(row))
        if out is not None and values:
            print(f"wrote {out}")
    if not values:
        raise WorkError("nothing could be fitted: no station has enough of role count or state in this history")


def _durations(recording: Recording, key: Any, role: str, span: tuple[int, int], longest: float | None) -> dict[str, np.ndarray]:
    from twin.history.fits import cycles, spells
    from twin.model.factory import NodeState

    if role not in ("count", "state"):
        return {}
    columns = recording.read_columns(key, *span)
    keep = columns.quality & 0x80000000 == 0
    time_s = columns.time_ns[keep] / 1e9
    told = [v for v, k in zip(columns.value, keep, strict=True) if k]
    if len(told) < 2:
        return {}
    if role == "count":
        count = np.array([float(v) if isinstance(v, (int, float)) else np.nan for v in told])
        good = np.isfinite(count)
        return {"cycleTime": cycles(time_s[good], count[good], longest)}
    names = [NodeState(int(v)).name if isinstance(v, (int, float)) else str(v).strip().upper() for v in told]
    down, working = np.array([n == "DOWN" for n in names]), np.array([n == "WORKING" for n in names])
    found = spells(time_s, down, working)
    return {"timeToFailure": found.up, "timeToRepair": found.down}


def _fitted(durations: np.ndarray) -> dict[str, Any]:
    from twin.history.fits import fit as fit_durations

    try:
        best, *others = fit_durations(durations)
    except ValueError as reason:
        return {"reason": str(reason)}
    return asdict(best) | {"fits": best.fits, "others": [{"kind": f.kind, "bic": f.bic, "p": f.p} for f in others]}


def _line(row: dict[str, Any]) -> str:
    head = f"{row['station']} {row['attribute']}: "
    if "reason" in row:
        return head + row["reason"]
    shown = ", ".join(f"{k} {v:.4g} ({row['low'][k]:.4g} to {row['high'][k]:.4g})" for k, v in row["parameters"].items())
    verdict = "fits" if row["fits"] else "does not fit, the empirical distribution is taken"
    return f"{head}{row['kind']} {shown}; n {row['count']}, D {row['statistic']:.3f}, p {row['p']:.2f}: {verdict}"
