"""Prims that have got other paths, and what that makes of paths that were written down before."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from twin.collab.journal import Entry, Journal
from twin.protocol.messages import Op

_SCHEMA = (
    """create table if not exists moves (
    seq integer not null, time_ns integer not null, source text not null, target text not null, given integer not null)""",
    "create index if not exists moves_by_target on moves (target)",
)
FIRST_NS, LAST_NS = -(2**63), 2**63 - 1


class Moves:
    """Moves in the order in which they were made; looking a path up costs no more with many of them.

    Args:
        pairs: From where to where.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._begin = _common_begin([source for source, _ in pairs])
        self._at: dict[str, list[int]] = {}
        for index, (source, _) in enumerate(pairs):
            self._at.setdefault(source, []).append(index)

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __call__(self, path: str, since: int = 0) -> str:
        """Where a prim or property (``/A.size``) is after the moves from number ``since`` on; unmoved ones stay."""
        while path.startswith(self._begin):
            first, moved = len(self._pairs), ""
            for above in upwards(path):
                later = self._at.get(above, ())
                index = bisect_left(later, since)
                if index < len(later) and later[index] < first:
                    first, moved = later[index], above
            if not moved:
                break
            path = self._pairs[first][1] + path[len(moved) :]
            since = first + 1
        return path

    def changes(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of some paths that are others now, with what they are."""
        return {path: now for path in paths if (now := self(path)) != path}


def rows_moved(journal: Journal, table: str, moves: Moves) -> list[tuple[int, str, str]]:
    """Rows of a table with a column ``path`` whose prims have moved: number, path before, path now.

    Found before any is changed: two prims may have changed places.
    """
    paths = [path for (path,) in journal.read(f"select distinct path from {table}")]
    return [
        (row, path, now)
        for path, now in moves.changes(paths).items()
        for (row,) in journal.read(f"select rowid from {table} where path = ?", (path,))
    ]


class Span(NamedTuple):
    """What a prim was called between two moments [ns UTC], both included."""

    path: str
    begin_ns: int
    end_ns: int


class MoveLog:
    """The moves of a project, each with when it was made, and whether it was ``given`` or came back with a version.

    Belongs to the document's thread.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._newest: int | None = None
        if journal.read("select 1 from sqlite_master where type = 'table' and name = 'moves'"):
            return
        with journal.together():  # a project of before there was a table of its own
            for statement in _SCHEMA:
                journal.write(statement)
            for entry in journal.entries():
                self.note(entry)

    def note(self, entry: Entry) -> Moves:
        """An entry is being accepted; returns what it moves."""
        given = moves_in(entry.txn)
        moves = given if given or entry.kind == "edit" else self._named_again(entry)
        if moves:
            self._newest = None
        for source, target in moves:
            values = (entry.seq, entry.time_ns, source, target, bool(given))
            self._journal.write("insert into moves values (?, ?, ?, ?, ?)", values)
        return moves

    def _named_again(self, entry: Entry) -> Moves:
        """As a restored version moves prims: it takes one away under its name, and brings it under an earlier one."""
        come = _emptied(entry.inverse)
        found: list[tuple[str, str]] = []
        if not come:
            return Moves(found)
        for path in _emptied(entry.txn):
            former = (span.path for span in reversed(self.spans(path, FIRST_NS, LAST_NS)[:-1]))
            found += [(path, name) for name in former if name in come][:1]
        return Moves(found)

    def all(self) -> Moves:
        """Those of edits that are in force: a base that has changed begins anew."""
        begin = int(self._journal.meta("epoch_begin") or 0)
        return Moves(self._journal.read("select source, target from moves where seq > ? order by rowid", (begin,)))

    @property
    def newest(self) -> int:
        """Number of the last edit that moved something; 0: none has."""
        if self._newest is None:
            self._newest = self._journal.read("select max(seq) from moves")[0][0] or 0
        return self._newest

    def after(self, seq: int) -> Moves:
        """Those of the edits after ``seq`` that are in force."""
        begin = max(seq, int(self._journal.meta("epoch_begin") or 0))
        return Moves(self._journal.read("select source, target from moves where seq > ? order by rowid", (begin,)))

    def since(self, time_ns: int) -> Moves:
        """Names and places that people have given after a moment [ns UTC], without those that a version brought back."""
        return Moves(
            self._journal.read("select source, target from moves where given and time_ns > ? order by rowid", (time_ns,))
        )

    def spans(self, path: str, begin_ns: int, end_ns: int) -> list[Span]:
        """What the prim that is called ``path`` now was called between two moments [ns UTC], oldest first."""
        found: list[Span] = []
        before = LAST_NS
        while end_ns >= begin_ns:
            ends = list(upwards(path))
            marks = ", ".join("?" * len(ends))
            moved = f"select rowid, time_ns, source, target from moves where target in ({marks}) and rowid < ?"
            last = self._journal.read(f"{moved} order by rowid desc limit 1", (*ends, before))
            if not last:
                found.append(Span(path, begin_ns, end_ns))
                break
            before, time_ns, source, target = last[0]
            if time_ns <= end_ns:
                found.append(Span(path, max(time_ns, begin_ns), end_ns))
                end_ns = time_ns - 1
            path = source + path[len(target) :]
        return found[::-1]


def _common_begin(texts: Sequence[str]) -> str:
    """What all of some texts begin with: most paths are told by it to be elsewhere."""
    least, most = min(texts, default=""), max(texts, default="")
    return next((least[:i] for i, letter in enumerate(least) if most[i] != letter), least)


def op_moved(op: Op, moves: Callable[[str], str]) -> Op:
    """An operation as if its prim, and those that it points at, had always been called what they are now."""
    path, value = moves(op.path), op.value
    if op.kind == "move_prim":
        value = moves(str(value))
    elif op.kind == "set_relationship":
        value = _paths(value, moves)
    elif op.kind == "list_edit" and isinstance(value, dict):
        value = {name: _paths(targets, moves) for name, targets in value.items()}
    elif op.kind == "add_prim" and isinstance(value, dict) and isinstance(value.get("copy"), str):
        value = {**value, "copy": moves(value["copy"])}
    return op if path == op.path and value == op.value else Op(op.kind, path, op.field, value)


def _paths(targets: Any, moves: Callable[[str], str]) -> Any:
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        return targets
    return [moves(str(target)) for target in targets]


def moves_in(txn: Iterable[Op]) -> Moves:
    """What a transaction moves."""
    return Moves([(op.path, str(op.value)) for op in txn if op.kind == "move_prim"])


def _emptied(txn: Iterable[Op]) -> set[str]:
    """Prims that a transaction takes away as a whole."""
    return {
        op.path for op in txn if op.kind == "remove_prim" or (op.kind == "restore_spec" and not op.field and not op.value["text"])
    }


def upwards(path: str) -> Iterator[str]:
    """A path and those around it, innermost first: ``/A/B.size``, ``/A/B``, ``/A``."""
    while path:
        yield path
        path = path[: max(path.rfind("/"), path.rfind("."), 0)]
