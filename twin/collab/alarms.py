"""Alarms that were raised, who has acknowledged them, and limits of signals: the project's, not one browser's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twin.collab.journal import Journal
from twin.collab.moves import Moves, rows_moved
from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import Rejected, WorkError
from twin.protocol.messages import AlarmDoc, LimitDoc

_SCHEMA = (
    """create table if not exists alarms (
    id integer primary key, key text not null, kind text not null, severity text not null, path text not null, text text not null,
    begin_ns integer not null, end_ns integer not null, acked_ns integer not null, acked_by text not null)""",
    "create index if not exists alarms_by_begin on alarms (begin_ns)",
    "create index if not exists alarms_by_path on alarms (path)",
    """create table if not exists limits (
    prim text not null, name text not null, low real, high real, author text not null, time_ns integer not null,
    primary key (prim, name))""",
)
_ALARM = "id, key, kind, severity, path, text, begin_ns, end_ns, acked_ns, acked_by"
_LIMIT = "prim, name, low, high, author, time_ns"
KEPT = 50_000
"""Alarms that are kept; older ones are in the history of what they were about."""
TRIM_EVERY = 1_000
MAX_LIMITS = 20_000
MAX_LISTED = 1_000


class AlarmLog:
    """The project's alarms and limits; belongs to the document's thread.

    Alarms come in bursts and are written by ``flush``, at most once a second; an acknowledgement or a limit is on disk before it
    is told.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        for statement in _SCHEMA:
            journal.write(statement)
        self._take_in()
        self._unwritten: dict[int, AlarmDoc] = {}
        self._complained = False

    def _take_in(self) -> None:
        """Earlier versions kept the alarms of residuals in a table of their own, the later ones of them in both."""
        journal = self._journal
        if not journal.read("select 1 from sqlite_master where type = 'table' and name = 'residual_alarms'"):
            return
        with journal.together():
            for prim, name, begin_ns, end_ns, worst in journal.read(
                "select prim, name, begin_ns, end_ns, worst from residual_alarms order by begin_ns"
            ):
                key, end_ns = f"residual {prim}:{name}", end_ns or now_ns()
                if journal.read("select 1 from alarms where key = ? and begin_ns between ? and ?", (key, begin_ns, end_ns)):
                    continue
                text = f"{prim.rpartition('/')[2]} {name}: plant and simulation disagree, score {worst:.3g}"
                journal.write(
                    f"insert into alarms ({_ALARM}) values (null, ?, 'residual', 'warning', ?, ?, ?, ?, 0, '')",
                    (key, prim, text, begin_ns, end_ns),
                )
            journal.write("drop table residual_alarms")

    def next_id(self) -> int:
        """Id of the next alarm."""
        return int(self._journal.read("select coalesce(max(id), 0) + 1 from alarms")[0][0])

    def lasting(self) -> list[AlarmDoc]:
        """Alarms without an end."""
        return [AlarmDoc(*row) for row in self._journal.read(f"select {_ALARM} from alarms where end_ns = 0 order by id")]

    def keep(self, alarms: Iterable[AlarmDoc]) -> None:
        """Alarms that have begun or changed, for the next ``flush``."""
        for alarm in alarms:
            self._unwritten[alarm.id] = alarm
        for id in list(self._unwritten)[:-KEPT]:  # the disk has refused for long
            del self._unwritten[id]

    def flush(self) -> None:
        """Write what is waiting. Where the disk refuses, it goes on waiting: alarms are still raised and shown."""
        if not self._unwritten:
            return
        try:
            with self._journal.together():
                for a in self._unwritten.values():
                    values = (a.id, a.key, a.kind, a.severity, a.path, a.text, a.begin_ns, a.end_ns, a.acked_ns, a.acked_by)
                    self._journal.write(f"insert or replace into alarms ({_ALARM}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
                if any(id % TRIM_EVERY == 0 for id in self._unwritten):
                    self._journal.write("delete from alarms where id <= (select max(id) from alarms) - ? and end_ns > 0", (KEPT,))
        except WorkError as error:
            if not self._complained:
                log.get("alarms").error("alarms are not written", reason=str(error))
            self._complained = True
            return
        self._unwritten.clear()
        self._complained = False

    def between(self, t0_ns: int, t1_ns: int, limit: int = MAX_LISTED, *, kind: str = "") -> list[AlarmDoc]:
        """Alarms (of one kind) that lasted at some time between two moments [ns UTC], newest first; at most ``limit``."""
        self.flush()
        only = "and kind = ?" if kind else ""
        rows = self._journal.read(
            f"select {_ALARM} from alarms where begin_ns <= ? and (end_ns = 0 or end_ns >= ?) {only}"
            " order by begin_ns desc, id desc limit ?",
            (t1_ns, t0_ns, *([kind] if kind else []), min(limit, MAX_LISTED)),
        )
        return [AlarmDoc(*row) for row in rows]

    def acknowledge(self, ids: Sequence[int], user: str) -> list[AlarmDoc]:
        """Say that ``user`` has seen these alarms; without ids, all that nobody has. Returns those that nobody had, oldest first.

        Raises:
            WorkError: It could not be written.
        """
        self.flush()
        stamp = (now_ns(), user)
        some = f" and id in ({', '.join('?' * len(ids))})" if ids else ""
        self._journal.write(f"update alarms set acked_ns = ?, acked_by = ? where acked_ns = 0{some}", (*stamp, *ids))
        rows = self._journal.read(f"select {_ALARM} from alarms where acked_ns = ? and acked_by = ? order by id", stamp)
        return [AlarmDoc(*row) for row in rows]

    def moved(self, moves: Moves) -> bool:
        """Prims have other paths now: what is kept of their alarms goes along; returns whether there was any."""
        self.flush()
        found = rows_moved(self._journal, "alarms", moves)
        for id, path, now in found:
            key = "key = replace(key, ' ' || ?, ' ' || ?)"
            self._journal.write(f"update alarms set path = ?, {key} where id = ?", (now, path, now, id))
        return bool(found)

    # ---- limits

    def limits_moved(self, moves: Moves) -> bool:
        """Prims have other paths now: the limits of their signals go along; returns whether there was any."""
        before = [limit for limit in self.limits() if moves(limit.prim) != limit.prim]
        for limit in before:
            self._journal.write("delete from limits where prim = ? and name = ?", (limit.prim, limit.name))
        for limit in before:
            self._journal.write(
                f"insert or replace into limits ({_LIMIT}) values (?, ?, ?, ?, ?, ?)",
                (moves(limit.prim), limit.name, limit.low, limit.high, limit.author, limit.time_ns),
            )
        return bool(before)

    def limits(self) -> list[LimitDoc]:
        """All limits, by signal."""
        return [LimitDoc(*row) for row in self._journal.read(f"select {_LIMIT} from limits order by prim, name")]

    def set_limit(self, prim: str, name: str, low: float | None, high: float | None, author: str) -> LimitDoc:
        """Raise an alarm where a signal is below ``low`` or above ``high`` [its unit]; with neither, no longer.

        Raises:
            Rejected: ``range`` or ``limit``. WorkError: It could not be written.
        """
        if low is not None and high is not None and low >= high:
            raise Rejected("range", f"the lower limit {low:g} of {name} must be less than the upper one, {high:g}", prim=prim)
        limit = LimitDoc(prim, name, low, high, author, now_ns())
        if low is None and high is None:
            self._journal.write("delete from limits where prim = ? and name = ?", (prim, name))
            return limit
        others = self._journal.read("select count(*) from limits where prim <> ? or name <> ?", (prim, name))
        if others[0][0] >= MAX_LIMITS:
            raise Rejected("limit", f"a project holds {MAX_LIMITS} limits")
        self._journal.write(
            f"insert or replace into limits ({_LIMIT}) values (?, ?, ?, ?, ?, ?)", (prim, name, low, high, author, limit.time_ns)
        )
        return limit
