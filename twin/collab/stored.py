"""A project's edits read from its journal, also while a server has it open."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from twin.core.errors import InputError, Rejected
from twin.core.findings import Findings
from twin.protocol.messages import Op
from twin.scene import find_asset_root, open_stage
from twin.scene.edits import apply_txn, layer_from_text, make_edit_layer


def open_with_edits(stage_path: Path, project: Path, *, version: int = 0, asset_root: Path | None = None) -> tuple[Any, Findings]:
    """A stage with the edits of a project on top; nothing is written.

    Args:
        stage_path: The stage file. project: The project folder. version: A saved version; 0: all that was accepted so far.

    Returns:
        The stage, and findings about edits that no longer apply.

    Raises:
        InputError: No project, no such version, or a stage that cannot be opened.
    """
    file = project / "journal.db"
    if not file.is_file():
        raise InputError("there is no project here", file=project, attribute="--project")
    root = (asset_root or find_asset_root(stage_path)).resolve()
    findings = Findings()
    stage = open_stage(stage_path, root)
    layer = make_edit_layer(stage)
    database = sqlite3.connect(f"file:{file.resolve()}?mode=ro", uri=True)
    try:
        database.execute("begin")  # all that follows sees one state
        if version:
            row = database.execute("select text from versions where id = ?", (version,)).fetchone()
            if row is None:
                raise InputError(f"there is no version {version}", file=project, attribute="--project")
            layer_from_text(layer, row[0])
            return stage, findings
        row = database.execute("select seq, text from checkpoints order by seq desc limit 1").fetchone()
        if row is not None:
            layer_from_text(layer, row[1])
        for seq, txn in database.execute("select seq, txn from ops where seq > ? order by seq", (row[0] if row else 0,)):
            ops = msgspec.msgpack.decode(txn, type=list[Op])
            try:
                apply_txn(stage, layer, ops, asset_root=root, internal=True)
            except Rejected as error:
                findings.warning(error.prim or ops[0].path, "edit-dangles", f"edit {seq} does not apply: {error.message}")
    except sqlite3.Error as error:
        raise InputError(f"the journal cannot be read: {error}", file=file) from error
    finally:
        database.close()
    return stage, findings
