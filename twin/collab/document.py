"""A stage that several people edit: operations are authorised elsewhere, ordered, applied and journaled here.

All methods belong to one thread, the one that owns the stage.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from twin.collab.checkpoints import Checkpoints
from twin.collab.journal import Entry, Journal, Refusal
from twin.collab.moves import MoveLog, Moves, op_moved, upwards
from twin.collab.undo import WINDOW, UndoStacks
from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import Rejected, WorkError
from twin.core.findings import Finding, Findings
from twin.protocol.messages import Op
from twin.scene import find_asset_root, open_stage
from twin.scene.edits import UNLIMITED, Applied, apply_txn, difference, layer_from_text, layer_to_text, make_edit_layer

T = TypeVar("T")
CHECKPOINT_EVERY = 2000
"""So often a checkpoint is begun [edits]; recovery replays what came after the last one that was finished."""
CHECKPOINT_PAUSE_S, CHECKPOINT_LATEST = 30.0, 5
"""Where edits come so fast that one would follow the other, they are this far apart, or this many times as many edits."""
MAX_OPS = 20_000
"""Operations in one transaction."""
MAX_STRUCTURE = 5000
"""Of them those that add, remove or move prims: half a millisecond each, in which nobody's picture moves."""
MAX_MOVES = 1000
"""Of these in turn those that rename or move: they take longer the more siblings there are, half a second among as many."""
MAX_LABEL = 200
MAX_REASON = 1000
"""Longest reason of a refusal [characters]: what is quoted in it may be as long as a message."""
RESUME_WINDOW = 2000
"""A client that missed no more operations than this is told what changed instead of loading the scene again."""


@dataclass
class Work:
    """What is to be applied: ``target`` is the entry that an undo or redo is about."""

    txn: list[Op]
    label: str
    kind: str
    target: Entry | None = None
    skipped: list[str] = field(default_factory=list)


@dataclass
class Outcome:
    """What a transaction did. ``entry`` is None when it was refused, then ``refusal`` says why; ``again``: it is a repetition.

    ``moves``: prims that have other paths now.
    """

    entry: Entry | None = None
    refusal: Refusal | None = None
    changed: list[str] = field(default_factory=list)
    resync: list[str] = field(default_factory=list)
    again: bool = False
    moves: Moves = field(default_factory=lambda: Moves([]))


class Document:
    """A stage with its edit layer and journal.

    Args:
        stage_path: The stage file. project: Folder of everything that must survive.
        asset_root: Folder that all assets lie in; default: see ``find_asset_root``.

    Attributes:
        moves: What prims were called before.
        findings: What recovery had to say: operations that no longer apply because a base file changed.
        guard: Called with each new operation before it is applied; raises Rejected for what may not be done now.
        room: Called before each transaction: how many prims it may add.
        read_only: Why nothing is accepted any more; empty while all is well.
    """

    def __init__(self, stage_path: Path, project: Path, *, asset_root: Path | None = None) -> None:
        self.path = stage_path.resolve()
        self.asset_root = (asset_root or find_asset_root(stage_path)).resolve()
        self.stage = open_stage(stage_path, self.asset_root)
        self.journal = Journal(project)
        self.moves = MoveLog(self.journal)
        self.checkpoints = Checkpoints(self.path, project.resolve(), self.asset_root)
        self.findings = Findings()
        self._log = log.get("document")
        self._recent: deque[tuple[int, list[str], list[str]]] = deque(maxlen=RESUME_WINDOW)
        self._stacks = UndoStacks()
        self._group: list[list[Op]] = []
        self._group_begin = 0
        self._checkpointed = (0, -math.inf)
        self.guard: Callable[[Op], None] = lambda op: None
        self.room: Callable[[], int] = lambda: UNLIMITED
        self.read_only = ""
        self._base = self._base_hashes()
        self.layer = make_edit_layer(self.stage)
        self._recover()

    def close(self) -> None:
        """Checkpoint and let go of the project."""
        self.checkpoints.close()
        if not self.read_only and self.seq != self.journal.last_checkpoint()[0]:
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
        at, text = self.journal.last_checkpoint()
        moved = known is not None and known != self._base
        if text:
            layer_from_text(self.layer, text)
        if moved:
            self._keep_old(known or "{}", at)
            at = 0
        else:
            # as long as the epoch lasts, what was lost at its begin stays worth knowing
            for severity, path, code, message in json.loads(self.journal.meta("findings") or "[]"):
                self.findings.items.append(Finding(severity, path, code, message))
        self._seq = last = self.journal.seq
        for entry in self.journal.entries(min(at, max(last - WINDOW, 0))):
            if entry.seq > at:
                done = self._again(entry)
                if done is None:
                    continue
                self._recent.append((entry.seq, done.changed, done.resync))
            self._stacks.note(entry)
        if moved or known is None:
            with self.journal.together():  # one step: a loss between these would hide the change, or tell of it twice
                if moved:
                    self.journal.new_epoch()
                    self.journal.set_meta("epoch_begin", str(last))
                    self.journal.write("delete from checkpoints")
                    self.journal.write("insert into checkpoints values (?, ?, ?)", (last, layer_to_text(self.layer), now_ns()))
                    kept = [[f.severity, f.path, f.code, f.message] for f in self.findings]
                    self.journal.set_meta("findings", json.dumps(kept))
                self.journal.set_meta("base", self._base)

    def _keep_old(self, known: str, at: int) -> None:
        """Save a version of the edits as they were, then start with an empty layer on the changed base."""
        before, after = json.loads(known), json.loads(self._base)
        changed = ", ".join(sorted(f for f in before.keys() | after.keys() if before.get(f) != after.get(f)))
        self.findings.info("/", "base-changed", f"files changed since the last start: {changed}")
        if self.journal.seq:
            for entry in self.journal.entries(at):
                self._again(entry, report=False)
            label = f"before a change of {changed}"[:MAX_LABEL]
            self.journal.save_version(label, "twin", self.journal.seq, layer_to_text(self.layer))
        self.layer.Clear()
        self._recent.clear()

    def _again(self, entry: Entry, *, report: bool = True) -> Applied | None:
        try:
            return apply_txn(self.stage, self.layer, entry.txn, asset_root=self.asset_root, internal=True)
        except Rejected as error:
            if report:
                path = error.prim or entry.txn[0].path
                self.findings.warning(path, "edit-dangles", f"edit {entry.seq} no longer applies: {error.message}")
            return None

    # ---- operations

    def submit(self, session: str, opid: int, user: str, txn: list[Op], label: str = "", *, seen: int | None = None) -> Outcome:
        """Apply a client's transaction; the outcome is journaled when this returns.

        Args:
            seen: The last edit that its author knew of; prims that have been renamed or moved since are meant under what they
                are called now. None: the newest.

        Raises:
            WorkError: The journal could not be written; the edit is taken back.
        """

        def work() -> Work:
            if not txn:
                raise Rejected("type", "the transaction is empty")
            if len(txn) > MAX_OPS:
                raise Rejected("limit", f"a transaction may hold {MAX_OPS} operations, this one has {len(txn)}")
            structure = sum(op.kind in ("add_prim", "remove_prim", "move_prim") for op in txn)
            if structure > MAX_STRUCTURE:
                raise Rejected(
                    "limit", f"an edit may add, remove or move {MAX_STRUCTURE} prims, this one {structure}: do it in parts"
                )
            moves = sum(op.kind == "move_prim" for op in txn)
            if moves > MAX_MOVES:
                raise Rejected("limit", f"an edit may rename or move {MAX_MOVES} prims, this one {moves}: do it in parts")
            meant = txn if seen is None else self._as_called_now(txn, seen)
            return Work(meant, _legible(label) or _describe(meant), "edit")

        return self._run(session, opid, user, work, internal=False)

    def _as_called_now(self, txn: list[Op], seen: int) -> list[Op]:
        """Operations with the present names of prims that the author knew by earlier ones.

        What is there under the name that was given is what was meant; so is what the transaction itself brings there.
        """
        if seen >= self.moves.newest:
            return txn
        brought = {op.path for op in txn if op.kind == "add_prim"} | {str(op.value) for op in txn if op.kind == "move_prim"}
        moves = self.moves.after(seen)

        def now(path: str) -> str:
            new = next((above for above in upwards(path) if above in brought), "")
            if new:
                parent = new.rpartition("/")[0]
                return now(parent) + path[len(parent) :]
            there = moves(path)
            was_moved = there != path and self._has(there) and not self._has(path)
            return there if was_moved else path

        return [op_moved(op, now) for op in txn]

    def _has(self, path: str) -> bool:
        return bool(self.stage.GetPrimAtPath(path.partition(".")[0]))

    def perform(self, session: str, opid: int, user: str, make: Callable[[], Sequence[Op]], *, label: str, kind: str) -> Outcome:
        """Apply operations that were worked out here (a restored version, a merge), as one transaction that can be undone.

        Args:
            make: Called once it is known that this is no repetition. kind: How the entry is called: restore, merge.
        """

        def work() -> Work:
            txn = list(make())
            if not txn:
                raise Rejected("nothing", "nothing would change")
            return Work(txn, label[:MAX_LABEL], kind)

        return self._run(session, opid, user, work, internal=True)

    def restore(self, session: str, opid: int, user: str, version: int) -> Outcome:
        """Make the edits what they were in a version.

        Raises:
            InputError: There is no such version.
        """
        label, text = self.journal.version(version)
        return self.perform(
            session, opid, user, lambda: [o.op for o in difference(self.text(), text)], label=f"Restore {label}", kind="restore"
        )

    def text(self) -> str:
        """The edits as USDA."""
        return layer_to_text(self.layer)

    def text_of(self, version: int) -> str:
        """The edits of a version; those of now for 0, none at all for -1.

        Raises:
            InputError: There is no such version.
        """
        if version == -1:
            return ""
        return self.journal.version(version)[1] if version else self.text()

    def undo(self, session: str, opid: int, user: str) -> Outcome:
        """Take back the session's own last transaction, except what others wrote over since."""
        return self._run(session, opid, user, lambda: self._revert(session, "undo"), internal=True)

    def redo(self, session: str, opid: int, user: str) -> Outcome:
        """Do again what the session undid last."""
        return self._run(session, opid, user, lambda: self._revert(session, "redo"), internal=True)

    def _revert(self, session: str, kind: str) -> Work:
        entry = self._stacks.top(session, kind)
        try:
            txn, skipped = self._stacks.revert(entry)
        except Rejected:
            self._stacks.forget(entry)
            raise
        label = entry.label.removeprefix("Undo ").removeprefix("Redo ")
        return Work(txn, f"{kind.title()} {label}", kind, entry, skipped)

    def _run(self, session: str, opid: int, user: str, work: Callable[[], Work], *, internal: bool) -> Outcome:
        before = self.journal.outcome(session, opid)
        if isinstance(before, Entry):
            return Outcome(entry=before, again=True)
        if isinstance(before, Refusal):
            return Outcome(refusal=before, again=True)
        if self.read_only:
            return Outcome(refusal=Refusal("read-only", self.read_only, ""))
        todo: Work | None = None
        try:
            todo = work()
            for op in todo.txn:
                self.guard(op)
            room = self.room()
            done = apply_txn(self.stage, self.layer, todo.txn, asset_root=self.asset_root, internal=internal, room=room)
        except Rejected as error:
            if todo is not None and todo.target is not None:
                # it would be refused again and again, and hide what lies under it
                self._stacks.forget(todo.target)
            refusal = Refusal(error.code, error.message[:MAX_REASON], (error.prim or "")[:MAX_REASON])
            self._written(lambda: self.journal.refuse(session, opid, refusal))
            return Outcome(refusal=refusal)
        target = None if todo.target is None else todo.target.seq
        entry = Entry(
            self._seq + 1, session, opid, user, todo.label, now_ns(), todo.kind, target, todo.txn, done.inverse, todo.skipped
        )
        moves = self._written(lambda: self._append(entry), lambda: self._take_back(done.inverse))
        self._group.append(done.inverse)
        self._seq = entry.seq
        self._recent.append((entry.seq, done.changed, done.resync))
        self._stacks.note(entry)
        if self._seq % CHECKPOINT_EVERY == 0 and self._checkpoint_due():
            self._written(self.journal.forget_refusals)
            if not self.checkpoints.begin():
                self._written(lambda: self.journal.checkpoint(self._seq, layer_to_text(self.layer)))
        return Outcome(entry, None, done.changed, done.resync, moves=moves)

    def _append(self, entry: Entry) -> Moves:
        with self.journal.together():
            self.journal.append(entry)
            return self.moves.note(entry)

    def _checkpoint_due(self) -> bool:
        now = time.monotonic()
        seq, begun = self._checkpointed
        if self._seq - seq < CHECKPOINT_LATEST * CHECKPOINT_EVERY and now - begun < CHECKPOINT_PAUSE_S:
            return False
        self._checkpointed = self._seq, now
        return True

    @contextmanager
    def group(self) -> Iterator[None]:
        """Edits inside are committed together: nothing may be acknowledged before this ends.

        Raises:
            WorkError: The commit failed; all of them have been taken back.
        """
        self.begin_group()
        try:
            yield
            self.journal.commit()
        except WorkError as error:
            self.abandon_group(error)
            raise
        except BaseException:
            self.journal.roll_back()
            raise

    def begin_group(self) -> None:
        """As ``group`` begins; ``journal.commit`` has to follow, on any thread, before anything else of the document is used.

        Raises:
            WorkError: Nothing can be written.
        """
        self._group_begin, self._group = self._seq, []
        self._written(self.journal.begin)

    def abandon_group(self, error: WorkError) -> None:
        """The commit failed: take back all edits of the group."""
        self.journal.roll_back()
        for inverse in reversed(self._group):
            self._take_back(inverse)
        self._group, self._seq = [], self._group_begin
        while self._recent and self._recent[-1][0] > self._seq:
            self._recent.pop()
        self._close_for_edits(error)

    def _written(self, write: Callable[[], T], otherwise: Callable[[], None] = lambda: None) -> T:
        """Do a write; when it fails, nothing is accepted any more."""
        try:
            return write()
        except WorkError as error:
            otherwise()
            self._close_for_edits(error)
            raise

    def _close_for_edits(self, error: WorkError) -> None:
        self.read_only = "the journal cannot be written: edits are refused until the server has been restarted"
        self._log.error("journal cannot be written; the document is read-only now", error=str(error))

    def _take_back(self, inverse: list[Op]) -> None:
        """Memory must not be ahead of the disk."""
        apply_txn(self.stage, self.layer, inverse, asset_root=self.asset_root, internal=True)

    def undo_labels(self, session: str) -> tuple[str, str]:
        """What the session would undo and redo next; empty for nothing."""
        return self._stacks.labels(session)

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

    def keep_version(self, label: str, author: str, seq: int, text: str) -> None:
        """Keep the edits as they were after ``seq`` as a version, unless the newest version is of then."""
        newest = self.journal.versions()[:1]
        if not newest or newest[0]["seq"] != seq:
            self.journal.save_version(label[:MAX_LABEL], author, seq, text)


def _legible(label: str) -> str:
    """A label as others will read it: on one line, without characters that do not show or turn the writing round."""
    return "".join(c if c.isprintable() else " " for c in label[:MAX_LABEL]).strip()


def _describe(txn: list[Op]) -> str:
    """A label for people where the client gave none."""
    op = txn[0]
    name = op.path.rsplit("/", 1)[-1]
    verbs = {"add_prim": "Add", "remove_prim": "Delete", "move_prim": "Move", "set_variant": "Switch variant of"}
    text = f"{verbs[op.kind]} {name}" if op.kind in verbs else f"Set {op.field} of {name}"
    return text if len(txn) == 1 else f"{text} and {len(txn) - 1} more"
