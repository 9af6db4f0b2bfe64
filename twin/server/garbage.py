"""Python's collector of cyclic garbage, kept from stopping everybody.

A full collection looks through all that lives while no thread runs: 20 to 70 ms a time with the edits of some minutes in memory,
every few seconds where many people edit, and that was the longest time that an edit waited. Here what has survived one is put
aside (``gc.freeze``), so that the next looks through what has come since and no more. What was put aside and has become garbage
is looked for every ten minutes, and where nobody is there to wait.
"""

from __future__ import annotations

import gc
import time

EVERY_S = 5.0
"""What is new is looked through so often [s]: 10 ms where 50 people edit."""
ALL_S, ALONE_S = 600.0, 120.0
"""Everything is, so often [s], and where nobody is connected."""
YOUNG, MIDDLE, NEVER = 1000, 10, 1_000_000_000
"""``gc.set_threshold``: collections of what is young come as often as ever, full ones by ``Garbage.look`` alone."""


class Garbage:
    """When to collect; ``begin`` once everything has been loaded, ``look`` now and then on any one thread."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._new = self._all = time.monotonic()

    def begin(self) -> None:
        """What is here now stays: modules, stage, tables."""
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        gc.freeze()
        gc.enable()
        self._new = self._all = time.monotonic()

    def look(self, *, alone: bool) -> None:
        """Collect what is due. ``alone``: nobody is connected."""
        now = time.monotonic()
        if now - self._all >= (ALONE_S if alone else ALL_S):
            gc.unfreeze()
            self._all = now
        elif now - self._new < EVERY_S:
            return
        gc.collect()
        gc.freeze()
        self._new = now

    def end(self) -> None:
        """As it was before ``begin``."""
        gc.set_threshold(*self._before)
        gc.unfreeze()
        gc.enable()
