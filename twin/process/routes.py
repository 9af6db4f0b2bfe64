"""Who may go where: joins, servers, and the rules of routers (docs/semantics.md, "Buffers, conveyors, routers, merges").

Tables ``t`` are any struct with ``node`` and the columns of ``twin.process.line``. State differs from engine to engine: functions
that need it are made for an engine out of its own small functions on its state ``s`` and whatever else it hands through as
``h``. The compiler makes of them what it would make of code written twice.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

from typing import Any

import warp as wp

from twin.process.belts import places_on_belt
from twin.process.nodes import BUFFER, COLLECTING, CONVEYOR, IDLE, ONE, ROUTER, STATION, ZERO
from twin.process.rules import (
    BY_QUALITY,
    BY_TYPE,
    FIRST,
    PROBABILITY,
    ROUND_ROBIN,
    SHORTEST_QUEUE,
    choice_is_kept,
    pick_by_quality,
    pick_by_type,
    pick_by_weight,
)

ROUTER_DEPTH = wp.constant(8)


@wp.func
def joined_bit(t: Any, c: int, origin: int) -> wp.int64:
    """The bit of node ``origin`` among those that assembly ``c`` names, 0 when it does not."""
    begin = t.node[c].join_begin
    for j in range(begin, t.node[c].join_end):
        if t.join[j] == origin:
            return ONE << wp.int64(j - begin)
    return ZERO


@wp.func
def kept_if_defective(t: Any, n: int) -> bool:
    """Whether something takes the defective items of station ``n`` away: rework, or a router by quality."""
    if t.node[n].rework >= 0:
        return True
    if t.node[n].routed != 0:
        return t.node[t.next[t.node[n].next_begin]].rule == BY_QUALITY
    return False


@wp.func
def places_left(t: Any, c: int, prototype: int, level: int) -> int:
    """Free places of node ``c`` with ``level`` items for one like this, for the shortest-queue rule."""
    kind = t.node[c].kind
    if kind == BUFFER:
        if t.node[c].capacity >= 0:
            return t.node[c].capacity - level
    if kind == STATION:
        return t.node[c].servers * t.node[c].batch - level
    if kind == CONVEYOR:
        length = t.prototype_length[prototype]
        return places_on_belt(t.node[c].pitch_us, t.node[c].us_per_m, t.node[c].transit_us, length) - level
    return 1000000 - level


@wp.func
def settled_choice(t: Any, c: int, type: int, defective: int) -> int:
    """The successor of router ``c`` by type or quality, whether it has room or not."""
    begin = t.node[c].next_begin
    end = t.node[c].next_end
    if t.node[c].rule == BY_TYPE:
        return t.next[pick_by_type(t.route_type, begin, end, type)]
    return t.next[pick_by_quality(begin, end, defective)]


@wp.func
def kept_branch(choices: wp.int64, at: int, bits: int) -> int:
    """The branch that ``choices`` holds in ``bits`` bits from bit ``at`` on; -1 where none was taken yet."""
    return int((choices >> wp.int64(at)) & ((ONE << wp.int64(bits)) - ONE)) - 1


def make_server_for(server_state: Any, takes_more: Any) -> Any:
    """``server_for(t, s, h, c, origin)`` of an engine.

    Args:
        server_state: State of server k, (s, h, k). takes_more: whether collecting server k of station c takes one more with this
            bit, (t, s, h, c, k, bit).
    """

    @wp.func
    def server_for(t: Any, s: Any, h: Any, c: int, origin: int) -> int:
        """The server of station ``c`` that takes an item from node ``origin``: one that collects already, else an idle one;
        -1."""
        begin = t.node[c].slot_begin
        if t.node[c].single != 0:
            if server_state(s, h, begin) == IDLE:
                return begin
            return -1
        bit = ZERO
        if t.node[c].join_end > t.node[c].join_begin:
            bit = joined_bit(t, c, origin)
            if bit == ZERO:
                return -1
        idle = int(-1)
        # those beyond its servers only finish what they have
        for k in range(begin, begin + t.node[c].servers):
            state = server_state(s, h, k)
            if state == COLLECTING:
                if takes_more(t, s, h, c, k, bit):
                    return k
            if state == IDLE and idle < 0:
                idle = k
        return idle

    return server_for


def make_goal_of(
    *,
    stands_off: Any,
    kept_goal: Any,
    keep_goal: Any,
    choices: Any,
    keep_choices: Any,
    item_type: Any,
    is_defective: Any,
    route_uniform: Any,
    room_in: Any,
    free_places: Any,
    round_robin: Any,
) -> Any:
    """``goal_of(t, s, h, i, n)`` of an engine: where what waits at ``i`` in node ``n`` goes now, -1 while there is no room.

    Args:
        stands_off: Whether node n is off shift, (t, s, h, n).
        kept_goal, keep_goal: The choice that stands while it waits, -1 none, (s, h, i); set it, (s, h, i, c).
        choices, keep_choices: What it chose at routers by probability, one after another in an int64, 0 none, (s, h, i); set
            it, (s, h, i, choices).
        item_type, is_defective: Of what waits, (t, s, h, i).
        route_uniform: A uniform for a choice of router c, (t, s, h, c).
        room_in: Whether node c takes it now, (t, s, h, i, n, c). free_places: of node c for it, (t, s, h, i, c).
        round_robin: Branch whose turn it is at router c, (s, h, c).
    """

    @wp.func
    def goal_of(t: Any, s: Any, h: Any, i: int, n: int) -> int:
        """Where what waits at ``i`` in node ``n`` goes now, -1 while there is no room. Kept choices stay with what waits; those
        that depend on room are taken anew each time."""
        if stands_off(t, s, h, n):
            return -1
        c = kept_goal(s, h, i)
        if c < 0:
            c = t.node[n].first
            if c < 0:
                return -1
            if t.node[n].rework >= 0:
                if is_defective(t, s, h, i) != 0:
                    c = t.node[n].rework
            if t.node[c].kind != ROUTER and c != n:
                if room_in(t, s, h, i, n, c):
                    return c
                return -1
        keep = bool(True)
        depth = int(0)
        while depth < ROUTER_DEPTH:
            depth += 1
            # the candidates: all successors of a router that chooses by room, else the one place that was found
            begin = int(0)
            count = int(1)
            start = int(0)
            rule = FIRST
            routed = t.node[c].kind == ROUTER or c == n
            if routed:
                begin = t.node[c].next_begin
                count = t.node[c].next_end - begin
                if count == 0:
                    return -1
                rule = t.node[c].rule
                if choice_is_kept(rule):
                    if rule == PROBABILITY:
                        branch = int(-1)
                        if t.node[c].choice_bits > 0:
                            branch = kept_branch(choices(s, h, i), t.node[c].choice_at, t.node[c].choice_bits)
                        if branch < 0:
                            branch = pick_by_weight(t.route_weight, begin, begin + count, route_uniform(t, s, h, c)) - begin
                            if t.node[c].choice_bits > 0:
                                keep_choices(s, h, i, choices(s, h, i) | (wp.int64(branch + 1) << wp.int64(t.node[c].choice_at)))
                        c = t.next[begin + branch]
                    else:
                        c = settled_choice(t, c, item_type(t, s, h, i), is_defective(t, s, h, i))
                    if keep:
                        keep_goal(s, h, i, c)
                    count = 0
                elif rule == ROUND_ROBIN:
                    start = round_robin(s, h, c)
            best = int(-1)
            space = int(-1)
            j = int(0)
            while j < count:
                candidate = c
                if routed:
                    candidate = t.next[begin + (start + j) % count]
                j += 1
                # a router among the candidates has room when any of its successors has
                inner = int(0)
                inner_end = int(1)
                through = t.node[candidate].kind == ROUTER
                if through:
                    inner = t.node[candidate].next_begin
                    inner_end = t.node[candidate].next_end
                while inner < inner_end:
                    target = candidate
                    if through:
                        target = t.next[inner]
                    inner += 1
                    if room_in(t, s, h, i, n, target):
                        inner = inner_end
                        free = int(0)
                        if rule == SHORTEST_QUEUE:
                            free = free_places(t, s, h, i, candidate)
                        if best < 0 or free > space:
                            best = candidate
                            space = free
                        if rule != SHORTEST_QUEUE:
                            j = count
            if not routed:
                return best
            if count > 0:
                keep = False
                if best < 0:
                    return -1
                c = best
                if t.node[c].kind != ROUTER:
                    return c
        return -1

    return goal_of


def make_turn_round_robin(set_round_robin: Any) -> Any:
    """``turn_round_robin(t, s, h, n, goal)`` of an engine, which sets whose turn it is at router c with (s, h, c, branch)."""

    @wp.func
    def turn_round_robin(t: Any, s: Any, h: Any, n: int, goal: int):
        """After a move: every round-robin router passed on the way points past the branch that was taken."""
        begin = t.node[n].next_begin
        if begin == t.node[n].next_end:
            return
        c = t.next[begin]
        depth = int(0)
        while depth < ROUTER_DEPTH:
            depth += 1
            if t.node[c].kind == ROUTER:
                first = t.node[c].next_begin
                count = t.node[c].next_end - first
                following = c
                for j in range(count):
                    e = t.next[first + j]
                    hit = e == goal
                    if t.node[e].kind == ROUTER:
                        for q in range(t.node[e].next_begin, t.node[e].next_end):
                            if t.next[q] == goal:
                                hit = True
                    if hit and following == c:
                        following = e
                        if t.node[c].rule == ROUND_ROBIN:
                            set_round_robin(s, h, c, (j + 1) % count)
                if following == c:
                    return
                c = following

    return turn_round_robin
