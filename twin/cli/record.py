"""``twin record``: connect to a plant and record it, without a stage."""

from __future__ import annotations

import json as json_module
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from twin.core import log
from twin.core.errors import InputError, WorkError

app = typer.Typer(add_completion=False)


@app.command()
def record(
    mapping: Annotated[list[Path], typer.Argument(help="Mapping files.")],
    out: Annotated[Path, typer.Option("--out", help="History file; what is in it already stays.")],
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long [s]; without it until Ctrl+C.")] = None,
    variables: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Fills ${NAME} in addresses.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Record what MAPPING names. Exit code 1 if samples were lost, or nothing good came from a connection."""
    from twin.cli.connectors import _variables
    from twin.connectors import Plant, load
    from twin.connectors.lint import lint
    from twin.history import Historian

    log.configure("warning")
    mappings = [load(path, variables=_variables(variables)) for path in mapping]
    for finding in lint(mappings, None):
        if finding.severity == "error":
            raise InputError(finding.message, file=finding.path)
    history = Historian(out)
    plant = Plant(mappings, history)
    stopping = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    end = None if seconds is None else time.monotonic() + seconds
    seen = set()
    failing = ""
    plant.start()
    try:
        while not stopping and (end is None or time.monotonic() < end):
            time.sleep(0.1)
            seen |= {s.name for s in plant.statuses() if s.good}
            now = history.losses().error
            if now != failing and now:
                print(f"recording has stopped: {now}", file=sys.stderr)
            failing = now
    finally:
        statuses = plant.statuses()
        plant.stop()
        for kind, handler in before.items():
            signal.signal(kind, handler)
        history.flush()
        count, losses = history.written(), history.losses()
        history.close()
    lost = {str(k): n for k, n in losses.overflow.items()} | plant.losses()
    result = {
        "file": str(out),
        "samples": count,
        "repeated": losses.repeated,
        "late": plant.late(),
        "losses": lost,
        "connections": [{"name": s.name, "state": s.state, "error": s.error} for s in statuses],
    }
    if json:
        print(json_module.dumps(result, indent=2))
    else:
        print(f"{count} samples: {out}")
        for what, number in lost.items():
            print(f"lost: {number} x {what}")
        for s in statuses:
            print(f"{s.name} ({s.driver}): {s.state} {s.error}".rstrip())
    silent = [s.name for s in statuses if s.name not in seen]
    if silent:
        raise WorkError(f"nothing good came from {', '.join(silent)}")
    if losses.overflow:
        raise typer.Exit(1)
