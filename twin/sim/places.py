"""Goods of the physical line: their phases, where they are in the world, and the pool of their slots (docs/semantics.md)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import math

import warp as wp

from twin.process.draws import sample_us, uniform
from twin.process.nodes import CONVEYOR, ONE, ZERO
from twin.process.tables import DistributionArrays
from twin.sim.state import LEAD_BINS, LEAD_MAX_S, LEAD_MIN_S, LineState
from twin.sim.tables import LineTables

FREE = wp.constant(0)
MOVING = wp.constant(1)
WAITING = wp.constant(2)
SOURCED = wp.constant(3)
SERVED = wp.constant(4)
STORED = wp.constant(5)
PASSING = wp.constant(6)
PACKED = wp.constant(7)
NEARING = wp.constant(8)
"""Phases of an item; ``kernels.py`` says what they are."""

GAP_M = wp.constant(0.03)
"""Least clearance between goods that are set down one behind the other [m]."""
LOOK_AHEAD_M = wp.constant(0.03)
GLIDE_MIN_SPEED = wp.constant(0.4)
FALLEN_M = wp.constant(0.4)
"""Goods this far below the place they should be at have fallen off the line [m] ..."""
FALLEN_US = wp.constant(wp.int64(5000000))
"""... and are taken away, and counted lost, after this time [us]."""

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


@wp.struct
class Site:
    """What functions on the state need beside it: world ``w``, its goods, its draws."""

    w: int
    g: Goods
    r: Random


# ---- draws


@wp.func
def next_ordinal(s: LineState, w: int, n: int, purpose: int) -> wp.int64:
    ordinal = s.ordinal[w, n, purpose]
    s.ordinal[w, n, purpose] = ordinal + ONE
    return ordinal


@wp.func
def draw_us(t: LineTables, s: LineState, r: Random, w: int, n: int, row: int, purpose: int) -> wp.int64:
    return sample_us(
        r.table, row, r.seed, r.first_replication + wp.uint32(w), t.node[n].stream, next_ordinal(s, w, n, purpose), purpose
    )


@wp.func
def draw_uniform(t: LineTables, s: LineState, r: Random, w: int, n: int, purpose: int) -> wp.float64:
    return uniform(r.seed, r.first_replication + wp.uint32(w), t.node[n].stream, next_ordinal(s, w, n, purpose), purpose)


@wp.func
def want(s: LineState, w: int, index: int, purpose: int):
    """A duration is to be drawn for server ``index`` (CYCLE, SET_UP) or node ``index`` (ARRIVAL, FAILURE, REPAIR)."""
    count = s.wants[w]
    s.wanted[w, count] = (index << 4) | purpose
    s.wants[w] = count + 1


# ---- slots


@wp.func
def free_slot(s: LineState, g: Goods, w: int) -> int:
    """The lowest free slot, now taken off the free ones; -1 (and counted) when there is none."""
    for i in range(g.slots):
        if s.phase[w, i] == FREE:
            s.top[w] = wp.max(s.top[w], i + 1)
            s.node[w, i] = -1
            s.server[w, i] = -1
            s.target[w, i] = -1
            s.choices[w, i] = ZERO
            s.parent[w, i] = -1
            s.defective[w, i] = 0
            s.gliding[w, i] = 0
            s.stacked[w, i] = 0
            s.fallen_us[w, i] = ZERO
            s.pieces[w, i] = 1
            s.loose[w, i] = 1
            s.born_us[w, i] = s.time_us[w]
            s.id[w, i] = s.next_id[w]
            s.next_id[w] = s.next_id[w] + ONE
            return i
    s.full[w] = s.full[w] + ONE
    return -1


@wp.func
def take_off(s: LineState, g: Goods, w: int, i: int):
    """Off the world, the slot kept."""
    b = g.first + i
    g.alive[w, b] = 0
    g.held[w, b] = 0
    g.generation[w, b] = g.generation[w, b] + 1
    s.gliding[w, i] = 0


@wp.func
def hold(g: Goods, w: int, i: int):
    b = g.first + i
    g.held[w, b] = 1
    g.linear_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)


@wp.func
def forget(s: LineState, g: Goods, w: int, i: int):
    """The slot is free again."""
    take_off(s, g, w, i)
    s.phase[w, i] = FREE
    s.node[w, i] = -1
    s.server[w, i] = -1
    s.target[w, i] = -1
    s.choices[w, i] = ZERO
    s.parent[w, i] = -1
    s.pieces[w, i] = 0


@wp.func
def forget_all(s: LineState, g: Goods, w: int, i: int):
    """The item and what it contains."""
    if s.pieces[w, i] > s.loose[w, i]:
        for j in range(s.top[w]):
            if s.phase[w, j] == PACKED and s.parent[w, j] == i:
                forget(s, g, w, j)
    forget(s, g, w, i)


@wp.func
def enter_order(s: LineState, w: int, i: int):
    s.sequence[w, i] = s.next_sequence[w]
    s.next_sequence[w] = s.next_sequence[w] + ONE


# ---- geometry


@wp.func
def inside_zone(t: LineTables, n: int, p: wp.vec3, margin: float) -> bool:
    half = t.zone_half[n]
    if half[0] < 0.0:
        return False
    q = wp.quat_rotate_inv(t.zone_rotation[n], p - t.zone_center[n])
    return wp.abs(q[0]) <= half[0] + margin and wp.abs(q[1]) <= half[1] + margin and wp.abs(q[2]) <= half[2] + margin


@wp.func
def has_zone(t: LineTables, n: int) -> bool:
    return t.zone_half[n][0] >= 0.0


@wp.func
def zone_reach(t: LineTables, n: int, along: wp.vec3) -> float:
    """Half the zone's extent along a direction [m]."""
    d = wp.quat_rotate_inv(t.zone_rotation[n], along)
    return wp.abs(d[0]) * t.zone_half[n][0] + wp.abs(d[1]) * t.zone_half[n][1] + wp.abs(d[2]) * t.zone_half[n][2]


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
    place = t.entry[m] + t.upward * (wp.abs(wp.dot(half, t.upward)) + 0.002)
    if t.node[m].kind == CONVEYOR:
        place = place + t.direction[m] * (half[0] + 0.01)
    return place + wp.quat_rotate(t.entry_rotation[m], t.prototype_com[p] - t.prototype_center[p])


@wp.func
def put_at(t: LineTables, g: Goods, w: int, i: int, m: int, place: wp.vec3):
    """On the world at ``place``, turned as node ``m`` has it and moving with its belt."""
    b = g.first + i
    g.position[w, b] = place
    g.rotation[w, b] = t.entry_rotation[m]
    g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.held[w, b] = 0
    g.alive[w, b] = 1
    g.generation[w, b] = g.generation[w, b] + 1


@wp.func
def place_free(t: LineTables, s: LineState, g: Goods, w: int, i: int, place: wp.vec3, half: float) -> bool:
    """No other item on the world, or on its way, stands within the two half lengths of ``place``."""
    for j in range(s.top[w]):
        if j != i:
            if g.alive[w, g.first + j] != 0:
                least = half + reach(t, g, w, j) + GAP_M
                if wp.length(g.position[w, g.first + j] - place) < least:
                    return False
                if s.gliding[w, j] != 0:
                    if wp.length(s.glide_to[w, j] - place) < least:
                        return False
    return True


@wp.func
def ahead_of(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, room: float) -> int:
    """The item that stands within ``room`` ahead of item ``i`` in the direction that node ``n`` sends it, -1 for none. What waits
    to be let into ``n`` comes after it, even where it has pushed up beside it."""
    for j in range(s.top[w]):
        if j != i:
            if g.alive[w, g.first + j] != 0:
                rest = middle(t, g, w, j) - middle(t, g, w, i)
                ahead = wp.dot(rest, t.exit_direction[n])
                aside = wp.length(rest - t.exit_direction[n] * ahead)
                if ahead > 0.0 and ahead < reach(t, g, w, i) + reach(t, g, w, j) + room and aside < FALLEN_M:
                    if not comes_after(t, s, w, j, n):
                        return j
    return -1


@wp.func
def comes_after(t: LineTables, s: LineState, w: int, j: int, n: int) -> bool:
    """Whether item ``j`` is still on a node that sends to ``n``."""
    u = s.node[w, j]
    if u >= 0 and u != n:
        for b in range(t.node[u].next_begin, t.node[u].next_end):
            if t.next[b] == n:
                return True
    return False


@wp.func
def rides(t: LineTables, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether the belt under the item at ``n`` itself takes it straight on to conveyor ``c``."""
    if t.carried[n] == 0 or t.node[c].kind != CONVEYOR:
        return False
    if wp.dot(t.exit_direction[n], t.direction[c]) < 0.5:
        return False  # round a corner goods are transferred, turning with the line
    way = t.entry[c] - middle(t, g, w, i)
    way = way - t.upward * wp.dot(way, t.upward)
    ahead = wp.dot(way, t.exit_direction[n])
    aside = wp.length(way - t.exit_direction[n] * ahead)
    return ahead > -1.5 and ahead < 2.0 and aside < wp.max(0.2, 0.6 * ahead)


@wp.func
def landing(t: LineTables, g: Goods, w: int, i: int, c: int) -> wp.vec3:
    """Where a transferred item is set down at node ``c``: on a straight belt beside where it is now, else at the entry."""
    p = g.prototype[w, g.first + i]
    place = set_down(t, c, p)
    if t.node[c].kind == CONVEYOR and wp.dot(t.direction[c], t.exit_direction[c]) > 0.999:
        along = wp.dot(middle(t, g, w, i) - t.entry[c], t.direction[c]) - t.prototype_half[p][0] - 0.01
        longest = 2.0 * zone_reach(t, c, t.direction[c]) - 2.0 * t.prototype_half[p][0]
        place = place + t.direction[c] * wp.max(wp.min(along, longest), 0.0)
    return place


@wp.func
def merge_clear(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether an item at the end of ``n`` can slip onto the running belt ``c`` without touching what is on it."""
    along = t.direction[c]
    half = reach(t, g, w, i)
    where = middle(t, g, w, i) + t.exit_direction[n] * half
    straight = wp.dot(t.exit_direction[n], along) > 0.85
    for j in range(s.top[w]):
        if j != i:
            if s.node[w, j] == c and g.alive[w, g.first + j] != 0:
                rest = middle(t, g, w, j) - where
                ahead = wp.dot(rest, along)
                gap = reach(t, g, w, j) + GAP_M
                upstream = -(gap + 2.0 * half)
                if not straight:
                    upstream = upstream - half
                    gap = gap + half
                if ahead < gap and ahead > upstream and wp.abs(wp.dot(rest, t.upward)) < FALLEN_M:
                    return False
    return True


@wp.func
def last_on(t: LineTables, s: LineState, g: Goods, w: int, c: int) -> int:
    """The item that entered node ``c`` last and is there still, -1 for none."""
    last = int(-1)
    for j in range(s.top[w]):
        if s.node[w, j] == c and g.alive[w, g.first + j] != 0:
            if last < 0 or s.sequence[w, j] > s.sequence[w, wp.max(last, 0)]:
                last = j
    return last


@wp.func
def pitch_clear(t: LineTables, s: LineState, g: Goods, w: int, c: int) -> bool:
    """Whether the last item on conveyor ``c`` is at least its pitch along, where one is authored."""
    if t.pitch[c] <= 0.0:
        return True
    last = last_on(t, s, g, w, c)
    if last < 0:
        return True
    way = middle(t, g, w, last) - t.entry[c]
    return wp.length(way - t.upward * wp.dot(way, t.upward)) >= t.pitch[c]
