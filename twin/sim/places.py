"""Goods of the physical line: their phases, where they are, and who may go where (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import math

import warp as wp

from twin.process.draws import sample_us, uniform
from twin.process.rules import (
    BY_QUALITY,
    BY_TYPE,
    PROBABILITY,
    ROUND_ROBIN,
    SHORTEST_QUEUE,
    pick_by_quality,
    pick_by_type,
    pick_by_weight,
)
from twin.process.tables import DistributionArrays
from twin.sim.tables import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, LineState, LineTables

FREE = wp.constant(0)
MOVING = wp.constant(1)
WAITING = wp.constant(2)
READY = wp.constant(3)
IN_SERVICE = wp.constant(4)
DONE = wp.constant(5)
STORED = wp.constant(6)
GLIDING = wp.constant(7)
COLLECTED = wp.constant(8)

SOURCE = wp.constant(0)
STATION = wp.constant(1)
BUFFER = wp.constant(2)
CONVEYOR = wp.constant(3)
ROUTER = wp.constant(4)
SINK = wp.constant(5)

S_WORKING = wp.constant(0)
S_SETUP = wp.constant(1)
S_BLOCKED = wp.constant(2)
S_STARVED = wp.constant(3)
S_DOWN = wp.constant(5)

GAP_M = wp.constant(0.03)
"""Least clearance between goods that are set down one behind the other [m]."""
LOOK_AHEAD_M = wp.constant(0.03)
GLIDE_MIN_SPEED = wp.constant(0.4)
FALLEN_M = wp.constant(0.4)
"""Goods this far below the place they should be at have fallen off the line [m] ..."""
FALLEN_US = wp.constant(wp.int64(5000000))
"""... and are taken away, and counted lost, after this time [us]."""
ROUTER_DEPTH = wp.constant(8)

LOG_MIN = wp.constant(math.log(LEAD_MIN_S))
BIN_WIDTH = wp.constant((math.log(LEAD_MAX_S) - math.log(LEAD_MIN_S)) / LEAD_BINS)
BINS = wp.constant(LEAD_BINS)


@wp.struct
class Goods:
    """The rigid bodies of goods: the engine's own arrays [W,M]; slot s is body ``first + s``."""

    first: int
    slots: int
    position: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    rotation: wp.array2d(dtype=wp.quat)  # type: ignore[valid-type]
    linear_velocity: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    angular_velocity: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    alive: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    held: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    prototype: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    generation: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]


@wp.struct
class Random:
    """Distributions and the key of their draws."""

    table: DistributionArrays
    seed: wp.uint32
    first_replication: wp.uint32


# ---- draws


@wp.func
def next_ordinal(s: LineState, w: int, n: int, purpose: int) -> wp.int64:
    ordinal = s.ordinal[w, n, purpose]
    s.ordinal[w, n, purpose] = ordinal + wp.int64(1)
    return ordinal


@wp.func
def draw_us(t: LineTables, s: LineState, r: Random, w: int, n: int, row: int, purpose: int) -> wp.int64:
    return sample_us(
        r.table, row, r.seed, r.first_replication + wp.uint32(w), t.stream[n], next_ordinal(s, w, n, purpose), purpose
    )


@wp.func
def draw_uniform(t: LineTables, s: LineState, r: Random, w: int, n: int, purpose: int) -> wp.float64:
    return uniform(r.seed, r.first_replication + wp.uint32(w), t.stream[n], next_ordinal(s, w, n, purpose), purpose)


# ---- geometry


@wp.func
def inside_zone(t: LineTables, n: int, p: wp.vec3, margin: float) -> bool:
    half = t.zone_half[n]
    if half[0] < 0.0:
        return False
    q = wp.quat_rotate_inv(t.zone_rotation[n], p - t.zone_center[n])
    return wp.abs(q[0]) <= half[0] + margin and wp.abs(q[1]) <= half[1] + margin and wp.abs(q[2]) <= half[2] + margin


@wp.func
def reach(t: LineTables, g: Goods, w: int, i: int) -> float:
    """Half the item's length [m]."""
    return t.prototype_half[g.prototype[w, g.first + i]][0]


@wp.func
def middle(t: LineTables, g: Goods, w: int, i: int) -> wp.vec3:
    """Centre of the item's bound [m], world."""
    b = g.first + i
    p = g.prototype[w, b]
    return g.position[w, b] + wp.quat_rotate(g.rotation[w, b], t.prototype_center[p] - t.prototype_com[p])


@wp.func
def set_down(t: LineTables, m: int, p: int) -> wp.vec3:
    """Where the centre of mass of a ``p`` stands when it is set down at node ``m`` [m], world."""
    half = t.prototype_half[p]
    place = t.entry[m] + t.up * (wp.abs(wp.dot(half, t.up)) + 0.002)
    if t.kind[m] == CONVEYOR:
        place = place + t.direction[m] * (half[0] + 0.01)
    return place + wp.quat_rotate(t.entry_rotation[m], t.prototype_com[p] - t.prototype_center[p])


@wp.func
def place_free(t: LineTables, s: LineState, g: Goods, w: int, i: int, place: wp.vec3, half: float) -> bool:
    """No other item on the world, or on its way, stands within the two half lengths of ``place``."""
    for j in range(g.slots):
        if j != i:
            phase = s.phase[w, j]
            if phase != FREE and g.alive[w, g.first + j] != 0:
                least = half + reach(t, g, w, j) + GAP_M
                if wp.length(g.position[w, g.first + j] - place) < least:
                    return False
                if phase == GLIDING:
                    if wp.length(s.glide_to[w, j] - place) < least:
                        return False
    return True


# ---- who may go where


@wp.func
def first_in_line(s: LineState, g: Goods, w: int, i: int, c: int) -> bool:
    """Of those that wait for ``c``, the one that has waited longest goes first."""
    since = s.since_us[w, i]
    waits = s.phase[w, i] == WAITING or s.phase[w, i] == DONE
    for j in range(g.slots):
        if j != i:
            if (s.phase[w, j] == WAITING or s.phase[w, j] == DONE) and s.target[w, j] == c:
                if not waits:
                    return False
                if s.since_us[w, j] < since or (s.since_us[w, j] == since and j < i):
                    return False
    return True


@wp.func
def has_room(t: LineTables, s: LineState, g: Goods, w: int, i: int, c: int, p: int) -> bool:
    """Whether node ``c`` takes an item of prototype ``p`` now; places of conveyors are judged by geometry elsewhere."""
    kind = t.kind[c]
    if kind == SINK:
        return True
    if kind == BUFFER:
        return t.capacity[c] < 0 or s.level[w, c] < t.capacity[c]
    if kind == STATION:
        if t.batch[c] > 1:
            if s.busy[w, c] + s.done[w, c] > 0:
                return False
            return s.level[w, c] < t.batch[c]
        return s.level[w, c] < t.servers[c]
    if kind == CONVEYOR:
        return place_free(t, s, g, w, i, set_down(t, c, p), t.prototype_half[p][0])
    return False


@wp.func
def free_space(t: LineTables, s: LineState, w: int, c: int) -> int:
    """Free places of a node, for the shortest-queue rule."""
    if t.kind[c] == BUFFER and t.capacity[c] >= 0:
        return t.capacity[c] - s.level[w, c]
    if t.kind[c] == STATION:
        return t.servers[c] * t.batch[c] - s.level[w, c]
    return 1000000 - s.level[w, c]


@wp.func
def route(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int, p: int) -> int:
    """The successor that the item takes after router ``n``, -1 while none has room.

    A choice by probability, type or quality is kept: it is returned whether it has room or not.
    """
    begin = t.next_begin[n]
    end = t.next_begin[n + 1]
    rule = t.rule[n]
    if rule == PROBABILITY:
        return t.next[pick_by_weight(t.route_weight, begin, end, draw_uniform(t, s, r, w, n, 5))]
    if rule == BY_TYPE:
        return t.next[pick_by_type(t.route_type, begin, end, t.prototype_type[p])]
    if rule == BY_QUALITY:
        return t.next[pick_by_quality(begin, end, s.defective[w, i])]
    best = int(-1)
    if rule == ROUND_ROBIN:
        count = end - begin
        for k in range(count):
            e = begin + (s.round_robin[w, n] + k) % count
            if best < 0:
                if has_room(t, s, g, w, i, t.next[e], p):
                    best = t.next[e]
                    s.round_robin[w, n] = (e - begin + 1) % count
        return best
    space = int(-1)
    for e in range(begin, end):
        c = t.next[e]
        if best < 0 or rule == SHORTEST_QUEUE:
            if has_room(t, s, g, w, i, c, p):
                if best < 0 or free_space(t, s, w, c) > space:
                    best = c
                    space = free_space(t, s, w, c)
    return best


@wp.func
def successor(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int, p: int) -> int:
    """Where an item that leaves ``n`` goes, routers seen through; -1 while no router's successor has room."""
    begin = t.next_begin[n]
    if begin == t.next_begin[n + 1]:
        return -1
    if t.kind[n] == STATION and s.defective[w, i] != 0 and t.rework[n] >= 0:
        return t.rework[n]
    c = t.next[begin]
    for _ in range(ROUTER_DEPTH):
        if c >= 0:
            if t.kind[c] == ROUTER:
                c = route(t, s, g, r, w, i, c, p)
    return c
