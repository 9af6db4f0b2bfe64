"""Sealed chunks: the rows of one signal as compressed columns in one blob.

Times are stored as second differences, the receive and server stamps relative to the time, floats as the exclusive-or
with their predecessor; bytes of equal weight are laid side by side before zlib. A steady signal costs a few bytes a sample.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from twin.history.rows import BIG_INT, FLOAT, TEXT, Row, unpack_value

VERSION = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def _squeeze(column: np.ndarray) -> bytes:
    """Bytes of equal weight side by side, then zlib."""
    raw = np.ascontiguousarray(column)
    return zlib.compress(raw.view(np.uint8).reshape(len(raw), raw.itemsize).T.tobytes(), 6)


def _spread(blob: bytes, dtype: Any, count: int) -> np.ndarray:
    size = np.dtype(dtype).itemsize
    planes = np.frombuffer(zlib.decompress(blob), np.uint8).reshape(size, count)
    return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)


def _differences(values: np.ndarray) -> np.ndarray:
    return np.diff(values, prepend=np.int64(0))


def encode(rows: list[Row]) -> bytes:
    """``rows``, at least one, as a blob."""
    time = np.array([r.time for r in rows], np.int64)
    kind = np.array([r.kind for r in rows], np.uint8)
    has_server = np.array([r.server is not None for r in rows], bool)
    origins = sorted({r.origin for r in rows})
    floats = np.array([r.value for r in rows if r.kind == FLOAT], np.float64).view(np.uint64)
    numbers = np.array([r.value for r in rows if r.kind not in (FLOAT, TEXT, BIG_INT)], np.int64)
    document = {
        "version": VERSION,
        "count": len(rows),
        "first": int(time[0]),
        "time": _squeeze(_differences(_differences(time - time[0]))),
        "receive": _squeeze(_differences(np.array([r.receive for r in rows], np.int64) - time)),
        "server": _squeeze(_differences(np.array([r.server - r.time if r.server is not None else 0 for r in rows], np.int64))),
        "flags": _squeeze(np.array([r.source for r in rows], np.uint8) | (has_server.astype(np.uint8) << 1)),
        "kind": _squeeze(kind),
        "quality": _squeeze(np.array([r.quality for r in rows], np.uint32)),
        "origins": origins,
        "origin": _squeeze(np.array([origins.index(r.origin) for r in rows], np.uint8)),
        "floats": _squeeze(floats ^ np.concatenate([np.zeros(1, np.uint64), floats[:-1]])) if len(floats) else b"",
        "numbers": _squeeze(_differences(numbers)) if len(numbers) else b"",
        "texts": zlib.compress(_encoder.encode([str(r.value) for r in rows if r.kind in (TEXT, BIG_INT)]), 6),
    }
    return _encoder.encode(document)


@dataclass
class Block:
    """What a chart needs of a chunk, all [n]: ``time`` and ``receive`` int64 ns UTC, ``kind`` uint8, ``quality`` uint32.

    ``stored`` is float64 where every value is a float, else object: values as rows hold them.
    """

    time: np.ndarray
    receive: np.ndarray
    kind: np.ndarray
    stored: np.ndarray
    quality: np.ndarray

    def values(self) -> np.ndarray:
        """[n] float64, or object: the values as they were recorded."""
        if self.stored.dtype != object:
            return self.stored
        plain = np.empty(len(self.stored), object)
        plain[:] = [unpack_value(k, v) for k, v in zip(self.kind.tolist(), self.stored, strict=True)]
        return plain


def block_of(rows: list[Row]) -> Block:
    """Rows that are not in a chunk yet, as one."""
    stored = np.empty(len(rows), object)
    stored[:] = [r.value for r in rows]
    return Block(
        np.array([r.time for r in rows], np.int64),
        np.array([r.receive for r in rows], np.int64),
        np.array([r.kind for r in rows], np.uint8),
        stored,
        np.array([r.quality for r in rows], np.uint32),
    )


def decode_block(blob: bytes) -> Block:
    """The part of ``blob`` that a chart needs."""
    return _block(_document(blob))


def decode(blob: bytes) -> list[Row]:
    """The rows that went into ``blob``, in their order."""
    document = _document(blob)
    count = document["count"]
    block = _block(document)
    server = block.time + np.cumsum(_spread(document["server"], np.int64, count))
    flags = _spread(document["flags"], np.uint8, count)
    servers = [s if f & 2 else None for s, f in zip(server.tolist(), flags.tolist(), strict=True)]
    origins = [document["origins"][i] for i in _spread(document["origin"], np.uint8, count).tolist()]
    columns = (block.time, block.kind, block.stored, block.quality, block.receive, flags & 1)
    return list(map(Row, *(c.tolist() for c in columns), servers, origins))


def _document(blob: bytes) -> dict[str, Any]:
    document: dict[str, Any] = _decoder.decode(blob)
    if document["version"] != VERSION:
        raise ValueError(f"history chunk of version {document['version']}, this program reads {VERSION}")
    return document


def _block(document: dict[str, Any]) -> Block:
    count = document["count"]
    time = document["first"] + np.cumsum(np.cumsum(_spread(document["time"], np.int64, count)))
    receive = time + np.cumsum(_spread(document["receive"], np.int64, count))
    kind = _spread(document["kind"], np.uint8, count)
    quality = _spread(document["quality"], np.uint32, count)
    is_float = kind == FLOAT
    floats = np.zeros(0)
    if is_float.any():
        floats = np.bitwise_xor.accumulate(_spread(document["floats"], np.uint64, int(is_float.sum()))).view(np.float64)
    if is_float.all():
        return Block(time, receive, kind, floats, quality)
    is_text = (kind == TEXT) | (kind == BIG_INT)
    is_number = ~(is_float | is_text)
    # lists are assigned, so that plain Python values come out and no numpy scalars
    stored = np.empty(count, object)
    stored[is_float] = floats.tolist()
    stored[is_text] = _decoder.decode(zlib.decompress(document["texts"]))
    if is_number.any():
        stored[is_number] = np.cumsum(_spread(document["numbers"], np.int64, int(is_number.sum()))).tolist()
    return Block(time, receive, kind, stored, quality)
