"""What one client is to be sent of the stream: the newest frame when it can take one, never a queue of old ones."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from twin.server.stream import Follower, FrameEncoder

UNSEEN_S = 0.6
"""A client that says what it has seen gets no further frame while one older than this is unseen."""


class LatestFrame:
    """The one slot of a client. ``wake`` is set when there may be something to send.

    Attributes:
        due: There is a newer frame than the one sent last.
    """

    def __init__(self, wake: asyncio.Event) -> None:
        self.follower = Follower()
        self.due = False
        self._wake = wake
        self._sent: deque[tuple[int, float]] = deque(maxlen=1024)
        self._seen = 0

    def ready(self) -> None:
        """There is a newer frame."""
        self.due = True
        self._wake.set()

    def saw(self, number: int) -> None:
        """The client has drawn frame ``number``."""
        self._seen = max(self._seen, number)
        while self._sent and self._sent[0][0] <= self._seen:
            self._sent.popleft()
        self._wake.set()

    @property
    def sendable(self) -> bool:
        """A frame is due, and those before do not wait in a buffer that cannot be seen from here: the network's, a busy tab's."""
        behind = self._seen and self._sent and time.monotonic() - self._sent[0][1] > UNSEEN_S
        return self.due and not behind

    def take(self, frames: FrameEncoder) -> bytes | None:
        """The newest frame, where one is due; it is taken to be sent."""
        if not self.sendable:
            return None
        self.due = False
        data = self.follower.frame(frames)
        if data is not None:
            self._sent.append((frames.number, time.monotonic()))
        return data
