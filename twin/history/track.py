"""The recorded pose track, read back: what everybody saw, ten times a second.

A chunk is a deflated run of records, each a wall time [ns UTC], a length, and a state frame or a control message; it stands on
its own, beginning with the id table and a whole frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from twin.core.errors import InputError
from twin.protocol.frames import BODIES, GONE, GOODS, MAGIC, decode_frame
from twin.protocol.messages import BodyTable, decode_server
from twin.protocol.track import FORMAT, records

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Moment:
    """What was seen at one moment.

    Attributes:
        time_ns: Wall time [ns UTC]. sim_time: [s].
        position, rotation: [B,3] m and [B,4] xyzw by body of ``paths``; NaN for a body that was not there.
        goods: Slot and generation -> (prototype path, [3] m, [4] xyzw).
    """

    time_ns: int
    sim_time: float
    paths: list[str]
    position: np.ndarray
    rotation: np.ndarray
    goods: dict[tuple[int, int], tuple[str, np.ndarray, np.ndarray]]


class Track:
    """A folder of chunks.

    Raises:
        InputError: There is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError("no track is recorded there", file=folder)
        self._chunks: list[tuple[int, int, Path]] = []
        for path in folder.glob(f"*-*.{FORMAT}"):
            begin, _, end = path.stem.partition("-")
            self._chunks.append((int(begin), int(end), path))
        self._chunks.sort()

    def span(self) -> tuple[int, int] | None:
        """First and last recorded moment [ns UTC]; None where nothing is."""
        return (self._chunks[0][0], self._chunks[-1][1]) if self._chunks else None

    def moments(self, t0_ns: int, t1_ns: int) -> Iterator[Moment]:
        """Every recorded moment with ``t0_ns <= time <= t1_ns``, in order."""
        for begin, end, path in self._chunks:
            if end >= t0_ns and begin <= t1_ns:
                yield from (m for m in _chunk(path.read_bytes()) if t0_ns <= m.time_ns <= t1_ns)


def _chunk(data: bytes) -> Iterator[Moment]:
    table: BodyTable | None = None
    position = rotation = np.zeros((0, 3))
    goods: dict[int, tuple[int, int, np.ndarray, np.ndarray]] = {}
    for time_ns, payload in records(data):
        if payload[: len(MAGIC)] != MAGIC:
            try:
                message = decode_server(payload)
            except msgspec.DecodeError:
                continue  # of another version; what is needed here is the table, without which no frame is read
            if isinstance(message, BodyTable):
                table = message
                position = np.full((len(table.bodies), 3), np.nan)
                rotation = np.tile(np.array(UPRIGHT), (len(table.bodies), 1))
                goods = {}
            continue
        if table is None:
            continue
        frame = decode_frame(payload)
        if frame.base == 0:
            goods = {}
        for block in frame.blocks:
            if block.kind == BODIES:
                position[block.id] = block.position
                if block.rotation is not None:
                    rotation[block.id] = block.rotation
            elif block.kind == GONE:
                for slot in block.id.tolist():
                    goods.pop(slot, None)
            elif block.kind == GOODS:
                for i, slot in enumerate(block.id.tolist()):
                    before = goods.get(slot, (0, 0, np.zeros(3), np.array(UPRIGHT)))
                    what = before[0] if block.prototype is None else int(block.prototype[i])
                    life = before[1] if block.generation is None else int(block.generation[i])
                    turn = before[3] if block.rotation is None else block.rotation[i]
                    goods[slot] = (what, life, block.position[i], turn)
        there = {
            (slot, life): (table.prototypes[what] if what < len(table.prototypes) else "", at, turn)
            for slot, (what, life, at, turn) in goods.items()
        }
        yield Moment(time_ns, frame.sim_time, table.bodies, position.copy(), rotation.copy(), there)
