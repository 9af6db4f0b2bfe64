"""What a user waits for: help, a server that is ready, and the packaging line against the wall clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERO = Path(__file__).parents[2] / "scenes" / "packaging_line" / "scene.usda"
LINE_S = 300.0


def _help() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "twin.cli.main", "--help"], check=True, capture_output=True)
    return time.perf_counter() - begin


def _serve(cache: str | None) -> float:
    """Seconds from the command to the ready line."""
    environment = dict(os.environ) | ({"WARP_CACHE_PATH": cache} if cache else {})
    with tempfile.TemporaryDirectory() as project:
        command = [sys.executable, "-m", "twin.cli.main", "serve", str(HERO), "--port", "0", "--project", project]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        assert process.stdout is not None
        with process.stdout:
            json.loads(process.stdout.readline())
            took = time.perf_counter() - begin
            process.terminate()
            process.wait(20)
    return took


def run() -> list[dict[str, Any]]:
    """Start-up times and the ratio of simulated to wall time on one core."""
    rows = [{"name": "twin --help", "value": min(_help() for _ in range(3)), "unit": "s", "note": ""}]
    _serve(None)
    rows.append(
        {"name": "twin serve, warm", "value": min(_serve(None) for _ in range(2)), "unit": "s", "note": "to the ready line"}
    )
    with tempfile.TemporaryDirectory() as cache:
        rows.append({"name": "twin serve, empty kernel cache", "value": _serve(cache), "unit": "s", "note": "to the ready line"})

    from twin.scene import compile_factory, open_stage
    from twin.sim import Simulation

    simulation = Simulation(compile_factory(open_stage(HERO)))
    simulation.step(60)
    begin = time.perf_counter()
    simulation.step(int(LINE_S * simulation.hz))
    ratio = LINE_S / (time.perf_counter() - begin)
    counts = simulation.counts()
    note = f"{counts.spawned} pieces, {counts.lost} lost, deepest overlap {simulation.world.stats().penetration * 1000:.2f} mm"
    rows.append({"name": "packaging line, times real time", "value": ratio, "unit": "1", "note": note})
    return rows
