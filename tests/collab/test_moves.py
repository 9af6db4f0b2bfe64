"""Paths that were written down before prims were moved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.collab import AlarmLog, Comments, Document, Journal, Outcome, Rules
from twin.collab.journal import Entry
from twin.collab.moves import MoveLog, Moves, moves_in
from twin.protocol.messages import AlarmDoc, Op

SWAP = Moves([("/L/A", "/L/T"), ("/L/B", "/L/A"), ("/L/T", "/L/B")])


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "project")
    yield made
    made.close()


def entry(seq: int, time_ns: int, *moves: tuple[str, str]) -> Entry:
    txn = [Op("move_prim", source, "", target) for source, target in moves]
    return Entry(seq, "s", seq, "Ann", "", time_ns, "edit", None, txn, [])


@pytest.mark.parametrize(
    ("path", "now"),
    [
        ("/L/A", "/L/B"),
        ("/L/A/Motor.size", "/L/B/Motor.size"),
        ("/L/A.size", "/L/B.size"),
        ("/L/B", "/L/A"),
        ("/L/A2", "/L/A2"),
        ("/L", "/L"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_a_path_goes_through_all_moves_in_their_order(path: str, now: str) -> None:
    assert SWAP(path) == now


def test_what_is_written_between_two_moves_goes_through_the_later_ones_only() -> None:
    assert SWAP("/L/A", since=1) == "/L/A"
    assert SWAP("/L/A", since=2) == "/L/A"
    assert SWAP("/L/T", since=1) == "/L/B"
    nested = Moves([("/L/A", "/L/G/A"), ("/L/G", "/H"), ("/H/A/Motor", "/Motor")])
    assert (nested("/L/A/Motor"), nested("/L/A/Belt"), nested("/L/G")) == ("/Motor", "/H/A/Belt", "/H")
    assert not moves_in([Op("remove_prim", "/L/A")])


def test_many_moves_are_as_one_after_the_other() -> None:
    pairs = [(f"/L/A{i}", f"/L/A{i + 1}x") for i in range(300)] + [(f"/L/A{i + 1}x", f"/M/B{i}") for i in range(0, 300, 3)]
    moves = Moves(pairs)
    for path in (f"/L/A{i}/Deep.size" for i in range(0, 300, 7)):
        one_by_one = path
        for source, target in pairs:
            if one_by_one.startswith((source + "/", source + ".")):
                one_by_one = target + one_by_one[len(source) :]
        assert moves(path) == one_by_one


def test_comments_limits_alarms_and_rules_go_along_also_where_two_prims_change_places(journal: Journal) -> None:
    comments, log, rules = Comments(journal), AlarmLog(journal), Rules(journal)
    for path in ("/L/A", "/L/A/Motor", "/L/A2", "/"):
        comments.add(path, "look", "Ann", "key")
    log.set_limit("/L/A", "t", None, 1.0, "Ann")
    log.set_limit("/L/B", "t", None, 2.0, "Ann")
    log.keep([AlarmDoc(1, "down /L/A", "down", "error", "/L/A", "A is down", 5, 6)])
    log.keep([AlarmDoc(2, "limit /L/B:t above", "limit", "warning", "/L/B", "B t is above 2", 5)])
    rules.put("/L/A", "speed", "operator", [], note="", author="root")
    rules.put("/L/B", "speed", "admin", ["Bo"], note="", author="root")
    comments.moved(SWAP)
    assert (log.moved(SWAP), log.limits_moved(SWAP), rules.moved(SWAP)) == (True, True, True)
    assert [c.path for c in comments.all()] == ["/L/B", "/L/B/Motor", "/L/A2", "/"]
    assert [(limit.prim, limit.high) for limit in AlarmLog(journal).limits()] == [("/L/A", 2.0), ("/L/B", 1.0)]
    assert [(a.path, a.key) for a in log.between(0, 9)] == [("/L/A", "limit /L/A:t above"), ("/L/B", "down /L/B")]
    for known in (rules, Rules(journal)):
        assert [(rule.path, rule.role) for rule in known.all()] == [("/L/A", "admin"), ("/L/B", "operator")]
    elsewhere = Moves([("/Else", "/Where")])
    assert (log.moved(elsewhere), log.limits_moved(elsewhere), rules.moved(elsewhere)) == (False, False, False)


def test_a_rule_of_what_comes_takes_the_place_of_what_was_said_there(journal: Journal) -> None:
    rules = Rules(journal)
    rules.put("/L/A", "", "admin", [], note="", author="root")
    rules.put("/L/B", "", "editor", [], note="of one that was here", author="root")
    rules.moved(Moves([("/L/A", "/L/B")]))
    assert [(rule.path, rule.role) for rule in rules.all()] == [("/L/B", "admin")]


def test_what_a_prim_was_called_when(journal: Journal) -> None:
    log = MoveLog(journal)
    for each in (entry(1, 100, ("/L/A", "/L/B")), entry(2, 200, ("/L", "/M")), entry(3, 300, ("/M/B", "/M/C"))):
        log.note(each)
    assert log.spans("/M/C/Eye", 50, 400) == [
        ("/L/A/Eye", 50, 99),
        ("/L/B/Eye", 100, 199),
        ("/M/B/Eye", 200, 299),
        ("/M/C/Eye", 300, 400),
    ]
    assert log.spans("/M/C", 220, 250) == [("/M/B", 220, 250)]
    assert log.spans("/Other", 50, 400) == [("/Other", 50, 400)]
    assert log.spans("/M/C", 400, 50) == []
    assert log.all()("/L/A/Eye") == "/M/C/Eye"


def test_a_version_that_is_restored_brings_the_name_of_then_back(stage: Path, tmp_path: Path) -> None:
    document = Document(stage, tmp_path / "document")

    def moved(outcome: Outcome) -> list[tuple[str, str]]:
        assert outcome.entry is not None
        return list(outcome.moves)

    added = [Op("add_prim", path, "", {"type": "Cube"}) for path in ("/World/Kiln", "/World/Kiln/Door", "/World/Cart")]
    assert moved(document.submit("s", 1, "Ann", added)) == []
    before = document.save_version("before", "Ann")
    renamed = document.submit("s", 2, "Ann", [Op("move_prim", "/World/Kiln", "", "/World/Oven")])
    assert moved(renamed) == [("/World/Kiln", "/World/Oven")]
    moved(document.submit("s", 3, "Ann", [Op("add_prim", "/World/Desk", "", {}), Op("remove_prim", "/World/Cart")]))
    after = document.save_version("after", "Ann")
    assert moved(document.restore("s", 4, "Ann", before)) == [("/World/Oven", "/World/Kiln")]
    assert moved(document.undo("s", 5, "Ann")) == [("/World/Kiln", "/World/Oven")]
    assert moved(document.redo("s", 6, "Ann")) == [("/World/Oven", "/World/Kiln")]
    assert moved(document.restore("s", 7, "Ann", after)) == [("/World/Kiln", "/World/Oven")]
    document.close()


def test_moves_of_a_project_of_before_are_read_from_its_edits_and_a_new_epoch_begins_without(journal: Journal) -> None:
    journal.append(entry(1, 100, ("/L/A", "/L/B")))
    assert MoveLog(journal).spans("/L/B", 0, 200) == [("/L/A", 0, 99), ("/L/B", 100, 200)]
    log = MoveLog(journal)
    assert log.all()("/L/A") == "/L/B"
    journal.set_meta("epoch_begin", "1")
    assert log.all()("/L/A") == "/L/A"
