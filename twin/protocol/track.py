"""Chunks of the pose track: deflated runs of records, each a wall time, a length and a payload.

0  u64  wall time [ns UTC]
8  u32  bytes that follow
12      a state frame (twin/protocol/frames.py), or a control message (``bodies``, ``nodes``, ``clock``, ``line``)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

RECORD = struct.Struct("<QI")
FORMAT = "twf2"
"""How the files of chunks end: the format of their frames."""


def records(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Wall time [ns UTC] and payload of every record of a chunk (deflated, as it is stored)."""
    plain = zlib.decompress(data)
    at = 0
    while at < len(plain):
        time_ns, size = RECORD.unpack_from(plain, at)
        at += RECORD.size
        yield time_ns, plain[at : at + size]
        at += size
