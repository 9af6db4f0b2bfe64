"""Fan-out: one queue a client, so that a slow tab never slows another. Everything here runs on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from twin.live import Event, Failure
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Clock, Notice, Presence, Preview, encode
from twin.server.stream import FrameEncoder

CONTROL_LIMIT = 4096
"""Messages that may wait for one client; more, and it is disconnected to resume afresh."""
LOSSY_LIMIT = 64
"""Above this many waiting messages, presence and previews are dropped for the client."""
CLOSE_SLOW = 4408


class Client:
    """One connection: what waits to be sent."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.session = ""
        self.presence = Presence()
        self.since = 0
        self.frame_due = False
        self.close_code = 0
        self.active = False
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()

    def send(self, data: bytes, *, lossy: bool = False) -> None:
        if lossy and len(self._queue) > LOSSY_LIMIT:
            return
        if len(self._queue) >= CONTROL_LIMIT:
            self.close(CLOSE_SLOW)
            return
        self._queue.append(data)
        self._wake.set()

    def frame_ready(self) -> None:
        self.frame_due = True
        self._wake.set()

    def close(self, code: int) -> None:
        self.close_code = code
        self._wake.set()

    async def next(self) -> list[bytes]:
        """Waits until something is due; returns the control messages to send."""
        while not (self._queue or self.frame_due or self.close_code):
            self._wake.clear()
            await self._wake.wait()
        out = list(self._queue)
        self._queue.clear()
        return out


class Hub:
    """All clients, and the newest state of the stream."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.frames = FrameEncoder()
        self.failed = ""

    def publish(self, event: Event | Any) -> None:
        """An event of the running twin, or a message to everyone."""
        if isinstance(event, StateFrame):
            self.frames.push(event)
            for client in self.clients:
                if client.active:
                    client.frame_ready()
            return
        if isinstance(event, Failure):
            if event.fatal:
                self.failed = event.message
            event = Notice("error", f"The simulation failed: {event.message}")
        if isinstance(event, BodyTable):
            self.frames.reset(event.version)
            for client in self.clients:
                client.since = 0
        data = encode(event)
        lossy = isinstance(event, Clock)
        for client in self.clients:
            if client.active:
                client.send(data, lossy=lossy)

    def others(self, sender: Client, message: Presence | Preview) -> None:
        """To everyone but the sender; may be dropped."""
        data = encode(message)
        for client in self.clients:
            if client.active and client is not sender:
                client.send(data, lossy=True)

    def connected(self, session: str) -> bool:
        """Whether the session has a connection now."""
        return any(c.session == session for c in self.clients)

    def activate(self, client: Client, messages: list[Any]) -> None:
        """The client has been let in: its first messages, then everything that happens."""
        for message in messages:
            if isinstance(message, StateFrame):
                if self.frames.tick == 0 and message.tick >= 0:
                    self.frames.push(message)
                continue
            if isinstance(message, BodyTable) and message.version != self.frames.version:
                self.frames.reset(message.version)
            client.send(encode(message))
        for other in self.clients:
            if other.active:
                client.send(encode(other.presence))
        client.active = True
        client.frame_ready()
        self.others(client, client.presence)

    def leave(self, client: Client) -> None:
        self.clients.discard(client)
        if client.active:
            client.presence.gone = True
            self.others(client, client.presence)
