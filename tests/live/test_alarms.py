"""When an alarm begins, when it ends, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from twin.core.samples import BAD, BAD_NO_COMMUNICATION, GOOD, SignalKey
from twin.live.alarms import CONFIRM_S, OFF_DELAY_S, AlarmBoard
from twin.live.disagreement import PastAlarm
from twin.model.factory import NodeState
from twin.protocol.messages import AlarmDoc, ConnectorStatus, LimitDoc, SignalValue

S = 1_000_000_000
PATHS = ["/Line/Sealer", "/Line/Belt"]


class Board(AlarmBoard):
    """Remembers what was told, newest last."""

    def __init__(self, **fields: Any) -> None:
        self.said: list[AlarmDoc] = []
        super().__init__(self.said.extend, **({"next_id": 1} | fields))


def sample(value: Any, quality: int = GOOD, name: str = "temperature") -> list[SignalValue]:
    return [SignalValue("/Line/Sealer", name, value, quality, 0, "plant")]


def told(board: Board) -> list[tuple[str, int, int]]:
    return [(a.text, a.begin_ns // S, a.end_ns // S) for a in board.said]


def test_a_machine_that_fails_is_one_alarm_until_it_works_again() -> None:
    board = Board()
    works, down, waits = NodeState.WORKING, NodeState.DOWN, NodeState.STARVED
    for at, state in ((1, works), (2, down), (3, down), (9, waits), (12, down)):
        board.nodes(PATHS, [state, NodeState.WORKING], at * S)
    assert told(board) == [("Sealer is down", 2, 0), ("Sealer is down", 2, 9), ("Sealer is down", 12, 0)]
    assert [a.id for a in board.said] == [1, 1, 2], "the same condition again is another alarm"
    assert {a.severity for a in board.said} == {"error"}


def test_a_signal_that_flickers_is_one_alarm_that_ends_when_it_went_for_good() -> None:
    board = Board()
    board.signals(sample(None, BAD), 5 * S)
    board.signals(sample(20.0), 6 * S)
    board.tick(10 * S)
    assert board.said == [], "one bad value is no alarm"
    board.signals(sample(None, BAD), 10 * S)
    board.tick(13 * S)
    for at in (14, 15, 16):
        board.signals(sample(20.0), at * S)
        board.tick(at * S + S // 2)
        board.signals(sample(None, BAD), at * S + S * 3 // 4)
    board.signals(sample(20.0), 17 * S)
    board.tick(17 * S + round(OFF_DELAY_S * S))
    assert len(board.said) == 1
    board.tick(18 * S + round(OFF_DELAY_S * S))
    assert told(board) == [("Sealer temperature: no good value", 10, 0), ("Sealer temperature: no good value", 10, 17)]


def test_a_lost_connection_is_one_alarm_and_not_one_for_each_of_its_signals() -> None:
    board = Board()
    board.signals(sample(None, BAD_NO_COMMUNICATION), S)
    line = ConnectorStatus("line", "opcua", "backoff", "plant", 4, 0, 4, 0.0)
    board.connections([line], 2 * S)
    board.tick(60 * S)
    assert [a.kind for a in board.said] == ["connection"]
    line.state = "live"
    board.connections([line], 61 * S)
    board.tick(62 * S)
    assert len(board.said) == 1, "values need a moment to come back"
    board.tick(64 * S)
    assert told(board)[1:] == [("Sealer temperature: no good value", 1, 0), ("Connection line is backoff", 2, 61)]


@pytest.mark.parametrize(("value", "text"), [(171.0, "above 170"), (149.5, "below 150"), (170.0, ""), (150.0, ""), ("on", "")])
def test_a_signal_beyond_its_limit_is_an_alarm_that_names_the_limit(value: Any, text: str) -> None:
    board = Board()
    board.units({SignalKey("/Line/Sealer", "temperature"): "Cel"})
    board.limits([LimitDoc("/Line/Sealer", "temperature", 150.0, 170.0, "Anna", 0)])
    board.signals(sample(value), S)
    board.signals(sample(1e9, name="pressure"), S)
    assert [a.text for a in board.said] == ([f"Sealer temperature is {text} Cel"] if text else [])


def test_a_limit_that_is_taken_away_or_moved_ends_its_alarm() -> None:
    board = Board()
    board.limits([LimitDoc("/Line/Sealer", "temperature", None, 170.0, "Anna", 0)])
    board.signals(sample(171.0), 5 * S)
    board.limits([])
    board.tick(9 * S)
    assert told(board)[-1] == ("Sealer temperature is above 170", 5, 9)
    board.limits([LimitDoc("/Line/Sealer", "temperature", None, 160.0, "Anna", 0)])
    board.signals(sample(171.0), 20 * S)
    board.limits([LimitDoc("/Line/Sealer", "temperature", None, 180.0, "Anna", 0)])
    board.signals(sample(171.0), 21 * S)
    board.tick(25 * S)
    assert told(board)[-1] == ("Sealer temperature is above 160", 20, 21)


def test_a_connection_that_nobody_has_tried_yet_is_no_alarm() -> None:
    board = Board()
    line = ConnectorStatus("line", "opcua", "idle", "plant", 4, 0, 0, 0.0)
    board.connections([line], S)
    assert board.said == []
    line.error = "internal error"
    board.connections([line], 2 * S)
    assert told(board) == [("Connection line is idle: internal error", 2, 0)]


def test_history_that_cannot_be_written_is_an_alarm_until_it_can() -> None:
    board = Board()
    board.recording("", S)
    for at in (2, 3):
        board.recording("database or disk is full", at * S)
    board.recording("", 9 * S)
    board.tick(9 * S + int(OFF_DELAY_S * 2 * S))
    text = "History has stopped recording: database or disk is full"
    assert told(board) == [(text, 2, 0), (text, 2, 9)]


def test_a_lost_connection_says_why_and_says_so_when_that_changes() -> None:
    board = Board()
    line = ConnectorStatus("line", "opcua", "live", "plant", 4, 4, 0, 1.0)
    board.connections([line], S)
    line.state, line.error = "lost", "refused"
    board.connections([line], 2 * S)
    line.error = "timed out"
    board.connections([line], 3 * S)
    assert [a.text for a in board.said] == ["Connection line is lost: refused", "Connection line is lost: timed out"]
    assert len({a.id for a in board.said}) == 1


def test_a_line_that_stands_still_is_an_alarm_at_the_last_place_that_names_the_first_few() -> None:
    board = Board()
    board.standstill([], 1 * S)
    board.standstill([f"/Line/B{i}" for i in range(6)], 2 * S)
    board.standstill([], 5 * S)
    board.tick(5 * S + int(OFF_DELAY_S * 2 * S))
    text = "The line stands still: goods at B0, B1, B2, B3 and 2 more do not move"
    assert told(board) == [(text, 2, 0), (text, 2, 5)]
    assert board.said[0].path == "/Line/B5"


def test_a_disagreement_with_the_plant_is_an_alarm_for_as_long_as_it_lasts() -> None:
    board = Board()
    key = SignalKey("/Line/Sealer", "temperature")
    board.disagreement(PastAlarm(key, 4 * S, 0, 9.0))
    board.disagreement(PastAlarm(key, 4 * S, 20 * S, 12.0))
    assert told(board) == [
        ("Sealer temperature: plant and simulation disagree, score 9", 4, 0),
        ("Sealer temperature: plant and simulation disagree, score 12", 4, 20),
    ]


def test_after_a_restart_what_lasts_goes_on_and_the_rest_ends() -> None:
    before = Board()
    before.signals(sample(None, BAD), S)
    before.tick(4 * S)
    before.nodes(PATHS, [NodeState.DOWN, NodeState.DOWN], 2 * S)
    before.connections([ConnectorStatus("gone", "mqtt", "lost", "plant", 0, 0, 0, 0.0)], 3 * S)
    lasting = list(before.said)
    board = Board(next_id=9, lasting=lasting)
    board.acknowledged([replace(lasting[0], acked_ns=7, acked_by="Bo")])
    board.tick(100 * S)
    board.signals(sample(None, BAD), 101 * S)
    board.nodes(PATHS, [NodeState.WORKING, NodeState.DOWN], 102 * S)
    assert told(board) == [("Sealer is down", 2, 102)]
    board.tick(round((101 + CONFIRM_S) * S))
    assert told(board)[1:] == [("Connection gone is lost", 3, 131)]
    board.signals(sample(1.0), 140 * S)
    board.tick(150 * S)
    assert (board.said[-1].id, board.said[-1].end_ns, board.said[-1].acked_by) == (1, 140 * S, "Bo")


def test_alarms_of_a_prim_that_is_renamed_last_and_those_of_one_that_is_gone_end() -> None:
    board = Board()
    limit = LimitDoc("/Line/Sealer", "temperature", None, 5.0, "Ann", 0)
    board.limits([limit])
    board.nodes(PATHS, [NodeState.DOWN, NodeState.WORKING], 1 * S)
    board.signals(sample(9.0), 1 * S)
    board.moved(lambda path: path.replace("/Line/Sealer", "/Line/Closer"))
    board.limits([replace(limit, prim="/Line/Closer")])
    assert [(a.id, a.path, a.key, a.end_ns) for a in board.said[2:]] == [
        (1, "/Line/Closer", "down /Line/Closer", 0),
        (2, "/Line/Closer", "limit /Line/Closer:temperature above", 0),
    ]
    closer = ["/Line/Closer", "/Line/Belt"]
    board.nodes(closer, [NodeState.DOWN, NodeState.WORKING], 2 * S)
    board.tick((10 + round(OFF_DELAY_S)) * S)
    assert [(a.id, a.text) for a in board.said[4:]] == [(1, "Closer is down")], "the same alarms, by the new name"
    board.gone(closer[:1], [SignalKey("/Line/Closer", "temperature")])
    board.signals([SignalValue("/Line/Closer", "temperature", 10.0, GOOD, 0, "plant")], 20 * S)
    board.tick(20 * S)
    board.tick(30 * S)
    assert [(a.id, a.end_ns > 0) for a in board.said[5:]] == [(1, True), (2, True)]
