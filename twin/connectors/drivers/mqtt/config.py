"""What a mapping says about an MQTT connection and about a signal on it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from twin.connectors.mapping import Strict
from twin.connectors.payload import PayloadSource
from twin.connectors.stamps import ZoneName


def _filter(topic: str) -> str:
    levels = topic.split("/")
    if not topic or "\x00" in topic:
        raise ValueError("a topic filter is not empty")
    if any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels) or "#" in levels[:-1]:
        raise ValueError(f"{topic!r} is not a topic filter: + and # stand for whole levels, # for the last")
    return topic


class MqttLogin(Strict):
    """How a broker is entered.

    Attributes:
        keepalive: Silence after which both sides think the other is gone [s].
        protocol: Of MQTT.
        ca_file: Certificates that are trusted; without it those of the system. cert_file, key_file: The client's own
            certificate and its key. Relative to the mapping.
    """

    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    keepalive: int = Field(15, ge=1, le=3600)
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class MqttOptions(MqttLogin):
    """Options of a connection. ``session``: a broker keeps messages of QoS 1 under ``client_id`` while we are away."""

    session: bool = False
    timezone: ZoneName = "UTC"


class MqttSource(PayloadSource):
    """A signal's source: a topic, and where in its payload. ``write_topic`` is where writes are published, plain."""

    topic: Annotated[str, AfterValidator(_filter)]
    qos: Literal[0, 1, 2] = 1
    write_topic: str | None = None

    def __str__(self) -> str:
        return self.topic if self.value is None else f"{self.topic} {self.value}"
