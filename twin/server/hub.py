"""Fan-out: one queue a client, so that a slow tab never slows another. All but ``Hub.post`` runs on the event loop.

What is told to everybody is sent in rounds: with fifty editors, waking every connection for every message would be most of the
server's work. A round is at once where the last one is long enough ago, and with every frame; an author's own answer waits for
none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from msgspec.structs import replace

from twin.collab import Access, Identity
from twin.live import Event, Failure
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Clock, LineFound, Notice, Presence, Preview, encode, encode_batch
from twin.server.direct import Direct, framed
from twin.server.latest import LatestFrame
from twin.server.stream import FrameEncoder

T = TypeVar("T")
CONTROL_LIMIT = 4096
"""Messages that may wait for one client; more, and it is disconnected to resume afresh."""
CONTROL_BYTES = 64 << 20
BATCH = 64
"""Messages that are sent as one to a client that takes batches."""
MOST_AT_ONCE = 1 << 20
"""What is more goes out piece by piece [bytes]."""
LOSSY_LIMIT = 64
"""Above this many waiting messages, presence and previews are dropped for the client."""
ROUND_S = 0.0006
"""A round of sending follows the one before no sooner than this for each client [s]: ten times what it takes, so that telling
everybody stays a small part of a core."""
LONGEST_ROUND_S = 0.04
"""Longer than from frame to frame: where many are connected, edits go out with the frames."""
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
        direct: Writes to it without waking the task that sends. may: Whether it may still be told anything.
    """

    def __init__(
        self,
        who: Identity,
        *,
        batches: bool = False,
        frames_elsewhere: bool = False,
        direct: Direct | None = None,
        may: Callable[[], bool] = lambda: True,
    ) -> None:
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
        self._told = Told()
        self._taken = 0
        self._wake = asyncio.Event()
        self.latest = LatestFrame(self._wake)
        self.frames_elsewhere = frames_elsewhere
        self._direct, self._may = direct, may
        self._idle = False
        """The task that sends waits for something to send."""

    def send(self, data: bytes, *, lossy: bool = False, wake: bool = True) -> None:
        """Queue a message, behind what all have been told. ``wake``: now; else with the next round."""
        self._catch_up()
        if lossy and len(self._queue) > LOSSY_LIMIT:
            return
        self._add([data], len(data))
        if wake:
            self._wake.set()

    def join(self, told: Told) -> None:
        """From now on what comes to ``told`` is for this client too."""
        self._told, self._taken, self.active = told, len(told.messages), True

    def _catch_up(self) -> None:
        """Queue what all have been told since the last time."""
        told = self._told.messages
        if self._taken < len(told):
            new = told[self._taken :]
            self._taken = len(told)
            self._add(new, sum(map(len, new)))

    def _add(self, messages: list[bytes], size: int) -> None:
        if len(self._queue) + len(messages) > CONTROL_LIMIT or self._waiting + size > CONTROL_BYTES:
            self.close(CLOSE_SLOW, "too slow to follow; connect again")
            return
        self._queue.extend(messages)
        self._waiting += size

    def flush(self, frames: FrameEncoder) -> None:
        """Send what is waiting, and what all have been told."""
        if not self._written(frames):
            self._catch_up()
            if self._queue or self.latest.due:
                self._wake.set()

    def round(self, frames: FrameEncoder) -> None:
        """The same, and what all are told begins anew."""
        self.flush(frames)
        self._taken = 0

    def _written(self, frames: FrameEncoder) -> bool:
        """Write to the connection here and now, where nothing stands in the way."""
        direct = self._direct
        if direct is None or not self._idle or self._wake.is_set() or self.close_code or not (direct.ready and self._may()):
            return False
        if self._waiting > MOST_AT_ONCE or self._told.size > MOST_AT_ONCE:
            return False
        if self._queue or self._taken or not self.batches:
            self._catch_up()
            data = b"".join(map(framed, self.take()))
        else:
            data, self._taken = self._told.framed, len(self._told.messages)
        frame = None if self.frames_elsewhere else self.latest.take(frames)
        if frame is not None:
            data += framed(frame)
        if data:
            direct.write(data)
        return True

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
            self._idle = True
            try:
                await self._wake.wait()
            finally:
                self._idle = False
        return self.take()

    def take(self) -> list[bytes]:
        """The control messages to send, as the client takes them."""
        out = list(self._queue)
        self._queue.clear()
        self._waiting = 0
        return batched(out) if self.batches else out


class Told:
    """What is told to everybody until the next round. A batch of it all is put into a frame once.

    Attributes:
        messages: In their order. size: Of them all [bytes].
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.size = 0
        self._framed: bytes | None = None

    def add(self, data: bytes) -> None:
        """One more."""
        self.messages.append(data)
        self.size += len(data)
        self._framed = None

    def clear(self) -> None:
        """All have been told."""
        self.messages.clear()
        self.size, self._framed = 0, None

    @property
    def framed(self) -> bytes:
        """All of it as a client that takes batches is sent it."""
        if self._framed is None:
            self._framed = b"".join(map(framed, batched(self.messages)))
        return self._framed


def batched(messages: list[bytes]) -> list[bytes]:
    """A few messages instead of many: with fifty editors sending is most of the server's work."""
    return [encode_batch(messages[i : i + BATCH]) for i in range(0, len(messages), BATCH)]


class Hub:
    """All clients, and the newest state of the stream."""

    def __init__(self) -> None:
        self.clients: set[Client] = set()
        self.frames = FrameEncoder()
        self.failed = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._mail: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._mailing = threading.Lock()
        self._told = Told()
        self._round: asyncio.Handle | None = None
        self._at_once = False
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

    async def outcome(self, future: Future[T]) -> T:
        """What a thread's future comes to hold: it comes with the post, so that it wakes the loop no second time."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[T] = loop.create_future()

        def put(done: Future[T]) -> None:
            if waiting.done():
                return  # given up
            if (error := done.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(done.result())

        def tell(done: Future[T]) -> None:
            if not done.cancelled():
                with suppress(RuntimeError):  # the loop has ended, and nobody waits
                    self.post(put, done)

        future.add_done_callback(tell)
        try:
            return await waiting
        except asyncio.CancelledError:
            future.cancel()
            raise

    def _send_round(self, *, at_once: bool = False) -> None:
        """See to it that what has been queued for everybody is sent; ``at_once``: after what else has come by now."""
        if self._loop is None:
            self._sent()
        elif at_once and not self._at_once:
            if self._round is not None:
                self._round.cancel()
            self._round, self._at_once = self._loop.call_soon(self._sent), True
        elif self._round is None:
            pause = min(ROUND_S * len(self.clients), LONGEST_ROUND_S)
            wait = self._last_round + pause - time.monotonic()
            self._round = self._loop.call_later(max(wait, 0.0), self._sent)

    def _sent(self) -> None:
        self._round, self._at_once, self._last_round = None, False, time.monotonic()
        for client in self.clients:
            client.round(self.frames)
        self._told.clear()

    def publish(self, event: Event | Any, wall_time: float | None = None) -> None:
        """An event of the running twin, or a message to everyone; ``wall_time``: when it happened [s UTC], else now."""
        if isinstance(event, StateFrame):
            self.frames.push(event, wall_time)
            for client in self.clients:
                if client.active:
                    client.latest.due = True
            self._send_round(at_once=True)
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
        if isinstance(event, Clock):
            for client in self.clients:
                if client.active:
                    client.send(data, lossy=True, wake=False)
        else:
            self._told.add(data)
        self._send_round()

    def tell(self, session: str, message: Any) -> None:
        """To the page of one session, if it is connected."""
        for client in self.clients:
            if client.active and client.session == session:
                client.send(encode(message))

    def answer(self, client: Client, messages: list[Any]) -> None:
        """Messages to one client that waits for them, at once and behind what all have been told before."""
        for message in messages:
            client.send(encode(message), wake=False)
        client.flush(self.frames)

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
        client.join(self._told)
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
