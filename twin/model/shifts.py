"""Working hours: weekly patterns like ``mon-fri 06:00-14:00`` as times in the week at which work begins and ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
_PATTERN = re.compile(r"(?:(?P<days>[a-z,\- ]+?)\s+)?(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})")
ALLOWED = "like 'mon-fri 06:00-14:00', 'sat,sun 22:00-06:00' or '08:00-16:30'"


def working_hours(pattern: str) -> list[tuple[int, int]]:
    """Intervals of the week in which one pattern says that work goes on.

    Args:
        pattern: Days, a range of days or both, comma-separated (none: every day), and the hours of a shift; hours that end
            before they begin, or when they begin, end on the next day.

    Returns:
        (begin, end) in microseconds since Monday 00:00 with 0 <= begin < end <= begin + one day; the end of a Sunday night's
        shift lies after the week's end.

    Raises:
        ValueError: The pattern does not say that.
    """
    match = _PATTERN.fullmatch(pattern.strip().lower())
    if match is None:
        raise ValueError(f"{pattern!r} is not a shift ({ALLOWED})")
    begin, end = _time_of_day(match["begin"], pattern), _time_of_day(match["end"], pattern)
    length = end - begin if end > begin else end - begin + DAY_US
    return [(day * DAY_US + begin, day * DAY_US + begin + length) for day in _days(match["days"], pattern)]


def switch_times(patterns: Iterable[str]) -> tuple[list[int], bool]:
    """The week of several patterns together.

    Returns:
        Ascending times [us since Monday 00:00, below one week] at which work stops or starts, in turn and the same every week,
        and whether work goes on just before the first of them (at the week's end). Both ends of the week belong together: a
        night shift from Sunday to Monday is one. No times where work never, or never does not, go on.
    """
    pieces: list[tuple[int, int]] = []
    for pattern in patterns:
        for begin, end in working_hours(pattern):
            pieces += [(begin, min(end, WEEK_US))] + ([(0, end - WEEK_US)] if end > WEEK_US else [])
    merged: list[list[int]] = []
    for begin, end in sorted(pieces):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    if not merged or merged == [[0, WEEK_US]]:
        return [], True  # no patterns: always on
    on_at_week_end = merged[-1][1] == WEEK_US and merged[0][0] == 0
    times = [t for interval in merged for t in interval]
    if on_at_week_end:
        times = times[1:-1]
    return sorted(t % WEEK_US for t in times), on_at_week_end or merged[-1][1] == WEEK_US


def time_on_us(patterns: Iterable[str], begin_us: int, end_us: int) -> int:
    """How long work goes on between two moments [us], both counted from a Monday 00:00."""
    switches, on = switch_times(patterns)
    if not switches:
        return end_us - begin_us if on else 0

    def until(moment: int) -> int:
        """From that Monday on."""
        weeks, rest = divmod(moment, WEEK_US)
        return weeks * sum(_on_within(switches, on, WEEK_US)) + sum(_on_within(switches, on, rest))

    return until(end_us) - until(begin_us)


def _on_within(switches: list[int], on: bool, end: int) -> Iterator[int]:
    """Lengths of the stretches of work in the first ``end`` microseconds of a week."""
    since = 0
    for switch in [*(s for s in switches if s < end), end]:
        if on:
            yield switch - since
        since, on = switch, not on


def _time_of_day(text: str, pattern: str) -> int:
    hours, minutes = (int(x) for x in text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise ValueError(f"{pattern!r}: {text} is no time of day ({ALLOWED})")
    return (hours * 60 + minutes) * 60_000_000


def _days(text: str | None, pattern: str) -> list[int]:
    if text is None:
        return list(range(7))
    days: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{pattern!r}: {part!r} is no day or range of days ({ALLOWED})")
        begin = DAYS.index(first)
        days |= {(begin + i) % 7 for i in range((DAYS.index(last or first) - begin) % 7 + 1)}
    return sorted(days)
