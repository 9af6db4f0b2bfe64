"""Payloads, from bytes to values with their times; the same for every protocol that carries JSON or plain text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import msgspec
import numpy as np

from twin.connectors.base import BAD_NO_DATA, Value
from twin.connectors.mapping import Strict
from twin.connectors.stamps import StampError, parse_time, parse_times
from twin.core.samples import GOOD, is_good

_PATH_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_json = msgspec.json.Decoder()


class PayloadError(ValueError):
    """A payload that does not say what its mapping expects; the message is a short reason."""


@dataclass(frozen=True)
class Decoded:
    """One value, the moment at which the source says it was measured [ns UTC], and what it says of its quality."""

    value: Value
    source_time: int | None
    quality: int = GOOD


class PayloadSource(Strict):
    """Where in a payload a value is.

    ``value`` and ``time`` are JSON pointers (``/a/0``) or paths (``a[0].b``) into a JSON payload; without ``value`` the
    whole payload is a JSON scalar or plain text. ``quality``: where an OPC UA status code is; a value of null is bad without
    it too. ``batch``: the payload is a list of such documents.
    """

    value: str | None = None
    time: str | None = None
    quality: str | None = None
    batch: bool = False


@functools.cache
def _steps(pointer: str) -> tuple[str, ...]:
    """Keys of a JSON pointer (``/a/0``) or of a path (``a[0].b``)."""
    if pointer.startswith("/"):
        return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    return tuple(name or number for name, number in _PATH_PART.findall(pointer))


def pick(document: Any, pointer: str) -> Any:
    """What is at ``pointer`` in ``document``.

    Raises:
        PayloadError: Nothing is there.
    """
    for step in _steps(pointer):
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            raise PayloadError(f"has no {pointer}")
    return document


FEWEST = 8
"""Fewer values are quicker one by one than as columns."""
_NUMBERS = {int, float}


def _pick_all(items: list[Any], pointer: str) -> list[Any]:
    for step in _steps(pointer):
        items = [item[step] for item in items]
    return items


class Payload:
    """One payload, parsed at most once for all signals that read from it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._document: Any = None
        self._state = "unread"

    def decode(self, source: PayloadSource, zone: tzinfo) -> Iterator[Decoded | PayloadError]:
        """The values that ``source`` finds in it; an error in the place of each that it cannot read."""
        try:
            document = self._parse()
            if source.batch and not isinstance(document, list):
                raise PayloadError("is not a list")
        except PayloadError as error:
            if source.value is not None or source.time is not None or source.quality is not None or source.batch:
                yield error
                return
            document = self._text()
        for item in document if source.batch else (document,):
            try:
                yield self._one(item, source, zone)
            except PayloadError as error:
                yield error

    def series(self, source: PayloadSource, zone: tzinfo) -> tuple[list[float | int], np.ndarray | None] | None:
        """Values and times (int64 [n] ns UTC) of a batch of good numbers; None where decode() has to look at each."""
        if not source.batch or source.value is None or source.quality is not None:
            return None
        try:
            items = self._parse()
            if not isinstance(items, list) or len(items) < FEWEST:
                return None
            values = _pick_all(items, source.value)
            times = None if source.time is None else parse_times(_pick_all(items, source.time), zone)
        except (PayloadError, StampError, KeyError, TypeError, OverflowError):
            return None  # decode() says what is wrong, and with which item
        return (values, times) if set(map(type, values)) <= _NUMBERS else None

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

    def _one(self, document: Any, source: PayloadSource, zone: tzinfo) -> Decoded:
        value = document if source.value is None else pick(document, source.value)
        if isinstance(value, (dict, list)):
            raise PayloadError("value is not a scalar")
        quality = GOOD if source.quality is None else pick(document, source.quality)
        if isinstance(quality, bool) or not isinstance(quality, int) or not 0 <= quality < 2**32:
            raise PayloadError("quality is no status code")
        if value is None and is_good(quality):
            quality = BAD_NO_DATA
        if source.time is None:
            return Decoded(value, None, quality)
        try:
            return Decoded(value, parse_time(pick(document, source.time), zone), quality)
        except StampError as error:
            raise PayloadError(str(error)) from error

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
