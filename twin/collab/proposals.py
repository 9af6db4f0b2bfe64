"""Proposals: a state of the edits put aside to be looked at, discussed, and merged or discarded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twin.collab.document import Document, Outcome
from twin.core.clock import now_ns
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import Op
from twin.scene.edits import Opinion, brought_back, difference, is_within, with_moves

_SCHEMA = """create table if not exists proposals (
    id integer primary key, label text not null, author text not null, base text not null, text text not null,
    state text not null, created_ns integer not null, closed_ns integer not null, closed_by text not null)"""
_COLUMNS = ("id", "label", "author", "state", "created_ns", "closed_ns", "closed_by")


@dataclass(frozen=True)
class Comparison:
    """What a proposal changes, and which of that others have changed otherwise since, with what they did, in words."""

    opinions: list[Opinion]
    conflicts: list[Opinion]
    since: list[str]


Conflicts = Literal["refuse", "overwrite", "keep"]
"""What a merge does where others have changed the same: nothing at all, go over it, or leave that as it is."""
MOST_NAMED = 3


class Proposals:
    """The project's proposals; belongs to the document's thread.

    A proposal is what the edits said when it was made, against what they said in a version before (or nothing at all). Prims that
    have been renamed or moved since are found under what they are called now.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._journal = document.journal
        self._journal.write(_SCHEMA)

    def make(self, label: str, author: str, *, since: int = -1) -> int:
        """Put aside what was edited since a version; returns the proposal's id.

        Args:
            since: Version to compare with; -1: the stage without any edits.

        Raises:
            InputError: There is no such version. Rejected: Nothing was edited since.
        """
        base, text = self._document.text_of(since), self._document.text()
        if not _changes(base, text):
            raise Rejected("nothing", "nothing has been edited since")
        return self._journal.write(
            "insert into proposals (label, author, base, text, state, created_ns, closed_ns, closed_by) "
            "values (?, ?, ?, ?, 'open', ?, 0, '')",
            (label, author, base, text, now_ns()),
        )

    def take_back(self, id: int, session: str, opid: int, user: str) -> Outcome:
        """Make the shared edits what they were before the proposal; what others changed otherwise meanwhile stays."""
        label, base, text, _ = self._row(id)

        def ops() -> list:
            changed = {_key(o): o for o in _changes(base, self._document.text())}
            mine = {_key(o) for o in _changes(base, text) if _same(changed.get(_key(o)), o)}
            return [o.op for o in _changes(self._document.text(), base) if _key(o) in mine]

        return self._document.perform(session, opid, user, ops, label=f"Put aside {label}", kind="restore")

    def all(self) -> list[dict[str, object]]:
        """Newest first."""
        rows = self._journal.read(f"select {', '.join(_COLUMNS)} from proposals order by id desc")
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def compare(self, id: int) -> Comparison:
        """What a proposal changes.

        Raises:
            InputError: There is no such proposal.
        """
        _, base, text, _ = self._row(id)
        return self._compared(base, text)

    def _compared(self, base: str, text: str) -> Comparison:
        wanted = _changes(base, text)
        mine = {_key(o): o for o in wanted}
        against = [o for o in _changes(base, self._document.text()) if not _same(mine.get(_key(o)), o)]
        found = Comparison(wanted, [], [])
        for opinion in wanted:
            if others := [other for other in against if _overlap(opinion, other)]:
                found.conflicts.append(opinion)
                found.since.append(self._in_words(opinion, others))
        return found

    def _in_words(self, opinion: Opinion, others: list[Opinion]) -> str:
        whole = [o for o in others if not o.field and is_within(opinion.path, o.path)]
        if any(o.change == "removed" or _switched_off(self._document, o.path) for o in whole):
            return "others have deleted it since"
        for other in others:
            if _key(other) == _key(opinion) and other.field:
                return "others have cleared it since" if other.change == "removed" else f"others have set {other.after} since"
        if whole:
            return "others have changed it since"
        names = [o.path[len(opinion.path) + 1 :] + (f".{o.field}" if o.field else "") for o in others]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return f"others have changed in it since: {', '.join(name.lstrip('.') for name in names[:MOST_NAMED])}{more}"

    def merge(self, id: int, session: str, opid: int, user: str, *, conflicts: Conflicts = "refuse") -> Outcome:
        """Apply a proposal to the shared edits as one transaction; a version is saved first.

        Args:
            conflicts: Going over what others changed brings back what they have deleted, as the proposal has it.

        Raises:
            InputError: There is no such proposal. Rejected: ``closed``, ``conflict``, or ``nothing`` of it is left.
        """
        label, base, text, state = self._row(id)
        again = self._journal.outcome(session, opid) is not None
        if not again:
            if state != "open":
                raise Rejected("closed", f"the proposal has been {state} already")
            found = self._compared(base, text).conflicts
            if found and conflicts == "refuse":
                names = ", ".join(sorted({f"{o.path}.{o.field}" if o.field else o.path for o in found})[:5])
                raise Rejected("conflict", f"others have changed since: {names}; review it and choose which is to count")
            self._document.save_version(f"before merging {label}", user)

        def ops() -> list[Op]:
            current = self._document.text()
            now = {_key(o): o for o in _changes(base, current)}
            left = {_key(o) for o in self._compared(base, text).conflicts} if conflicts == "keep" else set()
            opinions = [o for o in _changes(base, text) if not _same(now.get(_key(o)), o) and _key(o) not in left]
            return brought_back([o.op for o in opinions], current, text)

        outcome = self._document.perform(session, opid, user, ops, label=f"Merge {label}", kind="merge")
        said_already = outcome.refusal is not None and outcome.refusal.code == "nothing" and conflicts != "keep"
        if outcome.entry is not None or said_already:
            self._close(id, "merged", user)
        return outcome

    def discard(self, id: int, user: str) -> None:
        """Close a proposal without merging; it stays readable.

        Raises:
            InputError: There is no such proposal. Rejected: ``closed``.
        """
        if self._row(id)[3] != "open":
            raise Rejected("closed", f"the proposal has been {self._row(id)[3]} already")
        self._close(id, "discarded", user)

    def reopen(self, id: int) -> None:
        """Have a proposal back that was discarded, or merged and the merge undone, to be merged after all.

        Raises:
            InputError: There is no such proposal. Rejected: ``open``, it is open.
        """
        if self._row(id)[3] == "open":
            raise Rejected("open", "the proposal is open already")
        self._journal.write("update proposals set state = 'open', closed_ns = 0, closed_by = '' where id = ?", (id,))

    def _close(self, id: int, state: str, user: str) -> None:
        self._journal.write(
            "update proposals set state = ?, closed_ns = ?, closed_by = ? where id = ? and state = 'open'",
            (state, now_ns(), user, id),
        )

    def _row(self, id: int) -> tuple[str, str, str, str]:
        rows = self._journal.read("select label, base, text, state, created_ns from proposals where id = ?", (id,))
        if not rows:
            raise InputError(f"there is no proposal {id}")
        label, base, text, state, created_ns = rows[0]
        moves = self._document.moves.since(created_ns)
        return label, with_moves(base, moves, moves), with_moves(text, moves, moves), state


def _switched_off(document: Document, path: str) -> bool:
    """As a prim of the stage's own files is where somebody has deleted it."""
    prim = document.stage.GetPrimAtPath(path)
    return bool(prim) and not prim.IsActive()


def _changes(before: str, after: str) -> list[Opinion]:
    """By piece: two people who say different things of one prim do not stand against each other."""
    return difference(before, after, by_piece=True)


def _key(opinion: Opinion) -> tuple[str, str]:
    return opinion.path, opinion.field


def _same(a: Opinion | None, b: Opinion) -> bool:
    return a is not None and a.op.value["text"] == b.op.value["text"]


def _overlap(a: Opinion, b: Opinion) -> bool:
    if _key(a) == _key(b):
        return True
    return any(not whole.field and is_within(part.path, whole.path) for whole, part in ((a, b), (b, a)))
