"""Undo of one's own: stacks by session, and who wrote what last."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby

from twin.collab.journal import Entry
from twin.collab.moves import Moves, moves_in, op_moved, upwards
from twin.core.errors import Rejected
from twin.protocol.messages import Op

WINDOW = 5000
"""Undo reaches back this many transactions, of all people together."""
TRIM_EVERY = 100

Key = tuple[str, str]
"""What an operation writes: prim path, and property (``@name`` for metadata); an empty name is the prim with all below it."""

_ABOUT_PRIM = {"add_prim", "remove_prim", "move_prim"}


def keys(op: Op) -> Iterator[Key]:
    """What an operation writes."""
    if op.kind in _ABOUT_PRIM or (op.kind == "restore_spec" and not op.field):
        yield op.path, ""
        if op.kind == "move_prim":
            yield str(op.value), ""
    elif op.kind == "set_metadata":
        yield op.path, f"@{op.field}"
    elif op.kind == "set_variant":
        yield op.path, f"@variants:{op.field}"
    elif op.kind == "apply_api":
        yield op.path, "@apiSchemas"
    else:
        yield op.path, op.field


Writer = tuple[int, str, int, str]
"""The last write of something, its number and session, and the last one by any other session (0 for none)."""


class UndoStacks:
    """What each session can take back, and do again.

    An undo is an entry of its own (``kind`` undo, ``target`` the seq that it takes back), and its inverse is the redo.
    """

    def __init__(self) -> None:
        self._undo: dict[str, list[Entry]] = {}
        self._redo: dict[str, list[Entry]] = {}
        self._writers: dict[Key, Writer] = {}
        self._most = 8 * WINDOW

    def note(self, entry: Entry) -> None:
        """An entry was accepted."""
        undo, redo = self._undo.setdefault(entry.session, []), self._redo.setdefault(entry.session, [])
        # what changed nothing leaves nothing to take back
        new = [entry] if entry.inverse else []
        if entry.kind == "undo":
            undo[:] = [e for e in undo if e.seq != entry.target]
            redo += new
        elif entry.kind == "redo":
            redo[:] = [e for e in redo if e.seq != entry.target]
            undo += new
        elif new:
            undo += new
            redo.clear()
        if entry.seq % TRIM_EVERY == 0:
            self._trim(entry.seq - WINDOW)
        for moving, group in groupby(entry.txn, lambda op: op.kind == "move_prim"):
            ops = list(group)
            written = self._follow(entry.session, moves_in(ops)) if moving else [key for op in ops for key in keys(op)]
            for key in written:
                self._wrote(key, entry)
        # the inverse names what was written beside what was asked for: xformOpOrder, say
        for op in entry.inverse:
            if op.kind != "move_prim":
                for key in keys(op):
                    self._wrote(key, entry)
        if len(self._writers) > self._most:
            self._writers = {k: w for k, w in self._writers.items() if w[0] > entry.seq - WINDOW}
            self._most = max(8 * WINDOW, 2 * len(self._writers))

    def _wrote(self, key: Key, entry: Entry) -> None:
        last = self._writers.get(key, (0, "", 0, ""))
        other = last[2:] if last[1] == entry.session else last[:2]
        self._writers[key] = (entry.seq, entry.session, *other)

    def _follow(self, session: str, moves: Moves) -> list[Key]:
        """A session moved prims: what others can take back in them is found at the new paths, and who wrote what goes along.

        The session's own steps are taken back in their order, the moves before those that came before them. Returns what a
        move writes: what a prim is called and where it is, and nothing of what is in it.
        """
        within = [key for key in self._writers if moves(key[0]) != key[0]]
        self._writers |= {(moves(path), name): self._writers.pop((path, name)) for path, name in within}
        for stacks in (self._undo, self._redo):
            for other, stack in stacks.items():
                if other != session:
                    stack[:] = [_moved(entry, moves) for entry in stack]
        return [(moves(target, since=number), "@path") for number, (_, target) in enumerate(moves, 1)]

    def _trim(self, before: int) -> None:
        """Let go of what lies too far back, also of those who have long gone."""
        for stacks in (self._undo, self._redo):
            for session, stack in list(stacks.items()):
                stack[:] = [entry for entry in stack if entry.seq > before]
                if not stack:
                    del stacks[session]

    def labels(self, session: str) -> tuple[str, str]:
        """What the session would undo and redo next; empty for nothing."""
        undo, redo = self._undo.get(session), self._redo.get(session)
        return (undo[-1].label if undo else "", redo[-1].label.removeprefix("Undo ") if redo else "")

    def top(self, session: str, kind: str) -> Entry:
        """The entry that ``undo`` or ``redo`` is about.

        Raises:
            Rejected: ``nothing``.
        """
        stack = (self._undo if kind == "undo" else self._redo).get(session)
        if not stack:
            raise Rejected("nothing", f"there is nothing of yours to {kind}")
        return stack[-1]

    def forget(self, entry: Entry) -> None:
        """The entry can no longer be taken back; what lies under it can, in prims that stay where the entry has put them."""
        stays = Moves([(str(op.value), op.path) for op in reversed(entry.inverse) if op.kind == "move_prim"])
        for stacks in (self._undo, self._redo):
            stack = stacks.get(entry.session, [])
            stack[:] = [_moved(e, stays) for e in stack if e.seq != entry.seq]

    def revert(self, entry: Entry) -> tuple[list[Op], list[str]]:
        """Operations that take an entry back, and the names of what stays because others wrote it since.

        Raises:
            Rejected: ``overwritten``: nothing is left to take back.
        """
        # also where one has written over it since and taken that back: what stands there now is theirs
        since = []
        for key, (seq, author, before, _) in self._writers.items():
            if (before if author == entry.session else seq) > entry.seq:
                since.append(key)
        exact = set(since)
        whole = {path for path, name in since if not name}
        above = {path for other in {path for path, _ in since} for path in upwards(other)}
        kept, skipped = [], []
        # a prim that stays where others have put it keeps the transform that it has there
        stays = {
            path
            for op in entry.inverse
            if op.kind == "move_prim" and _overwritten(op, exact, whole, above)
            for path in (op.path, str(op.value))
        }
        for op in entry.inverse:
            if _overwritten(op, exact, whole, above) or any(upper in stays for upper in upwards(op.path)):
                skipped.append(f"{op.path}.{op.field}" if op.field else op.path)
            else:
                kept.append(op)
        if not kept:
            path = entry.inverse[0].path if entry.inverse else None
            raise Rejected("overwritten", "not taken back: others have changed all of it since", prim=path)
        return kept, skipped


def _overwritten(op: Op, exact: set[Key], whole: set[str], above: set[str]) -> bool:
    """Whether others wrote one of its properties (``exact``), a prim around it (``whole``), or something in it (``above``).

    A prim that gets its earlier path back takes along what others wrote in it.
    """
    if op.kind == "move_prim":
        return (op.path, "@path") in exact or any(upper in whole for upper in upwards(op.path))
    for path, name in keys(op):
        if (path, name) in exact or any(upper in whole for upper in upwards(path)):
            return True
        if not name and path in above:
            return True
    return False


def _moved(entry: Entry, moves: Moves) -> Entry:
    """An entry as if its prims had always been where they are now."""
    inverse = [_op_moved(op, moves) for op in entry.inverse]
    return entry if all(a is b for a, b in zip(inverse, entry.inverse, strict=True)) else replace(entry, inverse=inverse)


def _op_moved(op: Op, moves: Moves) -> Op:
    if op.kind != "restore_spec" or not op.value["text"]:
        return op_moved(op, moves)
    # targets stand in angle brackets; the spec itself is found in the text at the path that it had
    path, value = moves(op.path), op.value
    text = re.sub(r"<(/[^<>]*)>", lambda found: f"<{moves(found[1])}>", value["text"])
    if path == op.path and text == value["text"]:
        return op
    return Op(op.kind, path, op.field, {**value, "text": text, "from": value.get("from", op.path)})
