"""A TCP proxy that fails on purpose."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Mode = Literal["pass", "refuse", "hole", "nonsense", "freeze", "slow"]
NONSENSE = b"HTTP/1.1 400 Bad Request\r\nServer: wrong\r\n\r\n" * 20
SLOW_BYTES = 256
SLOW_PAUSE_S = 0.02
_LOOK_S = 0.02


class FaultProxy:
    """Forwards a loopback port to another, on a thread of its own.

    Modes: ``pass``; ``refuse`` hangs up on whoever connects; ``hole`` takes connections and is silent; ``nonsense``
    answers as a web server would; ``freeze`` forwards
    nothing more and keeps every connection open, as a cable that was pulled; ``slow`` forwards 256 bytes every 20 ms.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.mode: Mode = "pass"
        self.accepted = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Reset every connection."""
        self._loop.call_soon_threadsafe(self._abort_all)

    def close(self) -> None:
        """End the proxy with all its connections."""
        self._do(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    def _abort_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _shut_down(self) -> None:
        self._server.close()
        self._abort_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self.mode == "refuse":
                return
            if self.mode == "nonsense":
                writer.write(NONSENSE)
                while self.mode == "nonsense":
                    await asyncio.sleep(_LOOK_S)
                return
            while self.mode == "hole":
                await asyncio.sleep(_LOOK_S)
            try:
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._target)
            except OSError:
                return  # the server is away: so is its proxy
            upstream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(upstream)
            try:
                pumps = [asyncio.create_task(self._pump(*ends)) for ends in ((reader, upstream), (upstream_reader, writer))]
                _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in left:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
            finally:
                self._open.discard(upstream)
                upstream.transport.abort()
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(SLOW_BYTES if self.mode == "slow" else 65536):
            while self.mode == "freeze":
                await asyncio.sleep(_LOOK_S)
            if self.mode == "slow":
                await asyncio.sleep(SLOW_PAUSE_S)
            writer.write(data)
            await writer.drain()
