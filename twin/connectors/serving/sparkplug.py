"""The twin as a Sparkplug B edge node (specification 3.0): births, data by alias, deaths, commands, store and forward."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Sequence

import aiomqtt

from twin.connectors.base import Fatal, Retryable, Value
from twin.connectors.drivers.mqtt.config import MqttLogin
from twin.connectors.drivers.mqtt.session import Receiving, bytes_of, open_session
from twin.connectors.drivers.sparkplug.wire import BOOLEAN, DOUBLE, INT64, STRING, Metric, Payload, WireError, decode, encode
from twin.connectors.serving.mqtt import RETRY_S
from twin.connectors.serving.outbox import Outbox
from twin.connectors.serving.worker import Now, State, Take, Worker
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
LOST_AFTER_KEEPALIVES = 1.5
"""A broker gives a silent client up after so many of its keep-alive times (MQTT 3.1.1, 3.1.2.10)."""
_BATCH = 500
"""Stored samples in one message."""
_MS = 1_000_000


class SparkplugEdge(Worker):
    """One edge node with a metric for each signal, ``<prim>/<name>`` without the leading slash; reconnects by itself.

    While the broker or the primary host is away, changes are stored, and follow the next birth as historical values.

    Attributes:
        births: How often it was born. sent: Metrics in data messages. error: Why it is not connected, empty while it is.
        forwarded: Of those sent, the ones that had been stored.
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
        store: int,
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
        if store < len(keys):
            allowed = [f"at least one for each of the {len(keys)} signals"]
            raise InputError(f"{store} samples are too few", attribute="store", allowed=allowed)
        # a host that was cut off counts as online until the broker gives it up
        self._outbox = Outbox(self._aliases, capacity=store, resend_s=LOST_AFTER_KEEPALIVES * login.keepalive)
        self._types: dict[SignalKey, int] = {}
        self._seq, self._bd_seq = 0, 0
        self._wake = asyncio.Event()
        self._rebirth = False
        self._host_online = asyncio.Event()
        self._host_since = -1
        self._log = log.get("serving")
        self.births = self.sent = self.forwarded = self._unfit = 0
        self.error = ""

    @property
    def stored(self) -> int:
        """Samples that wait for the broker or the primary host."""
        return self._outbox.waiting()

    @property
    def dropped(self) -> int:
        """Samples that were stored and are lost: the store was full, or the signal has another type by now."""
        return self._outbox.dropped + self._unfit

    async def serve(self, ready: Callable[[], None]) -> None:
        open_session(self._address, self._login)  # an address that cannot work ends it here, and is not tried for ever
        ready()
        await first_of(self._watch(), self._connect())

    async def _watch(self) -> None:
        """Note what changes, whether somebody listens or not."""
        said = 0
        while True:
            if self._outbox.note(dict(self._state())):
                self._wake.set()
            if self._outbox.dropped and not said:
                self._log.error("the store of the edge node is full, the oldest samples are lost")
            said = self._outbox.dropped
            await asyncio.sleep(self._period_s)

    def rename(self, now: Now) -> None:
        """The node is born again with the new names: a metric's name is told at birth only."""
        new = {key: moved for key in self._aliases if (moved := key.moved(now)) != key}
        if not new:
            return
        renamed = {new.get(key, key): alias for key, alias in self._aliases.items()}
        self._aliases.clear()
        self._aliases.update(renamed)  # the outbox looks at these, too
        self._initial = {new.get(key, key): value for key, value in self._initial.items()}
        self._types = {new.get(key, key): kind for key, kind in self._types.items()}
        self._names = {_metric_name(key): key for key in self._aliases}
        self._writable = frozenset(new.get(key, key) for key in self._writable)
        self._outbox.rename(new)
        self._rebirth = True
        self._wake.set()

    async def _connect(self) -> None:
        pause = RETRY_S[0]
        while True:
            try:
                await self._session()
            except Retryable as error:
                if not self.error:
                    self._log.warning("the edge node is not connected", reason=str(error))
                pause = min(2.0 * pause, RETRY_S[1]) if self.error else RETRY_S[0]
                self.error = str(error)
            except Fatal as error:
                self.error = str(error)
                raise
            finally:
                self._outbox.lost()
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
        self._rebirth = False
        self._host_online.clear()
        async with open_session(self._address, self._login, will=will, queue_type=receiving.queue_type) as client:
            topics = [(self._topic("NCMD"), 1)]
            if self._host is not None:
                topics.append((f"{NAMESPACE}/STATE/{self._host}", 1))
            await client.subscribe(topics)
            try:
                await first_of(self._publish(client), receiving.until_over(client))
            except asyncio.CancelledError:
                # a goodbye keeps the broker from publishing the will, so the death is sent first
                await client.publish(self._topic("NDEATH"), self._death(), qos=1)
                raise

    async def _publish(self, client: aiomqtt.Client) -> None:
        if self._host is not None and not self._host_online.is_set():
            self.error = f"the primary host {self._host!r} is offline"
            await self._host_online.wait()
        await self._birth(client)
        if self.error:
            self._log.info("the edge node is born again", stored=self._outbox.waiting())
            self.error = ""
        while True:
            if self._host is not None and not self._host_online.is_set():  # nobody listens: the node ends until its host is back
                await client.publish(self._topic("NDEATH"), self._death(), qos=1)
                raise Retryable(f"the primary host {self._host!r} is offline")
            if self._rebirth:
                await self._birth(client)
            if stored := self._outbox.past(_BATCH):
                await self._forward(client, stored)
                continue
            if changed := self._outbox.news(self._fits):
                await self._tell(client, [self._metric(s.key, s, alias=self._aliases[s.key]) for s in changed])
            elif self._outbox.waiting():  # a value of another type than at birth needs a new birth
                self._rebirth = True
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _birth(self, client: aiomqtt.Client) -> None:
        self._rebirth = False
        state = self._outbox.begin()
        self._types = {key: _type(state[key].value if key in state else self._initial[key]) for key in self._aliases}
        self._seq = 0
        stamp = now_ns() // _MS
        metrics = [
            Metric("bdSeq", datatype=INT64, value=self._bd_seq),
            Metric(REBIRTH, datatype=BOOLEAN, value=False),
        ]
        for key, alias in self._aliases.items():
            metrics.append(self._metric(key, state.get(key), stamp=stamp, name=_metric_name(key), alias=alias))
        await client.publish(self._topic("NBIRTH"), encode(Payload(stamp, 0, metrics)), qos=0)
        self.births += 1

    async def _forward(self, client: aiomqtt.Client, stored: list[Sample]) -> None:
        """Tell what nobody listened to when it was new."""
        metrics = []
        for sample in stored:
            if self._fits(sample):
                metrics.append(self._metric(sample.key, sample, alias=self._aliases[sample.key], historical=True))
            else:  # the birth has said what type its values are
                self._unfit += 1
                self._log.warning("a stored value is of another type than at birth, and lost", signal=str(sample.key))
        if metrics:
            await self._tell(client, metrics)
        self.forwarded += len(metrics)

    async def _tell(self, client: aiomqtt.Client, metrics: list[Metric]) -> None:
        self._seq = (self._seq + 1) % 256
        await client.publish(self._topic("NDATA"), encode(Payload(now_ns() // _MS, self._seq, metrics)), qos=0)
        self.sent += len(metrics)

    def _metric(
        self, key: SignalKey, sample: Sample | None, *, alias: int, stamp: int = 0, name: str = "", historical: bool = False
    ) -> Metric:
        if sample is None:
            return Metric(name, alias, stamp, self._types[key], is_null=True, quality=BAD)
        quality = GOOD if is_good(sample.quality) else BAD if is_bad(sample.quality) else STALE
        value = sample.value
        if value is not None and self._types[key] == DOUBLE and not isinstance(value, str):
            value = float(value)
        null = value is None
        return Metric(name, alias, sample.time // _MS, self._types[key], null, historical, value=value, quality=quality)

    def _fits(self, sample: Sample) -> bool:
        """Whether the last birth told the type of its value."""
        return sample.value is None or _type(sample.value) == self._types[sample.key]

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
                self._rebirth = True
                self._wake.set()
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
            self._wake.set()

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
