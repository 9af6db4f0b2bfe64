"""Alarms, limits and bookmarks are the project's: kept, shared, and there after a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.collab import AlarmLog, Bookmarks, Journal
from twin.collab import alarms as alarms_module
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import AlarmDoc


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "project")
    yield made
    made.close()


def alarm(id: int, begin: int, end: int = 0) -> AlarmDoc:
    return AlarmDoc(id, f"down /M{id}", "down", "error", f"/M{id}", f"M{id} is down", begin, end)


def test_alarms_are_listed_by_when_they_lasted(journal: Journal) -> None:
    log = AlarmLog(journal)
    log.keep([alarm(1, 10, 20), alarm(2, 15), alarm(3, 30, 40)])
    log.keep([alarm(3, 30, 45)])
    assert [a.id for a in log.between(0, 100)] == [3, 2, 1]
    assert [a.id for a in log.between(21, 29)] == [2]
    assert [a.id for a in log.between(0, 100, limit=1)] == [3]
    assert log.between(0, 100)[0].end_ns == 45
    assert [a.id for a in log.lasting()] == [2]
    assert log.next_id() == 4


def test_who_acknowledged_first_stands_and_what_comes_later_is_not_touched(journal: Journal) -> None:
    log = AlarmLog(journal)
    log.keep([alarm(1, 10), alarm(2, 15, 16)])
    (seen,) = log.acknowledge([1, 999], "Anna")
    assert (seen.id, seen.acked_by, seen.acked_ns > 0) == (1, "Anna", True)
    assert log.acknowledge([1], "Bo") == []
    assert [(a.id, a.acked_by) for a in log.acknowledge([], "Bo")] == [(2, "Bo")]
    log.keep([alarm(3, 50)])
    assert [a.acked_by for a in AlarmLog(journal).between(0, 100)] == ["Bo", "Anna"], "what was not flushed is not there yet"
    assert [a.acked_by for a in log.between(0, 100)] == ["", "Bo", "Anna"]


def test_limits_are_one_a_signal_and_make_sense(journal: Journal) -> None:
    log = AlarmLog(journal)
    log.set_limit("/A", "t", None, 5.0, "Anna")
    log.set_limit("/A", "t", -1.0, 5.0, "Bo")
    (limit,) = AlarmLog(journal).limits()
    assert (limit.low, limit.high, limit.author) == (-1.0, 5.0, "Bo")
    with pytest.raises(Rejected, match="less than"):
        log.set_limit("/A", "t", 5.0, 5.0, "Bo")
    log.set_limit("/A", "t", None, None, "Bo")
    assert log.limits() == []


def test_alarms_that_wait_for_the_disk_are_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms_module, "KEPT", 3)
    log = AlarmLog(journal)
    for n in range(1, 8):
        log.keep([alarm(n, n)])
    assert [a.id for a in log.between(0, 100)] == [7, 6, 5]


def test_a_limit_that_is_there_is_changed_also_where_there_is_room_for_no_other(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms_module, "MAX_LIMITS", 1)
    log = AlarmLog(journal)
    log.set_limit("/A", "t", None, 5.0, "Anna")
    with pytest.raises(Rejected, match="holds 1 limits"):
        log.set_limit("/B", "t", None, 5.0, "Anna")
    assert log.set_limit("/A", "t", None, 6.0, "Anna").high == 6.0


def test_a_bookmark_is_a_moment_a_view_or_both(journal: Journal) -> None:
    marks = Bookmarks(journal)
    view = marks.add(" Palletiser ", "Anna", camera=[1, 2, 3, 4, 5, 6])
    moment = marks.add("jam", "Bo", time_ns=70)
    both = marks.add("jam, seen from above", "Bo", time_ns=50, camera=[0, 0, 9, 0, 0, 0])
    assert (view.text, view.time_ns, view.camera, view.user) == ("Palletiser", 0, [1, 2, 3, 4, 5, 6], "Anna")
    again = Bookmarks(journal)
    assert [m.id for m in again.all()] == [view.id, both.id, moment.id]
    assert [m.id for m in again.all(60, 100)] == [moment.id]
    assert again.rename(view.id, "Robot").text == "Robot"
    again.delete(moment.id)
    assert [m.text for m in again.all()] == ["Robot", "jam, seen from above"]


NAN = float("nan")


@pytest.mark.parametrize("wrong", [{}, {"camera": [1.0, 2.0]}, {"camera": [NAN] * 6}, {"text": "  ", "time_ns": 5}])
def test_a_bookmark_of_nothing_is_refused(journal: Journal, wrong: dict) -> None:
    with pytest.raises(Rejected):
        Bookmarks(journal).add(**({"text": "here", "user": "Anna"} | wrong))
    with pytest.raises(InputError):
        Bookmarks(journal).delete(1)


def test_bookmarks_of_before_views_are_taken_over(journal: Journal) -> None:
    journal.write(
        "create table bookmarks (id integer primary key, time_ns integer not null, text text not null, user text not null,"
        " made_ns integer not null)"
    )
    journal.write("insert into bookmarks (time_ns, text, user, made_ns) values (5, 'then', 'Anna', 6)")
    (kept,) = Bookmarks(journal).all()
    assert (kept.text, kept.camera, kept.time_ns) == ("then", [], 5)
