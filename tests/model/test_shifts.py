"""Weekly working hours as people write them."""

import itertools

import pytest

from twin.model.shifts import WEEK_US, switch_times, working_hours

HOUR = 3600 * 10**6


def hours(*patterns):
    times, on = switch_times(patterns)
    return [t / HOUR for t in times], on


def test_days_and_hours():
    assert working_hours("tue 06:00-14:30") == [(30 * HOUR, 38 * HOUR + HOUR // 2)]
    assert [b // HOUR for b, _ in working_hours("Mon-Wed, sat 08:00 - 16:00")] == [8, 32, 56, 128]
    assert len(working_hours("08:00-16:00")) == 7
    assert [b // (24 * HOUR) for b, _ in working_hours("sat-mon 00:00-01:00")] == [0, 5, 6]


def test_a_shift_past_midnight_ends_on_the_next_day_and_the_week_is_a_circle():
    assert hours("mon 22:00-06:00") == ([22, 30], False)
    assert hours("sun 22:00-06:00") == ([6, 166], True)
    assert hours("sun 16:00-24:00") == ([0, 160], True)


def test_shifts_that_touch_or_overlap_are_one():
    assert hours("mon 06:00-14:00", "mon 14:00-22:00") == ([6, 22], False)
    assert hours("mon 06:00-14:00", "mon 12:00-16:00") == ([6, 16], False)
    assert hours("00:00-24:00") == ([], True)
    assert hours("06:00-18:00", "18:00-06:00") == ([], True)
    assert hours() == ([], True)


def test_working_time_of_a_week():
    times, on = switch_times(["mon-fri 06:00-14:00", "mon-thu 22:00-06:00"])
    spans = [b - a for a, b in itertools.pairwise([0, *times, WEEK_US])]
    assert sum(spans[int(not on) :: 2]) == (5 + 4) * 8 * HOUR


@pytest.mark.parametrize(
    "pattern", ["", "mon", "mon 6-14", "mon 06:00-25:00", "mon 06:60-07:00", "mo 06:00-14:00", "x- 06:00-14:00"]
)
def test_what_is_no_shift_is_named(pattern):
    with pytest.raises(ValueError, match="like 'mon-fri 06:00-14:00'"):
        working_hours(pattern)
