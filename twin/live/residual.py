"""Does a signal behave as it should? The residual against a reference, and how unusual it is.

The score is the modified z-score of Iglewicz and Hoaglin (1993): the distance of a residual from the median of the recent
past, in units of 1.4826 times the median absolute deviation. Both are blind to outliers, so an anomaly does not hide itself.

That unit fits a normal distribution. Real machines idle, start and pause as a matter of course, and have longer tails: so the
unit is at least so large that the threshold is where 99 % of the recent past ended. What is called unusual is then both far by
the textbook and further than nearly everything that was seen lately. ``docs/benchmarks.md`` has its precision and recall on
labelled data, beside other detectors. Slow changes of operation are alarms too, and there is no notion of a daily pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of a normal distribution is sigma / 1.4826."""
THRESHOLD = 3.5
"""What Iglewicz and Hoaglin recommend."""
SETTLING = 1.0 / 14.0
"""The newest part of the window, a day of two weeks, is not taken for usual: else an alarm would end because it lasts."""


@dataclass(frozen=True)
class Detector:
    """What counts as unusual.

    Attributes:
        window_s: How far back the usual is learned [s]; nothing is judged before a quarter of it has passed.
        threshold: Modified z-score above which a residual is unusual. floor: Smallest sigma that is believed [unit].
        usual: Part of the recent past whose distances score at most ``THRESHOLD``; 0 leaves the score of Iglewicz and Hoaglin.
        hold_s: How long it must stay unusual to be an alarm [s]. refit_s: How often the usual is learned anew [s].
        merge_s: Alarms with less between them are one [s].
    """

    window_s: float = 14 * 86400.0
    threshold: float = THRESHOLD
    floor: float = 0.0
    hold_s: float = 3600.0
    refit_s: float = 3600.0
    merge_s: float = 86400.0
    usual: float = 0.99


@dataclass(frozen=True)
class Alarm:
    """A stretch [s] in which a signal was unusual; ``score`` is the largest modified z-score in it."""

    begin_s: float
    end_s: float
    score: float


def residual(time_s: np.ndarray, value: np.ndarray, reference_time_s: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """[n] value minus the reference that held at each moment; NaN before the reference begins.

    Args:
        time_s: [n] increasing, value: [n]; reference_time_s: [m] increasing, reference: [m], held until its next sample.
    """
    at = np.searchsorted(reference_time_s, time_s, side="right") - 1
    held = np.where(at >= 0, reference[np.maximum(at, 0)], np.nan) if len(reference) else np.full(len(value), np.nan)
    return value - held


def scores(time_s: np.ndarray, residual: np.ndarray, detector: Detector) -> np.ndarray:
    """[n] modified z-score of each residual against those before it; NaN while nothing is known, and where it is NaN itself.

    The usual is learned at fixed moments, ``refit_s`` apart, from what was there before: no value is judged by later ones.
    """
    found = np.full(len(residual), np.nan)
    known = np.flatnonzero(~np.isnan(residual))
    if not len(known):
        return found
    time, value = time_s[known], residual[known]
    fit_at = np.arange(float(time_s[0]) + detector.window_s / 4.0, float(time[-1]) + detector.refit_s, detector.refit_s)
    oldest = np.searchsorted(time, fit_at - detector.window_s, side="left")
    newest = np.searchsorted(time, fit_at, side="left")
    settling = np.searchsorted(time, fit_at - SETTLING * detector.window_s, side="left")
    for first, settled, last, upto in zip(oldest, settling, newest, np.append(newest[1:], len(time)), strict=True):
        if first == last or last == upto:
            continue
        median = np.median(value[first:last])
        known_distance = np.abs(value[first:last] - median)
        sigma = max(MAD_TO_SIGMA * float(np.median(known_distance)), detector.floor)
        if detector.usual > 0.0 and settled > first:
            sigma = max(sigma, float(np.quantile(known_distance[: settled - first], detector.usual)) / THRESHOLD)
        distance: np.ndarray = np.abs(value[last:upto] - median)
        # a sigma of 0: it has never moved, so any move is unusual
        found[known[last:upto]] = distance / sigma if sigma > 0.0 else np.where(distance > 0.0, np.inf, 0.0)
    return found


def alarms(time_s: np.ndarray, score: np.ndarray, detector: Detector) -> list[Alarm]:
    """Stretches in which the score stays above the threshold for ``hold_s``."""
    found: list[Alarm] = []
    begin: float | None = None
    worst = 0.0
    for now, z in zip(time_s.tolist(), score.tolist(), strict=True):
        if not z > detector.threshold:  # NaN is not unusual
            begin, worst = None, 0.0
            continue
        begin = now if begin is None else begin
        worst = max(worst, z)
        if now - begin < detector.hold_s:
            continue
        if found and begin - found[-1].end_s <= detector.merge_s:
            found[-1] = Alarm(found[-1].begin_s, now, max(found[-1].score, worst))
        else:
            found.append(Alarm(begin, now, worst))
    return found
