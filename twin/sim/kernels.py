"""Process logic at physics time: one thread a world, once a step, before the bodies move (docs/semantics.md).

An item is in one phase at a time:

    MOVING      a rigid body on its own
    WAITING     held where it stands because what comes next has no room
    READY       in a server that works only when there is room downstream
    IN_SERVICE  held by a station that works on it (or sets up for it)
    DONE        finished, keeps its server until there is room downstream
    STORED      in a buffer, off the world
    GLIDING     carried in a straight line from one node's place to the next one's
    COLLECTED   taken into a batch that is not complete, off the world
"""

# ruff: noqa: SIM102, SIM103  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.draws import sample_us, uniform
from twin.process.rules import (
    BY_QUALITY,
    BY_TYPE,
    PROBABILITY,
    ROUND_ROBIN,
    SHORTEST_QUEUE,
    choice_is_kept,
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

_LOG_MIN = wp.constant(float(__import__("math").log(LEAD_MIN_S)))
_BIN_WIDTH = wp.constant(float((__import__("math").log(LEAD_MAX_S) - __import__("math").log(LEAD_MIN_S)) / LEAD_BINS))
_BINS = wp.constant(LEAD_BINS)


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


# ---- moving things


@wp.func
def take_off(g: Goods, w: int, i: int):
    """Off the world, the slot kept."""
    b = g.first + i
    g.alive[w, b] = 0
    g.held[w, b] = 0
    g.generation[w, b] = g.generation[w, b] + 1


@wp.func
def put_on(t: LineTables, g: Goods, w: int, i: int, m: int):
    """Set the item down at node ``m``'s place, moving with its belt."""
    b = g.first + i
    g.position[w, b] = set_down(t, m, g.prototype[w, b])
    g.rotation[w, b] = t.entry_rotation[m]
    g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.held[w, b] = 0
    g.alive[w, b] = 1
    g.generation[w, b] = g.generation[w, b] + 1


@wp.func
def hold(g: Goods, w: int, i: int):
    b = g.first + i
    g.held[w, b] = 1
    g.linear_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
    g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)


@wp.func
def forget(s: LineState, g: Goods, w: int, i: int):
    take_off(g, w, i)
    s.phase[w, i] = FREE
    s.node[w, i] = -1
    s.target[w, i] = -1
    s.pieces[w, i] = 0
    s.defective[w, i] = 0


@wp.func
def count_lead(s: LineState, w: int, i: int):
    pieces = wp.int64(s.pieces[w, i])
    total = s.time_us[w] * pieces - s.born_us[w, i]
    s.lead_us[w] = s.lead_us[w] + total
    mean = float(total) / float(pieces) * 1.0e-6
    bin = int((wp.log(wp.max(mean, LEAD_MIN_S)) - _LOG_MIN) / _BIN_WIDTH)
    bin = wp.clamp(bin, 0, _BINS - 1)
    s.lead_hist[w, bin] = s.lead_hist[w, bin] + pieces


@wp.func
def leave(s: LineState, w: int, n: int):
    s.left[w, n] = s.left[w, n] + wp.int64(1)
    s.level[w, n] = s.level[w, n] - 1


@wp.func
def begin_work(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """Draw set-up and cycle for item ``i`` in a server of station ``n``."""
    type = t.prototype_type[g.prototype[w, g.first + i]]
    setup = wp.int64(0)
    if s.last_type[w, n] >= 0 and s.last_type[w, n] != type:
        setup = draw_us(t, s, r, w, n, t.setup[n], 4)
    s.last_type[w, n] = type
    s.setup_us[w, i] = setup
    s.work_us[w, i] = setup + draw_us(t, s, r, w, n, t.cycle[n * t.types + type], 1)
    s.since_us[w, i] = s.time_us[w]
    s.phase[w, i] = IN_SERVICE
    s.busy[w, n] = s.busy[w, n] + 1


@wp.func
def collect(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """Into a batch; the last one starts the cycle of all."""
    take_off(g, w, i)
    s.phase[w, i] = COLLECTED
    count = int(0)
    for j in range(g.slots):
        if s.node[w, j] == n and s.phase[w, j] == COLLECTED:
            count += 1
    if count >= t.batch[n]:
        begin_work(t, s, g, r, w, i, n)
        for j in range(g.slots):
            if s.node[w, j] == n and s.phase[w, j] == COLLECTED:
                s.phase[w, j] = IN_SERVICE
                s.work_us[w, j] = s.work_us[w, i]
                s.setup_us[w, j] = s.setup_us[w, i]
                s.since_us[w, j] = s.since_us[w, i]
                s.busy[w, n] = s.busy[w, n] + 1


@wp.func
def admit(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, m: int):
    """The item has reached node ``m``, to which it already belongs."""
    kind = t.kind[m]
    s.target[w, i] = -1
    if kind == SINK:
        pieces = wp.int64(s.pieces[w, i])
        if t.reject[m] != 0:
            s.scrapped[w] = s.scrapped[w] + pieces
        else:
            s.sunk[w] = s.sunk[w] + pieces
            count_lead(s, w, i)
        leave(s, w, m)
        forget(s, g, w, i)
    elif kind == BUFFER:
        take_off(g, w, i)
        s.phase[w, i] = STORED
        s.since_us[w, i] = s.time_us[w]
    elif kind == STATION:
        if t.batch[m] > 1:
            collect(t, s, g, r, w, i, m)
        else:
            hold(g, w, i)
            if t.blocking_before[m] != 0:
                s.phase[w, i] = READY
            else:
                begin_work(t, s, g, r, w, i, m)
    else:
        s.phase[w, i] = MOVING
        g.held[w, g.first + i] = 0


@wp.func
def rides(t: LineTables, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether the belt under the item at ``n`` itself takes it straight on to conveyor ``c``."""
    if t.carried[n] == 0 or t.kind[c] != CONVEYOR:
        return False
    if wp.dot(t.exit_direction[n], t.direction[c]) < 0.5:
        return False  # round a corner goods are transferred, turning with the line
    way = t.entry[c] - middle(t, g, w, i)
    way = way - t.up * wp.dot(way, t.up)
    ahead = wp.dot(way, t.exit_direction[n])
    aside = wp.length(way - t.exit_direction[n] * ahead)
    return ahead > -1.5 and ahead < 2.0 and aside < wp.max(0.2, 0.6 * ahead)


@wp.func
def landing(t: LineTables, g: Goods, w: int, i: int, c: int) -> wp.vec3:
    """Where a transferred item is set down at node ``c``: on a straight belt level with where it comes from, else at the entry."""
    p = g.prototype[w, g.first + i]
    place = set_down(t, c, p)
    if t.kind[c] == CONVEYOR and wp.dot(t.direction[c], t.exit_direction[c]) > 0.999:
        along = wp.dot(middle(t, g, w, i) - t.entry[c], t.direction[c]) - t.prototype_half[p][0] - 0.01
        if along > 0.0:
            along = wp.min(along, 2.0 * wp.abs(wp.dot(t.zone_half[c], wp.vec3(1.0, 0.0, 0.0))) - 2.0 * t.prototype_half[p][0])
            place = place + t.direction[c] * wp.max(along, 0.0)
    return place


@wp.func
def transfer(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int, c: int):
    """Item ``i`` goes from node ``n`` to node ``c``, which has room: on its belt, set down, or carried over."""
    b = g.first + i
    leave(s, w, n)
    s.node[w, i] = c
    s.entered[w, c] = s.entered[w, c] + wp.int64(1)
    s.level[w, c] = s.level[w, c] + 1
    s.target[w, i] = -1
    if t.kind[c] == SINK and g.alive[w, b] == 0:
        admit(t, s, g, r, w, i, c)
    elif g.alive[w, b] == 0:
        put_on(t, g, w, i, c)
        admit(t, s, g, r, w, i, c)
    elif rides(t, g, w, i, n, c):
        s.phase[w, i] = MOVING
        g.held[w, b] = 0
    elif t.zone_half[c][0] < 0.0 and t.kind[c] != CONVEYOR:
        admit(t, s, g, r, w, i, c)
    else:
        s.phase[w, i] = GLIDING
        g.held[w, b] = 1
        s.glide_to[w, i] = landing(t, g, w, i, c)
        s.glide_speed[w, i] = wp.max(wp.max(t.speed[c], t.speed[n]), GLIDE_MIN_SPEED)


@wp.func
def glide(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, dt: float):
    b = g.first + i
    m = s.node[w, i]
    way = s.glide_to[w, i] - g.position[w, b]
    distance = wp.length(way)
    step = s.glide_speed[w, i] * dt
    if distance <= step:
        g.position[w, b] = s.glide_to[w, i]
        g.rotation[w, b] = t.entry_rotation[m]
        g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
        admit(t, s, g, r, w, i, m)
    else:
        g.position[w, b] = g.position[w, b] + way * (step / distance)
        g.rotation[w, b] = wp.normalize(wp.quat_slerp(g.rotation[w, b], t.entry_rotation[m], step / distance))
        g.linear_velocity[w, b] = way * (s.glide_speed[w, i] / distance)


@wp.func
def merge_clear(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, c: int) -> bool:
    """Whether an item at the end of ``n`` can slip onto the running belt ``c`` without touching what is on it."""
    along = t.direction[c]
    half = reach(t, g, w, i)
    where = middle(t, g, w, i) + t.exit_direction[n] * half
    straight = wp.dot(t.exit_direction[n], along) > 0.85
    for j in range(g.slots):
        if j != i:
            if s.phase[w, j] != FREE and s.node[w, j] == c and g.alive[w, g.first + j] != 0:
                rest = middle(t, g, w, j) - where
                ahead = wp.dot(rest, along)
                gap = reach(t, g, w, j) + GAP_M
                upstream = -(gap + 2.0 * half)
                if not straight:
                    upstream = upstream - half
                    gap = gap + half
                if ahead < gap and ahead > upstream and wp.abs(wp.dot(rest, t.up)) < FALLEN_M:
                    return False
    return True


@wp.func
def wait(s: LineState, g: Goods, w: int, i: int, c: int):
    if s.phase[w, i] != WAITING:
        s.since_us[w, i] = s.time_us[w]
        s.phase[w, i] = WAITING
        hold(g, w, i)
    s.target[w, i] = c


@wp.func
def move_on(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int):
    """An item that moves by itself, or waits at the end of node ``n``: has it reached what comes next?"""
    n = s.node[w, i]
    b = g.first + i
    p = g.prototype[w, b]
    here = middle(t, g, w, i)
    lead = here + t.exit_direction[n] * reach(t, g, w, i)
    for e in range(t.next_begin[n], t.next_begin[n + 1]):
        c = t.next[e]
        if s.node[w, i] == n and s.phase[w, i] != FREE:
            if t.kind[c] == CONVEYOR:
                if t.predecessors[c] > 1:
                    if s.phase[w, i] == WAITING or inside_zone(t, c, lead, LOOK_AHEAD_M):
                        free = merge_clear(t, s, g, w, i, n, c)
                        if free and not rides(t, g, w, i, n, c):
                            free = place_free(t, s, g, w, i, landing(t, g, w, i, c), t.prototype_half[p][0])
                        if free and first_in_line(s, g, w, i, c):
                            transfer(t, s, g, r, w, i, n, c)
                        else:
                            wait(s, g, w, i, c)
                elif inside_zone(t, c, here, 0.0):
                    transfer(t, s, g, r, w, i, n, c)
            elif t.kind[c] == ROUTER:
                arrived = inside_zone(t, c, here, 0.0)
                if t.zone_half[c][0] < 0.0:
                    arrived = not inside_zone(t, n, lead, 0.0)
                if arrived or s.phase[w, i] == WAITING:
                    goal = s.target[w, i]
                    if goal < 0:
                        goal = successor(t, s, g, r, w, i, n, p)
                    if goal >= 0:
                        if has_room(t, s, g, w, i, goal, p) and first_in_line(s, g, w, i, goal):
                            transfer(t, s, g, r, w, i, n, goal)
                        else:
                            kept = choice_is_kept(t.rule[c])
                            wait(s, g, w, i, wp.where(kept, goal, -1))
                    else:
                        wait(s, g, w, i, -1)
            elif s.phase[w, i] == WAITING or inside_zone(t, c, here, 0.0):
                if has_room(t, s, g, w, i, c, p) and first_in_line(s, g, w, i, c):
                    leave(s, w, n)
                    s.node[w, i] = c
                    s.entered[w, c] = s.entered[w, c] + wp.int64(1)
                    s.level[w, c] = s.level[w, c] + 1
                    admit(t, s, g, r, w, i, c)
                else:
                    wait(s, g, w, i, c)


# ---- stations


@wp.func
def finish(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """The cycle of item ``i`` (and of all that share its batch) is over."""
    if t.scrap_rate[n] > wp.float64(0.0):
        s.defective[w, i] = 0
        if draw_uniform(t, s, r, w, n, 6) < t.scrap_rate[n]:
            s.defective[w, i] = 1
    if t.batch[n] > 1:
        pieces = int(0)
        born = wp.int64(0)
        since = s.since_us[w, i]
        for j in range(g.slots):
            if s.node[w, j] == n and s.phase[w, j] == IN_SERVICE and s.since_us[w, j] == since:
                s.busy[w, n] = s.busy[w, n] - 1
                s.phase[w, j] = DONE
                if t.output[n] >= 0:
                    pieces += s.pieces[w, j]
                    born += s.born_us[w, j]
                    if j != i:
                        s.level[w, n] = s.level[w, n] - 1
                        forget(s, g, w, j)
                else:
                    s.done[w, n] = s.done[w, n] + 1
                    s.defective[w, j] = s.defective[w, i]
        if t.output[n] >= 0:
            s.pieces[w, i] = pieces
            s.born_us[w, i] = born
            s.done[w, n] = s.done[w, n] + 1
            g.prototype[w, g.first + i] = t.output[n]
            s.id[w, i] = s.next_id[w]
            s.next_id[w] = s.next_id[w] + wp.int64(1)
    else:
        s.busy[w, n] = s.busy[w, n] - 1
        s.done[w, n] = s.done[w, n] + 1
        s.phase[w, i] = DONE
    s.since_us[w, i] = s.time_us[w]
    s.target[w, i] = -1


@wp.func
def scrapped_here(t: LineTables, s: LineState, w: int, i: int, n: int) -> bool:
    """A defective item that nothing takes away is scrapped at its station."""
    if s.defective[w, i] == 0 or t.scrap_rate[n] <= wp.float64(0.0):
        return False
    if t.rework[n] >= 0:
        return False
    begin = t.next_begin[n]
    if begin < t.next_begin[n + 1]:
        c = t.next[begin]
        if t.kind[c] == ROUTER:
            if t.rule[c] == BY_QUALITY:
                return False
    return True


@wp.func
def release(t: LineTables, s: LineState, g: Goods, r: Random, w: int, i: int, n: int):
    """A finished item leaves its server when there is room downstream."""
    if scrapped_here(t, s, w, i, n):
        s.scrapped[w] = s.scrapped[w] + wp.int64(s.pieces[w, i])
        s.done[w, n] = s.done[w, n] - 1
        leave(s, w, n)
        forget(s, g, w, i)
        return
    p = g.prototype[w, g.first + i]
    c = s.target[w, i]
    if c < 0:
        c = successor(t, s, g, r, w, i, n, p)
    if c < 0:
        return
    room = has_room(t, s, g, w, i, c, p)
    if room and t.kind[c] == CONVEYOR and t.predecessors[c] > 1:
        room = merge_clear(t, s, g, w, i, n, c)
    if room and first_in_line(s, g, w, i, c):
        s.done[w, n] = s.done[w, n] - 1
        if t.rework[n] == c:
            s.defective[w, i] = 0
        transfer(t, s, g, r, w, i, n, c)
    else:
        router = t.next[t.next_begin[n]]
        keep = t.kind[router] != ROUTER
        if not keep:
            keep = choice_is_kept(t.rule[router])
        s.target[w, i] = wp.where(keep, c, -1)


@wp.func
def give_back(t: LineTables, s: LineState, g: Goods, r: Random, w: int, n: int):
    """A buffer hands out its next item when there is room downstream."""
    best = int(-1)
    for i in range(g.slots):
        if s.node[w, i] == n and s.phase[w, i] == STORED:
            if best < 0:
                best = i
            else:
                earlier = s.since_us[w, i] < s.since_us[w, best]
                if t.lifo[n] != 0:
                    earlier = s.since_us[w, i] > s.since_us[w, best]
                if earlier:
                    best = i
    if best < 0:
        return
    p = g.prototype[w, g.first + best]
    c = s.target[w, best]
    if c < 0:
        c = successor(t, s, g, r, w, best, n, p)
    if c >= 0:
        room = has_room(t, s, g, w, best, c, p)
        if room and t.kind[c] == CONVEYOR and t.predecessors[c] > 1:
            room = merge_clear(t, s, g, w, best, n, c)
        if room and first_in_line(s, g, w, best, c):
            transfer(t, s, g, r, w, best, n, c)


# ---- sources


@wp.func
def spawn(t: LineTables, s: LineState, g: Goods, r: Random, w: int, n: int):
    """A source that has an item sets it on the line when the place is free."""
    if s.waiting[w, n] < 0:
        return
    p = s.waiting[w, n]
    slot = int(-1)
    for i in range(g.slots):
        if slot < 0 and s.phase[w, i] == FREE:
            slot = i
    if slot < 0:
        s.full[w] = s.full[w] + wp.int64(1)
        return
    s.defective[w, slot] = 0
    c = successor(t, s, g, r, w, slot, n, p)
    if c < 0:
        return
    own_place = t.zone_half[n][0] >= 0.0 and t.kind[c] == CONVEYOR
    if own_place:
        if not place_free(t, s, g, w, slot, set_down(t, n, p), t.prototype_half[p][0]):
            return
    elif not has_room(t, s, g, w, slot, c, p):
        return
    b = g.first + slot
    g.prototype[w, b] = p
    s.fallen_us[w, slot] = wp.int64(0)
    s.id[w, slot] = s.next_id[w]
    s.next_id[w] = s.next_id[w] + wp.int64(1)
    s.pieces[w, slot] = 1
    s.born_us[w, slot] = s.time_us[w]
    s.target[w, slot] = -1
    s.spawned[w] = s.spawned[w] + wp.int64(1)
    s.made[w, n] = s.made[w, n] + wp.int64(1)
    s.waiting[w, n] = -1
    if t.saturated[n] == 0:
        s.arrival_us[w, n] = wp.int64(-1)
        if t.interarrival[n] >= 0:
            s.arrival_us[w, n] = draw_us(t, s, r, w, n, t.interarrival[n], 0)
    s.node[w, slot] = n
    s.entered[w, n] = s.entered[w, n] + wp.int64(1)
    s.level[w, n] = s.level[w, n] + 1
    s.phase[w, slot] = MOVING
    if own_place:
        put_on(t, g, w, slot, n)
        g.linear_velocity[w, b] = t.direction[n] * t.speed[c]
    else:
        transfer(t, s, g, r, w, slot, n, c)


@wp.func
def arrive(t: LineTables, s: LineState, r: Random, w: int, n: int, dt: wp.int64):
    """The source's clock: when an item turns up, its prototype is drawn."""
    if s.waiting[w, n] >= 0:
        return
    if t.limit[n] >= wp.int64(0) and s.made[w, n] >= t.limit[n]:
        return
    due = t.saturated[n] != 0
    if not due and s.arrival_us[w, n] >= wp.int64(0):
        s.arrival_us[w, n] = s.arrival_us[w, n] - dt
        if s.arrival_us[w, n] <= wp.int64(0):
            due = True
            s.arrival_us[w, n] = wp.int64(0)
    if due:
        begin = t.item_begin[n]
        end = t.item_begin[n + 1]
        if end > begin:
            pick = end - 1
            if end - begin > 1:
                u = draw_uniform(t, s, r, w, n, 7)
                pick = pick_by_weight(t.item_cumulative, begin, end, u)
            s.waiting[w, n] = t.item_prototype[pick]


# ---- the step


@wp.func
def clocks(t: LineTables, s: LineState, r: Random, w: int, n: int, dt: wp.int64):
    """Failure and repair of one station."""
    if s.repair_us[w, n] > wp.int64(0):
        s.repair_us[w, n] = s.repair_us[w, n] - dt
        if s.repair_us[w, n] <= wp.int64(0):
            s.repair_us[w, n] = wp.int64(0)
            s.fail_us[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
    elif s.fail_us[w, n] >= wp.int64(0):
        if t.failure_while_working[n] == 0 or s.working[w, n] > 0:
            s.fail_us[w, n] = s.fail_us[w, n] - dt
            if s.fail_us[w, n] < wp.int64(0):
                s.fail_us[w, n] = wp.int64(0)
                s.repair_us[w, n] = wp.max(draw_us(t, s, r, w, n, t.time_to_repair[n], 3), wp.int64(1))


@wp.func
def account(t: LineTables, s: LineState, w: int, n: int, dt: wp.int64):
    """Add the elapsed time to the states the node was in."""
    s.level_us[w, n] = s.level_us[w, n] + wp.int64(s.level[w, n]) * dt
    if t.kind[n] == STATION and s.repair_us[w, n] == wp.int64(0) and t.servers[n] > 1:
        servers = wp.int64(t.servers[n])
        working = wp.int64(s.working[w, n]) * dt / servers
        setup = wp.int64(s.setting[w, n]) * dt / servers
        blocked = wp.int64(s.done[w, n]) * dt / servers
        s.state_us[w, n, S_WORKING] = s.state_us[w, n, S_WORKING] + working
        s.state_us[w, n, S_SETUP] = s.state_us[w, n, S_SETUP] + setup
        s.state_us[w, n, S_BLOCKED] = s.state_us[w, n, S_BLOCKED] + blocked
        s.state_us[w, n, S_STARVED] = s.state_us[w, n, S_STARVED] + dt - working - setup - blocked
    else:
        s.state_us[w, n, s.state[w, n]] = s.state_us[w, n, s.state[w, n]] + dt


@wp.func
def judge(t: LineTables, s: LineState, w: int, n: int):
    """Which state the node is in from now on."""
    kind = t.kind[n]
    state = S_STARVED
    if kind == STATION:
        if s.repair_us[w, n] > wp.int64(0):
            state = S_DOWN
        elif s.setting[w, n] > 0:
            state = S_SETUP
        elif s.working[w, n] > 0:
            state = S_WORKING
        elif s.done[w, n] > 0:
            state = S_BLOCKED
    elif kind == SOURCE:
        state = wp.where(s.waiting[w, n] >= 0, S_BLOCKED, S_WORKING)
        if t.limit[n] >= wp.int64(0) and s.made[w, n] >= t.limit[n]:
            state = S_STARVED
    elif s.stuck[w, n] > 0:
        state = S_BLOCKED
    elif kind == BUFFER and t.capacity[n] >= 0 and s.level[w, n] >= t.capacity[n]:
        state = S_BLOCKED
    elif s.level[w, n] > 0 or kind == ROUTER or kind == SINK:
        state = S_WORKING
    s.state[w, n] = state


@wp.kernel
def start_line(
    # model
    t: LineTables,
    r: Random,
    # state in/out
    s: LineState,
):
    """First draws of every world: time to the first arrival and the first failure."""
    w = wp.tid()
    for n in range(t.nodes):
        s.arrival_us[w, n] = wp.int64(-1)
        s.fail_us[w, n] = wp.int64(-1)
        if t.kind[n] == SOURCE and t.interarrival[n] >= 0:
            s.arrival_us[w, n] = draw_us(t, s, r, w, n, t.interarrival[n], 0)
        if t.kind[n] == STATION and t.time_to_failure[n] >= 0:
            s.fail_us[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
        judge(t, s, w, n)


@wp.kernel
def step_line(
    # model
    t: LineTables,
    r: Random,
    now_us: wp.int64,
    # state in/out
    s: LineState,
    g: Goods,
    # out
    surface_drive: wp.array2d(dtype=wp.float32),
):
    """Advance the line of every world to ``now_us``."""
    w = wp.tid()
    dt = now_us - s.time_us[w]
    seconds = float(dt) * 1.0e-6
    inside = s.spawned[w] - s.sunk[w] - s.scrapped[w] - s.lost[w]
    s.pieces_us[w] = s.pieces_us[w] + inside * dt
    for n in range(t.nodes):
        account(t, s, w, n, dt)
    s.time_us[w] = now_us
    for n in range(t.nodes):
        if t.kind[n] == STATION:
            clocks(t, s, r, w, n, dt)
        elif t.kind[n] == SOURCE:
            arrive(t, s, r, w, n, dt)

    for i in range(g.slots):
        phase = s.phase[w, i]
        if phase != FREE:
            n = s.node[w, i]
            b = g.first + i
            if g.alive[w, b] != 0 or phase == MOVING:
                p = g.position[w, b]
                height = wp.dot(p, t.up)
                bottom = wp.dot(t.zone_center[n], t.up) - wp.abs(
                    wp.dot(t.zone_half[n], wp.quat_rotate_inv(t.zone_rotation[n], t.up))
                )
                if phase == MOVING and t.zone_half[n][0] >= 0.0 and height < bottom - FALLEN_M:
                    s.fallen_us[w, i] = s.fallen_us[w, i] + dt
                else:
                    s.fallen_us[w, i] = wp.int64(0)
                gone = (
                    g.alive[w, b] == 0
                    or s.fallen_us[w, i] > FALLEN_US
                    or height < t.floor
                    or not wp.isfinite(height)
                    or not wp.isfinite(wp.length(p))
                )
                if gone:
                    s.lost[w] = s.lost[w] + wp.int64(s.pieces[w, i])
                    if phase == IN_SERVICE:
                        s.busy[w, n] = s.busy[w, n] - 1
                    if phase == DONE:
                        s.done[w, n] = s.done[w, n] - 1
                    s.level[w, n] = s.level[w, n] - 1
                    forget(s, g, w, i)
                    phase = FREE
            if phase == IN_SERVICE:
                if s.repair_us[w, n] == wp.int64(0):
                    s.work_us[w, i] = s.work_us[w, i] - dt
                    s.setup_us[w, i] = wp.max(s.setup_us[w, i] - dt, wp.int64(0))
                    if s.work_us[w, i] <= wp.int64(0):
                        finish(t, s, g, r, w, i, n)
                        release(t, s, g, r, w, i, n)
            elif phase == DONE:
                release(t, s, g, r, w, i, n)
            elif phase == READY:
                prototype = g.prototype[w, b]
                c = successor(t, s, g, r, w, i, n, prototype)
                if c >= 0:
                    if has_room(t, s, g, w, i, c, prototype):
                        begin_work(t, s, g, r, w, i, n)
            elif phase == GLIDING:
                glide(t, s, g, r, w, i, seconds)
            elif phase == MOVING or phase == WAITING:
                move_on(t, s, g, r, w, i)

    for n in range(t.nodes):
        s.working[w, n] = 0
        s.setting[w, n] = 0
        s.stuck[w, n] = 0
        if t.kind[n] == SOURCE:
            spawn(t, s, g, r, w, n)
        elif t.kind[n] == BUFFER:
            give_back(t, s, g, r, w, n)
    for i in range(g.slots):
        phase = s.phase[w, i]
        if phase == IN_SERVICE:
            if s.setup_us[w, i] > wp.int64(0):
                s.setting[w, s.node[w, i]] = s.setting[w, s.node[w, i]] + 1
            else:
                s.working[w, s.node[w, i]] = s.working[w, s.node[w, i]] + 1
        elif phase == WAITING:
            s.stuck[w, s.node[w, i]] = s.stuck[w, s.node[w, i]] + 1
    for n in range(t.nodes):
        judge(t, s, w, n)
        if t.kind[n] == CONVEYOR:
            speed = t.speed[n]
            if t.accumulating[n] == 0 and s.stuck[w, n] > 0:
                speed = 0.0
            for k in range(t.belt_begin[n], t.belt_begin[n + 1]):
                surface_drive[w, t.belt_shape[k]] = speed
