"""What a mapping says about an MQTT connection and about a signal on it."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from twin.connectors.mapping import Strict


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"{name!r} is not a time zone like UTC or Europe/Berlin") from None
    return name


def _filter(topic: str) -> str:
    levels = topic.split("/")
    if not topic or "\x00" in topic:
        raise ValueError("a topic filter is not empty")
    if any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels) or "#" in levels[:-1]:
        raise ValueError(f"{topic!r} is not a topic filter: + and # stand for whole levels, # for the last")
    return topic


class MqttOptions(Strict):
    """Options of a connection. ``session``: a broker keeps messages of QoS 1 under ``client_id`` while we are away."""

    username: str | None = None
    password: str | None = None
    client_id: str | None = None
    session: bool = False
    keepalive: int = Field(15, ge=1, le=3600)
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    ca_file: str | None = None


class MqttSource(Strict):
    """A signal's source.

    ``value`` and ``time`` are JSON pointers (``/a/0``) or paths (``a[0].b``) into a JSON payload; without ``value`` the
    whole payload is a JSON scalar or plain text. ``batch``: the payload is a list of such documents. ``write_topic`` is
    where writes are published, plain.
    """

    topic: Annotated[str, AfterValidator(_filter)]
    value: str | None = None
    time: str | None = None
    batch: bool = False
    qos: Literal[0, 1, 2] = 1
    write_topic: str | None = None

    def __str__(self) -> str:
        return self.topic if self.value is None else f"{self.topic} {self.value}"
