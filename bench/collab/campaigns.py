"""Campaigns that take long: servers killed at random moments, and an hour's worth of editing.

``python -m bench.collab kills COUNT`` and ``python -m bench.collab memory MINUTES`` print what docs/reliability.md says.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.collab.editors import Load, crowd
from bench.collab.server import edits, row, serving, write_stage
from twin.protocol.messages import Op

EDITORS = 6
KILL_PRIMS = 100
RELEVANT = 0.1
"""Share of edits that the simulation must take over (a belt's speed); the rest move what stands about."""
SAMPLE_S = 10.0
SETTLED = 0.25
"""Share of a run that is left out of the slope: caches, the undo window and the like fill up first."""


def kill_servers(folder: Path, kills: int) -> list[dict[str, Any]]:
    """SIGKILL in the middle of editing, again and again; after each restart all that was acknowledged must be there.

    An acknowledged edit is lost where the journal does not have it under its number; a value is wrong where the stage that is
    composed from the journal has another one than its last edit wrote.
    """
    from twin.collab.stored import open_with_edits

    stage, project = folder / "kills.usda", folder / "kills"
    write_stage(stage, KILL_PRIMS)
    draw = random.Random(1)
    load = Load()
    starts: list[float] = []
    lost = wrong = 0
    for number in range(kills):
        begin = time.perf_counter()
        with serving(stage, project) as server:
            starts.append(time.perf_counter() - begin)
            end = threading.Timer(draw.uniform(0.05, 1.5), server.kill)
            make = edits(RELEVANT, KILL_PRIMS)
            crowd(server.url, server.token, EDITORS, 30.0, make, ops_per_s=20.0, load=load, seed=number, begun=end.start)
            end.join()
        last: dict[str, Any] = {}
        with closing(sqlite3.connect(project / "journal.db")) as journal:
            for session, opid, seq in load.answers:
                found = journal.execute("select seq from ops where session = ? and opid = ?", (session, opid)).fetchone()
                lost += found is None or found[0] != seq
            for (txn,) in journal.execute("select txn from ops order by seq"):
                last |= {f"{op.path}.{op.field}": op.value[1] for op in msgspec.msgpack.decode(txn, type=list[Op])}
        load.answers.clear()
        edited, _ = open_with_edits(stage, project)
        for key, value in last.items():
            path, _, name = key.partition(".")
            found = edited.GetPrimAtPath(path).GetAttribute(name).Get()
            wrong += (list(found) if isinstance(value, list) else found) != value
        if number % 25 == 24:
            told = (
                f"{number + 1} kills, {len(load.trips)} acknowledged, {lost} lost, {wrong} values wrong, {len(load.epochs)} epoch"
            )
            print(f"{told}, ready again after {np.median(starts):.1f} s (median)", file=sys.stderr, flush=True)
    note = f"of {len(load.trips)}; {kills} kills while {EDITORS} editors work"
    return [
        row("SIGKILL of a server: acknowledged edits lost", lost, "1", note),
        row("SIGKILL of a server: values that are not those of the last edit", wrong, "1"),
        row("SIGKILL of a server: epochs", len(load.epochs), "1", "1: every client may resume"),
        row("SIGKILL of a server: ready again", float(np.median(starts)), "s", f"median; longest {max(starts):.1f}"),
    ]


def everything(draw: random.Random, number: int) -> Op:
    """What people do over a day: moving, values that are simulated, colours, names of their own, parts that come and go."""
    kind = draw.random()
    cube = f"/World/C{draw.randrange(1000)}"
    if kind < 0.5:
        return Op("set_field", cube, "xformOp:translate", ["double3", [float(number), 0.0, 0.0]])
    if kind < 0.55:
        return Op("set_field", "/World/Belt", "twin:conveyor:speed", ["double", 0.1 + number * 1e-6])
    if kind < 0.7:
        return Op("set_field", cube, "primvars:displayColor", ["color3f[]", [[draw.random(), draw.random(), draw.random()]]])
    if kind < 0.8:
        return Op("set_field", cube, f"userProperties:note{number % 3}", ["string", f"note {number}"])
    new = f"/World/N{draw.randrange(400)}"
    return Op("remove_prim", new) if kind < 0.9 else Op("add_prim", new, "", {"type": "Cube"})


def _resident_mb(pid: int) -> tuple[float, float]:
    """Memory of a server, and of the processes that it keeps beside it [MB]; checkpoints are processes of a few seconds."""
    beside = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            if b"twin.scene.beside" in Path(f"/proc/{child}/cmdline").read_bytes():
                beside += _pages_mb(int(child))
    return _pages_mb(pid), beside


def _pages_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def memory(folder: Path, minutes: float, editors: int = 20, ops_per_s: float = 5.0) -> list[dict[str, Any]]:
    """Editing of all kinds for ``minutes``; memory of the server and of the process that compiles, by number of edits."""
    stage = folder / "memory.usda"
    write_stage(stage, 1000)
    load, samples, ended = Load(), [], threading.Event()
    with serving(stage, folder / "memory") as server:

        def sample() -> None:
            while not ended.wait(SAMPLE_S):
                with suppress(OSError):  # a checkpoint has ended meanwhile
                    samples.append((len(load.trips) + load.refused, *_resident_mb(server.process.pid)))

        watch = threading.Thread(target=sample)
        watch.start()
        crowd(server.url, server.token, editors, minutes * 60.0, everything, ops_per_s=ops_per_s, load=load)
        ended.set()
        watch.join()
    done, used, beside = np.array(samples).T
    kept = done >= SETTLED * done[-1]
    slope = float(np.polyfit(done[kept], (used + beside)[kept], 1)[0]) * 1000.0
    note = f"{int(done[-1])} edits in {len(samples) * SAMPLE_S / 60.0:.0f} min, {load.refused} refused"
    note += f", ended early: {load.ended}; MB by time: " if load.ended else "; MB by time: "
    step = max(1, len(used) // 10)
    return [
        row("memory of the server at the end", float(used[-1]), "MB", note + " ".join(f"{m:.0f}" for m in used[::step])),
        row("memory of the compiling process at the end", float(beside[-1]), "MB", " ".join(f"{m:.0f}" for m in beside[::step])),
        row("memory of both, slope after the first quarter", slope, "MB / 1000 edits"),
    ]
