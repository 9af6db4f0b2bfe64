"""Vehicles at physics time: they fetch, load, carry and unload as in the line engine (``twin.process.fleets`` says which goes
where), and are seen to: kinematic bodies that follow their ways at the time that their clocks tell, with their loads."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.fleets import drive_us, is_flat, make_nearest_idle, make_oldest_request, stop_at
from twin.process.nodes import (
    ARRIVED,
    BATTERY,
    BUFFER,
    CARRYING,
    CHARGE,
    CHARGING,
    CONVEYOR,
    DONE,
    FETCHING,
    HALT_OFF,
    IDLE,
    LOAD,
    LOADING,
    NEVER_US,
    ROUTER,
    SOURCE,
    UNLOAD,
    UNLOADING,
    ZERO,
)
from twin.sim.places import (
    SERVED,
    STORED,
    WAITING,
    Goods,
    Site,
    has_zone,
    put_at,
    set_down,
    want,
)
from twin.sim.routes import choose_goal, vehicle_at
from twin.sim.state import LineState
from twin.sim.tables import LineTables

TURN_RAD_S = wp.constant(2.5)
"""How fast a vehicle turns where its way does [rad/s]."""


@wp.func
def vehicle_in(t: LineTables, f: int, k: int) -> int:
    """Number of the vehicle in slot ``k`` of fleet ``f``; those beyond its size only finish what they have."""
    return t.node[f].vehicle_begin + wp.min(k - t.node[f].slot_begin, t.node[f].servers - 1)


@wp.func
def begin_fleet(t: LineTables, s: LineState, w: int, f: int):
    """Its vehicles at time 0."""
    for k in range(t.node[f].slot_begin, t.node[f].slot_end):
        v = vehicle_in(t, f, k)
        s.vehicle_stop[w, k] = t.node[f].stops
        s.vehicle_battery_us[w, k] = wp.int64(-1)
        s.vehicle_position[w, k] = t.vehicle_home[v]
        s.vehicle_rotation[w, k] = t.vehicle_heading[v]
        if t.node[f].battery_time >= 0:
            want(s, w, k, BATTERY)


# ---- requests


@wp.func
def item_waiting(t: LineTables, s: LineState, w: int, k: int, rank: int) -> int:
    """The item of slot ``k`` that leaves it after ``rank`` others, if it waits to leave; -1."""
    n = t.slot_node[k]
    kind = t.node[n].kind
    if kind == SOURCE:
        return wp.max(s.waiting[w, n], -1)
    last = int(-1)
    for _ in range(rank + 1):
        best = int(-1)
        for i in range(s.top[w]):
            phase = s.phase[w, i]
            here = bool(False)
            if kind == BUFFER:
                here = phase == STORED and s.node[w, i] == n
            elif kind == CONVEYOR:
                here = phase == WAITING and s.node[w, i] == n
            else:
                here = phase == SERVED and s.server[w, i] == k and s.server_state[w, k] == DONE
                if here and t.in_line[n] != 0 and s.gliding[w, i] != 0:
                    here = bool(False)
            if here:
                order = s.sequence[w, i]
                backwards = kind == BUFFER and t.node[n].lifo != 0
                if last >= 0:
                    passed = order <= s.sequence[w, last]
                    if backwards:
                        passed = order >= s.sequence[w, last]
                    here = not passed
                if here and best >= 0:
                    if backwards:
                        here = order > s.sequence[w, best]
                    else:
                        here = order < s.sequence[w, best]
                if here:
                    best = i
        last = best
        if best < 0:
            return -1
    return last


@wp.func
def asks(t: LineTables, s: LineState, w: int, f: int, k: int) -> bool:
    """Whether the first item of slot ``k`` waits for a vehicle of fleet ``f``."""
    n = t.slot_node[k]
    if (s.halts[w, n] & HALT_OFF) != 0:
        return False
    i = item_waiting(t, s, w, k, 0)
    if i < 0:
        return False
    goal = s.target[w, i]
    if goal >= 0:
        return goal == f
    if t.node[n].rework >= 0:
        if s.defective[w, i] != 0:
            return t.node[n].rework == f
    return True


@wp.func
def _asks(t: LineTables, s: LineState, h: Site, f: int, k: int) -> bool:
    return asks(t, s, h.w, f, k)


@wp.func
def _sent_to(s: LineState, h: Site, k: int) -> int:
    return s.claims[h.w, k]


@wp.func
def _since(t: LineTables, s: LineState, h: Site, k: int) -> wp.int64:
    n = t.slot_node[k]
    kind = t.node[n].kind
    if kind == SOURCE or kind == BUFFER:
        return s.ready_us[h.w, n]
    if kind == CONVEYOR:
        return s.since_us[h.w, item_waiting(t, s, h.w, k, 0)]
    return s.server_ready_us[h.w, k]


@wp.func
def _items_in(t: LineTables, s: LineState, h: Site, k: int) -> int:
    n = t.slot_node[k]
    kind = t.node[n].kind
    if kind == SOURCE:
        return 1
    if kind == BUFFER or kind == CONVEYOR:
        return s.level[h.w, n]
    return s.server_count[h.w, k]


@wp.func
def _since_of(t: LineTables, s: LineState, h: Site, k: int, rank: int) -> wp.int64:
    i = item_waiting(t, s, h.w, k, rank)
    if i < 0:
        return NEVER_US
    return s.at_us[h.w, i]


@wp.func
def _server_state(s: LineState, h: Site, k: int) -> int:
    return s.server_state[h.w, k]


@wp.func
def _vehicle_stop(t: LineTables, s: LineState, h: Site, f: int, k: int) -> int:
    return s.vehicle_stop[h.w, k]


oldest_request = make_oldest_request(asks=_asks, sent_to=_sent_to, since=_since, items_in=_items_in, since_of=_since_of)
nearest_idle = make_nearest_idle(server_state=_server_state, vehicle_stop=_vehicle_stop)


@wp.func
def give_up(s: LineState, w: int, k: int):
    """The vehicle in slot ``k`` found nothing to fetch."""
    claimed = s.vehicle_claim[w, k]
    s.claims[w, claimed] = s.claims[w, claimed] - 1
    s.vehicle_used_us[w, k] = s.vehicle_used_us[w, k] + s.time_us[w] - s.vehicle_job_us[w, k]
    s.server_state[w, k] = IDLE


@wp.func
def release_idle(t: LineTables, s: LineState, w: int, f: int):
    """Vehicles that came for something which went another way meanwhile are free."""
    for k in range(t.node[f].slot_begin, t.node[f].slot_end):
        if s.server_state[w, k] == ARRIVED:
            n = s.vehicle_origin[w, k]
            waits = (s.halts[w, n] & HALT_OFF) != 0
            for u in range(t.node[n].slot_begin, t.node[n].slot_end):
                if asks(t, s, w, f, u):
                    waits = bool(True)
            if not waits:
                give_up(s, w, k)


@wp.func
def set_out(t: LineTables, s: LineState, w: int, f: int, k: int, stop: int):
    """The vehicle in slot ``k`` drives to ``stop``."""
    here = s.vehicle_stop[w, k]
    way = drive_us(t, f, here, stop)
    s.server_left_us[w, k] = way
    s.server_whole_us[w, k] = way
    s.vehicle_from[w, k] = here
    s.vehicle_stop[w, k] = stop
    row = t.node[f].travel_begin + here * t.node[f].stops + stop
    s.vehicle_offset[w, k] = wp.vec3(0.0, 0.0, 0.0)
    if t.track_begin[row + 1] > t.track_begin[row]:
        s.vehicle_offset[w, k] = s.vehicle_position[w, k] - t.track[t.track_begin[row]]


@wp.func
def dispatch(t: LineTables, s: LineState, h: Site):
    """Send idle vehicles to who has waited longest, of several the nearest, then the first."""
    w = h.w
    for a in range(t.fleets):
        f = t.fleet_node[a]
        release_idle(t, s, w, f)
        again = (s.halts[w, f] & HALT_OFF) == 0
        while again:
            again = bool(False)
            asking = oldest_request(t, s, h, f)
            if asking >= 0:
                n = t.slot_node[asking]
                k = nearest_idle(t, s, h, f, n)
                if k >= 0:
                    again = True
                    s.vehicle_job_us[w, k] = s.time_us[w]
                    s.vehicle_origin[w, k] = n
                    s.vehicle_claim[w, k] = asking
                    s.claims[w, asking] = s.claims[w, asking] + 1
                    s.server_state[w, k] = FETCHING
                    set_out(t, s, w, f, k, stop_at(t, f, n))


# ---- jobs


@wp.func
def load(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int, f: int):
    """The vehicle that came to node ``n`` takes item ``i``."""
    k = vehicle_at(t, s, w, f, n)
    claimed = s.vehicle_claim[w, k]
    s.claims[w, claimed] = s.claims[w, claimed] - 1
    s.phase[w, i] = SERVED
    s.server[w, i] = k
    s.server_count[w, k] = 1
    s.server_state[w, k] = LOADING
    s.server_left_us[w, k] = NEVER_US
    want(s, w, k, LOAD)
    b = g.first + i
    row = t.node[f].travel_begin + s.vehicle_stop[w, k] * t.node[f].stops
    if t.track_begin[row + t.node[f].stops] > t.track_begin[row]:
        if g.alive[w, b] == 0 and has_zone(t, n):
            put_at(t, g, w, i, n, set_down(t, n, g.prototype[w, b]))
        if g.alive[w, b] != 0:
            g.held[w, b] = 1
            g.linear_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
            g.angular_velocity[w, b] = wp.vec3(0.0, 0.0, 0.0)
            s.glide_to[w, i] = g.position[w, b]


@wp.func
def destination(t: LineTables, s: LineState, h: Site, i: int, f: int) -> int:
    """Where the load goes, settled as it starts: by the rules of the routers behind the fleet, and where none of their
    successors has room, the first one."""
    goal = choose_goal(t, s, h, i, f)
    if goal < 0:
        goal = s.target[h.w, i]
    if goal < 0:
        goal = t.next[t.node[f].next_begin]
        while t.node[goal].kind == ROUTER:
            goal = t.next[t.node[goal].next_begin]
    s.target[h.w, i] = goal
    return goal


@wp.func
def load_of(s: LineState, w: int, k: int) -> int:
    """The item on the vehicle in slot ``k``, -1 none."""
    for i in range(s.top[w]):
        if s.server[w, i] == k and s.phase[w, i] == SERVED:
            return i
    return -1


@wp.func
def pull_up(t: LineTables, s: LineState, w: int, k: int, f: int):
    """The vehicle is at its stop."""
    row = t.node[f].travel_begin + s.vehicle_from[w, k] * t.node[f].stops + s.vehicle_stop[w, k]
    if t.track_begin[row + 1] > t.track_begin[row]:
        s.vehicle_position[w, k] = t.track[t.track_begin[row + 1] - 1]


@wp.func
def drive_on(t: LineTables, s: LineState, h: Site, k: int, f: int):
    """What the vehicle in slot ``k`` did is over: what comes next?"""
    w = h.w
    state = s.server_state[w, k]
    s.server_left_us[w, k] = NEVER_US
    if state == FETCHING:
        s.server_state[w, k] = ARRIVED
        pull_up(t, s, w, k, f)
    elif state == LOADING:
        s.server_state[w, k] = CARRYING
        set_out(t, s, w, f, k, stop_at(t, f, destination(t, s, h, load_of(s, w, k), f)))
    elif state == CARRYING:
        s.server_state[w, k] = UNLOADING
        pull_up(t, s, w, k, f)
        want(s, w, k, UNLOAD)
    elif state == UNLOADING:
        s.server_state[w, k] = DONE
        s.server_ready_us[w, k] = s.time_us[w]
    elif state == CHARGING:
        s.server_state[w, k] = IDLE
        s.vehicle_used_us[w, k] = ZERO
        want(s, w, k, BATTERY)


@wp.func
def trip_done(s: LineState, w: int, k: int):
    """The item has left the vehicle in slot ``k``."""
    s.server_ready_us[w, k] = wp.int64(-1)
    s.server_count[w, k] = 0
    s.server_state[w, k] = IDLE
    used = s.vehicle_used_us[w, k] + s.time_us[w] - s.vehicle_job_us[w, k]
    s.vehicle_used_us[w, k] = used
    if is_flat(s.vehicle_battery_us[w, k], used):
        s.server_state[w, k] = CHARGING
        s.server_left_us[w, k] = NEVER_US
        want(s, w, k, CHARGE)


# ---- what is seen


@wp.func
def heading(t: LineTables, along: wp.vec3, otherwise: wp.quat) -> wp.quat:
    """Upright, with +X to where ``along`` points."""
    ahead = wp.vec3(1.0, 0.0, 0.0)
    cosine = wp.dot(along, ahead)
    sine = wp.dot(wp.cross(ahead, along), t.upward)
    if sine * sine + cosine * cosine < 1.0e-12:
        return otherwise
    return wp.quat_from_axis_angle(t.upward, wp.atan2(sine, cosine))  # type: ignore[return-value]


@wp.func
def quat_dot(a: wp.quat, b: wp.quat) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]


@wp.func
def drive(t: LineTables, s: LineState, w: int, f: int, k: int, seconds: float):
    """Where the vehicle is on its way, and how it is turned there."""
    row = t.node[f].travel_begin + s.vehicle_from[w, k] * t.node[f].stops + s.vehicle_stop[w, k]
    begin = t.track_begin[row]
    end = t.track_begin[row + 1]
    whole = s.server_whole_us[w, k]
    if end - begin < 1 or whole <= ZERO:
        return
    length = float(0.0)
    for p in range(begin + 1, end):
        length += wp.length(t.track[p] - t.track[p - 1])
    share = float(whole - s.server_left_us[w, k]) / float(whole)
    left = length * share
    place = t.track[end - 1]
    along = wp.vec3(0.0, 0.0, 0.0)
    found = bool(False)
    for p in range(begin + 1, end):
        step = t.track[p] - t.track[p - 1]
        far = wp.length(step)
        if not found and far > 0.0:
            along = step
            if left <= far:
                place = t.track[p - 1] + step * (left / far)
                found = bool(True)
            left -= far
    s.vehicle_position[w, k] = place + s.vehicle_offset[w, k] * wp.max(1.0 - share * length, 0.0)
    now = s.vehicle_rotation[w, k]
    goal = heading(t, along, now)
    if quat_dot(goal, now) < 0.0:
        goal = wp.quat(-goal[0], -goal[1], -goal[2], -goal[3])
    turn = 2.0 * wp.acos(wp.clamp(quat_dot(goal, now), 0.0, 1.0))
    if turn > 1.0e-4:
        s.vehicle_rotation[w, k] = wp.normalize(wp.quat_slerp(now, goal, wp.min(TURN_RAD_S * seconds / turn, 1.0)))


@wp.func
def show_vehicle(t: LineTables, s: LineState, g: Goods, w: int, f: int, k: int, seconds: float):
    """A step of the vehicle in slot ``k`` and of what it carries."""
    state = s.server_state[w, k]
    if s.halts[w, f] == 0 and (state == FETCHING or state == CARRYING):
        drive(t, s, w, f, k, seconds)
    position = s.vehicle_position[w, k]
    rotation = s.vehicle_rotation[w, k]
    v = vehicle_in(t, f, k)
    body = t.vehicle_body[v]
    if body >= 0 and k - t.node[f].slot_begin < t.node[f].servers:
        g.position[w, body] = position + wp.quat_rotate(rotation, t.vehicle_com[v])
        g.rotation[w, body] = rotation
    i = load_of(s, w, k)
    if i < 0:
        return
    b = g.first + i
    if g.alive[w, b] == 0:
        return
    p = g.prototype[w, b]
    place = position + t.upward * (t.deck[f] + wp.abs(wp.dot(t.prototype_half[p], t.upward)) + 0.002)
    place = place + wp.quat_rotate(rotation, t.prototype_com[p] - t.prototype_center[p])
    if state == LOADING:
        # lifted across in the time that loading takes
        share = float(0.0)
        whole = s.server_whole_us[w, k]
        if s.server_left_us[w, k] < NEVER_US and whole > ZERO:
            share = float(whole - s.server_left_us[w, k]) / float(whole)
        g.position[w, b] = s.glide_to[w, i] + (place - s.glide_to[w, i]) * share
        g.rotation[w, b] = wp.normalize(wp.quat_slerp(g.rotation[w, b], rotation, share))
    else:
        g.position[w, b] = place
        g.rotation[w, b] = rotation


@wp.func
def show_fleets(t: LineTables, s: LineState, g: Goods, w: int, seconds: float):
    """A step of all vehicles that have ways."""
    for a in range(t.fleets):
        f = t.fleet_node[a]
        row = t.node[f].travel_begin
        if t.track_begin[row + (t.node[f].stops + 1) * t.node[f].stops] > t.track_begin[row]:
            for k in range(t.node[f].slot_begin, t.node[f].slot_end):
                show_vehicle(t, s, g, w, f, k, seconds)
