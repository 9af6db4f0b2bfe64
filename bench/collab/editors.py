"""Many editors in one thread, so light that they measure the server and not themselves.

Messages are not decoded unless they mention the editor's own session: fifty editors would else spend more time on reading what
they know already than the server on telling them.
"""

from __future__ import annotations

import heapq
import random
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec

from twin.protocol.frames import MAGIC
from twin.protocol.messages import PROTOCOL_VERSION, Edit, Edited, Hello, Op, Refused, Welcome, decode_server, encode

JOIN_S = 60.0
ANSWER_S = 10.0
"""How long after the last edit answers are waited for [s]."""
CHUNK = 1 << 18

MakeOp = Callable[[random.Random, int], Op]
"""The edit of a number."""


@dataclass
class Load:
    """What one run of many editors gave. Times in s."""

    trips: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    sent: int = 0
    refused: int = 0
    used_s: float = 0.0
    """Processor time of the editors."""
    ended: str = ""
    """Why it ended before its time."""
    answers: list[tuple[str, int, int]] = field(default_factory=list)
    """Session, number there and number in the journal of each acknowledged edit."""
    epochs: set[str] = field(default_factory=set)


_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def messages(data: bytes, about: bytes = b"") -> Iterator[Any]:
    """What a websocket message holds, without those that do not mention ``about``."""
    for raw in _raw(data) if data[0] & 0xF0 == 0x90 or data[0] in (0xDC, 0xDD) else [data]:
        if about in (text := bytes(raw)):
            yield decode_server(text)


class Editor:
    """One connection: a websocket (RFC 6455) without a library."""

    def __init__(self, url: str, token: str, name: str, seed: int) -> None:
        address = urlsplit(url)
        self.draw = random.Random(seed)
        self.begun: dict[int, float] = {}
        self.opid = 0
        self.last_frame = 0.0
        self.session = b""
        self.epoch = ""
        self._parts = b""
        self.socket = socket.create_connection((address.hostname, address.port), JOIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"GET /api/ws HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._received()
        if b" 101 " not in answer[:20]:
            raise ConnectionError(answer[:80])
        self._buffer = bytearray(answer.partition(b"\r\n\r\n")[2])
        self.send(encode(Hello(PROTOCOL_VERSION, name, batches=True)))
        while not self.session:
            for data in self.read():
                for message in messages(data) if data[:4] != MAGIC else ():
                    if isinstance(message, Welcome):
                        self.session, self.epoch = message.session.encode(), message.epoch

    def _received(self) -> bytes:
        data = self.socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the server has closed")
        return data

    def send(self, data: bytes) -> None:
        """One binary message, masked with zeros."""
        size = len(data)
        head = bytes((0x82, 0x80 | size)) if size < 126 else bytes((0x82, 0xFE)) + size.to_bytes(2, "big")
        self.socket.sendall(head + bytes(4) + data)

    def read(self) -> Iterator[bytes]:
        """Messages that have come, whole."""
        buffer = self._buffer
        buffer += self._received()
        at = 0
        while len(buffer) - at >= 2:
            size, head = buffer[at + 1] & 127, 2
            if size > 125:
                head = 4 if size == 126 else 10
                size = int.from_bytes(buffer[at + 2 : at + head], "big")
            if len(buffer) < at + head + size:
                break
            first, data = buffer[at], bytes(buffer[at + head : at + head + size])
            at += head + size
            if first & 15 == 9:  # a ping
                self.socket.sendall(bytes((0x8A, 0x80 | len(data))) + bytes(4) + data)
            elif first & 15 == 8:
                raise ConnectionError(f"the server has closed: {int.from_bytes(data[:2], 'big')} {data[2:].decode()}")
            elif not first & 128:
                self._parts += data
            else:
                data, self._parts = self._parts + data, b""
                yield data
        del buffer[:at]


def crowd(
    url: str,
    token: str,
    editors: int,
    seconds: float,
    make: MakeOp,
    *,
    ops_per_s: float = 5.0,
    load: Load | None = None,
    seed: int = 0,
    begun: Callable[[], None] = lambda: None,
) -> Load:
    """``editors`` at once, each making about ``ops_per_s`` edits a second; ends early where the server does.

    Args:
        load: What is counted on. begun: Called when all have joined.
    """
    load = Load() if load is None else load
    used = time.process_time()
    people = [Editor(url, token, f"Editor {i}", 1000 * seed + i) for i in range(editors)]
    begun()
    load.epochs |= {editor.epoch for editor in people}
    with selectors.DefaultSelector() as selector:
        for editor in people:
            selector.register(editor.socket, selectors.EVENT_READ, editor)
        begin = time.perf_counter()
        until = begin + seconds
        due = [(begin + editor.draw.random() / ops_per_s, i) for i, editor in enumerate(people)]
        heapq.heapify(due)
        try:
            while (now := time.perf_counter()) < until + ANSWER_S:
                if now >= until and not any(editor.begun for editor in people):
                    break
                while due and due[0][0] <= now < until:
                    at, i = heapq.heappop(due)
                    _edit(people[i], load, make)
                    heapq.heappush(due, (at + people[i].draw.uniform(0.5, 1.5) / ops_per_s, i))
                next_due = due[0][0] if due and now < until else now + 0.1
                for key, _ in selector.select(max(0.0, min(next_due, until + ANSWER_S) - now)):
                    _take(key.data, load)
        except ConnectionError as error:
            load.ended = str(error)  # the campaign kills servers
        finally:
            for editor in people:
                editor.socket.close()
    load.used_s += time.process_time() - used
    return load


def _edit(editor: Editor, load: Load, make: MakeOp) -> None:
    editor.opid += 1
    load.sent += 1
    op = make(editor.draw, load.sent)
    editor.begun[editor.opid] = time.perf_counter()
    editor.send(encode(Edit(editor.opid, 0, [op])))


def _take(editor: Editor, load: Load) -> None:
    for data in editor.read():
        now = time.perf_counter()
        if data[:4] == MAGIC:
            if editor.last_frame:
                load.gaps.append(now - editor.last_frame)
            editor.last_frame = now
            continue
        for message in messages(data, b"refused") if b"refused" in data else ():
            if isinstance(message, Refused) and editor.begun.pop(message.opid, None) is not None:
                load.refused += 1
        for message in messages(data, editor.session) if editor.session in data else ():
            if isinstance(message, Edited) and message.session.encode() == editor.session and message.opid in editor.begun:
                at = editor.begun.pop(message.opid)
                load.trips.append(now - at)
                load.answers.append((message.session, message.opid, message.seq))
