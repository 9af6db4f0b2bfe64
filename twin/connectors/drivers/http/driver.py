"""Takes what a web server hands over. It opens no port of its own."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from twin.connectors.base import BAD_DECODING, Fatal, Found, Plan, Probe, Reading, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.http.config import HttpOptions
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.payload import Payload, PayloadError
from twin.core.clock import now_ns
from twin.core.errors import Rejected
from twin.core.samples import is_good


class HttpDriver:
    """One connection that is always there: senders come and go."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._name = connection.name
        self._options: HttpOptions = connection.options
        if connection.address != "push://":
            raise Fatal("the address is not understood", attribute="address", allowed=["push://"])
        self._zone = ZoneInfo(self._options.timezone)
        self._points: dict[str, list[Point]] = {}
        self._sink: Sink | None = None

    async def probe(self) -> Probe:
        return Probe("senders come to the twin's own server", {"secret": self._options.secret is not None})

    async def browse(self, *, seconds: float) -> list[Found]:
        return []  # nothing is known of a sender before it sends

    async def run(self, plan: Plan, sink: Sink) -> None:
        for point in plan.points:
            self._points.setdefault(point.source.channel, []).append(point)
        self._sink = sink
        sink.connected()
        await asyncio.get_running_loop().create_future()

    def subscribed(self) -> set[int]:
        return {p.index for points in self._points.values() for p in points}

    async def subscribe(self, points: Sequence[Point]) -> None:
        """Every channel is open from the start."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        raise Fatal("a sender cannot be written to", attribute=str(requests[0].point))

    def push(self, channel: str, payload: bytes, secret: str | None) -> int:
        """Deliver one payload; returns how many values were good.

        Raises:
            Rejected: ``role`` without the right secret, ``limit`` for one that is too large, ``path`` where nothing is mapped.
        """
        wanted = self._options.secret
        if wanted is not None and not hmac.compare_digest(wanted.encode(), (secret or "").encode()):
            raise Rejected("role", "the secret of this connection is missing or wrong", attribute=self._name)
        if self._sink is None:
            raise Rejected("gone", "the connection is not running", attribute=self._name)
        if len(payload) > self._options.max_bytes:
            self._sink.reject("payload too large", channel)
            raise Rejected("limit", f"{len(payload)} bytes, at most {self._options.max_bytes} are taken", attribute=self._name)
        points = self._points.get(channel)
        if points is None:
            raise Rejected("path", f"nothing is mapped from channel {channel!r}", attribute=self._name)
        document, received = Payload(payload), now_ns()
        readings, good = [], 0
        for point in points:
            for decoded in document.decode(point.source, self._zone):
                if isinstance(decoded, PayloadError):
                    self._sink.reject(f"payload {decoded}", channel or self._name)
                    readings.append(Reading(point, None, BAD_DECODING, None, None, received))
                else:
                    readings.append(Reading(point, decoded.value, decoded.quality, decoded.source_time, None, received))
                    good += is_good(decoded.quality)
        self._sink.offer(readings)
        return good
