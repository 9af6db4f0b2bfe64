"""``twin bench``: how fast this machine runs a stage, in both engines."""

from __future__ import annotations

import json as json_module
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.core.cores import usable_cores
from twin.core.errors import InputError

if TYPE_CHECKING:
    from twin.model.factory import FactoryModel

app = typer.Typer(add_completion=False)

WARM_S = 60.0
"""Simulated time before the clock starts, so that goods are on the belts [s]."""
SHIFT_S = 8 * 3600.0


@app.command()
def bench(
    stage: Annotated[Path, typer.Argument(help="The stage to run.")],
    seconds: Annotated[float, typer.Option(help="Wall time spent on each engine, about [s].")] = 5.0,
    hz: Annotated[float | None, typer.Option(help="Steps per second; default the stage's own, else 60.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda:0.")] = "cpu",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Measure how fast this machine runs STAGE: rigid bodies against the wall clock, and shifts of the line a minute.

    A ratio below 1 means that ``twin serve`` cannot keep up with real time here.
    """
    if not 0.1 <= seconds <= 600.0:
        raise InputError(f"is {seconds:g}", attribute="--seconds", allowed=["0.1 to 600"])
    if hz is not None and not 1.0 <= hz <= 10_000.0:
        raise InputError(f"is {hz:g}", attribute="--hz", allowed=["1 to 10000"])
    from twin.process.device import describe
    from twin.scene import compile_factory, open_stage

    begin = time.perf_counter()
    model = compile_factory(open_stage(stage))
    document: dict[str, Any] = {
        "stage": str(stage),
        "machine": platform.machine(),
        "cores": usable_cores(),
        "device": {d["name"]: d["description"] for d in describe()["devices"]}.get(device, device),
        "open_s": time.perf_counter() - begin,
        "bodies": len(model.rigid.bodies),
        "nodes": len(model.nodes),
        "physics": _physics(model, seconds, hz or model.rigid.steps_per_second or 60.0, device),
        "line": _line(model, seconds, device),
    }
    print(json_module.dumps(document, indent=2) if json else _text(document))


def _physics(model: FactoryModel, seconds: float, hz: float, device: str) -> dict[str, Any]:
    """Steps until ``seconds`` of wall time are spent; processor time beside it, for a machine that does other work too."""
    from twin.sim import Simulation

    print("rigid bodies ...", file=sys.stderr)
    begin = time.perf_counter()
    simulation = Simulation(model, hz=hz, device=device)
    simulation.step(1)
    start = time.perf_counter() - begin
    simulation.step(round(WARM_S * hz) if model.nodes else 1)
    steps, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        simulation.step(10)
        steps += 10
    simulation.counts()  # waits for the device
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    counts = simulation.counts()
    return {
        "hz": hz,
        "start_s": start,
        "steps": steps,
        "ms_per_step": wall / steps * 1000.0,
        "times_real_time": steps / hz / wall,
        "times_real_time_by_processor_time": steps / hz / max(cpu, 1e-9),
        "pieces_inside": counts.inside,
        "lost": counts.lost,
        "max_penetration_m": simulation.world.stats().penetration,
    }


def _line(model: FactoryModel, seconds: float, device: str) -> dict[str, Any] | None:
    """Shifts of eight hours, in growing numbers until ``seconds`` are spent; None where the stage has no line to run."""
    from twin.flow import simulate
    from twin.flow.engine import flow_findings

    errors = [f for f in flow_findings(model) if f.severity == "error"]
    if errors:
        return {"not_run": [str(f) for f in errors]} if model.nodes else None
    print("line engine ...", file=sys.stderr)
    simulate(model, horizon_s=10.0, replications=1, device=device)
    shifts = usable_cores()
    while True:
        wall = time.perf_counter()
        result = simulate(model, horizon_s=SHIFT_S, replications=shifts, device=device)
        wall = time.perf_counter() - wall
        if wall >= seconds / 2 or shifts >= 1 << 16:
            break
        shifts = min(max(2 * shifts, round(shifts * seconds / max(wall, 1e-6))), 16 * shifts)
    return {
        "shifts": shifts,
        "shift_s": SHIFT_S,
        "wall_s": wall,
        "shifts_per_minute": shifts / wall * 60.0,
        "events_per_second": float(result.events.sum() / wall),
        "pieces_per_hour": float(result.throughput_per_h.mean()),
    }


def _text(document: dict[str, Any]) -> str:
    physics, line = document["physics"], document["line"]
    out = [
        f"{document['stage']}: {document['bodies']} bodies, {document['nodes']} nodes; {document['device']}, "
        f"{document['cores']} cores",
        f"rigid bodies:  {physics['times_real_time']:.1f} times real time at {physics['hz']:g} steps/s "
        f"({physics['ms_per_step']:.2f} ms a step, {physics['pieces_inside']} pieces inside)",
    ]
    if line is None:
        out.append("line engine:   the stage has no line")
    elif "not_run" in line:
        out += ["line engine:   cannot run this stage", *(f"  {text}" for text in line["not_run"])]
    else:
        out.append(
            f"line engine:   {line['shifts_per_minute']:,.0f} shifts of 8 h a minute "
            f"({line['events_per_second'] / 1e6:.1f} million events/s)"
        )
    if physics["times_real_time"] < 1.0:
        out.append("this machine cannot keep up with real time: fewer steps (--hz), fewer bodies, or a GPU")
    return "\n".join(out)
