"""Websocket messages written straight to the connection, so that what everybody is told is put into a frame once for all."""

from __future__ import annotations

import struct
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

EXTENSION = "twin.direct"
"""Under this name a connection's scope holds its ``Direct``, where this server has made it."""
BINARY = 0x82
FEW, SMALL = 16, 1 << 14
"""So many messages may wait to be taken, if they are no longer than this [bytes]."""


def framed(data: bytes) -> bytes:
    """One binary message as a server sends it: a frame that is not masked (RFC 6455, section 5.2)."""
    size = len(data)
    if size < 126:
        return bytes((BINARY, size)) + data
    if size < 1 << 16:
        return struct.pack("!BBH", BINARY, 126, size) + data
    return struct.pack("!BBQ", BINARY, 127, size) + data


class Direct:
    """A connection that can be written to without its task being woken."""

    def __init__(self, protocol: WebSocketsSansIOProtocol) -> None:
        self._protocol = protocol

    @property
    def ready(self) -> bool:
        """It is open, and has room for more."""
        protocol = self._protocol
        return protocol.writable.is_set() and not protocol.close_sent and protocol.conn.state is State.OPEN

    def write(self, frames: bytes) -> None:
        """Whole frames; only where it is ``ready``."""
        self._protocol.transport.write(frames)


class DirectWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's websocket, which hands a ``Direct`` of itself to the application.

    uvicorn stops listening to a connection after each message until that has been taken, which costs two calls of the system a
    message; here a few small ones may wait.
    """

    def send_receive_event_to_app(self) -> None:
        # what says that it is paused already is not paused
        self.read_paused = self.queue.qsize() < FEW and sum(map(len, self.frames)) < SMALL
        super().send_receive_event_to_app()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]  # type: ignore[assignment]
        extensions[EXTENSION] = Direct(self)
        await super().run_asgi()
