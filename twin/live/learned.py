"""What residuals have learned, on disk: a restart of the server does not make them blind.

One file, written whole beside the old one, forced to disk, and put in its place, so that a loss of power leaves the one or the
other. It begins with its format and a digest of the rest. What cannot be believed is put aside and told, and learned anew.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import msgspec
import numpy as np

from twin.core import log
from twin.core.errors import InputError, TwinError
from twin.core.samples import SignalKey
from twin.live.disagreement import MEMORY, Learned, Residuals

FORMAT = b"twin.residuals/"
VERSION = 1
PERIOD_S = 30.0
"""How often it is written [s]: a process that is killed forgets no more."""


class _Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    prim: str
    name: str
    unit: str
    residuals: bytes
    """float64, little-endian."""
    whole: bool
    alarm_since: int
    worst: float


_rows = msgspec.msgpack.Decoder(list[_Row])


def write(path: Path, learned: list[Learned]) -> None:
    """Replace the file.

    Raises:
        OSError: It could not be written; the old one is still there.
    """
    rows = [
        _Row(one.key.prim, one.key.name, one.unit, one.residuals.astype("<f8").tobytes(), one.whole, one.alarm_since, one.worst)
        for one in learned
    ]
    body = msgspec.msgpack.encode(rows)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(b"%s%d %s\n" % (FORMAT, VERSION, hashlib.sha256(body).hexdigest().encode()))
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> list[Learned]:
    """What ``write`` wrote.

    Raises:
        InputError: It is damaged, or of another version. OSError: It cannot be read.
    """
    head, _, body = path.read_bytes().partition(b"\n")
    kind, _, digest = head.partition(b" ")
    if not kind.startswith(FORMAT):
        raise InputError("this is no record of what residuals have learned", file=path)
    if kind != b"%s%d" % (FORMAT, VERSION):
        raise InputError(f"the format {kind[:40].decode(errors='replace')} is of another Twin", file=path, allowed=[str(VERSION)])
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise InputError("it is damaged: its content does not match its digest", file=path)
    try:
        return [
            Learned(
                SignalKey(r.prim, r.name), r.unit, np.frombuffer(r.residuals, "<f8")[-MEMORY:], r.whole, r.alarm_since, r.worst
            )
            for r in _rows.decode(body)
        ]
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(f"it is damaged: {error}", file=path) from error


class LearnedFile:
    """Keeps what ``residuals`` learn in a file.

    Attributes:
        refused: Why what was learned before is not known any more; empty: nothing was wrong.
    """

    def __init__(self, path: Path, residuals: Residuals) -> None:
        self._path, self._residuals = path, residuals
        self._log = log.get("residuals")
        self._due = time.monotonic() + PERIOD_S
        self._complained = False
        self.refused = ""

    def recall(self) -> None:
        """Let the residuals go on from what the file holds; one that cannot be believed is put aside."""
        try:
            self._residuals.recall(read(self._path))
        except FileNotFoundError:
            return
        except (TwinError, OSError) as error:
            aside = self._path.with_name(self._path.name + ".refused")
            self.refused = f"What residuals had learned is refused, and learned anew: {error}. The file is kept as {aside.name}."
            self._log.error("what residuals had learned is refused; it is learned anew", reason=str(error), kept=str(aside))
            try:
                self._path.replace(aside)
            except OSError as error:
                self._log.error("the refused file could not be put aside", reason=str(error))

    def due(self) -> bool:
        """Whether it is time to write; says so once each ``PERIOD_S``."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + PERIOD_S
        return True

    def keep(self) -> None:
        """Write what has been learned by now. Where the disk refuses, that is told and the twin goes on; one thread at a time."""
        learned = self._residuals.learned()
        if not learned:
            return
        try:
            write(self._path, learned)
            self._complained = False
        except OSError as error:
            if not self._complained:
                self._log.error("what residuals have learned is not written", file=str(self._path), reason=str(error))
            self._complained = True
