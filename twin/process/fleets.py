"""Vehicles: the oldest request gets the nearest idle vehicle by path (docs/semantics.md, "Fleets").

What waits to go by vehicle asks for one from the moment on at which it could leave. A vehicle takes the item as it begins to
load, and is free again when the item has left it. Vehicles stay where they unloaded; once in use for ``batteryTime`` they
charge for ``chargeTime`` after the job that they are on. As in ``twin.process.routes``, functions on state are made for an engine
out of its own.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

from typing import Any

import warp as wp

from twin.process.nodes import BUFFER, IDLE, NEVER_US, STATION, ZERO


@wp.func
def stop_at(t: Any, f: int, n: int) -> int:
    """Where fleet ``f`` stops for node ``n``."""
    return t.stop_of[t.node[f].stop_begin + n]


@wp.func
def drive_us(t: Any, f: int, origin: int, goal: int) -> wp.int64:
    """Driving time from one stop to another."""
    return t.travel_us[t.node[f].travel_begin + origin * t.node[f].stops + goal]


def make_oldest_request(*, asks: Any, sent_to: Any, since: Any, items_in: Any, since_of: Any) -> Any:
    """``oldest_request(t, s, h, f)`` of an engine: the slot that has waited longest for a vehicle of fleet f, -1 none.

    Args:
        asks: Whether the first item of slot k waits for a vehicle of fleet f, (t, s, h, f, k). since: since when, (t, s, h, k).
        sent_to: Vehicles on their way to slot k, (s, h, k). items_in: items in slot k, (t, s, h, k).
        since_of: Since when the item at place ``rank`` of a buffer's slot k is there, (t, s, h, k, rank).
    """

    @wp.func
    def unclaimed_since(t: Any, s: Any, h: Any, f: int, k: int) -> wp.int64:
        """Since when slot ``k`` has asked for a vehicle that nobody sent yet; never when it does not."""
        if not asks(t, s, h, f, k):
            return NEVER_US
        n = t.slot_node[k]
        sent = sent_to(s, h, k)
        if sent == 0:
            return since(t, s, h, k)
        if sent >= items_in(t, s, h, k) or t.node[n].first != f:
            return NEVER_US
        if t.node[n].kind == STATION:
            return since(t, s, h, k)
        if t.node[n].kind != BUFFER:
            return NEVER_US
        return since_of(t, s, h, k, sent)

    @wp.func
    def oldest_request(t: Any, s: Any, h: Any, f: int) -> int:
        oldest = NEVER_US
        asking = int(-1)
        u = t.node[f].up_begin
        while u < t.node[f].up_end:
            waits = unclaimed_since(t, s, h, f, t.up[u])
            if waits < oldest:
                oldest = waits
                asking = t.up[u]
            u += 1
        return asking

    return oldest_request


def make_nearest_idle(*, server_state: Any, vehicle_stop: Any) -> Any:
    """``nearest_idle(t, s, h, f, n)`` of an engine: the idle vehicle of fleet f that is nearest to node n, of several the first;
    -1 none.

    Args:
        server_state: State of slot k, (s, h, k). vehicle_stop: where the vehicle in slot k of fleet f stands, (t, s, h, f, k).
    """

    @wp.func
    def nearest_idle(t: Any, s: Any, h: Any, f: int, n: int) -> int:
        nearest = NEVER_US
        found = int(-1)
        for k in range(t.node[f].slot_begin, t.node[f].slot_end):
            if server_state(s, h, k) == IDLE:
                way = drive_us(t, f, vehicle_stop(t, s, h, f, k), stop_at(t, f, n))
                if way < nearest:
                    nearest = way
                    found = k
        return found

    return nearest_idle


@wp.func
def is_flat(battery: wp.int64, used: wp.int64) -> bool:
    """Whether a vehicle charges now that its job is done; a ``battery`` below 0 never ends."""
    return battery >= ZERO and used >= battery
