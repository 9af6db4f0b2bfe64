"""Arms at work: from angles to angles, links and gripped goods carried along (``twin.sim.robots`` solved the angles)."""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.process.nodes import DONE, ROUTER
from twin.sim.places import GAP_M, SERVED, Goods, hold, reach, set_down
from twin.sim.routes import first_next
from twin.sim.state import LineState
from twin.sim.tables import LineTables

LOOSE = wp.constant(0)
GRIPPED = wp.constant(1)
STACKED = wp.constant(2)
"""Where an item is that a robot's station collected."""

SHORTEST_S = wp.constant(0.2)
"""A movement takes at least so long [s]: gripping and letting go are movements too."""
AT_PLACE_M = wp.constant(0.02)


@wp.func
def is_loose(t: LineTables, s: LineState, w: int, i: int, n: int) -> bool:
    """Whether item ``i`` is to be taken by the robot of station ``n``."""
    if s.phase[w, i] != SERVED or s.node[w, i] != n or s.stacked[w, i] != LOOSE:
        return False
    return s.server_state[w, s.server[w, i]] != DONE


@wp.func
def next_loose(t: LineTables, s: LineState, w: int, n: int) -> int:
    """The item that the robot takes next, -1 for none."""
    best = int(-1)
    for i in range(s.top[w]):
        if is_loose(t, s, w, i, n):
            if best < 0 or s.sequence[w, i] < s.sequence[w, wp.max(best, 0)]:
                best = i
    return best


@wp.func
def stack_is_clear(t: LineTables, s: LineState, g: Goods, w: int, n: int) -> bool:
    """Whether nothing but this station's own goods stands where its stack grows."""
    c = first_next(t, n)
    if t.node[c].kind == ROUTER:
        c = first_next(t, c)
    place = set_down(t, c, t.node[n].output)
    for j in range(s.top[w]):
        if g.alive[w, g.first + j] != 0 and s.node[w, j] != n:
            if wp.length(g.position[w, g.first + j] - place) < t.prototype_half[t.node[n].output][0] + reach(t, g, w, j) + GAP_M:
                return False
    return True


@wp.func
def angle_at(t: LineTables, a: int, p: int, rank: int, step: int, joint: int) -> float:
    """Angle of a joint of robot ``a`` at point ``step`` of its way with the ``rank``-th item, of prototype ``p`` [rad]."""
    row = ((p * t.robot_batch[a] + wp.min(rank, t.robot_batch[a] - 1)) * t.robot_points[a] + step) * 6 + joint
    return t.robot_angle[t.robot_begin[a] + row]


@wp.func
def start_over(t: LineTables, s: LineState, w: int, a: int, step: int):
    """From where it is to point ``step``."""
    s.robot_step[w, a] = step
    s.robot_s[w, a] = 0.0
    for joint in range(t.hinges):
        s.robot_from[w, a * 6 + joint] = s.robot_at[w, a * 6 + joint]


@wp.func
def move_arm(t: LineTables, s: LineState, g: Goods, w: int, a: int, seconds: float):
    """A step of robot ``a``: what to do next, the angles on the way there, and where that puts links and goods."""
    n = t.robot_station[a]
    i = s.robot_item[w, a]
    if i >= 0:
        # a finished batch leaves with what it has
        gone = s.phase[w, i] != SERVED or s.node[w, i] != n or s.id[w, i] != s.robot_id[w, a]
        if not gone and s.stacked[w, i] != STACKED:
            gone = s.server_state[w, s.server[w, i]] == DONE
        if gone:
            i = -1
            s.robot_item[w, a] = -1
            start_over(t, s, w, a, 0)
    if i < 0 and s.halts[w, n] == 0:
        j = next_loose(t, s, w, n)
        if j >= 0:
            b = g.first + j
            if g.alive[w, b] != 0 and s.gliding[w, j] == 0:
                near = wp.length(g.position[w, b] - set_down(t, n, g.prototype[w, b])) < AT_PLACE_M
                if near and stack_is_clear(t, s, g, w, n):
                    rank = int(0)
                    for other in range(s.top[w]):
                        if s.phase[w, other] == SERVED and s.node[w, other] == n and s.stacked[w, other] == STACKED:
                            rank += 1
                    i = j
                    s.robot_item[w, a] = i
                    s.robot_id[w, a] = s.id[w, i]
                    s.robot_rank[w, a] = rank
                    start_over(t, s, w, a, 1)
    p = int(0)
    if i >= 0:
        p = g.prototype[w, g.first + i]
    step = s.robot_step[w, a]
    if s.halts[w, n] == 0:
        s.robot_s[w, a] = s.robot_s[w, a] + seconds
    most = float(0.0)
    for joint in range(t.hinges):
        most = wp.max(most, wp.abs(angle_at(t, a, p, s.robot_rank[w, a], step, joint) - s.robot_from[w, a * 6 + joint]))
    # a smooth start and stop: the mean speed is two thirds of the greatest
    whole = wp.max(1.5 * most / t.robot_speed[a], SHORTEST_S)
    x = wp.min(s.robot_s[w, a] / whole, 1.0)
    share = x * x * (3.0 - 2.0 * x)
    position = wp.vec3(0.0, 0.0, 0.0)
    rotation = wp.quat(0.0, 0.0, 0.0, 1.0)
    for joint in range(t.hinges):
        k = a * 6 + joint
        goal = angle_at(t, a, p, s.robot_rank[w, a], step, joint)
        angle = s.robot_from[w, k] + share * (goal - s.robot_from[w, k])
        s.robot_at[w, k] = angle
        position = position + wp.quat_rotate(rotation, t.hinge_position0[k])
        rotation = rotation * t.hinge_rotation0[k] * wp.quat_from_axis_angle(wp.vec3(1.0, 0.0, 0.0), angle)
        rotation = wp.normalize(rotation * wp.quat_inverse(t.hinge_rotation1[k]))
        position = position - wp.quat_rotate(rotation, t.hinge_position1[k])
        body = t.hinge_body[k]
        g.position[w, body] = position + wp.quat_rotate(rotation, t.hinge_com[k])
        g.rotation[w, body] = rotation
    tool = position + wp.quat_rotate(rotation, t.tool_position[a])
    turn = wp.normalize(rotation * t.tool_rotation[a] * wp.quat(-1.0, 0.0, 0.0, 0.0))
    if i >= 0:
        if s.stacked[w, i] == GRIPPED:
            b = g.first + i
            below = t.upward * wp.abs(wp.dot(t.prototype_half[p], t.upward))
            middle = tool - wp.quat_rotate(turn, below)
            g.position[w, b] = middle + wp.quat_rotate(turn, t.prototype_com[p] - t.prototype_center[p])
            g.rotation[w, b] = turn
            hold(g, w, i)
        if x >= 1.0:
            if step == t.robot_grip[a]:
                s.stacked[w, i] = GRIPPED
            if step == t.robot_release[a]:
                s.stacked[w, i] = STACKED
            if step + 1 < t.robot_points[a]:
                start_over(t, s, w, a, step + 1)
            else:
                s.robot_item[w, a] = -1
                start_over(t, s, w, a, 0)
