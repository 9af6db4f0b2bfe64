"""An MTConnect agent over HTTP: probe, current, then the stream of samples."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from twin.connectors.base import Fatal, Found, Plan, Probe, Reading, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.mtconnect.model import Item, items_of, worst_level
from twin.connectors.drivers.mtconnect.observed import agree_on_unit, reading_of
from twin.connectors.drivers.mtconnect_agent.config import AgentOptions
from twin.connectors.drivers.mtconnect_agent.documents import DocumentError, Parts, Seen, Streams, parse_streams, parse_xml
from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.clock import now_ns

SILENT_HEARTBEATS = 2.5
SCHEMES = {"mtconnect": ("http", 5000), "mtconnects": ("https", 443)}
FATAL_STATUS = {401, 403}


class AgentDriver:
    """One attempt at one agent."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._options: AgentOptions = connection.options
        try:
            url = urlsplit(connection.address)
            host, port = url.hostname, url.port
        except ValueError:
            url, host, port = None, None, None
        if url is None or url.scheme not in SCHEMES or not host:
            raise Fatal("the address is not understood", attribute="address", allowed=["mtconnect://HOST:5000"])
        scheme, usual = SCHEMES[url.scheme]
        self._base = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or usual}{url.path.rstrip('/')}"
        self._login = (url.username, url.password or "") if url.username else None
        self._verify: Any = scheme == "https"  # without TLS no certificates need be loaded
        if self._options.ca_file is not None:
            try:
                self._verify = ssl.create_default_context(cafile=str(connection.folder / self._options.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise Fatal(f"the certificates cannot be read: {error}", file=self._options.ca_file) from error
        self._items: dict[str, Item] = {}
        self._points: dict[str, list[Point]] = {}
        self._active: dict[str, dict[str, str]] = {}

    # ---- the contract

    async def probe(self) -> Probe:
        async with self._client() as client:
            streams, text = await self._streams(client, "current")
            root = parse_xml(text)
        header = next(iter(root))
        details = {
            "instance": streams.instance,
            "version": header.get("version", ""),
            "buffered": streams.last - streams.first + 1,
        }
        return Probe(f"MTConnect agent ({header.get('sender', 'unnamed')})", details)

    async def browse(self, *, seconds: float) -> list[Found]:
        async with self._client() as client:
            self._items = await self._model(client)
            streams, _ = await self._streams(client, "current")
        found: dict[str, Found] = {}
        for seen in streams.seen:
            item = next((self._items[i] for i in seen.ids if i in self._items), None)
            if item is None:
                continue
            sample = seen.level.upper() or ("UNAVAILABLE" if seen.value is None else seen.value[:60])
            name = seen.ids[0]
            found[name] = Found({"item": name}, f"{item.component}/{item.name}", item.category.lower(), sample, item.unit)
        return [found[name] for name in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        async with self._client() as client:
            self._items = await self._model(client)
            for point in plan.points:
                agree_on_unit(point, self._items.get(point.source.item), sink, "agent")
                self._points.setdefault(point.source.item, []).append(point)
            current, _ = await self._streams(client, "current")
            begin = max(current.first, current.next - self._options.backfill)
            sink.connected()
            if begin < current.next:
                begin = await self._backfill(client, begin, current, sink)
            # what has not changed for longer than the buffer reaches back
            self._deliver(current.seen, sink)
            await self._follow(client, max(begin, current.next), current.instance, sink)

    def subscribed(self) -> set[int]:
        return {p.index for points in self._points.values() for p in points}

    async def subscribe(self, points: Sequence[Point]) -> None:
        """An agent streams everything."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        raise Fatal("an agent cannot be written", attribute=str(requests[0].point))

    # ---- inside

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        silence = httpx.Timeout(10.0, read=max(SILENT_HEARTBEATS * self._options.heartbeat, 0.5))
        try:
            async with httpx.AsyncClient(verify=self._verify, auth=self._login, timeout=silence, trust_env=False) as client:
                yield client
        except httpx.TimeoutException as error:
            raise Retryable("the agent is silent") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise Retryable(
                f"the agent was lost: {error}" if str(error) else f"the agent was lost ({type(error).__name__})"
            ) from error
        except DocumentError as error:
            raise Retryable(f"the agent {error}" if not error.code else str(error)) from error

    def _url(self, request: str) -> str:
        device = f"/{self._options.device}" if self._options.device else ""
        return f"{self._base}{device}/{request}"

    async def _get(self, client: httpx.AsyncClient, request: str, **query: Any) -> bytes:
        answer = await client.get(self._url(request), params=query)
        _judge(answer.status_code)
        return answer.content

    async def _streams(self, client: httpx.AsyncClient, request: str, **query: Any) -> tuple[Streams, bytes]:
        text = await self._get(client, request, **query)
        return parse_streams(text), text

    async def _model(self, client: httpx.AsyncClient) -> dict[str, Item]:
        root = parse_xml(await self._get(client, "probe"))
        return items_of(root, self._options.device, where=self._base, native=False)

    async def _backfill(self, client: httpx.AsyncClient, begin: int, current: Streams, sink: Sink) -> int:
        """Observations of the buffer from ``begin`` on, page by page; returns the next sequence number."""
        while begin < current.next:
            page, _ = await self._streams(client, "sample", **{"from": begin, "count": self._options.count})
            if page.instance != current.instance:
                raise Retryable("the agent was restarted")
            self._deliver(page.seen, sink)
            if page.next <= begin:
                break
            begin = page.next
        return begin

    async def _follow(self, client: httpx.AsyncClient, begin: int, instance: str, sink: Sink) -> None:
        """The stream of samples, until it ends."""
        o = self._options
        query = {
            "from": begin,
            "interval": round(o.interval * 1000),
            "heartbeat": round(o.heartbeat * 1000),
            "count": o.count,
        }
        async with client.stream("GET", self._url("sample"), params=query) as answer:
            _judge(answer.status_code)
            parts = Parts(answer.headers.get("content-type", ""))
            async for data in answer.aiter_bytes():
                for part in parts.feed(data):
                    streams = parse_streams(part)
                    if streams.instance != instance:
                        raise Retryable("the agent was restarted")
                    if streams.first > begin:
                        sink.reject("overwritten in the agent's buffer", self._base, streams.first - begin)
                    self._deliver(streams.seen, sink)
                    begin = streams.next
        raise Retryable("the agent ended the stream")

    def _deliver(self, seen: list[Seen], sink: Sink) -> None:
        received = now_ns()
        readings: list[Reading] = []
        for one in seen:
            if one.level:
                try:
                    value = worst_level(self._active.setdefault(one.ids[0], {}), one.level, one.code)
                except ValueError as error:
                    sink.reject(f"condition {error}", one.ids[0])
                    continue
            else:
                value = one.value
            item = next((self._items[i] for i in one.ids if i in self._items), None)
            points = [p for i in dict.fromkeys(one.ids) for p in self._points.get(i, ())]
            readings += [reading_of(p, value, item, one.time, received) for p in points]
        sink.offer(readings)


def _judge(status: int) -> None:
    if status in FATAL_STATUS:
        raise Fatal(f"the agent refuses (HTTP {status})")
    # an error document comes with 4xx and says more than the number
    if status >= 500:
        raise Retryable(f"the agent answers with HTTP {status}")
