"""Residuals between plant and simulation: score, alarm, and nothing where one of both is missing."""

import random

import pytest

from twin.core.samples import BAD, GOOD, Sample, SignalKey
from twin.live.disagreement import FEWEST, Residuals

OVEN, DOOR = SignalKey("/Oven", "t"), SignalKey("/Oven", "door")
S = 10**9


def plant(value, now: int, quality: int = GOOD) -> Sample:
    return Sample(OVEN, value, quality, now, None, now)


def test_a_deviation_that_lasts_is_an_alarm_with_begin_and_end() -> None:
    found, rng = Residuals(hold_s=5.0), random.Random(1)
    for second in range(200):
        wrong = 3.0 if 100 <= second < 120 else 0.0
        found.plant(plant(180.0 + rng.gauss(0.0, 0.2) + wrong, second * S))
        found.simulated(OVEN, 180.0, second * S)
        (row,) = found.rows()
        assert (row.score is None) == (second < FEWEST)
        assert bool(row.alarm_since_ns) == (105 <= second < 120), second
    (alarm,) = found.alarms()
    assert (alarm.key, alarm.begin_ns, alarm.end_ns) == (OVEN, 100 * S, 120 * S)
    assert alarm.worst > 5.0
    assert found.rows()[0].rms == pytest.approx(1.0, abs=0.2)


def test_a_spike_is_no_alarm_and_a_bad_value_no_residual() -> None:
    found = Residuals(hold_s=5.0)
    for second in range(100):
        value = 500.0 if second == 60 else 20.0 + 0.1 * (second % 3)
        found.plant(plant(None, second * S, BAD) if second > 80 else plant(value, second * S))
        found.simulated(OVEN, 20.0, second * S)
        found.simulated(DOOR, True, second * S)  # nothing of the plant
    assert found.alarms() == []
    assert [r.key for r in found.rows()] == [OVEN]
    assert found.rows()[0].plant == pytest.approx(20.2)
