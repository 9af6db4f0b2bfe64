"""Editing together under load: how long an edit takes to come back, and whether SIGKILL loses any."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from bench.collab.durability import kill_campaign, recovery
from bench.collab.editors import Load, MakeOp, crowd, messages
from twin.protocol.frames import MAGIC
from twin.protocol.messages import PROTOCOL_VERSION, Edit, Edited, Hello, Op, Refused, Welcome, encode

PRIMS = 5000
OPS_PER_S = 5.0
SECONDS = 20.0
KILLS = 3
RELEVANT = 0.1
"""Share of edits that the simulation must take over (a belt's speed); the rest move what stands about."""

HEADER = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    class Xform "Carton" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "TwinItemAPI"])
    {
        token twin:item:type = "carton"
        def Cube "Box" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {
            double size = 0.4
        }
    }
    def Cube "In" (prepend apiSchemas = ["TwinSourceAPI"])
    {
        double3 xformOp:translate = (-1, 0, 1.25)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        double twin:source:interarrival:mean = 5
        rel twin:source:items = </World/Carton>
        rel twin:next = </World/Belt>
    }
    def Xform "Belt" (prepend apiSchemas = ["TwinConveyorAPI"])
    {
        double twin:conveyor:speed = 0.5
        rel twin:next = </World/Out>
        def Cube "Bed" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {
            double3 xformOp:translate = (1, 0, 0.9)
            float3 xformOp:scale = (1.5, 0.3, 0.1)
            uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
        }
    }
    def Cube "Out" (prepend apiSchemas = ["TwinSinkAPI"])
    {
        double3 xformOp:translate = (5, 0, 1)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
"""


def write_stage(path: Path, prims: int = PRIMS) -> None:
    """A line of four prims among ``prims`` cubes."""
    cubes = "".join(
        f'    def Cube "C{i}"\n    {{\n        double size = 0.2\n'
        f"        double3 xformOp:translate = ({i % 100}, {10 + i // 100}, 0)\n"
        '        uniform token[] xformOpOrder = ["xformOp:translate"]\n    }\n'
        for i in range(prims)
    )
    path.write_text(f"{HEADER}{cubes}}}\n")


@dataclass
class Server:
    """A ``twin serve`` of its own process."""

    process: subprocess.Popen[str]
    url: str
    token: str

    def kill(self) -> None:
        """As a loss of power would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def join(self, name: str) -> tuple[ClientConnection, Welcome]:
        """A new tab."""
        socket = await connect(
            self.url.replace("http", "ws", 1) + "/api/ws",
            additional_headers={"Authorization": f"Bearer {self.token}"},
            max_size=None,
            compression=None,
        )
        await socket.send(encode(Hello(PROTOCOL_VERSION, name, batches=True)))
        welcome = next(messages(bytes(await socket.recv())), None)
        if not isinstance(welcome, Welcome):
            raise RuntimeError(f"expected a welcome, got {welcome}")
        return socket, welcome


@contextmanager
def serving(stage: Path, project: Path) -> Iterator[Server]:
    """Start a server and see to its end."""
    command = [sys.executable, "-m", "twin.cli.main", "serve", str(stage), "--project", str(project), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=dict(os.environ))
    if process.stdout is None:
        raise RuntimeError("no stdout")
    try:
        ready = json.loads(process.stdout.readline())
        yield Server(process, ready["url"], ready["token"])
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=15)
        process.stdout.close()


def edits(relevant: float) -> MakeOp:
    """What editors do: mostly moving what stands about; a share of ``relevant`` is for the simulation."""

    def make(draw: random.Random, number: int) -> Op:
        if draw.random() < relevant:
            return Op("set_field", "/World/Belt", "twin:conveyor:speed", ["double", 0.1 + number * 1e-6])
        place = ["double3", [float(number), 0.0, 0.0]]
        return Op("set_field", f"/World/C{draw.randrange(PRIMS)}", "xformOp:translate", place)

    return make


def _row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "note": note}


def _processor_s(pid: int) -> float:
    """Processor time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(stage: Path, project: Path, editors: int, *, relevant: float, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Round trip of edits by ``editors`` at once: from sending to the author's echo, which comes after the commit."""
    with serving(stage, project) as server:
        before = _processor_s(server.process.pid)
        load = crowd(server.url, server.token, editors, seconds, edits(relevant), ops_per_s=OPS_PER_S)
        used = _processor_s(server.process.pid) - before
    trips, gaps = np.array(load.trips) * 1e3, np.array(load.gaps) * 1e3
    case = f"{editors} editors" + (f", {relevant:.0%} simulated" if relevant else "")
    note = f"{len(trips)} edits at {OPS_PER_S:g}/s each on {PRIMS} prims, {load.refused} refused"
    unanswered = load.sent - len(trips) - load.refused
    return [
        _row(f"{case}: round trip p50", float(np.percentile(trips, 50)), "ms", note),
        _row(f"{case}: round trip p99", float(np.percentile(trips, 99)), "ms", f"{unanswered} unanswered"),
        _row(
            f"{case}: processor time of the server", used / max(len(trips), 1) * 1e3, "ms/edit", "simulation and stream included"
        ),
        _row(f"{case}: processor time of the editors", load.used_s / max(len(trips), 1) * 1e3, "ms/edit"),
        _row(f"{case}: time between frames p50", float(np.percentile(gaps, 50)), "ms"),
        _row(f"{case}: time between frames p99", float(np.percentile(gaps, 99)), "ms", f"longest {gaps.max():.0f} ms"),
    ]


def kill_server(stage: Path, project: Path, *, kills: int = KILLS) -> list[dict[str, Any]]:
    """SIGKILL in the middle of editing, again and again; after each restart all that was acknowledged must be there."""
    from twin.collab.stored import open_with_edits

    draw = random.Random(1)
    load = Load()
    epochs: set[str] = set()
    starts = []
    lost = 0
    for number in range(kills):
        begin = time.perf_counter()
        with serving(stage, project) as server:
            starts.append(time.perf_counter() - begin)
            end = threading.Timer(draw.uniform(0.3, 2.0), server.kill)
            end.start()
            epochs |= crowd(server.url, server.token, 6, 30.0, edits(RELEVANT), load=load, seed=number).epochs
            end.join()
        edited, _ = open_with_edits(stage, project)
        for key, (_, value) in load.acknowledged.items():
            path, _, name = key.partition(".")
            found = edited.GetPrimAtPath(path).GetAttribute(name).Get()
            number = round((found - 0.1) * 1e6) if name.startswith("twin:") else round(found[0])
            lost += number < value  # a later one, whose echo was lost, may have overwritten it
    return [
        _row(
            "SIGKILL of a server: acknowledged edits lost", lost, "1", f"of {len(load.trips)}, {kills} kills while 6 editors work"
        ),
        _row("SIGKILL of a server: epochs", len(epochs), "1", "1: every client may resume"),
        _row("SIGKILL of a server: ready again", float(np.median(starts)), "s", "median, Python and kernels loading included"),
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
    rows = [_row("packaging line: time between frames", quiet * 1e3, "ms", "median without edits")]
    for kind, times in worst.items():
        rows.append(
            _row(f"packaging line: view stands, {kind}", float(np.median(times)) * 1e3, "ms", f"worst {max(times) * 1e3:.0f}")
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
        rows += kill_server(stage, Path(folder) / "kills")
        return rows + kill_campaign(Path(folder)) + recovery(stage, Path(folder) / "recovery")
