"""Sealed chunks: the samples of one signal as compressed columns in one blob.

Times are kept as second differences, the receive and server stamps relative to the time, and decimal floats (20.1) as
differences of whole numbers (201) wherever that gives the same bits back; other floats as the exclusive-or with their
predecessor. A column takes the fewest bytes that hold its span, nothing where it is constant; bytes of equal weight are laid
side by side before zlib. A chunk that is soon merged into a larger one is left uncompressed.

Chunks of version 1, whose columns have a fixed width, are read as well, so a history goes on in the file that it began in.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from twin.history.rows import BIG_INT, FLOAT, TEXT, Row

FIRST_VERSION = 1
VERSION = 2
SEALED = 6
"""zlib level of a chunk that stays."""
YOUNG = 0
"""No compression: a chunk that waits for its signal to have enough samples."""
_EXACT = 2**53
_DECIMALS = 4
_NO_SERVER = np.int64(-(2**63))
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


@dataclass
class Chart:
    """What a chart needs of a chunk, all [n]: ``time`` and ``receive`` int64 ns UTC, ``kind`` uint8, ``quality`` uint32.

    ``stored`` is float64, or object where a value does not fit (text, large integers): values as rows hold them.
    """

    time: np.ndarray
    receive: np.ndarray
    kind: np.ndarray
    stored: np.ndarray
    quality: np.ndarray


@dataclass
class Block(Chart):
    """All of a chunk: ``source`` uint8 (1 where ``time`` is the source's), ``server`` int64 ns UTC (the smallest integer where
    there is none), ``origin`` uint8 index into ``origins``."""

    source: np.ndarray
    server: np.ndarray
    origin: np.ndarray
    origins: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, which: np.ndarray | slice) -> Block:
        """Those samples, in that order."""
        taken = {name: getattr(self, name)[which] for name in _COLUMNS}
        return _block(taken, self.origins)

    def rows(self) -> list[Row]:
        servers = [None if s == _NO_SERVER else s for s in self.server.tolist()]
        stored = self.stored.tolist()
        if self.stored.dtype != object and not (self.kind == FLOAT).all():
            stored = [v if k == FLOAT else int(v) for k, v in zip(self.kind.tolist(), stored, strict=True)]
        columns = (self.time, self.kind, self.quality, self.receive, self.source)
        time, kind, quality, receive, source = (c.tolist() for c in columns)
        origins = [self.origins[i] for i in self.origin.tolist()]
        return list(map(Row, time, kind, stored, quality, receive, source, servers, origins))


_COLUMNS = ("time", "receive", "kind", "stored", "quality", "source", "server", "origin")


def _block(columns: dict[str, Any], origins: tuple[str, ...]) -> Block:
    return Block(**columns, origins=origins)


def block_of(rows: list[Row]) -> Block:
    """Rows as columns."""
    kind = np.array([r.kind for r in rows], np.uint8)
    origins = tuple(sorted({r.origin for r in rows}))
    return Block(
        np.array([r.time for r in rows], np.int64),
        np.array([r.receive for r in rows], np.int64),
        kind,
        _stored(kind, [r.value for r in rows]),
        np.array([r.quality for r in rows], np.uint32),
        np.array([r.source for r in rows], np.uint8),
        np.array([_NO_SERVER if r.server is None else r.server for r in rows], np.int64),
        np.array([origins.index(r.origin) for r in rows], np.uint8),
        origins,
    )


def _stored(kind: np.ndarray, values: list[Any]) -> np.ndarray:
    text = ((kind == TEXT) | (kind == BIG_INT)).any()
    if not text and not any(abs(v) >= _EXACT for k, v in zip(kind.tolist(), values, strict=True) if k != FLOAT):
        return np.array(values, np.float64)
    stored = np.empty(len(values), object)
    stored[:] = values
    return stored


def joined(blocks: list[Block]) -> Block:
    """Several blocks of one signal, at least one, in order of time, then of arrival."""
    origins = tuple(sorted({o for b in blocks for o in b.origins}))
    recoded = [np.array([origins.index(o) for o in b.origins] or [0], np.uint8)[b.origin] for b in blocks]
    columns = {name: np.concatenate([getattr(b, name) for b in blocks]) for name in _COLUMNS[:-1]}
    whole = _block(columns | {"origin": np.concatenate(recoded)}, origins)
    by_time = np.lexsort((whole.receive, whole.time))
    return whole.take(by_time)


# ---- columns of integers


def _pack(column: np.ndarray, level: int) -> Any:
    """Integers, int64 or uint64: one number where they are all the same, else lowest, width and bytes."""
    if not len(column):
        return 0
    low, high = int(column.min()), int(column.max())
    if low == high:
        return low
    width = next(w for w in (1, 2, 4, 8) if high - low < 1 << 8 * w)
    above = column.view(np.uint64) - np.uint64(low & 0xFFFFFFFFFFFFFFFF)
    planes = above.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes()
    return [low, width, zlib.compress(planes, level) if level else planes]


def _unpack(packed: Any, count: int, level: int) -> np.ndarray:
    """[count] int64; for what was uint64 its bits."""
    if isinstance(packed, int):
        return np.full(count, packed & 0xFFFFFFFFFFFFFFFF, np.uint64).view(np.int64)
    low, width, blob = packed
    planes = np.frombuffer(zlib.decompress(blob) if level else blob, np.uint8).reshape(width, count)
    above = np.ascontiguousarray(planes.T).reshape(-1).view(f"<u{width}").astype(np.uint64)
    return (above + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).view(np.int64)


def _pack_steps(values: np.ndarray, level: int) -> Any:
    """int64, as its first and the differences."""
    return [int(values[0]), _pack(np.diff(values), level)]


def _unpack_steps(packed: Any, count: int, level: int) -> np.ndarray:
    first, steps = packed
    return np.cumsum(np.concatenate([np.array([first], np.int64), _unpack(steps, count - 1, level)]))


def _pack_floats(values: np.ndarray, level: int) -> Any:
    """float64: number of decimals and differences of whole numbers where that is exact, else -1 and exclusive-or of bits."""
    for decimals in range(_DECIMALS + 1):
        if _whole(values[:32], decimals) is not None and (whole := _whole(values, decimals)) is not None:
            return [decimals, _pack_steps(whole, level)]
    bits = values.view(np.uint64)
    return [-1, [int(bits[0]), _pack(bits[1:] ^ bits[:-1], level)]]


def _whole(values: np.ndarray, decimals: int) -> np.ndarray | None:
    """int64 that give the same bits back when divided by ``10**decimals``; None where there are none."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * 10.0**decimals)
        if not (np.abs(scaled) < _EXACT).all():
            return None
    whole = scaled.astype(np.int64)
    back = whole.astype(np.float64) / 10.0**decimals  # from the integers, which know no -0.0
    return whole if (back.view(np.uint64) == values.view(np.uint64)).all() else None


def _unpack_floats(packed: Any, count: int, level: int) -> np.ndarray:
    decimals, content = packed
    if decimals >= 0:
        return _unpack_steps(content, count, level).astype(np.float64) / 10.0**decimals
    first, steps = content
    changes = np.concatenate([np.array([first], np.uint64), _unpack(steps, count - 1, level).view(np.uint64)])
    return np.bitwise_xor.accumulate(changes).view(np.float64)


# ---- blobs


def encode(block: Block, level: int = SEALED) -> bytes:
    """``block``, at least one sample in order of time, as a blob."""
    time, count = block.time, len(block)
    is_float, is_text = block.kind == FLOAT, (block.kind == TEXT) | (block.kind == BIG_INT)
    all_floats = bool(is_float.all())
    floats = (block.stored if all_floats else block.stored[is_float]).astype(np.float64)
    numbers = np.zeros(0, np.int64) if all_floats else block.stored[~(is_float | is_text)].astype(np.int64)
    has_server = block.server != _NO_SERVER
    document = {
        "version": VERSION,
        "level": level,
        "count": count,
        "time": [int(time[0]), _pack_steps(np.diff(time), level) if count > 1 else 0],
        "receive": _pack_steps(block.receive - time, level),
        "server": _pack_steps(np.where(has_server, block.server - time, 0), level) if has_server.any() else 0,
        "flags": _pack((block.source | (has_server.astype(np.uint8) << 1)).astype(np.int64), level),
        "kind": _pack(block.kind.astype(np.int64), level),
        "quality": _pack(block.quality.astype(np.int64), level),
        "origins": block.origins,
        "origin": _pack(block.origin.astype(np.int64), level),
        "floats": _pack_floats(floats, level) if len(floats) else 0,
        "numbers": _pack_steps(numbers, level) if len(numbers) else 0,
        "texts": zlib.compress(_encoder.encode([str(v) for v in block.stored[is_text]]), level) if is_text.any() else b"",
    }
    return _encoder.encode(document)


def decode_chart(blob: bytes) -> Chart:
    """The part of ``blob`` that a chart needs."""
    document = _document(blob)
    return _first_chart(document) if document["version"] == FIRST_VERSION else _chart(document)


def decode(blob: bytes) -> Block:
    """What went into ``blob``."""
    document = _document(blob)
    if document["version"] == FIRST_VERSION:
        return _first_block(document)
    chart = _chart(document)
    count, level = document["count"], document["level"]
    flags = _unpack(document["flags"], count, level)
    server = np.full(count, _NO_SERVER)
    if document["server"]:
        server = np.where(flags & 2, chart.time + _unpack_steps(document["server"], count, level), _NO_SERVER)
    origin = _unpack(document["origin"], count, level).astype(np.uint8)
    columns = (chart.time, chart.receive, chart.kind, chart.stored, chart.quality)
    return Block(*columns, (flags & 1).astype(np.uint8), server, origin, tuple(document["origins"]))


def _document(blob: bytes) -> dict[str, Any]:
    document: dict[str, Any] = _decoder.decode(blob)
    if document["version"] not in (FIRST_VERSION, VERSION):
        raise ValueError(f"history chunk of version {document['version']}, this program reads up to {VERSION}")
    return document


def _chart(document: dict[str, Any]) -> Chart:
    count, level = document["count"], document["level"]
    first, steps = document["time"]
    time = np.full(count, first, np.int64)
    if count > 1:
        time[1:] += np.cumsum(_unpack_steps(steps, count - 1, level))
    receive = time + _unpack_steps(document["receive"], count, level)
    kind = _unpack(document["kind"], count, level).astype(np.uint8)
    quality = _unpack(document["quality"], count, level).astype(np.uint32)
    return Chart(time, receive, kind, _values(document, kind), quality)


def _values(document: dict[str, Any], kind: np.ndarray) -> np.ndarray:
    count, level = document["count"], document["level"]
    is_float = kind == FLOAT
    if is_float.all():
        return _unpack_floats(document["floats"], count, level)
    is_number = ~(is_float | (kind == TEXT) | (kind == BIG_INT))
    floats = _unpack_floats(document["floats"], int(is_float.sum()), level) if document["floats"] else np.zeros(0)
    numbers = _unpack_steps(document["numbers"], int(is_number.sum()), level) if document["numbers"] else np.zeros(0, np.int64)
    return _mixed(kind, floats, numbers, document["texts"])


def _mixed(kind: np.ndarray, floats: np.ndarray, numbers: np.ndarray, texts: bytes) -> np.ndarray:
    """[n] stored values, put together from those of each kind; ``texts`` as the blob holds them."""
    is_float, is_text = kind == FLOAT, (kind == TEXT) | (kind == BIG_INT)
    plain = not is_text.any() and not (np.abs(numbers) >= _EXACT).any()
    stored = np.empty(len(kind), np.float64 if plain else object)
    # lists are assigned, so that plain Python values come out of an object array and no numpy scalars
    stored[is_float] = floats if plain else floats.tolist()
    stored[~(is_float | is_text)] = numbers if plain else numbers.tolist()
    if is_text.any():
        stored[is_text] = _decoder.decode(zlib.decompress(texts))
    return stored


# ---- version 1: every column as planes of its bytes, by zlib


def _spread(blob: bytes, dtype: Any, count: int) -> np.ndarray:
    planes = np.frombuffer(zlib.decompress(blob), np.uint8).reshape(np.dtype(dtype).itemsize, count)
    return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)


def _first_chart(document: dict[str, Any]) -> Chart:
    count = document["count"]
    time = document["first"] + np.cumsum(np.cumsum(_spread(document["time"], np.int64, count)))
    receive = time + np.cumsum(_spread(document["receive"], np.int64, count))
    kind = _spread(document["kind"], np.uint8, count)
    is_float = kind == FLOAT
    is_number = ~(is_float | (kind == TEXT) | (kind == BIG_INT))
    floats, numbers = np.zeros(0), np.zeros(0, np.int64)
    if is_float.any():
        floats = np.bitwise_xor.accumulate(_spread(document["floats"], np.uint64, int(is_float.sum()))).view(np.float64)
    if is_number.any():
        numbers = np.cumsum(_spread(document["numbers"], np.int64, int(is_number.sum())))
    stored = _mixed(kind, floats, numbers, document["texts"])
    return Chart(time, receive, kind, stored, _spread(document["quality"], np.uint32, count))


def _first_block(document: dict[str, Any]) -> Block:
    chart, count = _first_chart(document), document["count"]
    flags = _spread(document["flags"], np.uint8, count)
    server = np.where(flags & 2, chart.time + np.cumsum(_spread(document["server"], np.int64, count)), _NO_SERVER)
    origin = _spread(document["origin"], np.uint8, count)
    columns = (chart.time, chart.receive, chart.kind, chart.stored, chart.quality)
    return Block(*columns, flags & 1, server, origin, tuple(document["origins"]))
