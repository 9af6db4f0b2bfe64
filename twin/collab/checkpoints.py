"""Checkpoints made beside the server: a process of its own reads the journal and writes what it comes to.

``python -m twin.collab.checkpoints STAGE PROJECT ASSET_ROOT`` writes one checkpoint of all that the journal holds now.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import TwinError

WRITE_TIMEOUT_S = 30.0
NICE = 10


class Checkpoints:
    """Starts the process, one at a time.

    Args:
        stage: The stage file. project: The project folder. asset_root: Folder that all assets lie in.
    """

    def __init__(self, stage: Path, project: Path, asset_root: Path) -> None:
        self._command = [sys.executable, "-m", "twin.collab.checkpoints", str(stage), str(project), str(asset_root)]
        self._process: subprocess.Popen[bytes] | None = None
        self._log = log.get("checkpoints")

    def begin(self) -> bool:
        """Have one made, unless one is being made; whether all is well: False when the last one failed."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return True
            self._process = None
            if code != 0:
                self._log.warning("a checkpoint could not be made beside the server", code=code)
                return False
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            self._command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return True

    def wait(self) -> int | None:
        """Until the one that is being made is done: its exit code."""
        return None if self._process is None else self._process.wait()

    def close(self) -> None:
        """End the one that is being made; it leaves nothing half done."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._process = None


def write_checkpoint(stage: Path, project: Path, asset_root: Path) -> int:
    """Write a checkpoint of all that the journal holds; returns its number, 0 if there was nothing to do.

    Raises:
        TwinError: The stage or the journal cannot be read.
    """
    from twin.collab.stored import edits_of

    found = edits_of(stage, project, asset_root=asset_root)
    if found.findings or not found.seq:
        return 0  # what dangles is for the server to tell of
    with closing(sqlite3.connect(project / "journal.db", timeout=WRITE_TIMEOUT_S, isolation_level=None)) as database:
        database.execute("pragma synchronous = full")
        database.execute("begin immediate")
        epoch = database.execute("select value from meta where key = 'epoch'").fetchone()[0]
        if epoch == found.epoch:
            database.execute("insert or replace into checkpoints values (?, ?, ?)", (found.seq, found.text, now_ns()))
            database.execute("delete from checkpoints where seq not in (select seq from checkpoints order by seq desc limit 3)")
        database.execute("commit")
    return found.seq if epoch == found.epoch else 0


def main(arguments: list[str]) -> int:
    """``STAGE PROJECT ASSET_ROOT``"""
    os.nice(NICE)
    try:
        write_checkpoint(*map(Path, arguments))
    except (TwinError, sqlite3.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
