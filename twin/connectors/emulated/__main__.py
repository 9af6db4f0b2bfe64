"""``python -m twin.connectors.emulated``: serve the emulated packaging line by OPC UA until the parent process is gone."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import stat
import sys
import time
from datetime import UTC

from asyncua import Node, Server, ua

from twin.connectors.emulated.line import VARIABLES, PackagingLine
from twin.connectors.emulated.spawn import free_port

NAMESPACE = "urn:twin:emulated:packaging-line"
STEP_S = 0.1
PARENT_CHECK_S = 0.5


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="python -m twin.connectors.emulated", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="loopback port, 0: a free one")
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this process is gone")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    # a client that goes away without a goodbye is no event for the reader of this log
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    try:
        asyncio.run(serve(arguments.port, arguments.parent_pid, arguments.seed))
    except OSError as error:
        print(f"error: cannot serve on port {arguments.port}: {error}", file=sys.stderr)
        sys.exit(2)


async def serve(port: int, parent_pid: int, seed: int) -> None:
    """Serve until the parent is gone or a signal asks to end."""
    # The address is part of what the server tells about itself, so a free port is found before it starts.
    endpoint = f"opc.tcp://127.0.0.1:{port or free_port()}/twin/emulated"
    server = Server()
    await server.init()
    server.set_endpoint(endpoint)
    server.set_server_name("Twin emulated packaging line")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    line = PackagingLine(seed=seed)
    nodes = await _address_space(server, await server.register_namespace(NAMESPACE), line)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        loop.add_reader(0, lambda: None if os.read(0, 4096) else _end_of_input(loop, stop))
    async with server:
        print(json.dumps({"event": "ready", "endpoint": endpoint}), flush=True)
        playing = asyncio.create_task(_play(server, line, nodes))
        others = [asyncio.create_task(_until_gone(parent_pid)), asyncio.create_task(stop.wait())]
        await asyncio.wait([playing, *others], return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            playing.result()
        for task in (playing, *others):
            task.cancel()


def _end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.remove_reader(0)
    stop.set()


async def _until_gone(parent_pid: int) -> None:
    """Returns when the parent has ended; never where none was named."""
    while parent_pid == 0 or os.getppid() == parent_pid or _exists(parent_pid):
        await asyncio.sleep(PARENT_CHECK_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _play(server: Server, line: PackagingLine, nodes: dict[str, ua.NodeId]) -> None:
    """Advance the line in real time and publish each variable at its own rate."""
    due = dict.fromkeys(nodes, 0.0)
    begin = time.monotonic()
    while True:
        while line.time + STEP_S <= time.monotonic() - begin:
            line.step(STEP_S)
        now = ua.DateTime.now(UTC)
        for variable in VARIABLES:
            if line.time >= due[variable.node]:
                due[variable.node] = line.time + variable.period - STEP_S / 2.0
                value = ua.DataValue(_variant(variable.read(line)), SourceTimestamp=now, ServerTimestamp=now)
                await server.write_attribute_value(nodes[variable.node], value)
        await asyncio.sleep(max(begin + line.time + STEP_S - time.monotonic(), 0.0))


async def _address_space(server: Server, index: int, line: PackagingLine) -> dict[str, ua.NodeId]:
    folders: dict[str, Node] = {}
    nodes: dict[str, ua.NodeId] = {}
    for variable in VARIABLES:
        if variable.folder not in folders:
            folder_id = ua.NodeId(ua.String(variable.folder), ua.Int16(index))
            folders[variable.folder] = await server.nodes.objects.add_object(folder_id, variable.folder)
        node_id = ua.NodeId(ua.String(variable.node), ua.Int16(index))
        await folders[variable.folder].add_variable(node_id, variable.name, _variant(variable.read(line)))
        nodes[variable.node] = node_id
    return nodes


def _variant(value: float | int | bool) -> ua.Variant:
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.UInt32)
    return ua.Variant(value, ua.VariantType.Double)


if __name__ == "__main__":
    main()
