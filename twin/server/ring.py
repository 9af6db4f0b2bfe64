"""The newest state frames in memory that several processes share: one writes, gateways read.

A ring is a file without a name: a header, then slots. A slot is written between two equal numbers, so a reader that was overtaken
sees that they differ and takes the newer one. When more bodies come than a slot holds, a larger ring follows.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twin.model.frame import StateFrame

SLOTS = 4
_TOP = struct.Struct("<QQ")
"""Number of the newest frame, bytes of a slot."""
_HEAD = struct.Struct("<QIIddII")
"""Number, version of the id table, tick, simulation time, wall time, bodies, slots of goods."""
_FIELDS = (
    ("body_position", "<f4", 3, True), ("body_rotation", "<f4", 4, True), ("item_id", "<i8", 1, False),
    ("item_position", "<f4", 3, False), ("item_rotation", "<f4", 4, False), ("item_prototype", "<i4", 1, False),
    ("item_alive", "u1", 1, False),
)  # fmt: skip
_ROOM = 1.5
"""A new ring has room for this many times what it is made for."""


@dataclass(frozen=True)
class Moment:
    """A frame as it was written, with what it needs to be understood."""

    number: int
    version: int
    wall_time: float
    frame: StateFrame


def _size(bodies: int, slots: int) -> int:
    per = [np.dtype(kind).itemsize * width * (bodies if body else slots) for _, kind, width, body in _FIELDS]
    return 2 * _HEAD.size + sum(n + -n % 8 for n in per)


class RingWriter:
    """The writing side; one thread writes.

    Attributes:
        generation: Raised when a larger ring takes the place of the old one.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.number = 0
        self._slot = 0
        self._memory: mmap.mmap | None = None
        self._file: int = -1

    @property
    def file(self) -> int:
        """Descriptor of the ring's memory, -1 before the first frame."""
        return self._file

    def write(self, frame: StateFrame, version: int, wall_time: float) -> None:
        """Put the newest frame."""
        bodies, slots = len(frame.body_position), len(frame.item_position)
        needed = _size(bodies, slots)
        if self._memory is None or needed > self._slot:
            self._grow(needed)
        assert self._memory is not None
        self.number += 1
        at = _TOP.size + self.number % SLOTS * self._slot
        head = (self.number, version, frame.tick & 0xFFFFFFFF, frame.sim_time, wall_time, bodies, slots)
        _HEAD.pack_into(self._memory, at, *head)
        here = at + _HEAD.size
        for name, kind, width, body in _FIELDS:
            count = width * (bodies if body else slots)
            target = np.frombuffer(self._memory, kind, count, here)
            target[:] = np.asarray(getattr(frame, name)).reshape(-1)
            here += target.nbytes + -target.nbytes % 8
        struct.pack_into("<Q", self._memory, here, self.number)
        _TOP.pack_into(self._memory, 0, self.number, self._slot)

    def _grow(self, needed: int) -> None:
        self._slot = int(needed * _ROOM) + -int(needed * _ROOM) % 64
        folder = Path("/dev/shm")
        with tempfile.TemporaryFile(dir=folder if folder.is_dir() else None) as file:
            file.truncate(_TOP.size + SLOTS * self._slot)
            old, self._file = self._file, os.dup(file.fileno())
        if old >= 0:
            os.close(old)
        self._memory = mmap.mmap(self._file, 0)
        self.generation += 1

    def close(self) -> None:
        """Give the memory back; readers keep theirs."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class RingReader:
    """The reading side of one ring."""

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, 0, access=mmap.ACCESS_READ)

    def newest(self) -> Moment | None:
        """The newest frame; None before the first, or while the writer is faster than this can copy."""
        for _ in range(SLOTS):
            number, slot = _TOP.unpack_from(self._memory, 0)
            if number == 0:
                return None
            found = self._read(number, _TOP.size + number % SLOTS * slot)
            if found is not None:
                return found
        return None

    def _read(self, wanted: int, at: int) -> Moment | None:
        number, version, tick, sim_time, wall_time, bodies, slots = _HEAD.unpack_from(self._memory, at)
        if number != wanted:
            return None
        here = at + _HEAD.size
        values: dict[str, np.ndarray] = {}
        for name, kind, width, body in _FIELDS:
            count = width * (bodies if body else slots)
            if here + count * np.dtype(kind).itemsize > len(self._memory):
                return None
            array = np.frombuffer(self._memory, kind, count, here)
            here += array.nbytes + -array.nbytes % 8
            values[name] = array.reshape(-1, width).copy() if width > 1 else array.copy()
        ends = struct.unpack_from("<Q", self._memory, here)[0], _HEAD.unpack_from(self._memory, at)[0]
        if ends != (wanted, wanted):
            return None
        none = np.zeros(0, np.int64)
        frame = StateFrame(
            sim_time=sim_time, tick=tick,
            body_position=values["body_position"], body_rotation=values["body_rotation"],
            item_alive=values["item_alive"].astype(bool), item_id=values["item_id"], item_prototype=values["item_prototype"],
            item_position=values["item_position"], item_rotation=values["item_rotation"], item_pieces=none,
            node_state=none, node_level=none, node_in=none, node_out=none,
        )  # fmt: skip
        return Moment(number, version, wall_time, frame)
