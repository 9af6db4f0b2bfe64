"""Belts that are solved, not stepped: where items on them are follows from when they entered (docs/semantics.md).

An item's place on a belt at belt time b (time less what the belt has stood) is the least of

    b - at                           it entered at belt time ``at`` and travels freely;
    T + c_head - c                   it stands behind the head at the end (accumulating), c being the running sum of the least
                                     distances between neighbours up to it, and T the belt's length;
    T + b - D_j - (c - c_j)          it follows item j, which left at belt time D_j, at least that far behind.

All in microseconds of travel. Of the last only the greatest D_j - c_j counts, which is the belt's ``front``: so the head's
arrival and the last item's place take constant time, however many items there are.
"""

from __future__ import annotations

import warp as wp

from twin.process.nodes import ONE, ZERO


@wp.func
def least_gap_us(
    pitch_us: wp.int64, us_per_m: wp.float64, transit_us: wp.int64, ahead_m: wp.float64, behind_m: wp.float64
) -> wp.int64:
    """Least distance between the centres of two items of these lengths [us of travel], at most the belt's length."""
    gap = pitch_us
    if gap <= ZERO:
        gap = wp.int64(wp.float64(0.5) * (ahead_m + behind_m) * us_per_m + wp.float64(0.5))
    return wp.min(gap, transit_us)


@wp.func
def entry_clear_us(at: wp.int64, coordinate: wp.int64, transit_us: wp.int64, front: wp.int64, gap: wp.int64) -> wp.int64:
    """Belt time at which the last item, which entered at ``at``, is ``gap`` along."""
    return wp.max(at, coordinate - transit_us + front) + gap


@wp.func
def head_arrival_us(at: wp.int64, coordinate: wp.int64, transit_us: wp.int64, front: wp.int64) -> wp.int64:
    """Belt time at which the first item is at the end."""
    return wp.max(at + transit_us, coordinate + front)


@wp.func
def places_on_belt(pitch_us: wp.int64, us_per_m: wp.float64, transit_us: wp.int64, length_m: wp.float64) -> int:
    """How many items of a length a belt has places for."""
    gap = pitch_us
    if gap <= ZERO:
        gap = wp.int64(length_m * us_per_m)
    return int(transit_us / wp.max(gap, ONE)) + 1
