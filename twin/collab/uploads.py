"""Who brought which file along."""

from __future__ import annotations

from twin.collab.journal import Journal
from twin.core.clock import now_ns

_SCHEMA = "create table if not exists uploads (folder text primary key, owner text not null, time_ns integer not null)"


class Uploads:
    """The project's uploads, by the folder that each lies in; belongs to the document's thread."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.write(_SCHEMA)

    def add(self, asset: str, owner: str) -> None:
        """``asset`` is there now; of two who bring the same, the first has brought it."""
        values = (asset.rpartition("/")[0], owner, now_ns())
        self._journal.write("insert or ignore into uploads values (?, ?, ?)", values)

    def of(self, owner: str) -> list[str]:
        """Folders of what somebody brought, below the asset root; some may have been removed since."""
        return [row[0] for row in self._journal.read("select folder from uploads where owner = ?", (owner,))]
