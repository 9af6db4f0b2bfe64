"""A small MTConnect agent for tests: a ring of observations, served as /probe, /current and /sample (ANSI/MTC1.4, part 1)."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

BOUNDARY = "twin-agent"


@dataclass(frozen=True)
class Observation:
    """One entry of the ring; ``level`` makes it a condition."""

    sequence: int
    item: str
    time: str
    value: str
    level: str = ""
    code: str = ""


class Agent:
    """Serves one device model on ``port``. All methods are for the loop's thread.

    Args:
        devices: An MTConnectDevices document. instance: What tells this start of the agent from others.
        buffer: How many observations are kept.
    """

    def __init__(self, devices: bytes, port: int, *, instance: int = 1, buffer: int = 131_072) -> None:
        self._devices, self._port, self._instance = devices, port, instance
        self._ring: deque[Observation] = deque(maxlen=buffer)
        self._latest: dict[str, Observation] = {}
        self._next = 1
        self._more = asyncio.Event()
        self._peers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._items: dict[str, tuple[str, str]] = {}
        for element in ElementTree.fromstring(devices).iter():
            if element.tag.rpartition("}")[2] == "DataItem":
                category, name = element.get("category", ""), element.get("name") or ""
                self._items[element.get("id", "")] = (category, name)
        self.requests: list[str] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    @property
    def port(self) -> int:
        return self._port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for peer in list(self._peers):
            peer.transport.abort()

    def add(self, item: str, time: str, value: str, *, level: str = "", code: str = "") -> None:
        """Take an observation of the data item with id ``item``."""
        seen = Observation(self._next, item, time, value, level, code)
        self._next += 1
        self._ring.append(seen)
        self._latest[item] = seen
        self._more.set()
        self._more = asyncio.Event()

    # ---- HTTP

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            while request := (await reader.readline()).decode("latin-1").split():
                while (await reader.readline()).strip():
                    pass  # its headers say nothing that matters here
                if len(request) < 2 or not await self._answer(urlsplit(request[1]).path, urlsplit(request[1]).query, writer):
                    break
        except OSError:
            pass  # whoever goes without a goodbye has gone too
        finally:
            self._peers.discard(writer)
            writer.close()

    async def _answer(self, path: str, query: str, writer: asyncio.StreamWriter) -> bool:
        """Returns whether the connection may be used again."""
        self.requests.append(f"{path}?{query}")
        asked = {k: v[0] for k, v in parse_qs(query).items()}
        what = path.rstrip("/").rpartition("/")[2]
        if what == "probe":
            return await _send(writer, self._devices)
        if what == "current":
            return await _send(writer, self._streams(sorted(self._latest.values(), key=lambda s: s.sequence), self._next))
        if what != "sample":
            return await _send(writer, self._error("UNSUPPORTED", what), "404 Not Found")
        begin, count = int(asked.get("from", self._first)), int(asked.get("count", 100))
        if not self._first <= begin <= self._next:
            text = f"'from' must be between {self._first} and {self._next}"
            return await _send(writer, self._error("OUT_OF_RANGE", text), "404 Not Found")
        if "interval" not in asked:
            return await _send(writer, self._page(begin, count)[0])
        await self._stream(writer, begin, count, int(asked["interval"]) / 1e3, int(asked.get("heartbeat", 10_000)) / 1e3)
        return False

    async def _stream(self, writer: asyncio.StreamWriter, begin: int, count: int, interval: float, heartbeat: float) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        while True:
            more = self._more
            if begin >= self._next:
                with suppress(TimeoutError):  # a part without observations is the heartbeat
                    await asyncio.wait_for(more.wait(), heartbeat)
            text, begin = self._page(max(begin, self._first), count)
            part = f"--{BOUNDARY}\r\nContent-type: text/xml\r\nContent-length: {len(text)}\r\n\r\n".encode()
            writer.write(part + text + b"\r\n")
            await writer.drain()
            await asyncio.sleep(interval)

    @property
    def _first(self) -> int:
        return self._ring[0].sequence if self._ring else self._next

    def _page(self, begin: int, count: int) -> tuple[bytes, int]:
        at = begin - self._first
        page = [self._ring[i] for i in range(at, min(at + count, len(self._ring)))]
        after = page[-1].sequence + 1 if page else begin
        return self._streams(page, after), after

    # ---- documents

    def _header(self, after: int) -> str:
        return (
            f'<Header creationTime="2026-01-01T00:00:00Z" sender="test" instanceId="{self._instance}" version="2.2.0" '
            f'bufferSize="{self._ring.maxlen}" firstSequence="{self._first}" lastSequence="{self._next - 1}" '
            f'nextSequence="{after}"/>'
        )

    def _error(self, code: str, text: str) -> bytes:
        error = f'<Errors><Error errorCode="{code}">{escape(text)}</Error></Errors>'
        return self._document("Error", self._next, error)

    def _streams(self, seen: list[Observation], after: int) -> bytes:
        groups: dict[str, list[str]] = {"SAMPLE": [], "EVENT": [], "CONDITION": []}
        for one in seen:
            category, name = self._items.get(one.item, ("EVENT", ""))
            head = f'dataItemId={quoteattr(one.item)} timestamp="{one.time}" sequence="{one.sequence}"'
            head += f" name={quoteattr(name)}" if name else ""
            if category == "CONDITION":
                tag = one.level.capitalize() or "Unavailable"
                code = f" nativeCode={quoteattr(one.code)}" if one.code else ""
                groups[category].append(f"<{tag} {head}{code}>{escape(one.value)}</{tag}>")
            else:
                groups[category].append(f"<Value {head}>{escape(one.value)}</Value>")
        tags = {"SAMPLE": "Samples", "EVENT": "Events", "CONDITION": "Condition"}
        inner = "".join(f"<{tags[g]}>{''.join(rows)}</{tags[g]}>" for g, rows in groups.items() if rows)
        component = f'<ComponentStream component="c">{inner}</ComponentStream>'
        return self._document("Streams", after, f'<Streams><DeviceStream name="d" uuid="d">{component}</DeviceStream></Streams>')

    def _document(self, kind: str, after: int, body: str) -> bytes:
        name = f"MTConnect{kind}"
        return f'<{name} xmlns="urn:mtconnect.org:{name}:2.2">{self._header(after)}{body}</{name}>'.encode()


async def _send(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK") -> bool:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return True
