"""Binary state frames: absolute quantised poses of what changed since a frame that the receiver holds.

``docs/wire-format.md`` describes the layout for other decoders; ``tests/protocol/vectors`` holds frames that every decoder
must read alike.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

MAGIC = b"TWF2"
HEADER = struct.Struct("<4sIIIddIHH")
BLOCK = struct.Struct("<BBH3hHI")
STEP_M = 0.0005
"""Positions are whole numbers of these."""
CELL_STEPS = 65536
CELL_M = CELL_STEPS * STEP_M
MAX_CELL = 32767
MAX_COUNT = 65535
BODIES, GOODS, GONE = 0, 1, 2
ROTATED, NAMED, GAPS = 1, 2, 4
"""Flags of a block: rotations follow; what is in each slot follows; ids are u8 steps from the one before."""
_REST = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


@dataclass(frozen=True)
class Poses:
    """One block.

    Attributes:
        kind: ``BODIES``, ``GOODS`` or ``GONE`` (slots that are empty now; no poses).
        id: [n] body index or slot, ascending.
        position: [n,3] m. rotation: [n,4] xyzw, None where it is as it was.
        prototype, generation: [n] what is in the slots, None where it is as it was; generation is 0..63.
        span: Frames that these changes cover: nothing of this cell changed before frame ``number - span``; 0: not known.
    """

    kind: int
    id: np.ndarray
    position: np.ndarray
    rotation: np.ndarray | None = None
    prototype: np.ndarray | None = None
    generation: np.ndarray | None = None
    span: int = 0


@dataclass(frozen=True)
class Frame:
    """A decoded frame.

    Attributes:
        number: Of this frame; goes up always. base: Number of the frame that this one continues; 0: it is whole.
        version: Of the id table that it needs.
        sim_time: [s]. wall_time: When the twin was there [s UTC]. tick: Steps of the simulation.
    """

    number: int
    base: int
    version: int
    sim_time: float
    wall_time: float
    tick: int
    blocks: list[Poses] = field(default_factory=list)


def pack_rotation(q: np.ndarray) -> np.ndarray:
    """Smallest-three encoding of unit quaternions [n,4] xyzw as uint32 [n]; worst error about 0.23 degrees."""
    q = np.asarray(q)
    largest = np.argmax(np.abs(q), axis=1)
    rows = np.arange(len(q))
    sign = np.where(q[rows, largest] < 0.0, -1.0, 1.0)
    three = np.take_along_axis(q * sign[:, None], _REST[largest], axis=1) * np.sqrt(0.5) + 0.5
    bits = np.clip(np.rint(three * 1023.0), 0, 1023).astype(np.uint32)
    return (largest.astype(np.uint32) << 30) | (bits[:, 0] << 20) | (bits[:, 1] << 10) | bits[:, 2]


def unpack_rotation(packed: np.ndarray) -> np.ndarray:
    """Inverse of :func:`pack_rotation`: [n,4] xyzw."""
    packed = np.asarray(packed, np.uint32)
    largest = (packed >> 30).astype(int)
    bits = np.stack([packed >> 20 & 1023, packed >> 10 & 1023, packed & 1023], axis=1)
    three = (bits / 1023.0 - 0.5) * np.sqrt(2.0)
    q = np.zeros((len(packed), 4))
    np.put_along_axis(q, _REST[largest], three, axis=1)
    q[np.arange(len(q)), largest] = np.sqrt(np.maximum(0.0, 1.0 - (three**2).sum(axis=1)))
    return q


def quantise(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions [n,3] m as cells int64 [n,3] and steps within them uint16 [n,3].

    Raises:
        ValueError: A position is no number or beyond the last cell (1,073 km).
    """
    steps = np.rint(np.asarray(position, np.float64) / STEP_M)
    if not np.abs(steps).max(initial=0.0) < MAX_CELL * CELL_STEPS:
        raise ValueError("a position that is no number or further than 1,073 km cannot be sent")
    whole = steps.astype(np.int64)
    return whole >> 16, (whole & 0xFFFF).astype(np.uint16)


def frame_header(*, number: int, base: int, version: int, sim_time: float, wall_time: float, tick: int, blocks: int) -> bytes:
    """The 40 bytes before the blocks."""
    return HEADER.pack(MAGIC, number & 0xFFFFFFFF, base & 0xFFFFFFFF, version, sim_time, wall_time, tick & 0xFFFFFFFF, blocks, 0)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def encode_block(
    kind: int,
    ids: np.ndarray,
    *,
    cell: tuple[int, int, int] = (0, 0, 0),
    span: int = 0,
    steps: np.ndarray | None = None,
    packed: np.ndarray | None = None,
    meta: np.ndarray | None = None,
) -> list[bytes]:
    """Blocks of one cell, more than one where ids or their number do not fit.

    Args:
        ids: [n] ascending. steps: uint16 [n,3] of :func:`quantise`. packed: uint32 [n] of :func:`pack_rotation`, or None.
        meta: uint16 [n] prototype | generation << 10, or None.
    """
    out = []
    start, n = 0, len(ids)
    while start < n:
        end = min(n, start + MAX_COUNT)
        if int(ids[end - 1]) - int(ids[start]) > 65535:
            end = start + int(np.searchsorted(ids[start:end], int(ids[start]) + 65535, "right"))
        part = slice(start, end)
        first = int(ids[start])
        gaps = np.zeros(end - start, np.int64)
        gaps[1:] = ids[start + 1 : end] - ids[start : end - 1]
        small = bool(gaps.max() < 256)
        flags = (ROTATED if packed is not None else 0) | (NAMED if meta is not None else 0) | (GAPS if small else 0)
        listed = gaps.astype("u1") if small else (ids[part] - first).astype("<u2")
        pieces = [BLOCK.pack(kind, flags, end - start, *cell, min(span, 65535), first), _padded(listed.tobytes())]
        if meta is not None:
            pieces.append(_padded(meta[part].astype("<u2", copy=False).tobytes()))
        if steps is not None:
            pieces.append(_padded(steps[part].astype("<u2", copy=False).tobytes()))
        if packed is not None:
            pieces.append(packed[part].astype("<u4", copy=False).tobytes())
        out.append(b"".join(pieces))
        start = end
    return out


def decode_frame(data: bytes) -> Frame:
    """Decode one frame.

    Raises:
        ValueError: Not a frame, or cut short.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ValueError("not a state frame")
    _, number, base, version, sim_time, wall_time, tick, count, _ = HEADER.unpack_from(data)
    at = HEADER.size

    def take(dtype: str, n: int) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(data, dtype, n, at)  # raises ValueError where the data ends early
        at += array.nbytes + (-array.nbytes % 4)
        return array

    blocks = []
    for _ in range(count):
        if at + BLOCK.size > len(data):
            raise ValueError("state frame cut short")
        kind, flags, n, cx, cy, cz, span, first = BLOCK.unpack_from(data, at)
        if kind > GONE or flags > 7:
            raise ValueError(f"unknown block of kind {kind} with flags {flags}")
        at += BLOCK.size
        ids = first + (np.cumsum(take("u1", n), dtype=np.int64) if flags & GAPS else take("<u2", n).astype(np.int64))
        meta = take("<u2", n).astype(np.int64) if flags & NAMED else None
        if kind == GONE:
            blocks.append(Poses(kind, ids, np.zeros((0, 3)), span=span))
            continue
        position = (take("<u2", 3 * n).reshape(n, 3) + np.array([cx, cy, cz]) * CELL_STEPS) * STEP_M
        rotation = unpack_rotation(take("<u4", n)) if flags & ROTATED else None
        prototype, generation = (None, None) if meta is None else (meta & 1023, meta >> 10)
        blocks.append(Poses(kind, ids, position, rotation, prototype, generation, span))
    return Frame(number, base, version, sim_time, wall_time, tick, blocks)
