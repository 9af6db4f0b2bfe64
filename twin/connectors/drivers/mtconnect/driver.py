"""An MTConnect adapter (SHDR) over a TCP socket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from twin.connectors.base import Fatal, Found, Plan, Probe, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.mtconnect.config import MtconnectOptions
from twin.connectors.drivers.mtconnect.model import Item, read_items
from twin.connectors.drivers.mtconnect.observed import agree_on_unit, reading_of
from twin.connectors.drivers.mtconnect.shdr import LineError, LineReader
from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.clock import now_ns
from twin.core.tasks import first_of

LINE_BYTES = 1 << 20
SILENT_HEARTBEATS = 2.5
"""After so many heartbeats without a word an adapter that has answered before is gone."""
_PONG = re.compile(r"^\*\s*PONG\s+(\d+)")


class MtconnectDriver:
    """One attempt at one adapter."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._options: MtconnectOptions = connection.options
        try:
            url = urlsplit(connection.address)
            host, port = url.hostname, url.port or 7878
        except ValueError:
            url, host, port = None, None, 0
        if url is None or url.scheme != "shdr" or not host:
            raise Fatal("the address is not understood", attribute="address", allowed=["shdr://HOST:PORT"])
        self._host, self._port = host, port
        self._items: dict[str, Item] = {}
        if self._options.devices is not None:
            self._items = read_items(connection.folder / self._options.devices, self._options.device)
        self._reader = LineReader(self._items, ZoneInfo(self._options.timezone), self._options.device)
        self._points: dict[str, list[Point]] = {}
        self._pong = asyncio.Event()
        self._heartbeat = self._options.heartbeat
        self._answers = False

    # ---- the contract

    async def probe(self) -> Probe:
        details: dict[str, str] = {}
        async with self._socket() as (reader, writer):
            writer.write(b"* PING\n")
            try:
                async with asyncio.timeout(1.0):
                    async for line in _lines(reader):
                        if not line.startswith("*"):
                            continue
                        if _PONG.match(line):
                            details["heartbeat"] = f"{_PONG.match(line)[1]} ms"  # type: ignore[index]
                            break
                        key, _, value = line.lstrip("* ").partition(":")
                        details[key.strip()] = value.strip()
            except TimeoutError:
                details["heartbeat"] = "none"  # an adapter need not answer
        return Probe("MTConnect adapter", details)

    async def browse(self, *, seconds: float) -> list[Found]:
        """Items that the adapter sends; most of them come at once, as the dump that opens a session."""
        found: dict[str, Found] = {}
        async with self._socket() as (reader, _):
            try:
                async with asyncio.timeout(seconds):
                    async for line in _lines(reader):
                        try:
                            observations = [] if line.startswith("*") else self._reader.read(line)
                        except LineError:
                            continue  # counted where it matters, in run()
                        for seen in observations:
                            item = self._items.get(seen.item)
                            label = f"{item.component if item else ''}/{seen.item}"
                            kind = item.category.lower() if item else ""
                            sample = "UNAVAILABLE" if seen.value is None else seen.value[:60]
                            found[seen.item] = Found({"item": seen.item}, label, kind, sample, item.unit if item else "")
            except TimeoutError:
                pass  # the end of listening is the normal end
        return [found[name] for name in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        for point in plan.points:
            if self._items:
                agree_on_unit(point, self._items.get(point.source.item), sink, "device model")
            self._points.setdefault(point.source.item, []).append(point)
        async with self._socket() as (reader, writer):
            sink.connected()
            await first_of(self._watch(writer), self._read(reader, sink))

    def subscribed(self) -> set[int]:
        return {p.index for points in self._points.values() for p in points}

    async def subscribe(self, points: Sequence[Point]) -> None:
        """An adapter sends everything."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        raise Fatal("an adapter cannot be written", attribute=str(requests[0].point))

    # ---- inside

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_BYTES)
        except OSError as error:
            raise Retryable(f"cannot connect: {error}") from error
        try:
            yield reader, writer
        except OSError as error:
            raise Retryable(f"the adapter was lost: {error}") from error
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, sink: Sink) -> None:
        async for line in _lines(reader):
            self._pong.set()
            if line.startswith("*"):
                pong = _PONG.match(line)
                if pong is not None:
                    self._answers = True
                    self._heartbeat = max(int(pong[1]) / 1000.0, 0.1)
                continue
            received = now_ns()
            try:
                observations = self._reader.read(line)
            except LineError as error:
                sink.reject(f"line {error}", line[:60])
                continue
            sink.offer(
                [
                    reading_of(p, seen.value, self._items.get(p.source.item), seen.time, received)
                    for seen in observations
                    for p in self._points.get(seen.item, ())
                ]
            )
        raise Retryable("the adapter closed the connection")

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        """Asks for heartbeats; raises when an adapter that used to answer is silent."""
        while True:
            self._pong.clear()
            writer.write(b"* PING\n")
            await asyncio.sleep(self._heartbeat)
            if self._pong.is_set() or not self._answers:
                continue
            try:
                async with asyncio.timeout(self._heartbeat * (SILENT_HEARTBEATS - 1.0)):
                    await self._pong.wait()
            except TimeoutError:
                raise Retryable(f"the adapter is silent ({SILENT_HEARTBEATS * self._heartbeat:g} s)") from None


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    while True:
        try:
            line = await reader.readline()
        except ValueError:
            raise Retryable(f"a line has more than {LINE_BYTES} bytes") from None
        if not line:
            return
        yield line.decode("utf-8", errors="replace").strip("\r\n")
