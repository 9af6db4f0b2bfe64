"""The documents of an agent: MTConnectStreams, MTConnectError, and the multipart stream that carries them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from xml.etree import ElementTree

from twin.connectors.drivers.mtconnect.model import local_name
from twin.connectors.stamps import StampError, parse_time

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
MAX_PART = 64 << 20
"""Largest document that is taken [bytes]."""


class DocumentError(ValueError):
    """Not a document of an agent, or one that tells of an error; the message is a short reason."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Seen:
    """One observation. ``value`` None: unavailable; ``level``, ``code``: of a condition. ``time`` [ns UTC]."""

    ids: tuple[str, ...]
    value: str | None
    time: int | None
    sequence: int
    level: str = ""
    code: str = ""


@dataclass(frozen=True)
class Streams:
    """An MTConnectStreams document: its header and its observations in order of sequence."""

    instance: str
    first: int
    next: int
    last: int
    seen: list[Seen]


def parse_xml(text: bytes) -> ElementTree.Element:
    """The root of a document.

    Raises:
        DocumentError: Not XML, with a document type, or an MTConnectError, whose code is kept.
    """
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # entities that name entities grow without end
        raise DocumentError("has a document type")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DocumentError(f"is not XML: {error}") from error
    if local_name(root.tag) == "MTConnectError":
        errors = [e for e in root.iter() if local_name(e.tag) == "Error"]
        code = errors[0].get("errorCode", "") if errors else ""
        text_of = (errors[0].text or "").strip() if errors else ""
        raise DocumentError(f"the agent says {code}: {text_of}"[:200], code)
    return root


def parse_streams(text: bytes) -> Streams:
    """An MTConnectStreams document.

    Raises:
        DocumentError: It is none.
    """
    root = parse_xml(text)
    header = next((e for e in root if local_name(e.tag) == "Header"), None)
    if local_name(root.tag) != "MTConnectStreams" or header is None:
        raise DocumentError(f"is a {local_name(root.tag)[:40]} and no MTConnectStreams")
    try:
        first, after, last = (int(header.attrib[name]) for name in ("firstSequence", "nextSequence", "lastSequence"))
    except (KeyError, ValueError):
        raise DocumentError("has no sequence numbers") from None
    seen = [
        _seen(element, local_name(group.tag))
        for group in root.iter()
        if local_name(group.tag) in ("Samples", "Events", "Condition")
        for element in group
    ]
    seen.sort(key=lambda s: s.sequence)
    return Streams(header.get("instanceId", ""), first, after, last, seen)


def _seen(element: ElementTree.Element, group: str) -> Seen:
    ids = tuple(i for i in (element.get("dataItemId"), element.get("name")) if i)
    try:
        time = parse_time(element.get("timestamp", ""), UTC)
    except StampError:
        time = None
    sequence = int(element.get("sequence", "0"))
    text = (element.text or "").strip()
    if group == "Condition":
        level = local_name(element.tag).lower()
        return Seen(ids, None, time, sequence, level, element.get("nativeCode", ""))
    return Seen(ids, None if text.upper() == "UNAVAILABLE" else text, time, sequence)


class Parts:
    """Cuts a multipart stream into its documents, as bytes come in.

    Raises:
        DocumentError: The answer is not such a stream.
    """

    def __init__(self, content_type: str) -> None:
        found = _BOUNDARY.search(content_type)
        if found is None or "multipart" not in content_type.lower():
            raise DocumentError(f"answers with {content_type[:60]!r} and no multipart stream")
        self._mark = b"--" + found[1].encode()
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Documents that are whole now."""
        self._rest += data
        while True:
            begin = self._rest.find(self._mark)
            end = self._rest.find(b"\r\n\r\n", begin)
            if begin < 0 or end < 0:
                break
            length = _LENGTH.search(self._rest, begin, end)
            if length is None:
                raise DocumentError("sends a part without its length")
            if int(length[1]) > MAX_PART:
                raise DocumentError(f"sends a part of {int(length[1])} bytes")
            whole = end + 4 + int(length[1])
            if len(self._rest) < whole:
                break
            yield self._rest[end + 4 : whole]
            self._rest = self._rest[whole:]
        if len(self._rest) > 2 * MAX_PART:
            raise DocumentError("sends no parts")
