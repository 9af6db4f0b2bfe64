"""The line engine: one thread advances one replication from event to event (docs/semantics.md says what each node does).

Slots hold items: one for a source, a buffer and a conveyor, one for each server of a station. An event is the earliest due
time of a slot (arrival, end of a set-up or cycle, head of a belt at its end) or of a node (failure, repair, entry of a belt
clear again). After each event items move until none can: the one that has waited longest first, then authored order.
"""

# ruff: noqa: SIM102  (Warp has no short-circuit evaluation: nested ifs keep array reads in range)

from __future__ import annotations

import warp as wp

from twin.flow.places import (
    BINS,
    BUFFER,
    COLLECTING,
    CONVEYOR,
    DEADLOCK,
    DONE,
    IDLE,
    LIVELOCK,
    MOVES_AT_ONCE,
    NEVER_US,
    ONE,
    OVERFLOW,
    READY,
    ROUTER,
    SETUP,
    SINK,
    SOURCE,
    STATION,
    WORKING,
    ZERO,
    Random,
    book_pieces,
    count_lead,
    draw_uniform,
    draw_us,
    free_item,
    free_with_children,
    goal_of,
    new_item,
    pop,
    push_back,
    push_front,
    roll,
    touch,
    turn_round_robin,
)
from twin.flow.tables import FlowState, FlowTables
from twin.process.rules import BY_QUALITY, pick_by_weight

# ---- stations


@wp.func
def run_clock(t: FlowTables, s: FlowState, w: int, n: int):
    """In mode ``operation`` the failure clock runs exactly while a server works."""
    if t.time_to_failure[n] < 0 or t.failure_while_working[n] == 0 or s.down[w, n] != 0:
        return
    if s.working[w, n] > 0:
        if s.node_due[w, n] == NEVER_US:
            s.node_due[w, n] = s.now[w] + s.fail_left[w, n]
    elif s.node_due[w, n] != NEVER_US:
        s.fail_left[w, n] = s.node_due[w, n] - s.now[w]
        s.node_due[w, n] = NEVER_US


@wp.func
def set_due(t: FlowTables, s: FlowState, w: int, k: int, n: int, duration: wp.int64):
    """The slot's work takes ``duration`` from now, or from the repair on when the station is down."""
    if s.down[w, n] != 0:
        s.slot_left[w, k] = duration
        s.slot_due[w, k] = NEVER_US
    else:
        s.slot_due[w, k] = s.now[w] + duration


@wp.func
def work(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """Set-up is over, or not needed: the cycle starts."""
    type = t.prototype_type[s.item_prototype[w, s.slot_head[w, k]]]
    s.slot_state[w, k] = WORKING
    s.working[w, n] = s.working[w, n] + 1
    set_due(t, s, w, k, n, draw_us(t, s, r, w, n, t.cycle[n * t.types + type], 1))
    run_clock(t, s, w, n)


@wp.func
def begin_service(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """The server has all it waits for: set up where the type differs from the last one, else work."""
    s.slot_ready[w, k] = wp.int64(-1)
    type = t.prototype_type[s.item_prototype[w, s.slot_head[w, k]]]
    setup = ZERO
    if s.last_type[w, n] >= 0 and s.last_type[w, n] != type:
        setup = draw_us(t, s, r, w, n, t.setup[n], 4)
    s.last_type[w, n] = type
    if setup > ZERO:
        s.slot_state[w, k] = SETUP
        set_due(t, s, w, k, n, setup)
    else:
        work(t, s, r, w, k, n)


@wp.func
def pack(t: FlowTables, s: FlowState, w: int, k: int, n: int):
    """The batch in slot ``k`` becomes one item that contains its pieces."""
    whole = new_item(s, w, t.output[n])
    if whole < 0:
        return
    pieces = int(0)
    children = int(-1)
    count = s.slot_count[w, k]
    for _ in range(count):
        item = pop(s, w, k)
        pieces = pieces + s.item_pieces[w, item]
        child = s.item_child[w, item]
        if child < 0:
            s.item_next[w, item] = children
            children = item
        else:
            while child >= 0:
                following = s.item_next[w, child]
                s.item_next[w, child] = children
                children = child
                child = following
            free_item(s, w, item)
    s.item_child[w, whole] = children
    s.item_pieces[w, whole] = pieces
    s.item_born[w, whole] = s.now[w]
    push_back(s, w, k, whole)
    s.level[w, n] = s.level[w, n] - count + 1


@wp.func
def kept_if_defective(t: FlowTables, n: int) -> bool:
    """Whether something takes the defective items of station ``n`` away: rework, or a router by quality."""
    if t.rework[n] >= 0:
        return True
    begin = t.next_begin[n]
    if begin < t.next_begin[n + 1]:
        c = t.next[begin]
        if t.kind[c] == ROUTER:
            return t.rule[c] == BY_QUALITY
    return False


@wp.func
def finish(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """The cycle in slot ``k`` is over."""
    s.working[w, n] = s.working[w, n] - 1
    s.slot_due[w, k] = NEVER_US
    s.slot_state[w, k] = DONE
    s.slot_ready[w, k] = s.now[w]
    if t.batch[n] > 1 and t.output[n] >= 0:
        pack(t, s, w, k, n)
    if t.scrap_rate[n] > wp.float64(0.0):
        defective = int(0)
        if draw_uniform(t, s, r, w, n, 6) < t.scrap_rate[n]:
            defective = 1
        item = s.slot_head[w, k]
        count = s.slot_count[w, k]
        for _ in range(count):
            s.item_defective[w, item] = defective
            item = s.item_next[w, item]
        if defective != 0 and not kept_if_defective(t, n):
            book_pieces(t, s, w)
            while s.slot_count[w, k] > 0:
                item = pop(s, w, k)
                s.scrapped[w] = s.scrapped[w] + wp.int64(s.item_pieces[w, item])
                s.level[w, n] = s.level[w, n] - 1
                s.left[w, n] = s.left[w, n] + ONE
                free_with_children(s, w, item)
            s.slot_state[w, k] = IDLE
            s.slot_ready[w, k] = wp.int64(-1)
    run_clock(t, s, w, n)


@wp.func
def fail_or_repair(t: FlowTables, s: FlowState, r: Random, w: int, n: int):
    """The station's own event: it breaks down, or it is repaired."""
    now = s.now[w]
    touch(t, s, w, n)
    if s.down[w, n] == 0:
        s.down[w, n] = 1
        for k in range(t.slot_begin[n], t.slot_begin[n + 1]):
            if s.slot_due[w, k] != NEVER_US:
                s.slot_left[w, k] = s.slot_due[w, k] - now
                s.slot_due[w, k] = NEVER_US
        s.node_due[w, n] = now + wp.max(draw_us(t, s, r, w, n, t.time_to_repair[n], 3), ONE)
        return
    s.down[w, n] = 0
    for k in range(t.slot_begin[n], t.slot_begin[n + 1]):
        if s.slot_state[w, k] == WORKING or s.slot_state[w, k] == SETUP:
            s.slot_due[w, k] = now + s.slot_left[w, k]
    s.fail_left[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
    if t.failure_while_working[n] != 0:
        s.node_due[w, n] = NEVER_US
        run_clock(t, s, w, n)
    else:
        s.node_due[w, n] = now + s.fail_left[w, n]


# ---- sources


@wp.func
def arrive(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """An item turns up in the source: its prototype is drawn and it waits to leave."""
    s.slot_due[w, k] = NEVER_US
    begin = t.item_begin[n]
    end = t.item_begin[n + 1]
    if end == begin:
        return
    pick = end - 1
    if end - begin > 1:
        pick = pick_by_weight(t.item_cumulative, begin, end, draw_uniform(t, s, r, w, n, 7))
    item = new_item(s, w, t.item_prototype[pick])
    if item >= 0:
        push_back(s, w, k, item)
        s.slot_state[w, k] = DONE
        s.slot_ready[w, k] = s.now[w]


@wp.func
def wait_for_arrival(t: FlowTables, s: FlowState, r: Random, w: int, k: int, n: int):
    """The source is empty: when does the next item turn up?"""
    s.slot_state[w, k] = IDLE
    s.slot_ready[w, k] = wp.int64(-1)
    s.slot_due[w, k] = NEVER_US
    if t.limit[n] >= ZERO and s.made[w, n] >= t.limit[n]:
        return
    if t.saturated[n] != 0:
        arrive(t, s, r, w, k, n)
    elif t.interarrival[n] >= 0:
        s.slot_due[w, k] = s.now[w] + draw_us(t, s, r, w, n, t.interarrival[n], 0)


# ---- moves


@wp.func
def take_out(t: FlowTables, s: FlowState, r: Random, w: int, k: int) -> int:
    """The first item of slot ``k`` leaves its node."""
    n = t.slot_node[k]
    touch(t, s, w, n)
    kind = t.kind[n]
    if kind == CONVEYOR:
        roll(t, s, w, n)
    item = pop(s, w, k)
    s.left[w, n] = s.left[w, n] + ONE
    if kind == SOURCE:
        book_pieces(t, s, w)
        s.spawned[w] = s.spawned[w] + ONE
        s.made[w, n] = s.made[w, n] + ONE
        s.entered[w, n] = s.entered[w, n] + ONE
        s.item_born[w, item] = s.now[w]
        wait_for_arrival(t, s, r, w, k, n)
        return item
    s.level[w, n] = s.level[w, n] - 1
    if s.slot_count[w, k] == 0:
        s.slot_ready[w, k] = wp.int64(-1)
        if kind == STATION:
            s.slot_state[w, k] = IDLE
    elif kind == CONVEYOR:
        ahead = t.transit_us[n] - s.item_at[w, s.slot_head[w, k]]
        s.slot_ready[w, k] = wp.int64(-1)
        s.slot_due[w, k] = s.now[w] + ahead
        if ahead <= ZERO:
            s.slot_due[w, k] = NEVER_US
            s.slot_ready[w, k] = s.now[w]
    else:
        s.slot_ready[w, k] = s.now[w]
    return item


@wp.func
def sink(t: FlowTables, s: FlowState, w: int, n: int, item: int):
    book_pieces(t, s, w)
    pieces = s.item_pieces[w, item]
    if t.reject[n] != 0:
        s.scrapped[w] = s.scrapped[w] + wp.int64(pieces)
    else:
        s.sunk[w] = s.sunk[w] + wp.int64(pieces)
        s.sunk_measured[w] = s.sunk_measured[w] + wp.int64(pieces)
        bin = wp.min(int(s.now[w] / t.interval_us), t.intervals - 1)
        s.sunk_interval[w, bin] = s.sunk_interval[w, bin] + pieces
        child = s.item_child[w, item]
        if child < 0:
            count_lead(s, w, item)
        while child >= 0:
            count_lead(s, w, child)
            child = s.item_next[w, child]
    s.left[w, n] = s.left[w, n] + ONE
    free_with_children(s, w, item)


@wp.func
def put_in(t: FlowTables, s: FlowState, r: Random, w: int, c: int, item: int):
    """The item enters node ``c``, which has room."""
    touch(t, s, w, c)
    kind = t.kind[c]
    s.entered[w, c] = s.entered[w, c] + ONE
    if kind == SINK:
        sink(t, s, w, c, item)
        return
    s.level[w, c] = s.level[w, c] + 1
    k = t.slot_begin[c]
    if kind == BUFFER:
        if t.lifo[c] != 0:
            push_front(s, w, k, item)
            s.slot_goal[w, k] = -1
        else:
            push_back(s, w, k, item)
        if s.slot_ready[w, k] < ZERO:
            s.slot_ready[w, k] = s.now[w]
    elif kind == CONVEYOR:
        roll(t, s, w, c)
        s.moved[w, c] = s.now[w]
        s.item_at[w, item] = ZERO
        push_back(s, w, k, item)
        if s.slot_count[w, k] == 1:
            s.slot_due[w, k] = s.now[w] + t.transit_us[c]
    else:
        server = int(-1)
        for j in range(t.slot_begin[c], t.slot_begin[c + 1]):
            if s.slot_state[w, j] == COLLECTING:
                server = j
        if server < 0:
            for j in range(t.slot_begin[c], t.slot_begin[c + 1]):
                if server < 0 and s.slot_state[w, j] == IDLE:
                    server = j
        s.slot_state[w, server] = COLLECTING
        push_back(s, w, server, item)
        if s.slot_count[w, server] >= t.batch[c]:
            if t.blocking_before[c] != 0:
                s.slot_state[w, server] = READY
                s.slot_ready[w, server] = s.now[w]
            else:
                begin_service(t, s, r, w, server, c)


@wp.func
def settle(t: FlowTables, s: FlowState, r: Random, w: int) -> int:
    """Move items until none can; returns how many moves that took."""
    moves = int(0)
    again = bool(True)
    while again:
        chosen = int(-1)
        goal = int(-1)
        oldest = NEVER_US
        for k in range(t.slots):
            since = s.slot_ready[w, k]
            if since >= ZERO and since < oldest:
                c = goal_of(t, s, r, w, k, s.slot_head[w, k])
                if c >= 0:
                    chosen = k
                    goal = c
                    oldest = since
        if chosen < 0:
            again = False
        else:
            n = t.slot_node[chosen]
            if s.slot_state[w, chosen] == READY and t.kind[n] == STATION:
                touch(t, s, w, n)
                begin_service(t, s, r, w, chosen, n)
            else:
                item = take_out(t, s, r, w, chosen)
                turn_round_robin(t, s, w, n, goal)
                if t.kind[n] == STATION:
                    if t.rework[n] == goal:
                        s.item_defective[w, item] = 0
                put_in(t, s, r, w, goal, item)
            moves += 1
            if moves > MOVES_AT_ONCE:
                s.flags[w] = s.flags[w] | LIVELOCK
            if (s.flags[w] & (LIVELOCK | OVERFLOW)) != ZERO:
                again = False
    return moves


@wp.kernel
def begin_line(
    # model
    t: FlowTables,
    r: Random,
    first: int,
    # state in/out
    s: FlowState,
):
    """An empty line at time 0: the item pool, and the first arrivals and failures are drawn."""
    w = first + wp.tid()
    for i in range(t.items):
        s.item_next[w, i] = wp.where(i + 1 < t.items, i + 1, -1)
    for k in range(t.slots):
        s.slot_ready[w, k] = wp.int64(-1)
        s.slot_due[w, k] = NEVER_US
        s.slot_goal[w, k] = -1
    for n in range(t.nodes):
        s.node_due[w, n] = NEVER_US
        s.last_type[w, n] = -1
        if t.kind[n] == SOURCE:
            wait_for_arrival(t, s, r, w, t.slot_begin[n], n)
        if t.kind[n] == STATION and t.time_to_failure[n] >= 0:
            s.fail_left[w, n] = draw_us(t, s, r, w, n, t.time_to_failure[n], 2)
            if t.failure_while_working[n] == 0:
                s.node_due[w, n] = s.fail_left[w, n]
    settle(t, s, r, w)


@wp.kernel
def advance(
    # model
    t: FlowTables,
    r: Random,
    first: int,
    until_us: wp.int64,
    # state in/out
    s: FlowState,
):
    """All events up to and including ``until_us``."""
    w = first + wp.tid()
    at_once = int(0)
    events = ZERO
    running = bool(True)
    if (s.flags[w] & (LIVELOCK | OVERFLOW)) != ZERO:
        running = False
    while running:
        due = NEVER_US
        slot = int(-1)
        node = int(-1)
        for k in range(t.slots):
            if s.slot_due[w, k] < due:
                due = s.slot_due[w, k]
                slot = k
        for n in range(t.nodes):
            if s.node_due[w, n] < due:
                due = s.node_due[w, n]
                node = n
        if due > until_us:
            running = False
            if due == NEVER_US and s.spawned[w] > s.sunk[w] + s.scrapped[w]:
                for k in range(t.slots):
                    if s.slot_ready[w, k] >= ZERO:
                        s.flags[w] = s.flags[w] | DEADLOCK
        else:
            if due > s.now[w]:
                at_once = 0
            s.now[w] = due
            events += ONE
            if node >= 0:
                if t.kind[node] == STATION:
                    fail_or_repair(t, s, r, w, node)
                else:
                    s.node_due[w, node] = NEVER_US
            else:
                n = t.slot_node[slot]
                touch(t, s, w, n)
                if t.kind[n] == SOURCE:
                    arrive(t, s, r, w, slot, n)
                elif t.kind[n] == CONVEYOR:
                    s.slot_due[w, slot] = NEVER_US
                    s.slot_ready[w, slot] = due
                elif s.slot_state[w, slot] == SETUP:
                    work(t, s, r, w, slot, n)
                else:
                    finish(t, s, r, w, slot, n)
            at_once += 1 + settle(t, s, r, w)
            if at_once > MOVES_AT_ONCE:
                s.flags[w] = s.flags[w] | LIVELOCK
            if (s.flags[w] & (LIVELOCK | OVERFLOW)) != ZERO:
                running = False
    s.events[w] = s.events[w] + events
    s.now[w] = until_us
    for n in range(t.nodes):
        touch(t, s, w, n)
    book_pieces(t, s, w)


@wp.kernel
def forget_warm_up(
    # model
    t: FlowTables,
    first: int,
    # state in/out
    s: FlowState,
):
    """Statistics of the horizon begin here; the line goes on as it is."""
    w = first + wp.tid()
    for n in range(t.nodes):
        s.level_us[w, n] = ZERO
        s.entered[w, n] = ZERO
        s.left[w, n] = ZERO
        for state in range(7):
            s.state_us[w, n, state] = ZERO
    s.sunk_measured[w] = ZERO
    s.pieces_us[w] = ZERO
    s.lead_us[w] = ZERO
    for bin in range(BINS):
        s.lead_hist[w, bin] = 0
