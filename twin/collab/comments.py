"""Remarks pinned to prims, with answers. They live beside the edits: undo and restore leave them alone."""

from __future__ import annotations

from typing import Any

from twin.collab.journal import Journal
from twin.collab.moves import Moves, rows_moved
from twin.core.clock import now_ns
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import CommentDoc

_SCHEMA = """create table if not exists comments (
    id integer primary key, parent integer not null, path text not null, text text not null, user text not null,
    owner text not null, time_ns integer not null, edited_ns integer not null, resolved_ns integer not null,
    resolved_by text not null, deleted integer not null)"""
_COLUMNS = "id, parent, path, text, user, time_ns, edited_ns, resolved_ns, resolved_by, deleted"
MAX_TEXT = 10_000
MAX_COMMENTS = 20_000


class Comments:
    """The project's comments; belongs to the document's thread. A comment is on disk before it is told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.write(_SCHEMA)

    def all(self) -> list[CommentDoc]:
        """Oldest first, without those that were deleted."""
        rows = self._journal.read(f"select {_COLUMNS} from comments where deleted = 0 order by id")
        return [_doc(row) for row in rows]

    def add(self, path: str, text: str, user: str, owner: str, *, parent: int = 0) -> CommentDoc:
        """A new comment, or with ``parent`` an answer, which is pinned where that is.

        Args:
            owner: Whose it is: they alone may change its words.

        Raises:
            InputError: The comment to answer does not exist. Rejected: ``text`` or ``limit``.
        """
        text = _checked(text)
        if parent:
            first = self._get(parent)
            if first.deleted:
                raise InputError(f"there is no comment {parent}")
            path, parent = first.path, first.parent or first.id
        if self._journal.read("select count(*) from comments")[0][0] >= MAX_COMMENTS:
            raise Rejected("limit", f"a project holds {MAX_COMMENTS} comments")
        values = (parent, path, text, user, owner, now_ns())
        id = self._journal.write(
            "insert into comments (parent, path, text, user, owner, time_ns, edited_ns, resolved_ns, resolved_by, deleted) "
            "values (?, ?, ?, ?, ?, ?, 0, 0, '', 0)",
            values,
        )
        return self._get(id)

    def change(self, id: int, text: str, owners: set[str]) -> CommentDoc:
        """Other words for one's own comment; ``owners``: all that the author may go by.

        Raises:
            InputError: There is no such comment. Rejected: ``role``, ``text``.
        """
        self._own(id, owners)
        self._journal.write("update comments set text = ?, edited_ns = ? where id = ?", (_checked(text), now_ns(), id))
        return self._get(id)

    def resolve(self, id: int, user: str, *, resolved: bool) -> CommentDoc:
        """Mark a thread as settled, or as open again.

        Raises:
            InputError: There is no such comment.
        """
        first = self._get(id)
        at, by = (now_ns(), user) if resolved else (0, "")
        self._journal.write("update comments set resolved_ns = ?, resolved_by = ? where id = ?", (at, by, first.parent or id))
        return self._get(first.parent or id)

    def delete(self, id: int, owners: set[str], *, admin: bool) -> list[CommentDoc]:
        """Take back one's own comment with the answers to it; an admin, anybody's. Returns all that are gone.

        Raises:
            InputError: There is no such comment. Rejected: ``role``.
        """
        if not admin:
            self._own(id, owners)
        gone = [self._get(id).id, *(row[0] for row in self._journal.read("select id from comments where parent = ?", (id,)))]
        self._journal.write("update comments set deleted = 1, text = '' where id = ? or parent = ?", (id, id))
        return [self._get(each) for each in gone]

    def moved(self, moves: Moves) -> None:
        """Prims have other paths now: what is pinned to them, or below them, goes along."""
        for id, _, now in rows_moved(self._journal, "comments", moves):
            self._journal.write("update comments set path = ? where id = ?", (now, id))

    def _get(self, id: int) -> CommentDoc:
        rows = self._journal.read(f"select {_COLUMNS} from comments where id = ?", (id,))
        if not rows:
            raise InputError(f"there is no comment {id}")
        return _doc(rows[0])

    def _own(self, id: int, owners: set[str]) -> None:
        self._get(id)
        if self._journal.read("select owner from comments where id = ?", (id,))[0][0] not in owners:
            raise Rejected("role", "the comment is someone else's")


def _checked(text: str) -> str:
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        raise Rejected("text", f"a comment has 1 to {MAX_TEXT} characters")
    return text


def _doc(row: tuple[Any, ...]) -> CommentDoc:
    id, parent, path, text, user, time_ns, edited_ns, resolved_ns, resolved_by, deleted = row
    return CommentDoc(id, parent, path, text, user, time_ns, edited_ns, resolved_ns, resolved_by, bool(deleted))
