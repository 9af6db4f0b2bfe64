"""Lines of an adapter: ``stamp|item|value|item|value...``, conditions, messages, assets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo

from twin.connectors.drivers.mtconnect.model import LEVELS, Item, worst_level
from twin.connectors.stamps import StampError, parse_time

_BAR = re.compile(r"(?<!\\)\|")
_MULTILINE = "--multiline--"
_CONDITION_FIELDS = 6
"""item, level, native code, severity, qualifier, text."""


class LineError(ValueError):
    """A line that is not understood; the message is a short reason."""


@dataclass(frozen=True)
class Observation:
    """One value of one item. ``value`` None: unavailable. ``time`` [ns UTC], None where the line gives none."""

    item: str
    value: str | None
    time: int | None


@dataclass
class LineReader:
    """Reads lines in their order; what spans lines, or outlasts them, is remembered here.

    ``active`` are the levels of a condition's alarms by native code, of which the worst is its value.
    """

    items: Mapping[str, Item]
    zone: tzinfo
    device: str | None = None
    active: dict[str, dict[str, str]] = field(default_factory=dict)
    _until: str = ""

    def read(self, line: str) -> list[Observation]:
        """The observations in a line, none for what belongs to an asset.

        Raises:
            LineError: Not a line of an adapter.
        """
        line = line.strip("\r\n")
        if self._until:
            if line.endswith(self._until):
                self._until = ""
            return []
        if not line.strip():
            return []
        fields = [f.replace("\\|", "|") for f in _BAR.split(line)]
        if len(fields) < 3:
            raise LineError("is not stamp|item|value")
        if fields[1].startswith("@"):
            at = line.find(_MULTILINE)
            if at >= 0:
                self._until = line[at:]
            return []
        time = self._time(fields[0])
        return self._observations(fields[1:], time)

    def _observations(self, fields: list[str], time: int | None) -> list[Observation]:
        name = self._name(fields[0])
        item = self.items.get(name)
        is_condition = item.category == "CONDITION" if item is not None else self._looks_like_condition(fields)
        if is_condition:
            return [Observation(name, self._condition(name, fields[1:]), time)]
        if item is not None and item.type in ("MESSAGE", "ALARM"):
            return [Observation(name, _available(fields[-1]), time)]
        if len(fields) % 2:
            raise LineError("has an item without a value")
        pairs = zip(fields[::2], fields[1::2], strict=True)
        return [Observation(self._name(key), _available(value), time) for key, value in pairs if key.strip()]

    def _condition(self, name: str, fields: list[str]) -> str | None:
        code = fields[1].strip() if len(fields) > 1 else ""
        try:
            return worst_level(self.active.setdefault(name, {}), fields[0].strip().lower(), code)
        except ValueError as error:
            raise LineError(str(error)) from None

    @staticmethod
    def _looks_like_condition(fields: list[str]) -> bool:
        return len(fields) == _CONDITION_FIELDS and fields[1].strip().lower() in (*LEVELS, "unavailable")

    def _name(self, text: str) -> str:
        text = text.strip()
        prefix, colon, rest = text.partition(":")
        return rest if colon and prefix == self.device else text

    def _time(self, text: str) -> int | None:
        """``stamp``, or ``stamp@duration``, or nothing."""
        text = text.partition("@")[0].strip()
        if not text:
            return None
        try:
            return parse_time(text, self.zone)
        except StampError as error:
            raise LineError(str(error)) from error


def _available(value: str) -> str | None:
    return None if value.strip().upper() == "UNAVAILABLE" else value
