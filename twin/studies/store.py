"""Results on disk: append-only Parquet parts, one row per replication.

A part is written under a temporary name, flushed to the disk and renamed, so that a part that exists is whole. Its name
carries the key of the point and the replications it holds, so that a look into the folder says what is finished.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from twin.core.errors import WorkError
from twin.studies.outcome import ROWS, SHARED, Outcome, join

KEY_DIGITS = 24
"""Of the key in a part's name; the whole key is inside."""
_NAME = re.compile(rf"([0-9a-f]{{{KEY_DIGITS}}})-(\d{{7,}})-(\d+)\.parquet")
_STALE_S = 3600.0

_NODE_ROWS = {
    "state_time_s": 7,
    "unattended_s": 1,
    "node_in": 1,
    "node_out": 1,
    "node_defective": 1,
    "node_waits": 1,
    "level_mean": 1,
    "node_stuck": 1,
}
"""Arrays with an axis over nodes, and the numbers they hold for each."""


class StorageError(WorkError):
    """Results cannot be written: no later point could be kept either."""


class Store:
    """The parts of one study's results folder.

    Args:
        folder: Where parts lie; made when the first one is written.

    Raises:
        WorkError: A part cannot be read.
        StorageError: A part cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._parts: dict[str, dict[Path, tuple[int, int]]] = {}
        if folder.is_dir():
            self._remove_stale()
            for path in sorted(folder.glob("*.parquet")):
                match = _NAME.fullmatch(path.name)
                if match is not None:
                    self._check(path, match[1], int(match[3]))
                    self._parts.setdefault(match[1], {})[path] = (int(match[2]), int(match[3]))

    def finished(self, key: str) -> np.ndarray:
        """Numbers of the replications that are there, int64, ascending."""
        spans = [np.arange(first, first + count) for first, count in self._of(key).values()]
        return np.unique(np.concatenate(spans)) if spans else np.zeros(0, np.int64)

    def append(self, key: str, outcome: Outcome, labels: dict[str, str]) -> Path:
        """Write one part; ``outcome`` holds consecutive replications, ``labels`` become columns for people who query."""
        _make_folder(self.folder)
        first, count = int(outcome.replication[0]), len(outcome)
        path = self.folder / f"{key[:KEY_DIGITS]}-{first:07d}-{count}.parquet"
        temporary = self.folder / f".{path.name}.{os.getpid()}.tmp"
        table = pa.table({**{name: pa.array([text] * count) for name, text in labels.items()}, **_columns(outcome)})
        shared = {name: getattr(outcome, name) for name in SHARED}
        shared |= {name: getattr(outcome, name).tolist() for name in ("lead_edges_s", "paths")}
        table = table.replace_schema_metadata({"twin.key": key, "twin.shared": json.dumps(shared)})
        with _safe_writing(path, temporary):
            with temporary.open("wb") as file:
                pq.write_table(table, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(self.folder)
        self._parts.setdefault(key[:KEY_DIGITS], {})[path] = (first, count)
        return path

    def read(self, key: str, limit: int) -> Outcome | None:
        """All replications of ``key`` that are numbered below ``limit``; None where there are none."""
        parts = [_read(path) for path, (first, _) in self._of(key).items() if first < limit]
        if not parts:
            return None
        whole = join(parts)
        return whole.take(whole.replication < limit)

    def _of(self, key: str) -> dict[Path, tuple[int, int]]:
        return self._parts.get(key[:KEY_DIGITS], {})

    def _check(self, path: Path, key: str, count: int) -> None:
        try:
            footer = pq.read_metadata(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise WorkError(
                f"this part of the results is damaged: remove it and run the study again ({error})", file=path
            ) from error
        stored = (footer.metadata or {}).get(b"twin.key", b"").decode()
        if not stored.startswith(key) or footer.num_rows != count:
            raise WorkError(
                "this part of the results does not hold what its name says: remove it and run the study again", file=path
            )

    def _remove_stale(self) -> None:
        """Remove what a killed run left half-written; another shard may be writing right now, so only old ones."""
        for path in self.folder.glob(".*.tmp"):
            try:
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()
            except FileNotFoundError:
                continue  # another shard was faster


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees either the old or the new one, whole."""
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _safe_writing(path, temporary):
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def _safe_writing(path: Path, temporary: Path) -> Iterator[None]:
    """What goes wrong while ``temporary`` becomes ``path`` leaves nothing half-written and names the file."""
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _storage_error(path, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _storage_error(folder, error) from error


def _storage_error(path: Path, error: OSError) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = "the disk is full" if full else f"cannot be written: {error.strerror or error}"
    return StorageError(
        f"{text}. Finished replications are kept: {'free some space' if full else 'mend that'}, and the same command goes on "
        "from there",
        file=path,
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _columns(outcome: Outcome) -> dict[str, pa.Array]:
    out = {}
    for name in ROWS:
        values = getattr(outcome, name)
        if values.ndim == 1:
            out[name] = pa.array(values)
        elif values.shape[1] == 0:
            out[name] = pa.array([[]] * len(values), pa.list_(pa.float64()))
        else:
            flat = np.ascontiguousarray(values.reshape(len(values), -1))
            out[name] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    return out


def _read(path: Path) -> Outcome:
    try:
        table = pq.read_table(path, columns=list(ROWS))
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise WorkError(f"this part of the results is damaged: remove it and run the study again ({error})", file=path) from error
    shared: dict[str, Any] = json.loads(table.schema.metadata[b"twin.shared"])
    shared["lead_edges_s"] = np.array(shared["lead_edges_s"])
    shared["paths"] = np.array(shared["paths"], np.int64).reshape(-1, 2)
    nodes, rows = len(shared["nodes"]), table.num_rows
    values: dict[str, Any] = {}
    for name in ROWS:
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            width = _NODE_ROWS.get(name)
            shape = (rows, column.type.list_size) if width is None else (rows, nodes) if width == 1 else (rows, nodes, width)
            values[name] = flat.reshape(shape)
        elif pa.types.is_list(column.type):
            values[name] = np.zeros((rows, 0))
        else:
            values[name] = column.to_numpy(zero_copy_only=False)
    return Outcome(**shared, **values)
