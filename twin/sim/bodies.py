"""The bodies of goods: carried, stacked, fallen, at the end of their belt; and what drives the belts."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import CONVEYOR, DONE, HALT_OFF, ROUTER, SINK, ZERO
from twin.sim.arms import next_loose
from twin.sim.clocks import judge
from twin.sim.moves import move_on, sink
from twin.sim.places import (
    FALLEN_M,
    FALLEN_US,
    FREE,
    GAP_M,
    MOVING,
    NEARING,
    PACKED,
    PASSING,
    SERVED,
    SOURCED,
    WAITING,
    Goods,
    ahead_of,
    forget_all,
    has_zone,
    hold,
    inside_zone,
    middle,
    place_free,
    put_at,
    reach,
    set_down,
    take_off,
)
from twin.sim.routes import first_next
from twin.sim.state import LineState
from twin.sim.stations import empty_server
from twin.sim.tables import LineTables

NEAR_M = wp.constant(0.1)
"""Goods this close to their place have it."""
TURN_M = wp.constant(0.35)
"""Goods that are carried over turn on the last stretch [m]: their corners are clear of what they stood beside by then."""


@wp.func
def glide(t: LineTables, s: LineState, g: Goods, w: int, i: int, dt: float):
    """A step along the straight way to the next node's place; another item that still stands there is waited for."""
    b = g.first + i
    m = s.node[w, i]
    way = s.glide_to[w, i] - g.position[w, b]
    distance = wp.length(way)
    if distance > NEAR_M and s.phase[w, i] == SERVED and (t.in_line[m] != 0 or t.robot_of[m] >= 0):
        if not place_free(t, s, g, w, i, s.glide_to[w, i], reach(t, g, w, i)):
            return
    step = s.glide_speed[w, i] * dt
    if distance <= step:
        g.position[w, b] = s.glide_to[w, i]
        g.rotation[w, b] = t.entry_rotation[m]
        g.linear_velocity[w, b] = t.direction[m] * t.speed[m]
        s.gliding[w, i] = 0
        phase = s.phase[w, i]
        if phase == PASSING:
            if t.node[m].kind == SINK:
                sink(t, s, g, w, i, m)
            else:
                s.phase[w, i] = MOVING
                g.held[w, b] = 0
        elif phase == SERVED and (t.in_line[m] != 0 or t.robot_of[m] >= 0):
            hold(g, w, i)
        else:
            take_off(s, g, w, i)
    else:
        g.position[w, b] = g.position[w, b] + way * (step / distance)
        if distance < TURN_M:
            g.rotation[w, b] = wp.normalize(wp.quat_slerp(g.rotation[w, b], t.entry_rotation[m], step / distance))
        g.linear_velocity[w, b] = way * (s.glide_speed[w, i] / distance)


@wp.func
def appear(t: LineTables, s: LineState, g: Goods, w: int, i: int, m: int):
    """An item that an in-line station took out of a buffer stands in its place as soon as that is clear."""
    place = set_down(t, m, g.prototype[w, g.first + i])
    if place_free(t, s, g, w, i, place, reach(t, g, w, i)):
        put_at(t, g, w, i, m, place)
        hold(g, w, i)


@wp.func
def stack_up(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int):
    """Show a collected item where it will stand on what leaves the station, once that place is clear: the pallet is seen to
    grow. Layers fill from the deck up, the stack is level with the output's top."""
    c = first_next(t, n)
    if c >= 0:
        if t.node[c].kind == ROUTER:
            c = first_next(t, c)
    if c < 0:
        return
    whole = t.prototype_half[t.node[n].output]
    place = set_down(t, c, t.node[n].output)
    rank = int(0)
    for j in range(s.top[w]):
        if j != i and s.phase[w, j] != FREE:
            if s.node[w, j] == n:
                if s.sequence[w, j] < s.sequence[w, i]:
                    rank += 1
            elif g.alive[w, g.first + j] != 0:
                if wp.length(g.position[w, g.first + j] - place) < whole[0] + reach(t, g, w, j) + GAP_M:
                    return
    b = g.first + i
    half = t.prototype_half[g.prototype[w, b]]
    up = int(2)
    side = int(1)
    if t.upward[1] > 0.5:
        up = 1
        side = 2
    along = wp.max(int(whole[0] / half[0] + 0.05), 1)
    across = wp.max(int(whole[side] / half[side] + 0.05), 1)
    layers = (t.node[n].batch + along * across - 1) / (along * across)
    layer = rank / (along * across)
    x = (float(rank % along) + 0.5) * 2.0 * half[0] - float(along) * half[0]
    y = (float((rank / along) % across) + 0.5) * 2.0 * half[side] - float(across) * half[side]
    z = whole[up] - float(2 * (layers - layer) - 1) * half[up]
    local = wp.vec3(x, y, z)
    if up == 1:
        local = wp.vec3(x, z, y)
    center = place - wp.quat_rotate(t.entry_rotation[c], t.prototype_com[t.node[n].output] - t.prototype_center[t.node[n].output])
    p = g.prototype[w, b]
    local = local + t.prototype_com[p] - t.prototype_center[p]
    g.position[w, b] = center + wp.quat_rotate(t.entry_rotation[c], local)
    g.rotation[w, b] = t.entry_rotation[c]
    g.alive[w, b] = 1
    g.generation[w, b] = g.generation[w, b] + 1
    hold(g, w, i)


@wp.func
def keep_pitch(t: LineTables, s: LineState, g: Goods, w: int, i: int, n: int):
    """An item on a belt with a pitch stands as long as the one that entered before it is nearer than that."""
    ahead = int(-1)
    for j in range(s.top[w]):
        if s.node[w, j] == n and g.alive[w, g.first + j] != 0 and s.sequence[w, j] < s.sequence[w, i]:
            if ahead < 0 or s.sequence[w, j] > s.sequence[w, wp.max(ahead, 0)]:
                ahead = j
    b = g.first + i
    near = bool(False)
    if ahead >= 0:
        near = wp.length(middle(t, g, w, ahead) - middle(t, g, w, i)) < t.pitch[n] - 0.001
    if near and g.held[w, b] == 0:
        hold(g, w, i)
    elif not near and g.held[w, b] != 0:
        g.held[w, b] = 0


@wp.func
def has_gone(t: LineTables, s: LineState, g: Goods, w: int, i: int, dt: wp.int64) -> bool:
    """Whether item ``i``, which is a body, fell off the line or out of the world."""
    b = g.first + i
    n = s.node[w, i]
    phase = s.phase[w, i]
    if g.alive[w, b] == 0:
        return phase == MOVING or phase == WAITING or phase == NEARING or phase == PASSING
    p = g.position[w, b]
    height = wp.dot(p, t.upward)
    if (phase == MOVING or phase == NEARING) and has_zone(t, n):
        bottom = wp.dot(t.zone_center[n], t.upward) - wp.abs(
            wp.dot(t.zone_half[n], wp.quat_rotate_inv(t.zone_rotation[n], t.upward))
        )
        if height < bottom - FALLEN_M:
            s.fallen_us[w, i] = s.fallen_us[w, i] + dt
        else:
            s.fallen_us[w, i] = ZERO
    else:
        s.fallen_us[w, i] = ZERO
    return s.fallen_us[w, i] > FALLEN_US or height < t.floor or not wp.isfinite(wp.length(p))


@wp.func
def look_at_bodies(t: LineTables, s: LineState, g: Goods, w: int, dt: wp.int64):
    """What the bodies did in this step."""
    seconds = float(dt) * 1.0e-6
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        timed = bool(False)
        if phase == MOVING or phase == WAITING:
            timed = t.placeless[s.node[w, i]] != 0
        if phase != FREE and phase != PACKED and phase != SOURCED and not timed:
            n = s.node[w, i]
            b = g.first + i
            if has_gone(t, s, g, w, i, dt):
                s.lost[w] = s.lost[w] + wp.int64(s.pieces[w, i])
                s.level[w, n] = s.level[w, n] - 1
                if s.server[w, i] >= 0:
                    empty_server(t, s, w, s.server[w, i])
                forget_all(s, g, w, i)
            elif s.gliding[w, i] != 0:
                glide(t, s, g, w, i, seconds)
            elif phase == MOVING:
                if t.node[n].kind == CONVEYOR and t.pitch[n] > 0.0:
                    keep_pitch(t, s, g, w, i, n)
                move_on(t, s, g, w, i)
            elif phase == NEARING:
                if inside_zone(t, n, middle(t, g, w, i), 0.0):
                    s.phase[w, i] = SERVED
                    hold(g, w, i)
            elif phase == SERVED and g.alive[w, b] == 0:
                if t.in_line[n] != 0:
                    appear(t, s, g, w, i, n)
                elif t.robot_of[n] >= 0:
                    if next_loose(t, s, w, n) == i:
                        appear(t, s, g, w, i, n)
                elif t.node[n].output >= 0 and t.node[n].servers == 1 and has_zone(t, n):
                    if s.server_state[w, s.server[w, i]] != DONE:
                        stack_up(t, s, g, w, i, n)


@wp.func
def drive_belts(t: LineTables, s: LineState, g: Goods, w: int, surface_drive: wp.array2d(dtype=wp.float32)):  # type: ignore[valid-type]
    """Judge the nodes, and set each belt's speed."""
    for n in range(t.nodes):
        s.stuck[w, n] = 0
        s.head[w, n] = -1
    for i in range(s.top[w]):
        phase = s.phase[w, i]
        n = s.node[w, i]
        if phase == WAITING:
            s.stuck[w, n] = s.stuck[w, n] + 1
            if g.held[w, g.first + i] == 0 and g.alive[w, g.first + i] != 0:
                hold(g, w, i)
        elif phase == MOVING:
            j = s.head[w, n]
            better = j < 0
            if not better:
                better = s.sequence[w, i] < s.sequence[w, j]
            if better:
                s.head[w, n] = i
    for n in range(t.nodes):
        if t.node[n].kind == CONVEYOR and t.placeless[n] == 0 and s.head[w, n] >= 0 and s.stuck[w, n] == 0:
            # a head that is up against what stands at the next node waits to leave; a belt that does not accumulate then stops
            j = ahead_of(t, s, g, w, s.head[w, n], n, GAP_M)
            if j >= 0:
                along = wp.dot(g.linear_velocity[w, g.first + j], t.exit_direction[n])
                if s.node[w, j] != n and along < 0.5 * t.speed[n]:
                    s.stuck[w, n] = 1
    while s.top[w] > 0 and s.phase[w, wp.max(s.top[w] - 1, 0)] == FREE:
        s.top[w] = s.top[w] - 1
    for n in range(t.nodes):
        judge(t, s, w, n)
        if t.node[n].kind == CONVEYOR:
            speed = t.speed[n]
            if (s.halts[w, n] & HALT_OFF) != 0 or (t.node[n].accumulating == 0 and s.stuck[w, n] > 0):
                speed = 0.0
            for k in range(t.belt_begin[n], t.belt_begin[n + 1]):
                surface_drive[w, t.belt_shape[k]] = speed
        else:
            off = (s.halts[w, n] & HALT_OFF) != 0
            for k in range(t.belt_begin[n], t.belt_begin[n + 1]):
                surface_drive[w, t.belt_shape[k]] = wp.where(off, 0.0, t.belt_drive[k])
