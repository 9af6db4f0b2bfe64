"""MQTT 3.1.1 by aiomqtt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import aiomqtt

from twin.connectors.base import (
    BAD_DECODING,
    Fatal,
    Found,
    Plan,
    Probe,
    Reading,
    Retryable,
    Series,
    Sink,
    WriteRequest,
    WriteResult,
)
from twin.connectors.drivers.mqtt.config import MqttOptions
from twin.connectors.drivers.mqtt.session import Receiving, Session, answered, bytes_of, code_of, open_session
from twin.connectors.drivers.mqtt.topics import match
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.payload import Payload, PayloadError
from twin.core.clock import now_ns
from twin.core.samples import GOOD, UNCERTAIN_LAST_USABLE

_ROUTES = 50_000
_SUBSCRIPTIONS_A_MESSAGE = 100


class MqttDriver:
    """One attempt at one broker."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connection
        self._options: MqttOptions = connection.options
        self._zone = ZoneInfo(self._options.timezone)
        self._client: aiomqtt.Client | None = None
        self._subscribed: set[int] = set()
        self._points: list[tuple[tuple[str, ...], Point]] = []
        self._routes: dict[str, list[tuple[Point, tuple[str, ...]]]] = {}

    # ---- the contract

    async def probe(self) -> Probe:
        async with self._session() as client:
            version = ""
            await client.subscribe("$SYS/broker/version", 0)
            try:
                async with asyncio.timeout(1.0):
                    async for message in client.messages:
                        version = bytes_of(message.payload).decode("utf-8", errors="replace")
                        break
            except TimeoutError:
                version = "unknown"  # brokers need not tell
        return Probe(f"MQTT broker ({version})", {"tls": self._connection.address.startswith("mqtts://")})

    async def browse(self, *, seconds: float) -> list[Found]:
        found: dict[str, Found] = {}
        async with self._session() as client:
            await client.subscribe("#", 0)
            try:
                async with asyncio.timeout(seconds):
                    async for message in client.messages:
                        topic = message.topic.value
                        for source, kind, sample in Payload(bytes_of(message.payload)).scalars():
                            found[f"{topic} {source}"] = Found({"topic": topic, **source}, topic, kind, sample)
            except TimeoutError:
                pass  # the end of listening is the normal end
        return [found[name] for name in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        self._points = [(tuple(p.source.topic.split("/")), p) for p in plan.points]
        receiving = Receiving(lambda message: self._take(message, sink))
        async with self._session(receiving.queue_type) as client:
            self._client = client
            await self.subscribe(plan.points)
            sink.connected()
            await receiving.until_over(client)

    def subscribed(self) -> set[int]:
        return set(self._subscribed)

    async def subscribe(self, points: Sequence[Point]) -> None:
        client = self._connected()
        wanted: dict[str, int] = {}
        for point in points:
            wanted[point.source.topic] = max(point.source.qos, wanted.get(point.source.topic, 0))
        topics = list(wanted.items())
        answers: dict[str, int] = {}
        try:
            for begin in range(0, len(topics), _SUBSCRIPTIONS_A_MESSAGE):
                part = topics[begin : begin + _SUBSCRIPTIONS_A_MESSAGE]
                codes = await answered(client, client.subscribe(part))
                answers |= {topic: code_of(answer) for (topic, _), answer in zip(part, codes, strict=True)}
        except aiomqtt.MqttError as error:
            raise Retryable(f"cannot subscribe: {error}") from error
        self._subscribed |= {p.index for p in points if answers[p.source.topic] < 128}

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        client = self._connected()
        results = []
        for request in requests:
            topic = request.point.source.write_topic
            if topic is None:
                raise Fatal("the mapping names no write_topic", attribute=str(request.point))
            value = request.value
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            try:
                await client.publish(topic, text.encode(), qos=1)
            except aiomqtt.MqttError as error:
                raise Retryable(f"the broker did not take the write: {error}") from error
            results.append(WriteResult(request.point, GOOD))
        return results

    # ---- inside

    def _connected(self) -> aiomqtt.Client:
        if self._client is None:
            raise Retryable("not connected")
        return self._client

    def _session(self, queue_type: Any = None) -> Session:
        options = self._options
        if options.session and options.client_id is None:
            raise Fatal("a session needs a client_id by which the broker knows it", attribute="options.client_id")
        return open_session(
            self._connection.address, options, session=options.session, queue_type=queue_type, folder=self._connection.folder
        )

    def _take(self, message: aiomqtt.Message, sink: Sink) -> None:
        received = now_ns()
        topic = message.topic.value
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._route(topic)
        payload = Payload(bytes_of(message.payload))
        readings = []
        for point, captures in routes:
            series = None if message.retain else payload.series(point.source, self._zone)
            if series is not None:
                sink.offer_series(Series(point, *series, received, captures))
                continue
            for decoded in payload.decode(point.source, self._zone):
                if isinstance(decoded, PayloadError):
                    sink.reject(f"payload {decoded}", topic)
                    readings.append(Reading(point, None, BAD_DECODING, None, None, received, captures))
                    continue
                # a retained value without a stamp of its own may be of any age
                old = message.retain and decoded.source_time is None
                quality = UNCERTAIN_LAST_USABLE if old and decoded.quality == GOOD else decoded.quality
                readings.append(Reading(point, decoded.value, quality, decoded.source_time, None, received, captures))
        if readings:
            sink.offer(readings)

    def _route(self, topic: str) -> list[tuple[Point, tuple[str, ...]]]:
        found = []
        for levels, point in self._points:
            captures = match(levels, topic)
            if captures is not None:
                found.append((point, captures))
        if len(self._routes) >= _ROUTES:  # topics can be without end
            self._routes.clear()
        self._routes[topic] = found
        return found
