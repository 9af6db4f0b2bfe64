"""Kernels over bodies on several cores: on a CPU one launch is one thread, so blocks of it go to several.

A launch lets go of the interpreter while it runs. Blocks write disjoint bodies: the result does not depend on who ran when. What
must be done in stages is run by a team: the same launch in each thread, which wait for each other inside (``kernels.team``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import warp as wp

WORTH_IT = 256
"""Bodies below which handing over a block costs more than it gains."""
_BLOCKS_A_LANE = 4
_ONE_TEAM = threading.Lock()
"""Two teams at a time could wait for each other's threads for ever: each holds some of the pool and wants the others'."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="physics")


class Lanes:
    """Launches kernels whose first argument is the index of their first body.

    Args:
        device: Where. threads: At most so many at a time; a GPU takes one launch.
    """

    def __init__(self, device: wp.Device, threads: int) -> None:
        self._device = device
        self.threads = threads if device.is_cpu else 1

    def launch(self, kernel: wp.Kernel, total: int, args: list[Any], *, worth: int = WORTH_IT) -> None:
        """Run ``kernel(first, *args)`` over ``total`` bodies, blocks of at least ``worth``; returns when all are done."""
        if self.threads == 1 or total < 2 * worth:
            wp.launch(kernel, total, [0, *args], device=self._device)
            return
        blocks = min(total // worth, self.threads * _BLOCKS_A_LANE)
        edges = [total * k // blocks for k in range(blocks + 1)]
        work = [
            _pool(self.threads).submit(wp.launch, kernel, end - first, [first, *args], device=self._device)
            for first, end in pairwise(edges)
        ]
        for block in work:
            block.result()

    def together(self, kernel: wp.Kernel, total: int, args: Callable[[int], list[Any]]) -> None:
        """Run ``kernel(0, *args(team))`` over ``total`` in each thread of a team at the same time; the team is one thread where
        another one is at work."""
        team = self.threads if _ONE_TEAM.acquire(blocking=False) else 1
        try:
            launched = args(team)
            others = [
                _pool(self.threads).submit(wp.launch, kernel, total, [0, *launched], device=self._device) for _ in range(team - 1)
            ]
            wp.launch(kernel, total, [0, *launched], device=self._device)
            for other in others:
                other.result()
        finally:
            if team > 1:
                _ONE_TEAM.release()
