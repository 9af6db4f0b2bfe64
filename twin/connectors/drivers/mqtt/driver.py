"""MQTT 3.1.1 by aiomqtt."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from twin.connectors.base import BAD_DECODING, Fatal, Found, Plan, Probe, Reading, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.mqtt.config import MqttOptions
from twin.connectors.drivers.mqtt.topics import match
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.payload import Payload, PayloadError
from twin.core.clock import now_ns
from twin.core.samples import GOOD, UNCERTAIN_LAST_USABLE

_FATAL_CODES = {1, 2, 4, 5, 132, 133, 134, 135}
"""Connection answers that a person has to resolve: protocol, client id, login."""
_ROUTES = 50_000
_SUBSCRIPTIONS_A_MESSAGE = 100

# The library repeats in its log what it raises, and knows the login.
logging.getLogger("aiomqtt").setLevel(logging.CRITICAL)
_quiet = logging.getLogger("twin.mqtt.client")
_quiet.setLevel(logging.CRITICAL)


class _HandOver(asyncio.Queue[aiomqtt.Message]):
    """Stands where the library queues, and hands each message over at once.

    The library forgets what is still queued when the connection ends, although it has acknowledged it. Nothing is ever
    queued here, and a slow taker slows the socket down instead of filling memory. What the taker raises ends the attempt.
    """

    def __init__(self, take: Callable[[aiomqtt.Message], None], failed: asyncio.Future[None]) -> None:
        super().__init__()
        self._take, self._failed = take, failed

    def put_nowait(self, item: aiomqtt.Message) -> None:
        try:
            self._take(item)
        except Exception as error:  # noqa: BLE001  (inside the client's callback; it is raised again in run())
            if not self._failed.done():
                self._failed.set_exception(error)


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
                        version = _bytes(message.payload).decode("utf-8", errors="replace")
                        break
            except TimeoutError:
                version = "unknown"  # brokers need not tell
        return Probe(f"MQTT broker ({version})", {"tls": self._address()[3] is not None})

    async def browse(self, *, seconds: float) -> list[Found]:
        found: dict[str, Found] = {}
        async with self._session() as client:
            await client.subscribe("#", 0)
            try:
                async with asyncio.timeout(seconds):
                    async for message in client.messages:
                        topic = message.topic.value
                        for source, kind, sample in Payload(_bytes(message.payload)).scalars():
                            found[f"{topic} {source}"] = Found({"topic": topic, **source}, topic, kind, sample)
            except TimeoutError:
                pass  # the end of listening is the normal end
        return [found[name] for name in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        self._points = [(tuple(p.source.topic.split("/")), p) for p in plan.points]
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        hand_over = functools.partial(_HandOver, lambda message: self._take(message, sink), failed)
        async with self._session(lambda maxsize: hand_over()) as client:
            self._client = client
            await self.subscribe(plan.points)
            sink.connected()
            lost = asyncio.create_task(_until_lost(client))
            try:
                await asyncio.wait({lost, failed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                lost.cancel()
                failed.cancel()
            for ended in (failed, lost):
                if ended.done() and not ended.cancelled():
                    ended.result()

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
                codes = await client.subscribe(part)
                answers |= {topic: _code(answer) for (topic, _), answer in zip(part, codes, strict=True)}
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

    def _address(self) -> tuple[str, int, tuple[str | None, str | None], aiomqtt.TLSParameters | None]:
        try:
            url = urlsplit(self._connection.address)
            host, port = url.hostname, url.port
        except ValueError:
            host = port = url = None
        if url is None or url.scheme not in ("mqtt", "mqtts") or not host:
            raise Fatal("the address is not understood", attribute="address", allowed=["mqtt://HOST:PORT", "mqtts://HOST:PORT"])
        secure = url.scheme == "mqtts"
        login = (
            self._options.username or (unquote(url.username) if url.username else None),
            self._options.password or (unquote(url.password) if url.password else None),
        )
        tls = aiomqtt.TLSParameters(ca_certs=self._options.ca_file) if secure else None
        return host, port or (8883 if secure else 1883), login, tls

    def _session(self, queue_type: Any = None) -> _Session:
        host, port, (username, password), tls = self._address()
        options = self._options
        if options.session and options.client_id is None:
            raise Fatal("a session needs a client_id by which the broker knows it", attribute="options.client_id")
        try:
            client = aiomqtt.Client(
                host,
                port,
                username=username,
                password=password,
                identifier=options.client_id,
                clean_session=not options.session,
                keepalive=options.keepalive,
                timeout=10.0,
                tls_params=tls,
                logger=_quiet,
                queue_type=queue_type,
            )
        except (OSError, ValueError) as error:  # certificate files
            raise Fatal(f"the client cannot be set up: {error}") from error
        return _Session(client)

    def _take(self, message: aiomqtt.Message, sink: Sink) -> None:
        received = now_ns()
        topic = message.topic.value
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._route(topic)
        payload = Payload(_bytes(message.payload))
        readings = []
        for point, captures in routes:
            for decoded in payload.decode(point.source, self._zone):
                if isinstance(decoded, PayloadError):
                    sink.reject(f"payload {decoded}", topic)
                    readings.append(Reading(point, None, BAD_DECODING, None, None, received, captures))
                    continue
                # a retained value without a stamp of its own may be of any age
                old = message.retain and decoded.source_time is None
                quality = UNCERTAIN_LAST_USABLE if old else GOOD
                readings.append(Reading(point, decoded.value, quality, decoded.source_time, None, received, captures))
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


class _Session:
    """A client for as long as it is needed; its errors become ours."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def __aenter__(self) -> aiomqtt.Client:
        try:
            return await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            raise _ours(error) from error

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            await self._client.__aexit__(kind, error, trace)
        except aiomqtt.MqttError as closing:
            if error is None:
                raise _ours(closing) from closing
        if isinstance(error, aiomqtt.MqttError):
            raise _ours(error) from error


def _ours(error: aiomqtt.MqttError) -> Retryable | Fatal:
    if isinstance(error, MqttConnectError):
        text = f"the broker refuses: {error.rc}"
        return Fatal(text) if _code(error.rc) in _FATAL_CODES else Retryable(text)
    return Retryable(str(error) or "the connection to the broker was lost")


def _code(answer: Any) -> int:
    """The number of an answer, which the library gives as a number or as an object."""
    return int(getattr(answer, "value", answer))


async def _until_lost(client: aiomqtt.Client) -> None:
    async for _ in client.messages:  # nothing is ever queued: this waits for the end of the connection, which raises
        pass


def _bytes(payload: object) -> bytes:
    return bytes(payload) if isinstance(payload, (bytes, bytearray)) else str(payload or "").encode()
