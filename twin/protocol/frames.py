"""Binary state frames: absolute quantised poses of what changed since a given tick.

Layout, little-endian. Header, 32 bytes::

    0  4s   magic "TWF1"
    4  u32  tick
    8  u32  since: this frame holds every body that changed after tick ``since``; 0 is a whole frame
    12 u32  version of the body table
    16 f64  simulation time [s]
    24 u16  number of blocks
    26 u16  flags (0)
    28 u32  bytes of the alive mask

Then the alive mask of item slots (bit i of byte i // 8, low bit first, padded to 4 bytes), then blocks. A block::

    0  u8   kind: 0 stage bodies, 1 goods
    1  u8   reserved
    2  u16  count
    4  3i16 cell (x, y, z): positions are relative to cell * 65.536 m
    10 u16  reserved
    12      count x u16 id (body index, or slot)
            goods only: count x u16 = prototype index (low 10 bits) | generation % 64 << 10
            count x 3 u16 position [mm], padded to 4 bytes
            count x u32 rotation, smallest three: bits 30-31 index of the largest component (xyzw), then three of
            10 bits (value = (q / sqrt(2) + 0.5) * 1023 for q in -1/sqrt(2)..1/sqrt(2) scaled by sqrt(2))

Every array starts on a multiple of 4 bytes (padded with zeros).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

MAGIC = b"TWF1"
HEADER = struct.Struct("<4sIIIdHHI")
BLOCK = struct.Struct("<BBH3hH")
CELL_M = 65.536
BODIES, GOODS = 0, 1


@dataclass(frozen=True)
class Poses:
    """Poses of one kind: ``id`` [n], ``position`` [n,3] m, ``rotation`` [n,4] xyzw; goods: ``prototype``, ``generation`` [n]."""

    kind: int
    id: np.ndarray
    position: np.ndarray
    rotation: np.ndarray
    prototype: np.ndarray | None = None
    generation: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """A decoded state frame; ``alive`` is bool [slots]."""

    tick: int
    since: int
    version: int
    sim_time: float
    alive: np.ndarray
    blocks: list[Poses]


def pack_rotation(q: np.ndarray) -> np.ndarray:
    """Smallest-three encoding of unit quaternions [n,4] xyzw as uint32 [n]; worst error about 0.23 degrees."""
    q = np.asarray(q, np.float64)
    largest = np.argmax(np.abs(q), axis=1)
    rows = np.arange(len(q))
    sign = np.where(q[rows, largest] < 0.0, -1.0, 1.0)
    rest = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    three = np.take_along_axis(q * sign[:, None], rest, axis=1) * np.sqrt(0.5) + 0.5
    bits = np.clip(np.rint(three * 1023.0), 0, 1023).astype(np.uint32)
    return (largest.astype(np.uint32) << 30) | (bits[:, 0] << 20) | (bits[:, 1] << 10) | bits[:, 2]


def unpack_rotation(packed: np.ndarray) -> np.ndarray:
    """Inverse of :func:`pack_rotation`: [n,4] xyzw."""
    packed = np.asarray(packed, np.uint32)
    largest = (packed >> 30).astype(int)
    bits = np.stack([packed >> 20 & 1023, packed >> 10 & 1023, packed & 1023], axis=1)
    three = (bits / 1023.0 - 0.5) * np.sqrt(2.0)
    q = np.zeros((len(packed), 4))
    rest = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    np.put_along_axis(q, rest, three, axis=1)
    q[np.arange(len(q)), largest] = np.sqrt(np.maximum(0.0, 1.0 - (three**2).sum(axis=1)))
    return q


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def encode_frame(*, tick: int, since: int, version: int, sim_time: float, alive: np.ndarray, poses: list[Poses]) -> bytes:
    """One frame; poses are split into blocks by cell and by 65,535 bodies."""
    mask = _padded(np.packbits(np.asarray(alive, bool), bitorder="little").tobytes())
    blocks: list[bytes] = []
    for part in poses:
        if len(part.id) == 0:
            continue
        cell = np.floor(np.asarray(part.position, np.float64) / CELL_M).astype(np.int64)
        if np.abs(cell).max() > 32767:
            raise ValueError("position outside +-2,147 km cannot be encoded")
        for c in np.unique(cell, axis=0):
            inside = np.flatnonzero((cell == c).all(axis=1))
            for at in range(0, len(inside), 65535):
                blocks.append(_block(part, inside[at : at + 65535], c))
    header = HEADER.pack(MAGIC, tick & 0xFFFFFFFF, since & 0xFFFFFFFF, version, sim_time, len(blocks), 0, len(mask))
    return b"".join([header, mask, *blocks])


def _block(part: Poses, rows: np.ndarray, cell: np.ndarray) -> bytes:
    local = np.asarray(part.position, np.float64)[rows] - cell * CELL_M
    millimetres = np.clip(np.rint(local * 1000.0), 0, 65535).astype("<u2")
    pieces = [
        BLOCK.pack(part.kind, 0, len(rows), *(int(c) for c in cell), 0),
        _padded(np.asarray(part.id)[rows].astype("<u2").tobytes()),
    ]
    if part.kind == GOODS:
        if part.prototype is None or part.generation is None:
            raise ValueError("goods need a prototype and a generation each")
        meta = (np.asarray(part.prototype)[rows] & 1023) | ((np.asarray(part.generation)[rows] % 64) << 10)
        pieces.append(_padded(meta.astype("<u2").tobytes()))
    pieces.append(_padded(millimetres.tobytes()))
    pieces.append(pack_rotation(np.asarray(part.rotation)[rows]).astype("<u4").tobytes())
    return b"".join(pieces)


def decode_frame(data: bytes) -> Frame:
    """Decode one frame.

    Raises:
        ValueError: Not a frame, or cut short.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ValueError("not a state frame")
    _, tick, since, version, sim_time, count, _, mask_bytes = HEADER.unpack_from(data)
    at = HEADER.size

    def take(dtype: str, n: int) -> np.ndarray:
        nonlocal at
        array = np.frombuffer(data, dtype, n, at)  # raises ValueError where the data ends early
        at += array.nbytes + (-array.nbytes % 4)
        return array

    alive = np.unpackbits(take("u1", mask_bytes), bitorder="little").astype(bool)
    blocks = []
    for _ in range(count):
        if at + BLOCK.size > len(data):
            raise ValueError("state frame cut short")
        kind, _, n, cx, cy, cz, _ = BLOCK.unpack_from(data, at)
        at += BLOCK.size
        ids = take("<u2", n).astype(np.int64)
        meta = take("<u2", n).astype(np.int64) if kind == GOODS else None
        position = take("<u2", 3 * n).reshape(n, 3) / 1000.0 + np.array([cx, cy, cz]) * CELL_M
        rotation = unpack_rotation(take("<u4", n))
        blocks.append(
            Poses(kind, ids, position, rotation, None if meta is None else meta & 1023, None if meta is None else meta >> 10)
        )
    return Frame(tick, since, version, sim_time, alive, blocks)
