"""What one client has asked for and has still to be done: edits wait for the disk, one after the other, while reading goes on."""

from __future__ import annotations

import asyncio
from collections import deque

from twin.protocol.messages import Control, Edit, Redo, Undo

Asked = Edit | Undo | Redo | Control
MAX_WAITING = 1000
"""Messages that may wait: a burst, and what comes in ten seconds of a disk that takes none."""
MAX_BYTES = 32 << 20
"""What they may be together; one alone may always wait [bytes]."""


class Inbox:
    """A queue with an end. Belongs to the event loop.

    Attributes:
        full: Why the last message was not taken.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Asked, int]] = deque()
        self._bytes = 0
        self._ended = False
        self._wake = asyncio.Event()
        self.full = ""

    def add(self, message: Asked, size: int) -> bool:
        """Put a message of ``size`` bytes behind the others; False: there are too many already."""
        if len(self._waiting) >= MAX_WAITING:
            self.full = f"{MAX_WAITING} edits of yours are waiting already"
            return False
        if self._waiting and self._bytes + size > MAX_BYTES:
            self.full = f"edits of yours of {MAX_BYTES >> 20} MiB are waiting already"
            return False
        self._waiting.append((message, size))
        self._bytes += size
        self._wake.set()
        return True

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake.set()

    async def next(self) -> Asked | None:
        """The next message, when there is one; None when all has been taken and no more will come."""
        while not self._waiting:
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()
        message, size = self._waiting.popleft()
        self._bytes -= size
        return message
