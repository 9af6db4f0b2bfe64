"""A stage that several people edit: operations are authorised elsewhere, ordered, applied and journaled here.

All methods belong to one thread, the one that owns the stage.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from twin.collab.journal import Entry, Journal, Refusal
from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import Rejected
from twin.core.findings import Findings
from twin.protocol.messages import Op
from twin.scene import find_asset_root, open_stage
from twin.scene.edits import apply_txn, layer_from_text, layer_to_text, make_edit_layer

CHECKPOINT_EVERY = 200
MAX_OPS = 5000
"""Operations in one transaction."""
MAX_LABEL = 200
RESUME_WINDOW = 2000
"""A client that missed no more operations than this is told what changed instead of loading the scene again."""

_STRUCTURE = {"add_prim", "remove_prim", "move_prim", "restore_spec", "set_variant", "apply_api"}


@dataclass
class Outcome:
    """What a transaction did. ``entry`` is None when it was refused, then ``refusal`` says why; ``again``: it is a repetition."""

    entry: Entry | None = None
    refusal: Refusal | None = None
    changed: list[str] = field(default_factory=list)
    resync: list[str] = field(default_factory=list)
    again: bool = False


class Document:
    """A stage with its edit layer and journal.

    Args:
        stage_path: The stage file. project: Folder of everything that must survive.
        asset_root: Folder that all assets lie in; default: see ``find_asset_root``.

    Attributes:
        findings: What recovery had to say: operations that no longer apply because a base file changed.
    """

    def __init__(self, stage_path: Path, project: Path, *, asset_root: Path | None = None) -> None:
        self.path = stage_path.resolve()
        self.asset_root = (asset_root or find_asset_root(stage_path)).resolve()
        self.stage = open_stage(stage_path, self.asset_root)
        self.journal = Journal(project)
        self.findings = Findings()
        self._log = log.get("document")
        self._recent: deque[tuple[int, list[str], list[str]]] = deque(maxlen=RESUME_WINDOW)
        self._undo: dict[str, list[Entry]] = {}
        self._redo: dict[str, list[Entry]] = {}
        self._writers: dict[tuple[str, str], tuple[int, str]] = {}
        self._read_only = ""
        self._base = self._base_hashes()
        self.layer = make_edit_layer(self.stage)
        self._recover()

    def close(self) -> None:
        """Checkpoint and let go of the project."""
        if self.seq != self.journal.last_checkpoint()[0]:
            self.journal.checkpoint(self.seq, layer_to_text(self.layer))
        self.journal.close()

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def epoch(self) -> str:
        return self.journal.epoch

    # ---- recovery

    def _base_hashes(self) -> str:
        """Hash of every file the stage is composed from, before anything is edited."""
        files = {Path(layer.realPath) for layer in self.stage.GetUsedLayers() if layer.realPath}
        digests = {
            str(f.relative_to(self.asset_root)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in files
            if f.is_file() and f.is_relative_to(self.asset_root)
        }
        return json.dumps(digests, sort_keys=True)

    def _recover(self) -> None:
        """The edit layer as the journal has it."""
        known = self.journal.meta("base")
        moved = known is not None and known != self._base
        self.journal.set_meta("base", self._base)
        at, text = self.journal.last_checkpoint()
        if moved:
            before = json.loads(known or "{}")
            after = json.loads(self._base)
            changed = sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f))
            if text:
                self.journal.save_version(f"before a change of {', '.join(changed)}", "twin", at, text)
            self.journal.new_epoch()
            self.findings.info("/", "base-changed", f"files changed since the last start: {', '.join(changed)}")
            at = 0  # what still applies, applies to the new base
        elif text:
            layer_from_text(self.layer, text)
        self._seq = 0
        for entry in self.journal.entries():
            self._seq = entry.seq
            if entry.seq > at:
                try:
                    done = apply_txn(self.stage, self.layer, entry.txn, asset_root=self.asset_root, internal=True)
                except Rejected as error:
                    self.findings.warning(
                        error.prim or entry.txn[0].path, "edit-dangles", f"edit {entry.seq} no longer applies: {error.message}"
                    )
                    continue
                self._recent.append((entry.seq, done.changed, done.resync))
            self._note(entry)

    # ---- operations

    def submit(self, session: str, opid: int, user: str, txn: list[Op], label: str = "") -> Outcome:
        """Apply a client's transaction; the outcome is journaled when this returns.

        Raises:
            WorkError: The journal could not be written; the edit is taken back.
        """

        def work() -> tuple[list[Op], str, int | None, list[str], str]:
            if not txn:
                raise Rejected("type", "the transaction is empty")
            if len(txn) > MAX_OPS:
                raise Rejected("limit", f"a transaction may hold {MAX_OPS} operations, this one has {len(txn)}")
            return txn, label[:MAX_LABEL] or _describe(txn), None, [], "edit"

        return self._run(session, opid, user, work, internal=False)

    def undo(self, session: str, opid: int, user: str) -> Outcome:
        """Take back the session's own last transaction, except what others wrote over since."""

        def work() -> tuple[list[Op], str, int | None, list[str], str]:
            stack = self._undo.get(session, [])
            if not stack:
                raise Rejected("nothing", "there is nothing of yours to undo")
            return self._revert(stack[-1], "Undo", "undo")

        return self._run(session, opid, user, work, internal=True)

    def redo(self, session: str, opid: int, user: str) -> Outcome:
        """Do again what the session undid last."""

        def work() -> tuple[list[Op], str, int | None, list[str], str]:
            stack = self._redo.get(session, [])
            if not stack:
                raise Rejected("nothing", "there is nothing of yours to redo")
            return self._revert(stack[-1], "Redo", "redo")

        return self._run(session, opid, user, work, internal=True)

    def _revert(self, entry: Entry, verb: str, kind: str) -> tuple[list[Op], str, int | None, list[str], str]:
        kept, skipped = [], []
        for op in entry.inverse:
            if self._written_since(op, entry):
                skipped.append(f"{op.path}.{op.field}" if op.field else op.path)
            else:
                kept.append(op)
        if not kept:
            stack = self._undo if kind == "undo" else self._redo
            stack[entry.session].remove(entry)
            raise Rejected(
                "overwritten", "others have changed all of that since", prim=entry.inverse[0].path if entry.inverse else None
            )
        label = entry.label.removeprefix("Undo ").removeprefix("Redo ")
        return kept, f"{verb} {label}", entry.seq, skipped, kind

    def _written_since(self, op: Op, entry: Entry) -> bool:
        """Whether another session wrote what ``op`` would put back."""
        if op.kind in _STRUCTURE:
            inside = op.path + "/"
            return any(
                seq > entry.seq and author != entry.session and (path == op.path or path.startswith(inside))
                for (path, _), (seq, author) in self._writers.items()
            )
        seq, author = self._writers.get((op.path, op.field), (0, ""))
        return seq > entry.seq and author != entry.session

    def _run(
        self,
        session: str,
        opid: int,
        user: str,
        work: Callable[[], tuple[list[Op], str, int | None, list[str], str]],
        *,
        internal: bool,
    ) -> Outcome:
        before = self.journal.outcome(session, opid)
        if isinstance(before, Entry):
            return Outcome(entry=before, again=True)
        if isinstance(before, Refusal):
            return Outcome(refusal=before, again=True)
        try:
            if self._read_only:
                raise Rejected("read-only", self._read_only)
            txn, label, target, skipped, kind = work()
            done = apply_txn(self.stage, self.layer, txn, asset_root=self.asset_root, internal=internal)
        except Rejected as error:
            refusal = Refusal(error.code, error.message, error.prim or "")
            if not self._read_only:
                self.journal.refuse(session, opid, refusal)
            return Outcome(refusal=refusal)
        entry = Entry(self._seq + 1, session, opid, user, label, now_ns(), kind, target, txn, done.inverse, skipped)
        try:
            self.journal.append(entry)
        except Exception:
            # memory must not be ahead of the disk
            apply_txn(self.stage, self.layer, done.inverse, asset_root=self.asset_root, internal=True)
            self._read_only = "the journal cannot be written; see the server's log"
            raise
        self._seq = entry.seq
        self._recent.append((entry.seq, done.changed, done.resync))
        self._note(entry)
        if self._seq % CHECKPOINT_EVERY == 0:
            self.journal.checkpoint(self._seq, layer_to_text(self.layer))
        return Outcome(entry, None, done.changed, done.resync)

    def _note(self, entry: Entry) -> None:
        """Undo stacks and last writers after an entry."""
        undo, redo = self._undo.setdefault(entry.session, []), self._redo.setdefault(entry.session, [])
        if entry.kind == "undo":
            undo[:] = [e for e in undo if e.seq != entry.target]
            redo.append(entry)
        elif entry.kind == "redo":
            redo[:] = [e for e in redo if e.seq != entry.target]
            undo.append(entry)
        else:
            undo.append(entry)
            redo.clear()
        for op in entry.txn:
            self._writers[(op.path, op.field if op.kind not in _STRUCTURE else "")] = (entry.seq, entry.session)

    def undo_labels(self, session: str) -> tuple[str, str]:
        """What the session would undo and redo next; empty for nothing."""
        undo, redo = self._undo.get(session), self._redo.get(session)
        return (undo[-1].label if undo else "", redo[-1].label.removeprefix("Undo ") if redo else "")

    def changes_since(self, seq: int) -> tuple[list[str], list[str]] | None:
        """Paths changed and to look at anew since ``seq``; None when that is too long ago."""
        if seq > self._seq or (seq < self._seq and (not self._recent or self._recent[0][0] > seq + 1)):
            return None
        changed: dict[str, None] = {}
        resync: dict[str, None] = {}
        for number, a, b in self._recent:
            if number > seq:
                changed.update(dict.fromkeys(a))
                resync.update(dict.fromkeys(b))
        return list(changed), list(resync)

    def save_version(self, label: str, author: str) -> int:
        """Keep the edits as they are under a name."""
        return self.journal.save_version(label[:MAX_LABEL], author, self._seq, layer_to_text(self.layer))


def _describe(txn: list[Op]) -> str:
    """A label for people where the client gave none."""
    op = txn[0]
    name = op.path.rsplit("/", 1)[-1]
    verbs = {"add_prim": "Add", "remove_prim": "Delete", "move_prim": "Move", "set_variant": "Switch variant of"}
    text = f"{verbs[op.kind]} {name}" if op.kind in verbs else f"Set {op.field} of {name}"
    return text if len(txn) == 1 else f"{text} and {len(txn) - 1} more"
