"""Kernels over bodies on several cores: on a CPU one launch is one thread, so blocks of it go to several.

A launch lets go of the interpreter while it runs. Blocks write disjoint bodies: the result does not depend on who ran when. What
must be done in stages is run by a team: the same launch in each thread, which wait for each other inside (``kernels.team``).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import warp as wp

from twin.process.device import CUDA_BLOCK

WORTH_IT = 256
"""Bodies below which handing over a block costs more than it gains."""
_BLOCKS_A_LANE = 4
_ONE_TEAM = threading.Lock()
"""Two teams at a time could wait for each other's threads for ever: each holds some of the pool and wants the others'."""


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

    def record(self, kernel: wp.Kernel, total: int, args: list[Any], *, worth: int = WORTH_IT) -> list[wp.Launch]:
        """``kernel(first, *args)`` over ``total`` bodies, in blocks of at least ``worth``, to be run as often as wanted: packing
        arguments costs more than a launch. What is in their arrays may change, the arrays may not."""
        blocks = 1
        if self.threads > 1 and total >= 2 * worth:
            blocks = min(total // worth, self.threads * _BLOCKS_A_LANE)
            blocks = max(blocks - blocks % self.threads, min(blocks, self.threads))  # as many for each thread
        edges = [total * k // blocks for k in range(blocks + 1)]
        return [self._recorded(kernel, end - first, [first, *args]) for first, end in pairwise(edges)]

    def _recorded(self, kernel: wp.Kernel, total: int, args: list[Any]) -> wp.Launch:
        command: wp.Launch = wp.launch(kernel, total, args, device=self._device, record_cmd=True, block_dim=CUDA_BLOCK)
        return command

    def run(self, blocks: list[wp.Launch]) -> None:
        """Run what was recorded; returns when all blocks are done."""
        if len(blocks) == 1:
            blocks[0].launch()
            return
        for block in [_pool(self.threads).submit(block.launch) for block in blocks]:
            block.result()

    def record_team(self, kernel: wp.Kernel, total: int, args: list[Any]) -> list[wp.Launch]:
        """``kernel(0, *args)`` over ``total`` for each thread of a team, to be run at the same time."""
        return [self._recorded(kernel, total, [0, *args]) for _ in range(self.threads)]

    def run_team(self, team: list[wp.Launch]) -> bool:
        """Run what was recorded for a team, in all threads at the same time; False where another team is at work."""
        if not _ONE_TEAM.acquire(blocking=False):
            return False
        try:
            others = [_pool(self.threads).submit(launch.launch) for launch in team[1:]]
            team[0].launch()
            for other in others:
                other.result()
        finally:
            _ONE_TEAM.release()
        return True
