"""The scene as the edits had it at an earlier moment, for whoever looks back."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import msgspec

from twin.collab.journal import Entry
from twin.core.errors import Rejected
from twin.protocol.messages import FindingDoc, LibraryPart, PrimDetail, SceneDoc
from twin.scene import compile_factory
from twin.scene.edits import apply_txn, make_edit_layer
from twin.scene.render import AssetStore, SceneExtractor, node_docs, prim_detail, signal_docs
from twin.scene.stage import meters_per_unit, open_stage

KEPT = 8
"""Scenes kept ready."""


class PastScenes:
    """Scenes of earlier edits, on a stage of their own; for any thread, one at a time.

    The base files are those of now: after one of them was changed on disk, earlier edits are shown on the new base.
    """

    def __init__(self, stage: Path, asset_root: Path, assets: AssetStore) -> None:
        self._path, self._root, self._assets = stage, asset_root, assets
        self._lock = threading.Lock()
        self._docs: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._extractor: SceneExtractor | None = None
        self._done: list[Entry] = []

    def doc(self, epoch: str, name: str, entries: list[Entry], library: list[LibraryPart]) -> bytes:
        """SceneDoc as JSON after ``entries``, all from the first one on."""
        seq = entries[-1].seq if entries else 0
        with self._lock:
            if (epoch, seq) not in self._docs:
                self._docs[epoch, seq] = msgspec.json.encode(self._make(epoch, seq, name, entries, library))
                if len(self._docs) > KEPT:
                    self._docs.popitem(last=False)
            self._docs.move_to_end((epoch, seq))
            return self._docs[epoch, seq]

    def prim(self, path: str, epoch: str, name: str, entries: list[Entry], library: list[LibraryPart]) -> PrimDetail:
        """Everything about one prim after ``entries``.

        Raises:
            InputError: There was none.
        """
        with self._lock:
            if self._extractor is None or [e.seq for e in self._done] != [e.seq for e in entries]:
                self._make(epoch, entries[-1].seq if entries else 0, name, entries, library)
            return prim_detail(self._stage, path, self._layer)

    def _make(self, epoch: str, seq: int, name: str, entries: list[Entry], library: list[LibraryPart]) -> SceneDoc:
        if self._extractor is None or not self._is_onward(entries):
            self._stage = open_stage(self._path, self._root)
            self._layer = make_edit_layer(self._stage)
            self._extractor = SceneExtractor(self._stage, assets=self._assets, edit_layer=self._layer, asset_root=self._root)
            self._done = []
        for entry in entries[len(self._done) :]:
            try:
                apply_txn(self._stage, self._layer, entry.txn, asset_root=self._root, internal=True)
            except Rejected:
                continue  # it no longer applied when the project was opened either, and was told there
        self._done = list(entries)
        model = compile_factory(self._stage)
        self._extractor.use(model)
        parts = self._extractor.scene()
        return SceneDoc(
            seq=seq,
            epoch=epoch,
            stage=name,
            up_axis="Y" if model.rigid.up_axis == 1 else "Z",
            meters_per_unit=meters_per_unit(self._stage),
            prims=parts.prims,
            materials=parts.materials,
            nodes=node_docs(model),
            signals=signal_docs(model),
            prototypes=parts.prototypes,
            library=library,
            findings=[FindingDoc(f.severity, f.path, f.code, f.message) for f in model.findings],
        )

    def _is_onward(self, entries: list[Entry]) -> bool:
        """Whether ``entries`` go on from what this stage has."""
        n = len(self._done)
        return len(entries) >= n and (n == 0 or entries[n - 1].seq == self._done[-1].seq)
