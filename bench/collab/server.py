"""A server in a process of its own, on a stage of many prims, and what editors do there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench.collab.editors import MakeOp, messages
from twin.protocol.messages import PROTOCOL_VERSION, Hello, Op, Welcome, encode

PRIMS = 5000

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


def edits(relevant: float, prims: int = PRIMS) -> MakeOp:
    """What editors do: mostly moving what stands about; a share of ``relevant`` is for the simulation."""

    def make(draw: random.Random, number: int) -> Op:
        if draw.random() < relevant:
            return Op("set_field", "/World/Belt", "twin:conveyor:speed", ["double", 0.1 + number * 1e-6])
        place = ["double3", [float(number), 0.0, 0.0]]
        return Op("set_field", f"/World/C{draw.randrange(prims)}", "xformOp:translate", place)

    return make


def processor_s(pid: int) -> float:
    """Processor time of a process so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "note": note}
