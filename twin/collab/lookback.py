"""Scenes that nobody's view should wait for, made by a process beside the server: how the edits had the stage at an earlier
moment, and how parts of the library look.

The process reads the journal by itself. It takes questions from its standard input and answers on its standard output
(``twin.core.pipes``), MessagePack both ways, and ends when its input does.

``python -m twin.collab.lookback STAGE PROJECT ASSET_ROOT NAME``
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import IO

import msgspec

from twin.core.errors import Rejected, TwinError
from twin.core.findings import Findings
from twin.core.pipes import own_output, read_message, write_message
from twin.protocol.documents import FindingDoc, PrimDetail, SceneDoc
from twin.protocol.messages import Op
from twin.scene import compile_factory, open_stage
from twin.scene.edits import apply_txn, layer_from_text, make_edit_layer
from twin.scene.render import AssetStore, SceneExtractor, library_parts, node_docs, part_doc, prim_detail, signal_docs
from twin.scene.stage import meters_per_unit

NICE = 5
_KEY = re.compile(rb'"([0-9a-f]{64})"')
"""A mesh or a texture in a document."""


class Question(msgspec.Struct):
    """``what``: scene (after edit ``seq``), prim (``path`` in it), part (``path`` in the asset root) or blobs (of ``keys``)."""

    what: str
    seq: int = 0
    path: str = ""
    keys: list[str] = msgspec.field(default_factory=list)


class Answer(msgspec.Struct):
    """``doc`` as JSON, and the meshes and textures that it names; ``error``: why there is none."""

    doc: bytes = b""
    keys: list[str] = msgspec.field(default_factory=list)
    blobs: dict[str, bytes] = msgspec.field(default_factory=dict)
    error: str = ""


class Lookback:
    """A stage that goes through its edits.

    The base files are those of now: after one of them was changed on disk, edits from before are shown on the new base.

    Args:
        stage: The stage file. project: Folder of the journal. asset_root: Folder that all assets lie in.
        name: What the stage is called.

    Raises:
        InputError: The stage cannot be opened.
    """

    def __init__(self, stage: Path, project: Path, asset_root: Path, name: str) -> None:
        self._project, self._root, self._name = project, asset_root, name
        self._assets = AssetStore()
        self._stage = open_stage(stage, asset_root)
        self._layer = make_edit_layer(self._stage)
        self._extractor = self._new_extractor()
        self._epoch = ""
        self._at = -1
        """Number of the edit that the stage stands after."""

    def answer(self, question: Question) -> Answer:
        """What is asked for; errors are answers too."""
        try:
            if question.what == "blobs":
                found = {key: data for key in question.keys if (data := self._assets.get(key)) is not None}
                return Answer(blobs=found)
            doc: SceneDoc | PrimDetail
            if question.what == "part":
                doc = part_doc(self._root, question.path, self._assets)
            else:
                self._go_to(question.seq)
                doc = self._scene() if question.what == "scene" else prim_detail(self._stage, question.path, self._layer)
        except TwinError as error:
            return Answer(error=str(error))
        data = msgspec.json.encode(doc)
        keys = {key.decode() for key in _KEY.findall(data)}
        return Answer(data, [key for key in keys if self._assets.get(key) is not None])

    def _new_extractor(self) -> SceneExtractor:
        return SceneExtractor(self._stage, assets=self._assets, edit_layer=self._layer, asset_root=self._root)

    def _go_to(self, seq: int) -> None:
        with closing(sqlite3.connect(f"{(self._project / 'journal.db').as_uri()}?mode=ro", uri=True)) as journal:
            journal.execute("begin")  # all that follows sees one state
            meta = dict(journal.execute("select key, value from meta where key in ('epoch', 'epoch_begin')"))
            self._epoch = meta.get("epoch", "")
            if not 0 <= self._at <= seq:
                self._begin(journal, seq, int(meta.get("epoch_begin", 0)))
            onward = journal.execute("select seq, txn from ops where seq > ? and seq <= ? order by seq", (self._at, seq))
            for number, txn in onward:
                self._at = number
                try:
                    ops = msgspec.msgpack.decode(txn, type=list[Op])
                    done = apply_txn(self._stage, self._layer, ops, asset_root=self._root, internal=True)
                except Rejected:
                    continue  # it no longer applied when the project was opened either, and was told there
                self._extractor.patch(done.changed, done.resync)

    def _begin(self, journal: sqlite3.Connection, seq: int, epoch_begin: int) -> None:
        """Put the stage where the way to ``seq`` is shortest: a checkpoint, or what the epoch began with, which is no edits."""
        empty = epoch_begin if seq >= epoch_begin else 0
        row = journal.execute("select seq, text from checkpoints where seq <= ? order by seq desc limit 1", (seq,)).fetchone()
        self._at, text = row if row is not None and row[0] >= empty else (empty, "")
        if text:
            layer_from_text(self._layer, text)
        else:
            self._layer.Clear()
        self._extractor = self._new_extractor()

    def _scene(self) -> SceneDoc:
        model = compile_factory(self._stage)
        self._extractor.use(model)
        parts = self._extractor.scene()
        return SceneDoc(
            seq=self._at,
            epoch=self._epoch,
            stage=self._name,
            up_axis="Y" if model.rigid.up_axis == 1 else "Z",
            meters_per_unit=meters_per_unit(self._stage),
            prims=parts.prims,
            materials=parts.materials,
            nodes=node_docs(model),
            signals=signal_docs(model),
            prototypes=parts.prototypes,
            library=library_parts(self._root, Findings()),
            findings=[FindingDoc(f.severity, f.path, f.code, f.message) for f in model.findings],
        )


def serve(lookback: Lookback, questions: IO[bytes], answers: IO[bytes]) -> None:
    """Answer questions until they end."""
    decode = msgspec.msgpack.Decoder(Question).decode
    while (data := read_message(questions)) is not None:
        write_message(answers, msgspec.msgpack.encode(lookback.answer(decode(data))))


def main(arguments: list[str]) -> int:
    """``STAGE PROJECT ASSET_ROOT NAME``"""
    answers = own_output()
    os.nice(NICE)
    stage, project, root, name = arguments
    try:
        serve(Lookback(Path(stage), Path(project), Path(root), name), sys.stdin.buffer, answers)
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (BrokenPipeError, KeyboardInterrupt):
        return 0  # the server has gone
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
