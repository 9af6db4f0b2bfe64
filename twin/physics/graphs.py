"""Steps as graphs: recorded once for each of their forms, then replayed with one call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

import warp as wp

_TURN = threading.Lock()
"""A device has one stream for all threads: what another launches while a step is recorded would be in the recording."""


class Graphs:
    """Launch sequences by form; a sequence is the same each time but for what lies in its arrays.

    Args:
        device: A CUDA device, or the CPU, which has no gain from it but replays the same.
    """

    def __init__(self, device: wp.Device) -> None:
        self._device = device
        self._graphs: dict[Hashable, wp.Graph] = {}
        self._warm = False

    def launch(self, form: Hashable, enqueue: Callable[[], None]) -> None:
        """Run what ``enqueue`` launches. Kernels are loaded and memory is found in the first run, which is not captured."""
        with _TURN:
            if not self._warm:
                enqueue()
                self._warm = True
                return
            if form not in self._graphs:
                with wp.ScopedCapture(device=self._device) as capture:
                    enqueue()
                self._graphs[form] = capture.graph
            wp.capture_launch(self._graphs[form])
