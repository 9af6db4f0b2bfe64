"""The same work on all cores of the CPU and on a GPU: line engine, rigid bodies, and whether both come to the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import warp as wp

from bench.flow.lines import eight_stations
from bench.physics.engines import model_of
from bench.physics.scenes import SCENES
from twin.flow import simulate
from twin.model.factory import FactoryModel
from twin.physics import World
from twin.process.device import resolve_device
from twin.sim.simulation import Simulation

HERO = Path(__file__).parents[2] / "scenes" / "packaging_line" / "scene.usda"
CUDA = "cuda:0"
SECONDS = 2.0
"""Wall time that a measurement of rigid bodies takes, about."""


def run() -> list[dict[str, Any]]:
    """Rows: wall time on each device, and how many times as fast the GPU is; one row that says so where there is none."""
    resolve_device("cpu")  # sets Warp up quietly
    if not wp.is_cuda_available():
        return [{"case": "not run: this machine has no CUDA device"}]
    from twin.scene import compile_factory, open_stage

    hero = compile_factory(open_stage(HERO))
    names = {"cpu": f"{wp.get_device('cpu').name}", CUDA: wp.get_device(CUDA).name}
    return [
        {"case": "devices", "note": ", ".join(names.values())},
        *(line("8 stations that fail, 15 minutes", eight_stations(), 900.0, n) for n in (4_096, 32_768)),
        line("packaging line, an hour", hero, 3600.0, 8_192),
        *(cells(n) for n in (1_024, 4_096, 16_384)),
        *(cartons(name, 1_000) for name in SCENES),
        *(rigid_lines(hero, n) for n in (1, 512, 2_048)),
    ]


def faster(case: str, seconds: Callable[[str], float]) -> dict[str, Any]:
    """A row of what ``seconds`` says of each device."""
    cpu, gpu = seconds("cpu"), seconds(CUDA)
    return {"case": case, "CPU [s]": cpu, "GPU [s]": gpu, "GPU is times as fast": cpu / gpu}


def line(case: str, model: FactoryModel, horizon_s: float, replications: int) -> dict[str, Any]:
    """Replications of a line in the line engine; the figures of both devices are compared too."""
    results = {}

    def seconds(device: str) -> float:
        simulate(model, horizon_s=10.0, replications=1, device=device)
        begin = time.perf_counter()
        results[device] = simulate(model, horizon_s=horizon_s, replications=replications, device=device)
        return time.perf_counter() - begin

    row = faster(f"{case}, {replications:,} replications", seconds)
    same = np.mean(results["cpu"].sunk == results[CUDA].sunk)
    return row | {"replications with the same pieces on both [%]": 100.0 * float(same)}


def cells(worlds: int) -> dict[str, Any]:
    """A second of a cell of 20 cartons on a belt in so many worlds at once."""
    return faster(f"20 cartons on a belt, {worlds:,} worlds, 1 s", lambda device: _second("singulated", 20, worlds, device))


def cartons(scene: str, count: int) -> dict[str, Any]:
    """A second of one world with many cartons."""
    return faster(f"{count:,} cartons, {scene}, 1 s", lambda device: _second(scene, count, 1, device))


def _second(scene: str, count: int, worlds: int, device: str) -> float:
    return _pace(World(model_of(SCENES[scene](count)), worlds=worlds, sleeping=False, device=device).step, device)


def rigid_lines(model: FactoryModel, worlds: int) -> dict[str, Any]:
    """A second of the packaging line in rigid bodies, line logic included, in so many worlds."""
    case = f"packaging line in rigid bodies, {worlds:,} worlds, 1 s"
    return faster(case, lambda device: _pace(Simulation(model, worlds=worlds, device=device).step, device))


def _pace(step: Callable[[int], None], device: str) -> float:
    """Wall time of a simulated second of 60 steps [s], after two that do not count."""
    step(120)
    wp.synchronize_device(device)
    begin, steps = time.perf_counter(), 0
    while steps < 60 or (steps < 600 and time.perf_counter() - begin < SECONDS):
        step(20)
        wp.synchronize_device(device)
        steps += 20
    return (time.perf_counter() - begin) / steps * 60.0
