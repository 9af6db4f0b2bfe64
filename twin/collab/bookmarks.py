"""Views and moments that people want to find again, for everybody who works on the project."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from twin.collab.journal import Journal
from twin.core.clock import now_ns
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import BookmarkDoc

_SCHEMA = """create table if not exists bookmarks (
    id integer primary key, time_ns integer not null, text text not null, user text not null, made_ns integer not null)"""
_COLUMNS = "id, text, user, time_ns, camera, made_ns"
MAX_BOOKMARKS = 5_000
MAX_TEXT = 200
LAST_NS = 2**63 - 1


class Bookmarks:
    """The project's bookmarks; belongs to the document's thread. A bookmark is on disk before it is told."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.write(_SCHEMA)
        if "camera" not in {row[1] for row in journal.read("pragma table_info(bookmarks)")}:
            journal.write("alter table bookmarks add column camera text not null default '[]'")

    def all(self, t0_ns: int = 0, t1_ns: int = LAST_NS) -> list[BookmarkDoc]:
        """Those of moments between two times [ns UTC], by time; those of no moment stand at 0."""
        rows = self._journal.read(
            f"select {_COLUMNS} from bookmarks where time_ns between ? and ? order by time_ns, id", (t0_ns, t1_ns)
        )
        return [_doc(row) for row in rows]

    def add(self, text: str, user: str, *, time_ns: int = 0, camera: Sequence[float] = ()) -> BookmarkDoc:
        """Keep a moment [ns UTC], a view, or both.

        Args:
            camera: Position and target [m], six numbers in the stage's axes; empty for none.

        Raises:
            Rejected: ``text``, ``camera`` or ``limit``.
        """
        if camera and (len(camera) != 6 or not all(map(math.isfinite, camera))):
            raise Rejected("camera", "a view is six numbers: position and target")
        if not camera and not time_ns:
            raise Rejected("camera", "a bookmark needs a moment or a view")
        if self._journal.read("select count(*) from bookmarks")[0][0] >= MAX_BOOKMARKS:
            raise Rejected("limit", f"a project holds {MAX_BOOKMARKS} bookmarks")
        values = (_checked(text), user, time_ns, json.dumps(list(camera)), now_ns())
        id = self._journal.write("insert into bookmarks (text, user, time_ns, camera, made_ns) values (?, ?, ?, ?, ?)", values)
        return self._get(id)

    def rename(self, id: int, text: str) -> BookmarkDoc:
        """Another name.

        Raises:
            InputError: There is no such bookmark. Rejected: ``text``.
        """
        self._get(id)
        self._journal.write("update bookmarks set text = ? where id = ?", (_checked(text), id))
        return self._get(id)

    def delete(self, id: int) -> None:
        """Take a bookmark away.

        Raises:
            InputError: There is no such bookmark.
        """
        self._get(id)
        self._journal.write("delete from bookmarks where id = ?", (id,))

    def _get(self, id: int) -> BookmarkDoc:
        rows = self._journal.read(f"select {_COLUMNS} from bookmarks where id = ?", (id,))
        if not rows:
            raise InputError(f"there is no bookmark {id}")
        return _doc(rows[0])


def _checked(text: str) -> str:
    text = text.strip()
    if not text or len(text) > MAX_TEXT:
        raise Rejected("text", f"the name of a bookmark has 1 to {MAX_TEXT} characters")
    return text


def _doc(row: tuple[Any, ...]) -> BookmarkDoc:
    id, text, user, time_ns, camera, made_ns = row
    return BookmarkDoc(id, text, user, time_ns, json.loads(camera), made_ns)
