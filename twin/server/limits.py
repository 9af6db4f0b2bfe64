"""How often somebody may do something."""

from __future__ import annotations

import time


class Bucket:
    """Lets ``rate`` things a second through, and a burst of ``size``."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size, self._level, self._at = rate, size, size, time.monotonic()

    def take(self) -> bool:
        """Whether one more may pass now."""
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
