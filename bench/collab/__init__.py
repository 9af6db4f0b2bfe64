"""Editing together under load: how long an edit takes to come back, and whether SIGKILL loses any."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.collab.campaigns import RELEVANT, kill_servers
from bench.collab.durability import kill_campaign, recovery
from bench.collab.editors import crowd, messages
from bench.collab.many import siblings
from bench.collab.server import PRIMS, Server, edits, processor_s, row, serving, write_stage
from twin.protocol.frames import MAGIC
from twin.protocol.messages import Edit, Edited, Op, Refused, encode

OPS_PER_S = 5.0
SECONDS = 20.0
KILLS = 3


def measure(stage: Path, project: Path, editors: int, *, relevant: float, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Round trip of edits by ``editors`` at once: from sending to the author's echo, which comes after the commit."""
    with serving(stage, project) as server:
        before = processor_s(server.process.pid)
        load = crowd(server.url, server.token, editors, seconds, edits(relevant), ops_per_s=OPS_PER_S)
        used = processor_s(server.process.pid) - before
    trips, gaps = np.array(load.trips) * 1e3, np.array(load.gaps) * 1e3
    case = f"{editors} editors" + (f", {relevant:.0%} simulated" if relevant else "")
    note = f"{len(trips)} edits at {OPS_PER_S:g}/s each on {PRIMS} prims, {load.refused} refused"
    unanswered = load.sent - len(trips) - load.refused
    return [
        row(f"{case}: round trip p50", float(np.percentile(trips, 50)), "ms", note),
        row(f"{case}: round trip p99", float(np.percentile(trips, 99)), "ms", f"{unanswered} unanswered"),
        row(
            f"{case}: processor time of the server", used / max(len(trips), 1) * 1e3, "ms/edit", "simulation and stream included"
        ),
        row(f"{case}: processor time of the editors", load.used_s / max(len(trips), 1) * 1e3, "ms/edit"),
        row(f"{case}: time between frames p50", float(np.percentile(gaps, 50)), "ms"),
        row(f"{case}: time between frames p99", float(np.percentile(gaps, 99)), "ms", f"longest {gaps.max():.0f} ms"),
    ]


HERO = Path(__file__).parents[2] / "scenes" / "packaging_line" / "scene.usda"
BELT = "/World/Line/InfeedA"


async def _watch(server: Server, rounds: int) -> tuple[dict[str, list[float]], float]:
    """Longest time without a frame around each edit, by kind of edit, and the median without any [s]."""
    socket, _ = await server.join("Engineer")
    gaps: list[float] = []
    last = 0.0
    answered: asyncio.Queue[Any] = asyncio.Queue()

    async def receive() -> None:
        nonlocal last
        async for data in socket:
            now = time.perf_counter()
            if data[:4] == MAGIC:
                if last:
                    gaps.append(now - last)
                last = now
                continue
            for message in messages(data):
                if isinstance(message, (Edited, Refused)):
                    answered.put_nowait(message)

    reader = asyncio.create_task(receive())
    worst: dict[str, list[float]] = {}
    await asyncio.sleep(3.0)
    quiet = float(np.median(gaps))
    for number in range(rounds):
        new = f"/World/Line/Bench{number}"
        belt = {"type": "Xform", "reference": "_assets/belt_conveyor.usda"}
        place = ["double3", [0.0, 20.0 + 3.0 * number, 0.0]]
        for kind, txn in (
            ("a belt's speed", [Op("set_field", BELT, "twin:conveyor:speed", ["double", 0.5 + 0.01 * number])]),
            ("a new belt", [Op("add_prim", new, "", belt), Op("set_field", new, "xformOp:translate", place)]),
            ("a belt deleted", [Op("remove_prim", new)]),
        ):
            gaps.clear()
            await socket.send(encode(Edit(int(time.time_ns()), 0, txn)))
            answer = await asyncio.wait_for(answered.get(), 60.0)
            if isinstance(answer, Refused):
                raise RuntimeError(answer.reason)
            await asyncio.sleep(1.0)
            worst.setdefault(kind, []).append(max(gaps, default=1.0))
    await socket.close()
    await asyncio.gather(reader, return_exceptions=True)
    return worst, quiet


def hero_edits(project: Path, *, rounds: int = 4) -> list[dict[str, Any]]:
    """How long the view of others stands while the packaging line takes an edit over."""
    with serving(HERO, project) as server:
        worst, quiet = asyncio.run(_watch(server, rounds))
    rows = [row("packaging line: time between frames", quiet * 1e3, "ms", "median without edits")]
    for kind, times in worst.items():
        rows.append(
            row(f"packaging line: view stands, {kind}", float(np.median(times)) * 1e3, "ms", f"worst {max(times) * 1e3:.0f}")
        )
    return rows


def run() -> list[dict[str, Any]]:
    """All cases, about two minutes on an idle machine."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "stage.usda"
        write_stage(stage)
        rows = hero_edits(Path(folder) / "hero")
        for i, (editors, relevant) in enumerate([(20, 0.0), (20, RELEVANT), (50, 0.0), (50, RELEVANT)]):
            rows += measure(stage, Path(folder) / f"p{i}", editors, relevant=relevant, seconds=10.0)
        rows += kill_servers(Path(folder), KILLS)
        rows += siblings(Path(folder))
        return rows + kill_campaign(Path(folder)) + recovery(stage, Path(folder) / "recovery")
