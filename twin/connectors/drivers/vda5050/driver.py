"""Vehicles by VDA 5050 (2.x and 3.0) over aiomqtt: states in, orders and instant actions out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import aiomqtt
import msgspec
from pydantic import ValidationError

from twin.connectors.base import BAD_DECODING, Fatal, Found, Plan, Probe, Reading, Retryable, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.mqtt.session import Receiving, Session, answered, bytes_of, open_session
from twin.connectors.drivers.vda5050.config import Vda5050Options, Vda5050Source
from twin.connectors.drivers.vda5050.orders import Action, Order, action_message, header, order_message
from twin.connectors.drivers.vda5050.states import COMMANDS, MOTION, READ, UNITS, StateError, refused
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.payload import PayloadError, pick
from twin.connectors.stamps import StampError, parse_time
from twin.connectors.units import compile_unit
from twin.core.clock import now_ns
from twin.core.errors import MappingError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD

BAD_REQUEST_REFUSED = 0x80E50000
"""OPC UA Bad_RequestNotComplete: the vehicle did not accept what was asked."""
_TOPICS = ("state", "connection", "visualization")
_json = msgspec.json.Decoder()
_TEXT = (str, bool, int, float)


@dataclass
class _Vehicle:
    """What is remembered of one vehicle. ``heard``: monotonic [s]; ``sent``: header numbers by topic."""

    manufacturer: str
    serial: str
    major: int = 2
    version: str = ""
    heard: float = 0.0
    online: bool = True
    headers: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Vda5050Driver:
    """One attempt at one broker."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._connection = connection
        self._options: Vda5050Options = connection.options
        self._vehicles: dict[tuple[str, str], _Vehicle] = {}
        self._points: tuple[Point, ...] = ()
        self._sink: Sink | None = None
        self._client: aiomqtt.Client | None = None

    # ---- the contract

    async def probe(self) -> Probe:
        seen: set[str] = set()
        async for parts, _ in self._listen(1.0):
            seen.add("/".join(parts[2:4]))
        return Probe("MQTT broker with VDA 5050 vehicles", {"vehicles": sorted(seen)})

    async def browse(self, *, seconds: float) -> list[Found]:
        found: dict[tuple[str, str], Found] = {}
        async for (_, _, manufacturer, serial, topic), document in self._listen(seconds):
            source = {"manufacturer": manufacturer, "serial": serial}
            values = {"connection": document.get("connectionState")} if topic == "connection" else {}
            if topic == "state":
                values = {name: _told(read, document) for name, read in READ.items()}
            for name, value in values.items():
                if value is not None:
                    shown = Found(
                        source | {"field": name}, f"{serial}/{name}", type(value).__name__, str(value)[:60], UNITS.get(name, "")
                    )
                    found[serial, name] = shown
        return [found[key] for key in sorted(found)]

    async def run(self, plan: Plan, sink: Sink) -> None:
        for point in plan.points:
            _agree(point)
        self._sink, self._points = sink, plan.points
        receiving = Receiving(self._take)
        async with self._session(receiving.queue_type) as client:
            self._client = client
            try:
                # the specification wants 1 for the connection and 0 for the rest; more than the sender gives cannot come
                await answered(client, client.subscribe([(self._topic("+", "+", topic), 1) for topic in _TOPICS]))
            except aiomqtt.MqttError as error:
                raise Retryable(f"cannot subscribe: {error}") from error
            sink.connected()
            watching = asyncio.create_task(self._watch())
            over = asyncio.create_task(receiving.until_over(client))
            try:
                await asyncio.wait({watching, over}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                watching.cancel()
                over.cancel()
                ended = await asyncio.gather(watching, over, return_exceptions=True)
            for end in ended:
                if isinstance(end, Exception):
                    raise end

    def subscribed(self) -> set[int]:
        return {p.index for p in self._points}

    async def subscribe(self, points: Sequence[Point]) -> None:
        """Every vehicle's topics are subscribed from the start."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        return [await self._command(request) for request in requests]

    # ---- listening

    def _topic(self, manufacturer: str, serial: str, topic: str) -> str:
        return f"{self._options.interface}/{self._options.major}/{manufacturer}/{serial}/{topic}"

    def _session(self, queue_type: Any = None) -> Session:
        schemes = ("vda5050", "vda5050s")
        return open_session(
            self._connection.address, self._options, schemes=schemes, queue_type=queue_type, folder=self._connection.folder
        )

    def _parts(self, topic: str) -> list[str] | None:
        """Interface, version, manufacturer, serial, topic; None where it is no topic of ours."""
        head = self._options.interface + "/"
        parts = topic.removeprefix(head).split("/")
        return [self._options.interface, *parts] if topic.startswith(head) and len(parts) == 4 else None

    async def _listen(self, seconds: float) -> Any:
        """Parts of the topic and document of what comes for a while."""
        async with self._session() as client:
            await answered(client, client.subscribe([(self._topic("+", "+", topic), 1) for topic in _TOPICS]))
            try:
                async with asyncio.timeout(seconds):
                    async for message in client.messages:
                        parts = self._parts(message.topic.value)
                        try:
                            document = _json.decode(bytes_of(message.payload))
                        except msgspec.DecodeError:
                            continue  # counted where it matters, in run()
                        if parts is not None and isinstance(document, dict):
                            yield parts, document
            except TimeoutError:
                pass  # the end of listening is the normal end

    def _take(self, message: aiomqtt.Message) -> None:
        assert self._sink is not None
        received = now_ns()
        parts = self._parts(message.topic.value)
        if parts is None:
            return
        _, major, manufacturer, serial, topic = parts
        try:
            document = _json.decode(bytes_of(message.payload))
            if not isinstance(document, dict):
                raise StateError("is no object")
            stamp = parse_time(document.get("timestamp"), UTC)
        except (msgspec.DecodeError, StateError, StampError) as error:
            self._sink.reject(f"{topic} {error}"[:80], message.topic.value)
            return
        key = manufacturer, serial
        vehicle = self._vehicles.setdefault(key, _Vehicle(manufacturer, serial))
        vehicle.heard = time.monotonic()
        vehicle.major = int(major[1:]) if major[1:].isdecimal() else vehicle.major
        vehicle.version = str(document.get("version") or "")[:20]
        self._count_missed(vehicle, topic, document)
        if topic == "connection":
            self._connection_told(vehicle, document, stamp, received, retained=bool(message.retain))
            return
        vehicle.online = True
        if topic == "state":
            vehicle.state = document
            vehicle.news.set()
            vehicle.news = asyncio.Event()
        self._sink.offer(self._readings(vehicle, topic, document, stamp, received))

    def _count_missed(self, vehicle: _Vehicle, topic: str, document: dict[str, Any]) -> None:
        """Header numbers count up by one a topic; a smaller one comes from a vehicle that was restarted."""
        number = document.get("headerId")
        if not isinstance(number, int):
            return
        before = vehicle.headers.get(topic)
        vehicle.headers[topic] = number
        if before is not None and number > before + 1 and self._sink is not None:
            self._sink.reject(f"{topic} missed", f"{vehicle.manufacturer}/{vehicle.serial}", number - before - 1)

    def _readings(self, vehicle: _Vehicle, topic: str, document: dict[str, Any], stamp: int, received: int) -> list[Reading]:
        assert self._sink is not None
        readings = []
        for point, captures in self._of(vehicle):
            source: Vda5050Source = point.source
            if source.field in (*COMMANDS, "connection") or (topic != "state" and source.field not in MOTION):
                continue
            try:
                if source.value is not None:
                    value = pick(document, source.value)
                    if value is not None and not isinstance(value, _TEXT):
                        raise StateError("is no scalar")
                else:
                    value = _told(READ[source.field or ""], document)
            except (StateError, PayloadError) as error:
                self._sink.reject(f"{topic} {error}"[:80], str(point))
                readings.append(Reading(point, None, BAD_DECODING, stamp, None, received, captures))
                continue
            if value is not None:  # what a vehicle does not tell is no news
                readings.append(Reading(point, value, GOOD, stamp, None, received, captures))
        return readings

    def _connection_told(self, vehicle: _Vehicle, document: dict[str, Any], stamp: int, received: int, *, retained: bool) -> None:
        """``ONLINE`` or not. A last will carries the stamp of when it was left: then the time of receipt is the event's."""
        assert self._sink is not None
        told = str(document.get("connectionState"))
        online = told == "ONLINE"
        time_of = stamp if online or retained else received
        readings = [
            Reading(point, told, GOOD, time_of, None, received, captures)
            for point, captures in self._of(vehicle)
            if point.source.field == "connection"
        ]
        if vehicle.online and not online:
            readings += self._silence(vehicle, received)
        vehicle.online = online
        self._sink.offer(readings)

    def _silence(self, vehicle: _Vehicle, now: int) -> list[Reading]:
        return [
            Reading(point, None, BAD_NO_COMMUNICATION, None, None, now, captures)
            for point, captures in self._of(vehicle)
            if point.source.field not in (*COMMANDS, "connection")
        ]

    async def _watch(self) -> None:
        """A vehicle that is silent for too long is gone, whatever its last word was."""
        assert self._sink is not None
        while True:
            await asyncio.sleep(min(self._options.patience / 4.0, 1.0))
            for vehicle in self._vehicles.values():
                if vehicle.online and time.monotonic() - vehicle.heard > self._options.patience:
                    vehicle.online = False
                    self._sink.offer(self._silence(vehicle, now_ns()))

    def _of(self, vehicle: _Vehicle) -> list[tuple[Point, tuple[str, ...]]]:
        """Points of a vehicle, with what their wildcards stand for."""
        out = []
        for point in self._points:
            captures: list[str] = []
            for wanted, there in ((point.source.manufacturer, vehicle.manufacturer), (point.source.serial, vehicle.serial)):
                if wanted == "+":
                    captures.append(there)
                elif wanted != there:
                    break
            else:
                out.append((point, tuple(captures)))
        return out

    # ---- orders

    async def _command(self, request: WriteRequest) -> WriteResult:
        """Send an order (JSON, without its header) or an instant action (its type, or JSON) and wait until it is accepted."""
        source: Vda5050Source = request.point.source
        if source.field not in COMMANDS or not isinstance(request.value, str):
            raise Fatal("only order_out and instant_action are written, as text", attribute=str(request.point))
        if self._client is None:
            raise Retryable("not connected")
        vehicle = self._vehicles.get((source.manufacturer, source.serial))
        if vehicle is None or not vehicle.online:
            return WriteResult(request.point, BAD_NO_COMMUNICATION)
        topic = "order" if source.field == "order_out" else "instantActions"
        number = vehicle.sent[topic] = vehicle.sent.get(topic, -1) + 1
        head = header(number, vehicle.major, vehicle.manufacturer, vehicle.serial, now_ns())
        head["version"] = vehicle.version or head["version"]  # some take only their own
        try:
            if topic == "order":
                order = Order.model_validate_json(request.value)
                name, update, message = order.orderId, order.orderUpdateId, order_message(order, head, vehicle.major)
            else:
                plain = not request.value.lstrip().startswith("{")
                action = Action(actionType=request.value) if plain else Action.model_validate_json(request.value)
                name, update, message = action.actionId, 0, action_message(action, head)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(p) for p in first["loc"])
            raise Fatal(f"is no {topic}: {place} {first['msg']}", attribute=str(request.point)) from None
        address = f"{self._options.interface}/v{vehicle.major}/{vehicle.manufacturer}/{vehicle.serial}/{topic}"
        try:
            await self._client.publish(address, json.dumps(message).encode(), qos=0)
        except aiomqtt.MqttError as error:
            raise Retryable(f"the broker did not take the {topic}: {error}") from error
        accepted = await self._accepted(vehicle, topic, name, update)
        return WriteResult(request.point, GOOD if accepted == name else BAD_REQUEST_REFUSED, accepted)

    async def _accepted(self, vehicle: _Vehicle, topic: str, name: str, update: int) -> str:
        """``name`` once the vehicle's state shows it, else why not."""
        try:
            async with asyncio.timeout(self._options.accept):
                while True:
                    news = vehicle.news
                    state = vehicle.state
                    if topic == "order" and state.get("orderId") == name and state.get("orderUpdateId") == update:
                        return name
                    shown = [*(state.get("actionStates") or []), *(state.get("instantActionStates") or [])]
                    found = next((a for a in shown if isinstance(a, dict) and a.get("actionId") == name), None)
                    if topic != "order" and found is not None:
                        return (
                            name if found.get("actionStatus") != "FAILED" else f"FAILED: {found.get('resultDescription') or ''}"
                        )
                    reason = refused(state, name)
                    if reason is not None:
                        return reason
                    await news.wait()
        except TimeoutError:
            return f"not accepted within {self._options.accept:g} s"


def _told(read: Any, document: dict[str, Any]) -> Any:
    value = read(document)
    if value is not None and not isinstance(value, _TEXT):
        raise StateError("has a field that is no scalar")
    return value


def _agree(point: Point) -> None:
    """The mapping must mean the unit of the specification: a wrong one would go unnoticed."""
    unit = UNITS.get(point.source.field or "", "")
    if not unit or not point.raw_unit:
        return
    try:
        agrees = compile_unit(point.raw_unit, unit).is_identity
    except MappingError:
        agrees = False
    if not agrees:
        raise Fatal(f"{point.source.field} is in {unit!r} by VDA 5050, not in {point.raw_unit!r}", attribute=str(point))
