"""The same moving things through viser and Rerun: ``PYTHON bench/stream/peers.py viser|rerun --movers N --viewers V``.

Needs neither Twin nor its environment: PYTHON is that of an environment with ``viser``, ``rerun-sdk`` and ``websockets``
(``TWIN_BENCH_PEERS`` names it for ``python -m bench stream``). Prints processor time and bytes as JSON.

viser: one batched mesh whose positions and orientations are set for each frame; viewers are websockets that count what comes.
Rerun: the same as ``InstancePoses3D`` with a recording file as its one sink, which is what a viewer would be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np


def motion(movers: int, hz: float, seconds: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions [n,3] m and rotations [n,4] wxyz, in real time: cartons on belts, a tenth of them turning."""
    draw = np.random.default_rng(1)
    start = np.column_stack([draw.uniform(0.0, [200.0, 100.0], (movers, 2)), np.full(movers, 0.9)])
    turning = draw.random(movers) < 0.1
    begin = time.perf_counter()
    for n in range(1, int(hz * seconds) + 1):
        position = start.astype(np.float32)
        position[:, 0] = (position[:, 0] + 0.5 * n / hz) % 200.0
        angle = np.where(turning, 0.25 * n / hz, 0.0)
        rotation = np.zeros((movers, 4), np.float32)
        rotation[:, 0], rotation[:, 3] = np.cos(angle), np.sin(angle)
        yield position, rotation
        time.sleep(max(0.0, begin + n / hz - time.perf_counter()))


def run_viser(movers: int, viewers: int, hz: float, seconds: float) -> dict[str, float]:
    import viser

    server = viser.ViserServer(host="127.0.0.1", port=18080 + os.getpid() % 1000, verbose=False)
    box = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.2, 0.2) for z in (-0.2, 0.2)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.uint32)
    first = next(motion(movers, hz, 1.0))
    handle = server.scene.add_batched_meshes_simple("movers", box, faces, first[1], first[0])
    address = f"ws://127.0.0.1:{server.get_port()}"
    command = [sys.executable, __file__, "count", "--url", address, "--viewers", str(viewers)]
    watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    watching.stdout.readline()  # connected
    cpu, begin, frames = time.process_time(), time.perf_counter(), 0
    for position, rotation in motion(movers, hz, seconds):
        with server.atomic():
            handle.batched_positions = position
            handle.batched_wxyzs = rotation
        frames += 1
    used, lasted = time.process_time() - cpu, time.perf_counter() - begin
    out, _ = watching.communicate("stop\n")
    total = int(out.split()[-1])
    server.stop()
    return {"cores": used / lasted, "bytes_per_mover": total / viewers / frames / movers, "frames_per_s": frames / lasted}


async def count(url: str, viewers: int) -> None:
    import viser
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.typing import Subprotocol

    totals = [0] * viewers
    begun = asyncio.Event()

    async def read(i: int, socket: ClientConnection) -> None:
        async for data in socket:
            if begun.is_set():
                totals[i] += len(data)

    sockets = [
        await connect(url, subprotocols=[Subprotocol(f"viser-v{viser.__version__}")], max_size=None, compression=None)
        for _ in range(viewers)
    ]
    readers = [asyncio.create_task(read(i, socket)) for i, socket in enumerate(sockets)]
    await asyncio.sleep(2.0)  # the scene itself does not count
    begun.set()
    print("connected", flush=True)
    await asyncio.to_thread(input)
    for reader in readers:
        reader.cancel()
    print(sum(totals), flush=True)
    os._exit(0)


def run_rerun(movers: int, hz: float, seconds: float) -> dict[str, float]:
    import rerun as rr

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "movers.rrd")
        rr.init("movers")
        rr.save(file)
        cpu, begin, frames = time.process_time(), time.perf_counter(), 0
        for position, rotation in motion(movers, hz, seconds):
            rr.set_time("step", sequence=frames)
            rr.log("movers", rr.InstancePoses3D(translations=position, quaternions=rotation[:, [1, 2, 3, 0]]))
            frames += 1
        used, lasted = time.process_time() - cpu, time.perf_counter() - begin
        rr.disconnect()
        size = os.path.getsize(file)
    return {"cores": used / lasted, "bytes_per_mover": size / frames / movers, "frames_per_s": frames / lasted}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["viser", "rerun", "count"])
    parser.add_argument("--movers", type=int, default=5000)
    parser.add_argument("--viewers", type=int, default=10)
    parser.add_argument("--hz", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--url", default="")
    options = parser.parse_args()
    if options.what == "count":
        asyncio.run(count(options.url, options.viewers))
    elif options.what == "viser":
        print(json.dumps(run_viser(options.movers, options.viewers, options.hz, options.seconds)), flush=True)
        os._exit(0)  # its threads do not end by themselves
    else:
        print(json.dumps(run_rerun(options.movers, options.hz, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
