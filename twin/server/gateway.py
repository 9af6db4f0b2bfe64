"""A gateway: a process that holds viewers' connections for the server, so that more can watch than one process serves.

It takes connections at the server's own address. Requests are passed on as they are. A websocket is passed on message by
message, so that edits, access and order stay the server's; only state frames are made here, from the frames that the server
puts in shared memory. Started by :mod:`twin.server.gateways`, ends when the server does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import sys
from contextlib import suppress

import msgspec

from twin.core import log
from twin.core.tasks import first_of
from twin.protocol.messages import BodyTable, Presence, Seen, decode_client, decode_server, decode_server_batch
from twin.server.latest import LatestFrame
from twin.server.ring import RingReader
from twin.server.stream import FrameEncoder

HEADER = "x-twin-frames"
"""Request header by which a gateway tells the server that it sends the frames itself."""
HEAD_TIMEOUT_S = 20.0
MAX_HEAD = 64 << 10
MAX_MESSAGE = 8 << 20
SMALL = 4096
"""Longer messages of a client are passed on unread."""
BINARY = 2
BODIES = b"\xa1t\xa6bodies"
"""What a message with an id table holds."""
CHUNK = 64 << 10


class Gateway:
    """All connections of this process, and the newest frame."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.frames = FrameEncoder()
        self.latest: set[LatestFrame] = set()
        self._ring: RingReader | None = None
        self._number = 0

    def news(self, fds: list[int]) -> None:
        """The server has written a frame, in a new ring if there is a descriptor."""
        for fd in fds:
            self._ring, self._number = RingReader(fd), 0
            os.close(fd)
        moment = self._ring.newest() if self._ring is not None else None
        if moment is None or moment.number == self._number:
            return
        self._number = moment.number
        if moment.version != self.frames.version:
            self.frames.reset(moment.version)
        self.frames.push(moment.frame, moment.wall_time)
        for latest in self.latest:
            latest.ready()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first byte to its last."""
        up_writer: asyncio.StreamWriter | None = None
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_TIMEOUT_S)
            up_reader, up_writer = await asyncio.open_unix_connection(self.upstream, limit=MAX_MESSAGE)
            if _is_websocket(head):
                await self._websocket(head, reader, writer, up_reader, up_writer)
            else:
                up_writer.write(_without(head))
                await first_of(_copy(reader, up_writer), _copy(up_reader, writer))
        except (TimeoutError, OSError, EOFError, asyncio.LimitOverrunError):
            pass  # one side is gone; the other need not wait
        finally:
            for end in (writer, up_writer):
                if end is not None:
                    end.close()

    async def _websocket(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        up_writer.write(_without(head)[:-2] + f"{HEADER}: gateway\r\n\r\n".encode())
        answer = await up_reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if b" 101 " not in answer[:20]:
            await _copy(up_reader, writer)
            return
        relay = Relay(self, reader, writer, up_reader, up_writer)
        self.latest.add(relay.latest)
        try:
            await first_of(relay.from_client(), relay.from_server(), relay.send_frames())
        finally:
            self.latest.discard(relay.latest)
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.drain(), 1.0)  # the farewell


class Relay:
    """One websocket."""

    def __init__(
        self,
        gateway: Gateway,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        self._gateway = gateway
        self._reader, self._writer = reader, writer
        self._up_reader, self._up_writer = up_reader, up_writer
        self._wake = asyncio.Event()
        self.latest = LatestFrame(self._wake)
        self._version = -1

    async def from_client(self) -> None:
        """Pass messages on; where the camera is and what has been seen matter here."""
        while True:
            head, mask, payload = await _message(self._reader)
            if head[0] & 15 == BINARY and head[0] & 128 and len(payload) <= SMALL and self._noted(_unmasked(payload, mask)):
                continue
            self._up_writer.write(head + mask + payload)
            await self._up_writer.drain()

    def _noted(self, data: bytes) -> bool:
        """Look at a message; whether it was for the gateway alone."""
        try:
            message = decode_client(data)
        except (msgspec.DecodeError, RecursionError):
            return False  # the server says what is wrong with it
        if isinstance(message, Presence):
            self.latest.follower.look(message.camera[:6])
        elif isinstance(message, Seen):
            self.latest.saw(message.number)
            return True
        return False

    async def from_server(self) -> None:
        """Pass control messages on, in order and without loss."""
        while True:
            head, _, payload = await _message(self._up_reader)
            self._writer.write(head + payload)
            if BODIES in payload:
                self._tables(payload)
            await self._writer.drain()

    def _tables(self, payload: bytes) -> None:
        """Take the id table out of a message that may hold one, alone or in a batch."""
        messages = decode_server_batch(payload) if _is_array(payload) else [decode_server(payload)]
        for message in messages:
            if isinstance(message, BodyTable):
                self._version = message.version
                self.latest.follower.restart()
                self.latest.ready()

    async def send_frames(self) -> None:
        """The newest frame whenever the connection can take one; never before the table that it needs."""
        frames = self._gateway.frames
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._writer.drain()
            if frames.version != self._version:
                continue  # the table, or the frame, is on its way
            data = self.latest.take(frames)
            if data is not None:
                size = len(data)
                head = struct.pack("!BB", 128 | BINARY, size) if size < 126 else (
                    struct.pack("!BBH", 128 | BINARY, 126, size) if size < 65536 else struct.pack("!BBQ", 128 | BINARY, 127, size)
                )  # fmt: skip
                self._writer.write(head + data)


def _is_array(payload: bytes) -> bool:
    """Whether a MessagePack value is an array: fixarray, array 16 or array 32."""
    return payload[0] & 0xF0 == 0x90 or payload[0] in (0xDC, 0xDD)


def _is_websocket(head: bytes) -> bool:
    line, _, rest = head.partition(b"\r\n")
    return line.split(b"?")[0].split(b" ")[:2] == [b"GET", b"/api/ws"] and b"\r\nupgrade: websocket" in b"\r\n" + rest.lower()


def _without(head: bytes) -> bytes:
    """A request's head without the gateways' own header, whoever put it there."""
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(HEADER.encode()))


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes, bytes]:
    """One frame of a websocket: head, mask and payload as they came (RFC 6455, section 5.2)."""
    head = await reader.readexactly(2)
    size = head[1] & 127
    if size > 125:
        more = await reader.readexactly(2 if size == 126 else 8)
        head, size = head + more, int.from_bytes(more, "big")
    if size > MAX_MESSAGE:
        raise EOFError("a message is too long")
    mask = await reader.readexactly(4) if head[1] & 128 else b""
    return head, mask, await reader.readexactly(size)


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    if not mask:
        return payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()


async def run(listening: socket.socket, control: socket.socket, upstream: str) -> None:
    """Serve until the server closes the control socket."""
    gateway = Gateway(upstream)
    ended = asyncio.Event()
    control.setblocking(False)

    def news() -> None:
        try:
            data, fds, _, _ = socket.recv_fds(control, 4096, 4)
        except BlockingIOError:
            return
        if not data:
            ended.set()
            return
        gateway.news(fds)

    loop = asyncio.get_running_loop()
    loop.add_reader(control, news)
    server = await asyncio.start_server(gateway.connection, sock=listening, limit=MAX_HEAD)
    await ended.wait()
    loop.remove_reader(control)
    server.close()


def main() -> None:
    """``python -m twin.server.gateway LISTENING_FD CONTROL_FD UPSTREAM``."""
    log.configure("warning")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server says when
    asyncio.run(run(socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2])), sys.argv[3]))


if __name__ == "__main__":
    main()
