"""Publishes the signals of the twin on an MQTT broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiomqtt
import msgspec

from twin.connectors.base import Retryable
from twin.connectors.drivers.mqtt.config import MqttLogin
from twin.connectors.drivers.mqtt.session import Receiving, open_session
from twin.connectors.serving.worker import Now, State, Worker
from twin.core import log
from twin.core.errors import InputError
from twin.core.samples import Sample, SignalKey
from twin.core.tasks import first_of

RETRY_S = (0.5, 30.0)
"""First and longest pause before the broker is tried again."""
_encoder = msgspec.json.Encoder()


class MqttPublishing(Worker):
    """Publishes what changed, retained, under ``<prefix>/<prim>/<name>``; reconnects by itself.

    Attributes:
        published: Messages that the broker has taken. error: Why it is not connected, empty while it is.
    """

    def __init__(self, address: str, state: State, *, prefix: str, login: MqttLogin, period_s: float, qos: int) -> None:
        super().__init__("the MQTT publisher")
        if not prefix.strip("/") or any(c in prefix for c in "+#\0"):
            raise InputError("is the beginning of every topic: not empty, no + and #", attribute="prefix")
        self._address, self._state, self._login = address, state, login
        self._prefix, self._period_s, self._qos = prefix.strip("/"), period_s, qos
        self._log = log.get("serving")
        self._told: dict[SignalKey, Sample] = {}
        self._left: set[SignalKey] = set()
        self.published = 0
        self.error = ""

    async def serve(self, ready: Callable[[], None]) -> None:
        pause = RETRY_S[0]
        open_session(self._address, self._login)  # an address that cannot work ends it here, and is not tried for ever
        ready()
        while True:
            try:
                receiving = Receiving(lambda message: None)
                async with open_session(self._address, self._login, queue_type=receiving.queue_type) as client:
                    if self.error:
                        self._log.info("publishing again", address=self._address.rpartition("@")[2])
                    self.error, pause = "", RETRY_S[0]
                    # a lost connection is noticed also while nothing changes
                    await first_of(self._publish(client), receiving.until_over(client))
            except Retryable as error:
                if not self.error:
                    self._log.warning("cannot publish", reason=str(error))
                self.error = str(error)
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, RETRY_S[1])

    def rename(self, now: Now) -> None:
        """What is kept at the broker under earlier names is taken away, and told under the new ones."""
        self._left |= {key for key in self._told if key.moved(now) != key}

    async def _publish(self, client: aiomqtt.Client) -> None:
        told = self._told
        told.clear()
        while True:
            for key in sorted(self._left - self._state().keys(), key=str):
                await client.publish(f"{self._prefix}{key.prim}/{key.name}", b"", qos=self._qos, retain=True)
                told.pop(key, None)
            self._left.clear()
            for key, sample in dict(self._state()).items():
                if told.get(key) is not sample:
                    await client.publish(f"{self._prefix}{key.prim}/{key.name}", payload(sample), qos=self._qos, retain=True)
                    told[key] = sample
                    self.published += 1
            await asyncio.sleep(self._period_s)


def payload(sample: Sample) -> bytes:
    """``{"value", "quality", "time", "origin"}``: what ``source: {value: /value, time: /time}`` reads; time in ns UTC."""
    return _encoder.encode({"value": sample.value, "quality": sample.quality, "time": sample.time, "origin": sample.origin})
