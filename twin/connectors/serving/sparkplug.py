"""The twin as a Sparkplug B edge node (specification 3.0): births, data by alias, deaths, commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence

import aiomqtt

from twin.connectors.base import Retryable, Value
from twin.connectors.drivers.mqtt.config import MqttLogin
from twin.connectors.drivers.mqtt.session import Receiving, bytes_of, open_session
from twin.connectors.drivers.sparkplug.wire import BOOLEAN, DOUBLE, INT64, STRING, Metric, Payload, WireError, decode, encode
from twin.connectors.serving.mqtt import RETRY_S
from twin.connectors.serving.worker import State, Take, Worker
from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import InputError, TwinError
from twin.core.samples import Sample, SignalKey, is_bad, is_good
from twin.core.tasks import first_of
from twin.model.factory import Signal

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
GOOD, STALE, BAD = 192, 500, 0
"""Values of the property Quality that the specification names."""
_MS = 1_000_000


class SparkplugEdge(Worker):
    """One edge node with a metric for each signal, ``<prim>/<name>`` without the leading slash; reconnects by itself.

    Attributes:
        births: How often it was born. sent: Metrics in data messages. error: Why it is not connected, empty while it is.
    """

    def __init__(
        self,
        address: str,
        signals: Sequence[Signal],
        state: State,
        *,
        group: str,
        node: str,
        login: MqttLogin,
        period_s: float,
        primary_host: str | None,
        writable: Collection[SignalKey],
        take: Take | None,
    ) -> None:
        super().__init__("the Sparkplug edge node")
        for attribute, name in (("group", group), ("node", node)):
            if not name or any(c in name for c in "/+#\0"):
                raise InputError(f"{name!r} is no name: not empty, no / + #", attribute=attribute)
        keys = [SignalKey(s.prim, s.name) for s in signals]
        for key in writable:
            if key not in keys:
                raise InputError("no such signal to be written", attribute=str(key))
        if writable and take is None:
            raise InputError("signals are writable, and nothing takes what is written", attribute="take")
        self._address, self._state, self._login, self._period_s = address, state, login, period_s
        self._group, self._node, self._host = group, node, primary_host
        self._aliases = {key: alias for alias, key in enumerate(keys, 1)}
        self._initial = {SignalKey(s.prim, s.name): s.value for s in signals}
        self._names = {_metric_name(key): key for key in keys}
        self._writable, self._take = frozenset(writable), take
        self._types: dict[SignalKey, int] = {}
        self._told: dict[SignalKey, Sample] = {}
        self._seq, self._bd_seq = 0, 0
        self._rebirth = asyncio.Event()
        self._host_online = asyncio.Event()
        self._host_since = -1
        self._log = log.get("serving")
        self.births = self.sent = 0
        self.error = ""

    async def serve(self, ready: Callable[[], None]) -> None:
        pause = RETRY_S[0]
        open_session(self._address, self._login)  # an address that cannot work ends it here, and is not tried for ever
        ready()
        while True:
            try:
                await self._session()
            except Retryable as error:
                if not self.error:
                    self._log.warning("the edge node is not connected", reason=str(error))
                pause = min(2.0 * pause, RETRY_S[1]) if self.error else RETRY_S[0]
                self.error = str(error)
            await asyncio.sleep(pause)
            self._bd_seq = (self._bd_seq + 1) % 256

    def _topic(self, kind: str) -> str:
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}"

    def _death(self) -> bytes:
        return encode(Payload(now_ns() // _MS, None, [Metric("bdSeq", datatype=INT64, value=self._bd_seq)]))

    async def _session(self) -> None:
        """One connection, from its birth to its death."""
        will = aiomqtt.Will(self._topic("NDEATH"), self._death(), qos=1)
        receiving = Receiving(self._received)
        self._rebirth.clear()
        self._host_online.clear()
        async with open_session(self._address, self._login, will=will, queue_type=receiving.queue_type) as client:
            topics = [(self._topic("NCMD"), 1)]
            if self._host is not None:
                topics.append((f"{NAMESPACE}/STATE/{self._host}", 1))
            await client.subscribe(topics)
            self.error = ""
            try:
                await first_of(self._publish(client), receiving.until_over(client))
            except asyncio.CancelledError:
                # a goodbye keeps the broker from publishing the will, so the death is sent first
                await client.publish(self._topic("NDEATH"), self._death(), qos=1)
                raise

    async def _publish(self, client: aiomqtt.Client) -> None:
        born = False
        while True:
            if self._host is not None and not self._host_online.is_set():
                if born:  # nobody is listening: the node ends until its host is back
                    await client.publish(self._topic("NDEATH"), self._death(), qos=1)
                    raise Retryable(f"the primary host {self._host!r} is offline")
                await self._host_online.wait()
            if not born or self._rebirth.is_set():
                self._rebirth.clear()
                await self._birth(client)
                born = True
            await self._data(client)
            await asyncio.sleep(self._period_s)

    async def _birth(self, client: aiomqtt.Client) -> None:
        state = dict(self._state())
        self._types = {key: _type(state[key].value if key in state else self._initial[key]) for key in self._aliases}
        self._told = {key: state[key] for key in self._aliases if key in state}
        self._seq = 0
        stamp = now_ns() // _MS
        metrics = [
            Metric("bdSeq", datatype=INT64, value=self._bd_seq),
            Metric(REBIRTH, datatype=BOOLEAN, value=False),
        ]
        for key, alias in self._aliases.items():
            metrics.append(self._metric(key, state.get(key), stamp, name=_metric_name(key), alias=alias))
        await client.publish(self._topic("NBIRTH"), encode(Payload(stamp, 0, metrics)), qos=0)
        self.births += 1

    async def _data(self, client: aiomqtt.Client) -> None:
        """What changed since the last message, in one message; a value of another type than at birth needs a new birth."""
        changed = []
        for key, sample in dict(self._state()).items():
            if key not in self._aliases or self._told.get(key) is sample:
                continue
            if sample.value is not None and not _fits(self._types[key], sample.value):
                self._rebirth.set()
                return
            self._told[key] = sample
            changed.append(self._metric(key, sample, now_ns() // _MS, alias=self._aliases[key]))
        if changed:
            self._seq = (self._seq + 1) % 256
            await client.publish(self._topic("NDATA"), encode(Payload(now_ns() // _MS, self._seq, changed)), qos=0)
            self.sent += len(changed)

    def _metric(self, key: SignalKey, sample: Sample | None, stamp: int, *, alias: int, name: str = "") -> Metric:
        if sample is None:
            return Metric(name, alias, stamp, self._types[key], is_null=True, quality=BAD)
        quality = GOOD if is_good(sample.quality) else BAD if is_bad(sample.quality) else STALE
        value = sample.value
        if value is not None and self._types[key] == DOUBLE and not isinstance(value, str):
            value = float(value)
        return Metric(name, alias, sample.time // _MS, self._types[key], is_null=value is None, value=value, quality=quality)

    # ---- commands

    def _received(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        data = bytes_of(message.payload)
        if topic.startswith(f"{NAMESPACE}/STATE/"):
            self._host_told(data)
            return
        try:
            payload = decode(data)
        except WireError as error:
            self._log.warning("a command is not understood", reason=str(error))
            return
        for metric in payload.metrics:
            if metric.name == REBIRTH and metric.value:
                self._rebirth.set()
            elif metric.name or metric.alias:
                self._written(metric)

    def _host_told(self, data: bytes) -> None:
        try:
            told = json.loads(data)
            online, since = bool(told["online"]), int(told.get("timestamp", 0))
        except (ValueError, KeyError, TypeError):
            online, since = data == b"ONLINE", self._host_since  # as version 2 said it
        if since < self._host_since:
            return  # a will that was late
        self._host_since = since
        if online:
            self._host_online.set()
        else:
            self._host_online.clear()

    def _written(self, metric: Metric) -> None:
        by_alias = {alias: key for key, alias in self._aliases.items()}
        key = self._names.get(metric.name) or by_alias.get(metric.alias or 0)
        if key is None or key not in self._writable or self._take is None or metric.value is None:
            self._log.warning("a command is refused", metric=metric.name or metric.alias)
            return
        try:
            self._take(key, metric.value, f"sparkplug {self._group}/{self._node}")
        except TwinError as refusal:
            self._log.warning("a command is refused", signal=str(key), value=metric.value, reason=str(refusal))


def _metric_name(key: SignalKey) -> str:
    return f"{key.prim.lstrip('/')}/{key.name}"


def _type(value: Value) -> int:
    if isinstance(value, bool):
        return BOOLEAN
    return STRING if isinstance(value, str) else DOUBLE


def _fits(datatype: int, value: Value) -> bool:
    return _type(value) == datatype
