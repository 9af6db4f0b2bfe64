"""Fan-out: one queue a client, so that a slow tab never slows another. All but ``Hub.post`` runs on the event loop.

What is told to everybody is sent in rounds: with fifty editors, waking every connection for every message would be most of the
server's work. A round is at once where the last one is long enough ago.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
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
ROUND_S = 0.0002
"""A round of sending follows the one before no sooner than this for each client [s]: about twice what it takes."""
LONGEST_ROUND_S = 0.03
QUIET_S = 15.0
"""Whoever gives signs of life (``Ping``) is no longer shown to the others so long after the last one [s]; pages give one every
5 s. The connection may be a slow one, and stays."""
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
        self.heard = time.monotonic()
        self.signs = False
        self.away = False
        """Nothing has come from it for long: the others do not see it."""
        self._queue: deque[bytes] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self.latest = LatestFrame(self._wake)
        self.frames_elsewhere = frames_elsewhere

    def send(self, data: bytes, *, lossy: bool = False, wake: bool = True) -> None:
        """Queue a message. ``wake``: now; else with the next round."""
        if lossy and len(self._queue) > LOSSY_LIMIT:
            return
        if len(self._queue) >= CONTROL_LIMIT or self._waiting + len(data) > CONTROL_BYTES:
            self.close(CLOSE_SLOW, "too slow to follow; connect again")
            return
        self._queue.append(data)
        self._waiting += len(data)
        if wake:
            self._wake.set()

    def wake(self) -> None:
        """Send what is waiting."""
        if self._queue or self.latest.due:
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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mail: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._mailing = threading.Lock()
        self._round: asyncio.TimerHandle | None = None
        self._last_round = 0.0

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on things may be posted."""
        self._loop = loop
        loop.call_later(QUIET_S / 5, self._look)

    def _look(self) -> None:
        self.miss_the_quiet()
        if self._loop is not None:
            self._loop.call_later(QUIET_S / 5, self._look)

    def miss_the_quiet(self) -> None:
        """Have the others told that those are gone of whom nothing has come for long, until something does."""
        now = time.monotonic()
        for client in self.clients:
            if client.active and client.signs and not client.away and now - client.heard > QUIET_S:
                client.away = True
                client.presence.holding = []
                self.others(client, replace(client.presence, gone=True), lossy=False)

    def heard(self, client: Client) -> None:
        """Something has come from a client."""
        client.heard = time.monotonic()
        if client.away:
            client.away = False
            self.others(client, client.presence, lossy=False)

    def post(self, fn: Callable[..., None], *args: Any) -> None:
        """Any thread: have ``fn`` called on the event loop, in the order of posting. Many at once wake the loop once."""
        if self._loop is None:
            raise RuntimeError("the hub is not open")
        with self._mailing:
            first = not self._mail
            self._mail.append((fn, args))
        if first:
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        with self._mailing:
            mail, self._mail = self._mail, deque()
        for fn, args in mail:
            fn(*args)

    def _send_round(self) -> None:
        """See to it that what has been queued for everybody is sent."""
        if self._loop is None:
            self._sent()
        elif self._round is None:
            pause = min(ROUND_S * len(self.clients), LONGEST_ROUND_S)
            wait = self._last_round + pause - time.monotonic()
            self._round = self._loop.call_later(max(wait, 0.0), self._sent)

    def _sent(self) -> None:
        self._round, self._last_round = None, time.monotonic()
        for client in self.clients:
            client.wake()

    def publish(self, event: Event | Any, wall_time: float | None = None) -> None:
        """An event of the running twin, or a message to everyone; ``wall_time``: when it happened [s UTC], else now."""
        if isinstance(event, StateFrame):
            self.frames.push(event, wall_time)
            for client in self.clients:
                if client.active:
                    client.latest.due = True
            self._send_round()
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
                client.send(data, lossy=lossy, wake=False)
        self._send_round()

    def tell(self, session: str, message: Any) -> None:
        """To the page of one session, if it is connected."""
        for client in self.clients:
            if client.active and client.session == session:
                client.send(encode(message))

    def others(self, sender: Client, message: Presence | Preview, *, lossy: bool = True) -> None:
        """To everyone but the sender; ``lossy``: not to those who are behind."""
        data = encode(message)
        for client in self.clients:
            if client.active and client is not sender:
                client.send(data, lossy=lossy, wake=False)
        self._send_round()

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
            if other.active and not other.away:
                client.send(encode(other.presence))
        client.active = True
        client.latest.ready()
        self.others(client, client.presence, lossy=False)

    def leave(self, client: Client) -> None:
        """The client is gone."""
        if client not in self.clients:
            return
        self.clients.discard(client)
        if client.active:
            client.presence = replace(client.presence, gone=True, holding=[])
            self.others(client, client.presence, lossy=False)
