"""A Sparkplug B host application (specification 3.0) over aiomqtt."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

import aiomqtt
import msgspec

from twin.connectors.base import (
    BAD_DECODING,
    BAD_NO_DATA,
    Fatal,
    Found,
    Plan,
    Probe,
    Reading,
    Retryable,
    Sink,
    WriteRequest,
    WriteResult,
)
from twin.connectors.drivers.mqtt.session import Receiving, Session, answered, bytes_of, open_session
from twin.connectors.drivers.sparkplug.config import SparkplugOptions
from twin.connectors.drivers.sparkplug.nodes import BD_SEQ, Node
from twin.connectors.drivers.sparkplug.wire import BOOLEAN, TYPE_NAMES, Metric, Payload, WireError, decode, encode
from twin.connectors.mapping import Point, ResolvedConnection
from twin.core.clock import now_ns
from twin.core.samples import BAD, BAD_NO_COMMUNICATION, BAD_OUT_OF_RANGE, GOOD, UNCERTAIN, UNCERTAIN_LAST_USABLE

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
_QUALITIES = {0: BAD, 192: GOOD, 500: UNCERTAIN_LAST_USABLE}
"""Values of the property ``Quality`` that the specification names."""
_ROUTES = 50_000
_ASK_AGAIN_S = 0.1
_MS = 1_000_000

Routes = dict[str, list[tuple[Point, tuple[str, ...]]]]


class SparkplugDriver:
    """One attempt at one broker."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connection
        self._options: SparkplugOptions = connection.options
        self._client: aiomqtt.Client | None = None
        self._sink: Sink | None = None
        self._points: tuple[Point, ...] = ()
        self._nodes: dict[tuple[str, str], Node] = {}
        self._routes: dict[tuple[str, str, str | None], Routes] = {}
        self._asked: dict[tuple[str, str], float] = {}
        self._unborn: set[tuple[str, str]] = set()
        self._said_offline = False
        self._leaving = False
        self._to_send = asyncio.Event()
        self._since = 0

    # ---- the contract

    async def probe(self) -> Probe:
        async with self._session() as client:
            seen: set[str] = set()
            await client.subscribe(f"{NAMESPACE}/#", 0)
            try:
                async with asyncio.timeout(1.0):
                    async for message in client.messages:
                        seen.add(message.topic.value.split("/")[1])
            except TimeoutError:
                pass  # the end of listening is the normal end
        return Probe("MQTT broker", {"active groups": sorted(seen - {"STATE"})})

    async def browse(self, *, seconds: float) -> list[Found]:
        """Metrics of the nodes that are heard; a node that is heard without its birth is asked for it."""
        found: dict[str, Found] = {}
        async with self._session() as client:
            await client.subscribe(f"{NAMESPACE}/#", 0)
            try:
                async with asyncio.timeout(seconds):
                    async for message in client.messages:
                        parts = message.topic.value.split("/")
                        if len(parts) < 4 or parts[1] == "STATE":
                            continue
                        if parts[2] in ("NDATA", "DDATA") and self._options.rebirth and self._may_ask(parts[1], parts[3]):
                            await client.publish(*_rebirth(parts[1], parts[3]), qos=0)
                        if parts[2] in ("NBIRTH", "DBIRTH"):
                            self._list(parts, bytes_of(message.payload), found)
            except TimeoutError:
                pass  # the end of listening is the normal end
        return [found[name] for name in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        self._sink, self._points = sink, plan.points
        self._since = now_ns() // _MS
        receiving = Receiving(self._take)
        async with self._session(receiving.queue_type) as client:
            self._client = client
            groups = {"+" if p.source.group == "+" else p.source.group for p in plan.points}
            topics = [(f"{NAMESPACE}/{group}/#", 0) for group in (["+"] if "+" in groups else sorted(groups))]
            if self._options.host_id:
                topics.append((self._state_topic, 1))
            try:
                if topics:
                    await answered(client, client.subscribe(topics))
                if self._options.host_id:
                    # after the subscriptions: nodes that wait for this host send their births on it
                    await answered(client, client.publish(self._state_topic, self._state(True), qos=1, retain=True))
            except aiomqtt.MqttError as error:
                raise Retryable(f"cannot subscribe: {error}") from error
            sink.connected()
            for point in plan.points:
                if "+" not in (point.source.group, point.source.node):
                    self._ask_for_birth(point.source.group, point.source.node)
            sending = asyncio.create_task(self._send(client))
            over = asyncio.create_task(receiving.until_over(client))
            try:
                await asyncio.wait({sending, over}, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                await self._say_goodbye(client)
                raise
            finally:
                sending.cancel()
                over.cancel()
                ended = await asyncio.gather(sending, over, return_exceptions=True)
            for end in ended:
                if isinstance(end, Exception):
                    raise end

    def subscribed(self) -> set[int]:
        return {p.index for p in self._points} if self._client is not None else set()

    async def subscribe(self, points: Sequence[Point]) -> None:
        """A whole group is subscribed from the start."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        return [await self._write(request) for request in requests]

    # ---- messages

    def _take(self, message: aiomqtt.Message) -> None:
        assert self._sink is not None
        topic, received = message.topic.value, now_ns()
        parts = topic.split("/")
        if len(parts) == 3 and parts[1] == "STATE":
            self._take_state(bytes_of(message.payload))
            return
        kind = parts[2] if len(parts) in (4, 5) else ""
        if kind in ("NCMD", "DCMD"):
            return  # what hosts say to nodes
        device = parts[4] if len(parts) == 5 else None
        if kind not in (("NBIRTH", "NDEATH", "NDATA") if device is None else ("DBIRTH", "DDEATH", "DDATA")):
            self._sink.reject("topic is not Sparkplug", topic)
            return
        try:
            payload = decode(bytes_of(message.payload))
        except WireError as error:
            self._sink.reject(f"payload {error}", topic)
            return
        group, name = parts[1], parts[3]
        node = self._nodes.setdefault((group, name), Node())
        if kind == "NDEATH":
            if node.ends(payload):
                self._died(group, name, None, received)
            return
        if kind == "NBIRTH":
            node.node_born(payload)
            self._unborn.discard((group, name))
        elif not node.alive:
            self._sink.reject("data before birth", topic)
            self._ask_for_birth(group, name)
            return
        elif not node.follows(payload.seq):
            self._sink.reject("messages are missing (sequence)", f"{group}/{name}")
            self._ask_for_birth(group, name)
        owner = node.owner(device)
        if kind == "DDEATH":
            self._died(group, name, device, received)
            return
        if kind == "DBIRTH":
            owner.born(payload.metrics)
        elif not owner.alive:
            self._sink.reject("data before birth", topic)
            self._ask_for_birth(group, name)
            return
        unknown = [m for m in payload.metrics if owner.name_of(m) is None]
        if unknown:
            self._sink.reject("alias is not known", topic, len(unknown))
            self._ask_for_birth(group, name)
        metrics = [owner.complete(m) for m in payload.metrics if m not in unknown]
        self._deliver(group, name, device, metrics, payload.timestamp, received)

    def _deliver(
        self, group: str, node: str, device: str | None, metrics: list[Metric], stamp: int | None, received: int
    ) -> None:
        assert self._sink is not None
        routes = self._routes_of(group, node, device)
        readings = []
        for metric in metrics:
            for point, captures in routes.get(metric.name, ()):
                value, quality = metric.value, GOOD
                if not metric.readable:
                    self._sink.reject("metric is no scalar", str(point))
                    quality = BAD_DECODING
                elif metric.value is None:
                    quality = BAD_NO_DATA
                elif metric.quality is not None:
                    quality = _QUALITIES.get(metric.quality, UNCERTAIN)
                moment = metric.timestamp if metric.timestamp is not None else stamp
                source_time = None if moment is None else moment * _MS
                times = source_time, None, received
                readings.append(Reading(point, value, quality, *times, captures, historical=metric.is_historical))
        self._sink.offer(readings)

    def _died(self, group: str, node: str, device: str | None, received: int) -> None:
        """All metrics of a node with its devices, or of one device, have no value any more."""
        assert self._sink is not None
        known = self._nodes[group, node]
        gone = [device] if device is not None else [None, *known.devices]
        readings = []
        for name in gone:
            known.owner(name).alive = False
            for routes in self._routes_of(group, node, name).values():
                readings += [Reading(p, None, BAD_NO_COMMUNICATION, None, None, received, captures) for p, captures in routes]
        self._sink.offer(readings)

    def _routes_of(self, group: str, node: str, device: str | None) -> Routes:
        routes = self._routes.get((group, node, device))
        if routes is None:
            routes = {}
            for point in self._points:
                captures = point.source.captures(group, node, device)
                if captures is not None:
                    routes.setdefault(point.source.metric, []).append((point, captures))
            if len(self._routes) >= _ROUTES:  # names can be without end
                self._routes.clear()
            self._routes[group, node, device] = routes
        return routes

    # ---- what is sent

    async def _send(self, client: aiomqtt.Client) -> None:
        """Requests for births, each node's not too often, and the defence of this host's state."""
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            try:
                if self._said_offline and not self._leaving:
                    self._said_offline = False
                    await client.publish(self._state_topic, self._state(True), qos=1, retain=True)
                for group, node in sorted(self._unborn):
                    if self._may_ask(group, node):
                        self._unborn.discard((group, node))
                        await client.publish(*_rebirth(group, node), qos=0)
            except aiomqtt.MqttError as error:
                raise Retryable(f"the broker does not take messages: {error}") from error
            if self._unborn:
                self._to_send.set()
                await asyncio.sleep(_ASK_AGAIN_S)

    def _may_ask(self, group: str, node: str) -> bool:
        now = time.monotonic()
        if now - self._asked.get((group, node), -1e9) < self._options.rebirth_pause:
            return False
        self._asked[group, node] = now
        return True

    def _ask_for_birth(self, group: str, node: str) -> None:
        if self._options.rebirth:
            self._unborn.add((group, node))
            self._to_send.set()

    @property
    def _state_topic(self) -> str:
        return f"{NAMESPACE}/STATE/{self._options.host_id}"

    def _state(self, online: bool) -> bytes:
        # the same stamp in birth and will, by which nodes know an old will from a new one
        return json.dumps({"online": online, "timestamp": self._since}).encode()

    def _take_state(self, payload: bytes) -> None:
        """Somebody says that this host is offline, as the broker does for a session that died late: it is not."""
        try:
            document = msgspec.json.decode(payload)
        except msgspec.DecodeError:
            return  # the plain ON- and OFFLINE of older hosts
        if isinstance(document, dict) and document.get("online") is False:
            self._said_offline = True
            self._to_send.set()

    async def _say_goodbye(self, client: aiomqtt.Client) -> None:
        if not self._options.host_id:
            return
        self._leaving = True
        try:
            async with asyncio.timeout(1.0):
                await client.publish(self._state_topic, self._state(False), qos=1, retain=True)
        except (aiomqtt.MqttError, TimeoutError):
            pass  # then the broker publishes the will

    async def _write(self, request: WriteRequest) -> WriteResult:
        if self._client is None:
            raise Retryable("not connected")
        source = request.point.source
        if "+" in (source.group, source.node, source.device):
            raise Fatal("a source with + cannot be written", attribute=str(request.point))
        node = self._nodes.get((source.group, source.node))
        owner = None if node is None else node.owner(source.device)
        if owner is None or not owner.alive or source.metric not in owner.types:
            return WriteResult(request.point, BAD_NO_COMMUNICATION)
        now, name = now_ns() // _MS, source.metric
        metric = Metric(name, timestamp=now, datatype=owner.types[name], value=request.value, field=owner.fields[name])
        try:
            payload = encode(Payload(now, None, [metric]))
        except ValueError:
            return WriteResult(request.point, BAD_OUT_OF_RANGE)
        kind, tail = ("NCMD", "") if source.device is None else ("DCMD", f"/{source.device}")
        try:
            await self._client.publish(f"{NAMESPACE}/{source.group}/{kind}/{source.node}{tail}", payload, qos=0)
        except aiomqtt.MqttError as error:
            raise Retryable(f"the broker did not take the write: {error}") from error
        return WriteResult(request.point, GOOD)

    # ---- inside

    def _session(self, queue_type: object = None) -> Session:
        will = None
        if self._options.host_id and queue_type is not None:
            will = aiomqtt.Will(self._state_topic, self._state(False), qos=1, retain=True)
        schemes = ("mqtt", "mqtts") if self._connection.address.startswith("mqtt") else ("sparkplug", "sparkplugs")
        return open_session(
            self._connection.address,
            self._options,
            schemes=schemes,
            will=will,
            queue_type=queue_type,
            folder=self._connection.folder,
        )

    def _list(self, parts: list[str], data: bytes, found: dict[str, Found]) -> None:
        try:
            payload = decode(data)
        except WireError:
            return  # somebody else's message in this namespace
        device = {"device": parts[4]} if len(parts) == 5 else {}
        for metric in payload.metrics:
            if metric.name in (BD_SEQ, REBIRTH) or not metric.readable:
                continue
            source = {"group": parts[1], "node": parts[3], **device, "metric": metric.name}
            label = "/".join([parts[1], parts[3], *device.values(), metric.name])
            found[label] = Found(source, label, TYPE_NAMES.get(metric.datatype, ""), str(metric.value)[:60])


def _rebirth(group: str, node: str) -> tuple[str, bytes]:
    now = now_ns() // _MS
    metric = Metric(REBIRTH, timestamp=now, datatype=BOOLEAN, value=True)
    return f"{NAMESPACE}/{group}/NCMD/{node}", encode(Payload(now, None, [metric]))
