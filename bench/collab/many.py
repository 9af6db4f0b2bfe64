"""Edits of thousands of prims: how long they keep the thread that owns the stage."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from bench.collab.server import row
from twin.collab import Document, Outcome
from twin.collab.document import MAX_MOVES
from twin.protocol.messages import Op
from twin.scene.relevance import Relevance
from twin.scene.render import AssetStore, SceneExtractor

COUNTS = (1000, 2500, 5000)
EMPTY = '#usda 1.0\n(\n    metersPerUnit = 1\n    upAxis = "Z"\n)\ndef Xform "World"\n{\n}\n'


def siblings(folder: Path) -> list[dict[str, Any]]:
    """Processor time of adding, deleting and renaming siblings, and of taking that back; what is told of it included."""
    return [each for count in COUNTS for each in _siblings(folder, count)]


def _siblings(folder: Path, count: int) -> list[dict[str, Any]]:
    stage = folder / f"many{count}.usda"
    stage.write_text(EMPTY)
    document = Document(stage, folder / f"many{count}")
    extractor = SceneExtractor(document.stage, assets=AssetStore(), edit_layer=document.layer, asset_root=document.asset_root)
    extractor.scene()
    relevance = Relevance(document.stage)
    paths = [f"/World/P{i}" for i in range(count)]
    edits = {
        "added": [Op("add_prim", path, "", {"type": "Cube"}) for path in paths],
        "deleted": [Op("remove_prim", path) for path in paths],
        "renamed": [Op("move_prim", path, "", f"{path}_new") for path in paths[:MAX_MOVES]],
    }
    opid = 0

    def do(kind: str, txn: list[Op]) -> Outcome:
        return document.submit("a", opid, "Ann", txn) if kind == "edit" else getattr(document, kind)("a", opid, "Ann")

    rows = []
    for does, txn in edits.items():
        # what is added stays for the others, which are taken back
        for kind in ("edit", "undo", "redo") if does == "added" else ("edit", "undo"):
            opid += 1
            relevance.prepare()
            begin = time.process_time()
            outcome = do(kind, txn)
            relevance.touched()
            extractor.patch(outcome.changed, outcome.resync)
            if outcome.refusal is not None:
                raise RuntimeError(outcome.refusal.reason)
            what = {"edit": "", "undo": ", undone", "redo": ", done again"}[kind]
            some = f"{len(txn)} of {count}" if len(txn) < count else str(count)
            rows.append(row(f"{some} siblings {does}{what}", (time.process_time() - begin) * 1e3, "ms", "processor time"))
    relevance.close()
    document.close()
    return rows
