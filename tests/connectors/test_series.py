"""Values that come many at a time end as they would one by one."""

import json
from datetime import UTC

import numpy as np
import pytest

from twin.connectors.base import Reading, Series
from twin.connectors.intake import Intake, StateBoard
from twin.connectors.mapping import parse
from twin.connectors.payload import Decoded, Payload, PayloadSource
from twin.connectors.stamps import StampError, parse_time
from twin.core.samples import GOOD, Sample, SampleBlock, SignalKey

T0 = 1_700_000_000 * 10**9
MAPPING = """
schema: twin.mapping/1
connections: [{name: a, driver: mqtt, address: "mqtt://x"}]
signals:
  - {connection: a, source: {topic: t, value: v}, target: {prim: /A, signal: s}%s}
"""


class Recorded:
    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.blocks = 0

    def append(self, samples: list[Sample]) -> None:
        self.samples += samples

    def append_block(self, block: SampleBlock) -> None:
        self.blocks += 1
        self.samples += block.samples()

    def declare(self, key: SignalKey, unit: str) -> None:
        pass


def intake(tmp_path, more: str) -> tuple[Intake, Recorded, StateBoard]:
    recorded, board = Recorded(), StateBoard()
    mapping = parse(MAPPING % more, file="m", folder=tmp_path)
    made = Intake("a", "plant", mapping.points, board, recorded)
    made.connected()
    return made, recorded, board


STAMPS = T0 + np.arange(20) * 10**6


@pytest.mark.parametrize(
    ("more", "values", "times", "columns"),
    [
        ("", [1, 2.5] * 10, STAMPS, True),
        ("", list(range(20)), None, True),
        (", unit: Cel, raw_unit: '[degF]'", [68.0, 70] * 10, STAMPS, True),
        (", transform: {scale: 0.1, offset: 3}", [200, 201] * 10, STAMPS, True),
        (", unit: Cel, deadband: 0.5", [20.0, 20.1, 21.0, 21.1] * 5, STAMPS, False),
        (", unit: Cel", [20.0] * 19 + [float("inf")], STAMPS, False),
        ("", [2**60] * 20, STAMPS, False),
        ("", [1.0] * 20, STAMPS[::-1].copy(), False),
    ],
    ids=["mixed", "no-times", "unit", "transform", "deadband", "infinite", "large", "disordered"],
)
def test_a_series_is_delivered_as_its_readings(tmp_path, more, values, times, columns):
    (many, got, state), (one, expected, newest) = intake(tmp_path, more), intake(tmp_path, more)
    (point,) = parse(MAPPING % more, file="m", folder=tmp_path).points
    for shift in (0, 10**9):
        series = Series(point, values, None if times is None else times + shift, T0 + shift + 5)
        many.offer_series(series)
        one.offer(series.readings())
    assert [repr(s) for s in got.samples] == [repr(s) for s in expected.samples]
    assert {k: repr(s) for k, s in state.drain().items()} == {k: repr(s) for k, s in newest.drain().items()}
    assert (many.received, many.late, many.losses) == (one.received, one.late, one.losses)
    assert [(v.raw, v.value, v.quality, v.source_time) for v in many.view()] == [
        (v.raw, v.value, v.quality, v.source_time) for v in one.view()
    ]
    assert got.blocks == 2 * columns


def test_an_older_series_is_late_and_does_not_become_the_state(tmp_path):
    made, recorded, board = intake(tmp_path, "")
    (point,) = parse(MAPPING % "", file="m", folder=tmp_path).points
    made.offer_series(Series(point, [1.0] * 20, STAMPS + 10**9, T0))
    made.offer_series(Series(point, [2.0] * 20, STAMPS, T0))
    assert made.late == 20
    assert len(recorded.samples) == 40
    assert {s.value for s in board.drain().values()} == {1.0}


def test_a_value_after_a_gap_closes_it_also_as_a_series(tmp_path):
    made, recorded, _ = intake(tmp_path, "")
    (point,) = parse(MAPPING % "", file="m", folder=tmp_path).points
    made.offer([Reading(point, 1.0, GOOD, T0, None, T0)])
    made.silence()
    made.connected()
    made.offer_series(Series(point, [1.0] * 10, np.full(10, T0), T0))
    gap = next(i for i, s in enumerate(recorded.samples) if s.value is None)
    assert any(s.source_time is None and s.value == 1.0 for s in recorded.samples[gap:])


@pytest.mark.parametrize(
    "items",
    [
        [{"v": i, "t": 1_700_000_000_000 + i} for i in range(10)],
        [{"v": i / 3, "t": f"2026-01-01T00:00:{i:02}.25Z"} for i in range(10)],
        [{"v": i / 3, "t": 1_700_000_000 + i / 8} for i in range(10)],
    ],
    ids=["ms", "iso", "float"],
)
def test_a_batch_is_read_as_columns_with_the_same_times(items):
    source = PayloadSource(value="/v", time="/t", batch=True)
    payload = Payload(json.dumps(items).encode())
    values, times = payload.series(source, UTC)
    assert [Decoded(v, t) for v, t in zip(values, times.tolist(), strict=True)] == list(payload.decode(source, UTC))


@pytest.mark.parametrize(
    "odd",
    [
        {"v": None},
        {"v": "auto", "t": 1},
        {"v": True, "t": 1},
        {"t": 1},
        7,
        {"v": 1, "t": "soon"},
        {"v": 1, "t": 10**400},
        {"v": 1, "t": "9999-12-31"},
    ],
)
def test_a_batch_with_something_odd_in_it_is_looked_at_one_by_one(odd):
    good = [{"v": float(i), "t": 1_700_000_000 + i} for i in range(10)]
    source = PayloadSource(value="/v", time="/t", batch=True)
    assert Payload(json.dumps([*good, odd]).encode()).series(source, UTC) is None


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59Z", 10**400, 1e300, 5 * 10**10, float("nan")])
def test_a_stamp_that_64_bits_cannot_count_is_an_error_of_that_value(stamp):
    with pytest.raises(StampError, match="time"):
        parse_time(stamp, UTC)
