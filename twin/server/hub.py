"""Fan-out: one queue a client, so that a slow tab never slows another. Everything here runs on the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from msgspec.structs import replace

from twin.collab import Access, Identity
from twin.live import Event, Failure
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Clock, LineFound, Notice, Presence, Preview, encode
from twin.server.latest import LatestFrame
from twin.server.stream import FrameEncoder

CONTROL_LIMIT = 4096
"""Messages that may wait for one client; more, and it is disconnected to resume afresh."""
CONTROL_BYTES = 64 << 20
LOSSY_LIMIT = 64
"""Above this many waiting messages, presence and previews are dropped for the client."""
CLOSE_UNAUTHORISED = 4401
CLOSE_SLOW = 4408
CLOSE_REPLACED = 4410


class Client:
    """One connection: what waits to be sent.

    Args:
        batches: It takes several control messages as one. frames_elsewhere: A gateway makes its frames.
    """

    def __init__(self, who: Identity, *, batches: bool = False, frames_elsewhere: bool = False) -> None:
        self.who = who
        self.batches = batches
        self.session = ""
        self.tab = ""
        self.presence = Presence()
        self.close_code = 0
        self.close_reason = ""
        self.closing = asyncio.Event()
        self.active = False
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self.latest = LatestFrame(self._wake)
        self.frames_elsewhere = frames_elsewhere

    def send(self, data: bytes, *, lossy: bool = False) -> None:
        if lossy and len(self._queue) > LOSSY_LIMIT:
            return
        if len(self._queue) >= CONTROL_LIMIT or self._waiting + len(data) > CONTROL_BYTES:
            self.close(CLOSE_SLOW, "too slow to follow; connect again")
            return
        self._queue.append(data)
        self._waiting += len(data)
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Ask for the end of the connection, whatever it is busy with."""
        if not self.close_code:
            self.close_code, self.close_reason = code, reason
            self.closing.set()
            self._wake.set()

    async def next(self) -> list[bytes]:
        """Waits until something is due; returns the control messages to send."""
        while not (self._queue or self.close_code or (self.latest.sendable and not self.frames_elsewhere)):
            self._wake.clear()
            await self._wake.wait()
        out = list(self._queue)
        self._queue.clear()
        self._waiting = 0
        return out


class Hub:
    """All clients, and the newest state of the stream."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.frames = FrameEncoder()
        self.failed = ""

    def publish(self, event: Event | Any, wall_time: float | None = None) -> None:
        """An event of the running twin, or a message to everyone; ``wall_time``: when it happened [s UTC], else now."""
        if isinstance(event, StateFrame):
            self.frames.push(event, wall_time)
            for client in self.clients:
                if client.active:
                    client.latest.ready()
            return
        if isinstance(event, LineFound):
            return  # the pose track's alone
        if isinstance(event, Failure):
            if event.fatal:
                self.failed = event.message
            event = Notice("error", f"The simulation failed: {event.message}")
        if isinstance(event, BodyTable):
            self.frames.reset(event.version)
            for client in self.clients:
                client.latest.follower.restart()
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

    def claim(self, client: Client, session: str, tab: str) -> None:
        """Let a client have a session, unless another tab is connected with it.

        An older connection of the same tab is one that the network has left hanging: it ends.
        """
        client.tab = tab
        for other in list(self.clients):
            if session and other.session == session and other is not client:
                if not tab or other.tab != tab:
                    return
                self.leave(other)
                other.session = ""
                other.close(CLOSE_REPLACED, "connected again from the same tab")
        client.session = session

    def hold(self, client: Client, paths: list[str]) -> list[str]:
        """Of the prims that a client wants to hold, those that no other holds."""
        taken = {path for other in self.clients if other is not client for path in other.presence.holding}
        return [path for path in paths if path not in taken]

    def revoke(self, key: str) -> None:
        """End the connections of a token."""
        for client in list(self.clients):
            if client.who.key == key:
                client.close(CLOSE_UNAUTHORISED, "access has been taken back")

    def check(self, access: Access) -> None:
        """End the connections whose token is no longer good."""
        for client in list(self.clients):
            if not access.valid(client.who.key):
                client.close(CLOSE_UNAUTHORISED, "access has been taken back")

    def activate(self, client: Client, messages: list[Any]) -> None:
        """The client has been let in: its first messages, then everything that happens."""
        if client not in self.clients:
            return
        for message in messages:
            if isinstance(message, StateFrame):
                if not self.frames.ready:  # else the newest is here already
                    self.frames.push(message)
                continue
            if isinstance(message, BodyTable) and message.version != self.frames.version:
                self.frames.reset(message.version)
            client.send(encode(message))
        for other in self.clients:
            if other.active:
                client.send(encode(other.presence))
        client.active = True
        client.latest.ready()
        self.others(client, client.presence)

    def leave(self, client: Client) -> None:
        """The client is gone."""
        if client not in self.clients:
            return
        self.clients.discard(client)
        if client.active:
            client.presence = replace(client.presence, gone=True, holding=[])
            self.others(client, client.presence)
