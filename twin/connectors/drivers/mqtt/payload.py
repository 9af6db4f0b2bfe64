"""Payloads and topics: from bytes to a value with its time."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import msgspec

from twin.connectors.base import Value
from twin.connectors.drivers.mqtt.config import MqttSource

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FRACTION = re.compile(r"[.,](\d+)")
_PATH_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_json = msgspec.json.Decoder()


class PayloadError(ValueError):
    """A payload that does not say what its mapping expects; the message is a short reason."""


@dataclass(frozen=True)
class Decoded:
    """One value and the moment at which the source says it was measured [ns UTC]."""

    value: Value
    source_time: int | None


@functools.cache
def _steps(pointer: str) -> tuple[str, ...]:
    """Keys of a JSON pointer (``/a/0``) or of a path (``a[0].b``)."""
    if pointer.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    return tuple(name or number for name, number in _PATH_PART.findall(pointer))


def _pick(document: Any, pointer: str) -> Any:
    for step in _steps(pointer):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            raise PayloadError(f"has no {pointer}")
    return document


def parse_time(value: Any, zone: tzinfo) -> int:
    """[ns UTC] from ISO 8601 (``zone`` where it names none) or seconds, ms, us or ns since 1970, told apart by size.

    Raises:
        PayloadError: Neither.
    """
    if isinstance(value, str):
        fraction = _FRACTION.search(value)
        text = value if fraction is None else value[: fraction.start()] + value[fraction.end() :]
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise PayloadError(f"time {value[:40]!r} is not ISO 8601") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        digits = "0" if fraction is None else fraction[1][:9].ljust(9, "0")
        return (moment - _EPOCH) // _MICROSECOND * 1000 + int(digits)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise PayloadError(f"time is {type(value).__name__}")
    size = abs(value)
    factor = 10**9 if size < 1e11 else 10**6 if size < 1e14 else 10**3 if size < 1e17 else 1
    if isinstance(value, int):
        return value * factor
    # a float of seconds has no more than microseconds to give; rounded there, it is what the sender meant
    return round(value * (factor // 1000)) * 1000 if factor >= 1000 else int(value)


class Payload:
    """One payload, parsed at most once for all signals that read from it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._document: Any = None
        self._state = "unread"

    def decode(self, source: MqttSource, zone: tzinfo) -> Iterator[Decoded | PayloadError]:
        """The values that ``source`` finds in it; an error in the place of each that it cannot read."""
        try:
            document = self._parse()
            if source.batch and not isinstance(document, list):
                raise PayloadError("is not a list")
        except PayloadError as error:
            if source.value is not None or source.time is not None or source.batch:
                yield error
                return
            document = self._text()
        for item in document if source.batch else (document,):
            try:
                yield self._one(item, source, zone)
            except PayloadError as error:
                yield error

    def scalars(self) -> list[tuple[dict[str, str], str, str]]:
        """What a mapping could read: keys of the source, type, and the value as text, for each scalar inside."""
        try:
            document = self._parse()
        except PayloadError:
            document = self._text()
        return [
            ({"value": pointer} if pointer else {}, type(value).__name__, str(value)[:60])
            for pointer, value in _leaves(document, "")
        ]

    def _one(self, document: Any, source: MqttSource, zone: tzinfo) -> Decoded:
        value = document if source.value is None else _pick(document, source.value)
        if isinstance(value, (dict, list)):
            raise PayloadError("value is not a scalar")
        return Decoded(value, None if source.time is None else parse_time(_pick(document, source.time), zone))

    def _parse(self) -> Any:
        if self._state == "unread":
            try:
                self._document, self._state = _json.decode(self._data), "json"
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._state = "other"
        if self._state == "other":
            raise PayloadError("is not JSON")
        return self._document

    def _text(self) -> str:
        return self._data.decode("utf-8", errors="replace")


def _leaves(document: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
    elif isinstance(document, list):
        for i, value in enumerate(document):
            yield from _leaves(value, f"{pointer}/{i}")
    else:
        yield pointer, document


def match(levels: tuple[str, ...], topic: str) -> tuple[str, ...] | None:
    """What the wildcards of a topic filter stand for in ``topic``; None where it does not match."""
    parts = topic.split("/")
    if topic.startswith("$") and levels[0] in ("+", "#"):
        return None
    captures: list[str] = []
    for i, level in enumerate(levels):
        if level == "#":
            return (*captures, "/".join(parts[i:]))
        if i >= len(parts) or (level not in ("+", parts[i])):
            return None
        if level == "+":
            captures.append(parts[i])
    return tuple(captures) if len(parts) == len(levels) else None
