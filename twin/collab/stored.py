"""A project's edits read from its journal, also while a server has it open."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from twin.core.errors import InputError, Rejected
from twin.core.findings import Findings
from twin.protocol.messages import Op
from twin.scene import find_asset_root, open_stage
from twin.scene.edits import apply_txn, layer_from_text, layer_to_text, make_edit_layer


@dataclass(frozen=True)
class Edits:
    """What a journal comes to: the edit layer as text after ``seq`` of ``epoch``, and what did not apply."""

    text: str
    seq: int
    epoch: str
    findings: Findings


def edits_of(stage_path: Path, project: Path, *, asset_root: Path) -> Edits:
    """The edits of a project as they stand in its journal, from the last checkpoint on.

    Raises:
        InputError: No project, or a stage that cannot be opened.
    """
    _, layer, findings, seq, epoch = _opened(stage_path, project, 0, asset_root)
    return Edits(layer_to_text(layer), seq, epoch, findings)


def open_with_edits(stage_path: Path, project: Path, *, version: int = 0, asset_root: Path | None = None) -> tuple[Any, Findings]:
    """A stage with the edits of a project on top; nothing is written.

    Args:
        stage_path: The stage file. project: The project folder. version: A saved version; 0: all that was accepted so far.

    Returns:
        The stage, and findings about edits that no longer apply.

    Raises:
        InputError: No project, no such version, or a stage that cannot be opened.
    """
    root = (asset_root or find_asset_root(stage_path)).resolve()
    stage, _, findings, _, _ = _opened(stage_path, project, version, root)
    return stage, findings


def _opened(stage_path: Path, project: Path, version: int, root: Path) -> tuple[Any, Any, Findings, int, str]:
    """Stage, edit layer, findings, number of the last operation, epoch."""
    file = project / "journal.db"
    if not file.is_file():
        raise InputError("there is no project here", file=project, attribute="--project")
    findings = Findings()
    stage = open_stage(stage_path, root)
    layer = make_edit_layer(stage)
    database = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        database.execute("begin")  # all that follows sees one state
        meta = database.execute("select value from meta where key = 'epoch'").fetchone()
        epoch = "" if meta is None else str(meta[0])
        if version:
            row = database.execute("select text from versions where id = ?", (version,)).fetchone()
            if row is None:
                raise InputError(f"there is no version {version}", file=project, attribute="--project")
            layer_from_text(layer, row[0])
            return stage, layer, findings, 0, epoch
        row = database.execute("select seq, text from checkpoints order by seq desc limit 1").fetchone()
        last = row[0] if row else 0
        if row is not None:
            layer_from_text(layer, row[1])
        for seq, txn in database.execute("select seq, txn from ops where seq > ? order by seq", (last,)):
            last = seq
            ops = msgspec.msgpack.decode(txn, type=list[Op])
            try:
                apply_txn(stage, layer, ops, asset_root=root, internal=True)
            except Rejected as error:
                findings.warning(error.prim or ops[0].path, "edit-dangles", f"edit {seq} does not apply: {error.message}")
    except sqlite3.Error as error:
        raise InputError(f"the journal cannot be read: {error}", file=file) from error
    finally:
        database.close()
    return stage, layer, findings, last, epoch
