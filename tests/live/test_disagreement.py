"""Residuals between plant and simulation: score, alarm, and nothing where one of both is missing."""

import random

import pytest

from twin.core.errors import InputError
from twin.core.samples import BAD, GOOD, Sample, SignalKey
from twin.live.disagreement import FEWEST, PastAlarm, Residuals
from twin.live.learned import LearnedFile, read

OVEN, DOOR = SignalKey("/Oven", "t"), SignalKey("/Oven", "door")
S = 10**9


def plant(value, now: int, quality: int = GOOD) -> Sample:
    return Sample(OVEN, value, quality, now, None, now)


def heard(residuals: Residuals) -> list[PastAlarm]:
    told: list[PastAlarm] = []
    residuals.tell = told.append
    return told


def test_a_deviation_that_lasts_is_an_alarm_with_begin_and_end() -> None:
    found, rng = Residuals(hold_s=5.0), random.Random(1)
    told = heard(found)
    for second in range(200):
        wrong = 3.0 if 100 <= second < 120 else 0.0
        found.plant(plant(180.0 + rng.gauss(0.0, 0.2) + wrong, second * S))
        found.simulated(OVEN, 180.0, second * S)
        (row,) = found.rows()
        assert (row.score is None) == (second < FEWEST)
        assert bool(row.alarm_since_ns) == (105 <= second < 120), second
    _, alarm = told
    assert (alarm.key, alarm.begin_ns, alarm.end_ns) == (OVEN, 100 * S, 120 * S)
    assert alarm.worst > 5.0
    assert found.rows()[0].rms == pytest.approx(1.0, abs=0.2)


def test_a_spike_is_no_alarm_and_a_bad_value_no_residual() -> None:
    found = Residuals(hold_s=5.0)
    told = heard(found)
    for second in range(100):
        value = 500.0 if second == 60 else 20.0 + 0.1 * (second % 3)
        found.plant(plant(None, second * S, BAD) if second > 80 else plant(value, second * S))
        found.simulated(OVEN, 20.0, second * S)
        found.simulated(DOOR, True, second * S)  # nothing of the plant
    assert told == []
    assert [r.key for r in found.rows()] == [OVEN]
    assert found.rows()[0].plant == pytest.approx(20.2)


def feed(found: Residuals, seconds: range, value, simulated, **about) -> None:
    for second in seconds:
        found.plant(plant(float(value(second)), second * S))
        found.simulated(OVEN, float(simulated(second)), second * S, **about)


def test_what_was_learned_outlives_the_process_and_so_does_an_alarm_that_lasts(tmp_path) -> None:
    path = tmp_path / "residuals.learned"
    before, rng = Residuals(hold_s=5.0), random.Random(1)
    noise = lambda second: 180.0 + rng.gauss(0.0, 0.2) + (9.0 if second >= 100 else 0.0)  # noqa: E731
    feed(before, range(110), noise, lambda _: 180.0, unit="Cel")
    LearnedFile(path, before).keep()
    for unit, scored in (("Cel", True), ("K", False)):
        after = Residuals(hold_s=5.0)
        told = heard(after)
        file = LearnedFile(path, after)
        file.recall()
        assert (file.refused, after.rows()) == ("", [])
        feed(after, range(5000, 5001), noise, lambda _: 180.0, unit=unit)
        assert (after.rows()[0].score is not None) == scored, "a residual in another unit is another"
        feed(after, range(5001, 5002), lambda _: 180.0, lambda _: 180.0, unit=unit)
        assert [(a.begin_ns // S, a.end_ns // S) for a in told] == ([(100, 0), (100, 5001)] if scored else [(100, 5000)])


@pytest.mark.parametrize("harm", ["flip", "cut", "newer", "other", "empty"])
def test_a_damaged_record_is_refused_aloud_put_aside_and_learned_anew(tmp_path, harm) -> None:
    path = tmp_path / "residuals.learned"
    before = Residuals()
    feed(before, range(40), lambda s: 180.0 + s % 3, lambda _: 180.0)
    LearnedFile(path, before).keep()
    data = path.read_bytes()
    harmed = {
        "flip": data[:-40] + bytes([data[-40] ^ 1]) + data[-39:],
        "cut": data[: len(data) // 2],
        "newer": data.replace(b"residuals/1 ", b"residuals/2 "),
        "other": b"PK\3\4",
        "empty": b"",
    }[harm]
    path.write_bytes(harmed)
    with pytest.raises(InputError, match=r"residuals\.learned"):
        read(path)
    after = Residuals()
    file = LearnedFile(path, after)
    file.recall()
    assert "learned anew" in file.refused
    assert (tmp_path / "residuals.learned.refused").read_bytes() == harmed
    feed(after, range(50, 90), lambda s: 180.0 + s % 3, lambda _: 180.0)
    file.keep()
    assert len(read(path)[0].residuals) == 40


def test_a_counter_that_begins_anew_is_no_disagreement_and_one_that_stands_still_is() -> None:
    for counts in (True, False):
        found = Residuals(hold_s=5.0)
        told = heard(found)
        feed(found, range(100), lambda s: 5000 + s, lambda s: s, counts=counts)
        feed(found, range(100, 130), lambda s: 5000 + s, lambda s: s - 100, counts=counts)  # the simulation was reset
        feed(found, range(130, 160), lambda s: s - 130, lambda s: s - 100, counts=counts)  # the shift of the plant ended
        assert bool(told) == (not counts)
        feed(found, range(160, 190), lambda _: 30, lambda s: s - 100, counts=counts)
        assert told[-1].begin_ns // S < 175
