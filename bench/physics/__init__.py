"""Cartons on belts, in queues and in a heap: this engine beside Rapier, MuJoCo and PyBullet, speed and quality in one run.

``python -m bench.physics.table [SIZE ...]`` writes the table of docs/benchmarks.md.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import time
from typing import Any

import numpy as np

from bench.physics.engines import ENGINES
from bench.physics.scenes import SCENES

SIZES = (200, 1_000, 5_000, 10_000)
SECONDS = 4.0
"""Time that one engine may take for settling, and again to be measured [s]."""
WORLDS = (1, 16, 128, 1024)


def measure(engine: str, scene_name: str, cartons: int) -> dict[str, Any]:
    """One row: speed and quality of an engine in a scene.

    Frames are timed one by one and the fifth of them that was fastest counts: other work on the machine only ever adds.
    """
    package, load = ENGINES[engine]
    scene = SCENES[scene_name](cartons)
    started = time.perf_counter()
    running = load(scene)
    running.step()
    ready = time.perf_counter() - started
    begin, settled = time.perf_counter(), 0
    while settled < scene.settle and (settled < 5 or time.perf_counter() - begin < SECONDS):
        running.step()
        settled += 1
    before = running.position().copy()
    wall: list[float] = []
    used: list[float] = []
    begin = time.perf_counter()
    while len(wall) < 5 or (len(wall) < 120 and time.perf_counter() - begin < SECONDS):
        w, u = time.perf_counter(), time.process_time()
        running.step()
        wall.append(time.perf_counter() - w)
        used.append(time.process_time() - u)
    position = running.position()
    return {
        "engine": engine,
        "version": importlib.metadata.version(package),
        "scene": scene_name,
        "cartons": cartons,
        "ms_per_frame": 1000.0 * float(np.percentile(wall, 20)),
        "cpu_ms_per_frame": 1000.0 * float(np.percentile(used, 20)),
        "frames": settled + 1 + len(wall),
        "ready_s": ready,
        "overlap_mm": 1000.0 * scene.overlap(position),
        "speed_error_percent": 100.0 * scene.speed_error(position - before, len(wall) / 60.0),
        "lost": scene.lost(position),
    }


def many_worlds(worlds: int) -> dict[str, Any]:
    """A cell of 20 cartons on a belt in so many worlds at once: world frames a second."""
    from bench.physics.engines import model_of
    from twin.physics import World

    world = World(model_of(SCENES["singulated"](20)), worlds=worlds, sleeping=False)
    world.step(30)
    wall: list[float] = []
    begin = time.perf_counter()
    while len(wall) < 5 or (len(wall) < 120 and time.perf_counter() - begin < 2.0):
        w = time.perf_counter()
        world.step(1)
        wall.append(time.perf_counter() - w)
    return {"worlds": worlds, "world_frames_per_s": worlds / float(np.percentile(wall, 20))}


def row(m: dict[str, Any]) -> dict[str, Any]:
    """A measurement as a line of the benchmark's table."""
    note = f"processor {m['cpu_ms_per_frame']:.3g} ms, overlap {m['overlap_mm']:.2g} mm, {m['lost']} lost, {m['frames']} frames"
    if np.isfinite(m["speed_error_percent"]):
        note += f", speed error {m['speed_error_percent']:.2g} %"
    name = f"{m['cartons']:,} cartons, {m['scene']}, {m['engine']} {m['version']}"
    return {"name": name, "value": round(m["ms_per_frame"], 3), "unit": "ms/frame", "note": note}


def run(sizes: tuple[int, ...] = (1_000,)) -> list[dict[str, Any]]:
    """Measure every engine that is installed in every scene, one after the other in this process."""
    rows = []
    for scene in SCENES:
        for cartons in sizes:
            for engine, (package, _) in ENGINES.items():
                if importlib.util.find_spec(package) is None:
                    name = f"{cartons:,} cartons, {scene}, {engine}"
                    rows.append({"name": name, "value": float("nan"), "unit": "ms/frame", "note": "not installed"})
                else:
                    rows.append(row(measure(engine, scene, cartons)))
    for worlds in WORLDS:
        value = round(many_worlds(worlds)["world_frames_per_s"])
        rows.append({"name": f"20 cartons on a belt in {worlds} worlds", "value": value, "unit": "world frames/s", "note": ""})
    return rows
