"""The real server with a generator in place of the engine: ``python -m bench.stream.source --movers N``.

Document, access, application, websocket and hub are those of ``twin serve``; only the frames are made here, so that as many
things move as are wanted whatever the physics costs. Prints the same ready line as ``twin serve``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvicorn

from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable
from twin.server.app import create_app
from twin.server.gateways import Gateways, upstream_socket
from twin.server.host import Host
from twin.server.hub import Hub
from twin.server.serve import bind, server_config
from twin.server.settings import Settings

STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "Block" (prepend apiSchemas = ["PhysicsCollisionAPI"])
    {
    }
}
"""
HALL_M = np.array([200.0, 100.0])
SPEED_M_S = 0.5
TURNING = 0.1
"""Share of the things that turn while they move."""


@dataclass
class Movers:
    """Cartons on belts of a hall of 200 m by 100 m, all moving, a tenth of them turning as well."""

    count: int

    def __post_init__(self) -> None:
        draw = np.random.default_rng(1)
        self._start = np.column_stack([draw.uniform(0.0, HALL_M, (self.count, 2)), np.full(self.count, 0.9)])
        self._turning = draw.random(self.count) < TURNING
        self._none = np.zeros(0, np.int64)
        self._item = np.arange(self.count)

    def table(self) -> BodyTable:
        return BodyTable(2, [], ["/World/Carton"], self.count)

    def frame(self, t: float) -> StateFrame:
        position = self._start.copy()
        position[:, 0] = (position[:, 0] + SPEED_M_S * t) % HALL_M[0]
        rotation = np.zeros((self.count, 4), np.float32)
        angle = np.where(self._turning, 0.25 * t, 0.0)
        rotation[:, 2], rotation[:, 3] = np.sin(angle), np.cos(angle)
        none = self._none
        return StateFrame(
            sim_time=t, tick=int(t * 1000),
            body_position=np.zeros((0, 3), np.float32), body_rotation=np.zeros((0, 4), np.float32),
            item_alive=np.ones(self.count, bool), item_id=self._item, item_prototype=np.zeros(self.count, np.int32),
            item_position=position.astype(np.float32), item_rotation=rotation, item_pieces=np.ones(self.count, np.int32),
            node_state=none, node_level=none, node_in=none, node_out=none,
        )  # fmt: skip


def _drive(
    movers: Movers, hz: float, hub: Hub, gateways: Gateways | None, loop: asyncio.AbstractEventLoop, stop: threading.Event
) -> None:
    """As the owner thread does: a frame when it is due, stamped here, handed to the gateways and the event loop."""
    begin = time.perf_counter()
    n = 0
    while not stop.is_set():
        n += 1
        frame, now = movers.frame(n / hz), time.time()
        if gateways is not None:
            gateways.publish(frame, now)
        loop.call_soon_threadsafe(hub.publish, frame, now)
        stop.wait(max(0.0, begin + n / hz - time.perf_counter()))


async def _serve(host: Host, movers: Movers, hz: float, processes: int) -> None:
    app = create_app(host)
    hub: Hub = app.state.context.hub
    sock, gateways = bind("127.0.0.1", 0, shared=processes > 0), None
    port = sock.getsockname()[1]
    if processes:
        gateways = Gateways([sock, *(bind("127.0.0.1", port, shared=True) for _ in range(processes - 1))])
        gateways.publish(movers.table(), 0.0)
        sock = upstream_socket(gateways.upstream)
        gateways.start()
    server = uvicorn.Server(server_config(app))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    hub.publish(movers.table())
    host.runtime.current = lambda: [movers.table()]  # type: ignore[method-assign]
    stop = threading.Event()
    thread = threading.Thread(target=_drive, args=(movers, hz, hub, gateways, loop, stop))
    thread.start()
    print(json.dumps({"url": f"http://127.0.0.1:{port}", "token": host.token}), flush=True)
    await serving
    stop.set()
    await asyncio.to_thread(thread.join)
    if gateways is not None:
        await asyncio.to_thread(gateways.stop)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--movers", type=int, required=True)
    parser.add_argument("--hz", type=float, default=20.0)
    parser.add_argument("--gateways", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "stage.usda"
        stage.write_text(STAGE)
        host = Host(Settings(stage, Path(folder) / "project", paused=True))
        host.start()
        try:
            asyncio.run(_serve(host, Movers(options.movers), options.hz, options.gateways))
        finally:
            host.stop()


if __name__ == "__main__":
    main()
