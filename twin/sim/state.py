"""The state of the line in W worlds. One row of an item array is one item slot, the same slot as in ``twin.physics.World``."""

from __future__ import annotations

from typing import Any

import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)
from twin.sim.tables import LineTables

NODE_STATES = 7
LEAD_BINS = 512
LEAD_MIN_S = 0.01
LEAD_MAX_S = 1.0e7
"""Lead times go into a histogram of logarithmic bins between these."""

PURPOSES = 12
"""Random purposes per node; each has its own ordinal."""


@wp.struct
class LineState:
    """State of every world's line; W worlds, N nodes, K servers, S item slots. Times are int64 microseconds."""

    # nodes [W,N]
    halts: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # why the node stands still, bits
    fail_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # left until the next failure; -1 never
    fail_whole_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # all of that time, as drawn
    repair_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # left of the repair
    repair_whole_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # all of the repair, as drawn
    repair: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # asked for people, or under way
    repair_asked_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    arrival_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # left until the source's next item; -1 none comes
    waiting: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # slot of the item waiting in the source; -1 none
    ready_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # since when a source's or buffer's first item waits
    belt_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # belt without geometry: its clock, which stands with it
    belt_front_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    belt_end_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # coordinate of the last item
    belt_entry_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # when its entry comes clear; -1 nobody waits
    made: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    last_type: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    round_robin: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    level: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    state: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # NodeState
    stuck: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # items waiting at the end
    freed: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # scratch: half the length of what just left a server [m]
    head: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # scratch: the slot that a buffer hands out next
    closed: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # scratch: somebody who has waited longer waits for it
    entered: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    left: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    defects: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # items found defective
    state_us: wp.array3d(dtype=wp.int64)  # type: ignore[valid-type]  # [W,N,7], summed over servers
    level_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # integral of level
    unattended_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # of the time down, that in which nobody repaired
    ordinal: wp.array3d(dtype=wp.int64)  # type: ignore[valid-type]  # draws made [W,N,PURPOSES]
    # servers [W,K]
    server_state: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    server_left_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # left of the set-up or cycle
    server_whole_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # all of it, as drawn
    server_ready_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # since when it waits for room
    server_asked_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # since when it waits for people
    server_count: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # items in it
    server_joined: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # bit per upstream node that gave its item
    server_head: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # scratch: its first item
    claims: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # vehicles on their way to it
    # vehicles, in the rows of their slots [W,K]
    vehicle_stop: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # where it is or drives to
    vehicle_from: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # where it came from
    vehicle_origin: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # node that it fetches from
    vehicle_claim: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # slot that it fetches from
    vehicle_job_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # when its present job began
    vehicle_used_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # time in use since it was charged
    vehicle_battery_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # of that much; -1 without end
    vehicle_position: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # [m] on its way
    vehicle_rotation: wp.array2d(dtype=wp.quat)  # type: ignore[valid-type]
    vehicle_offset: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]  # where it set out, from the begin of its way [m]
    # crews [W,C], shifts [W,H]
    crew_free: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    crew_busy_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # integral of people at work, on shift
    crew_on_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # integral of people on shift
    shift_at: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # index of the next switch since the first Monday
    # items [W,S]
    phase: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    node: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # where it counts as being
    server: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # -1 in none
    target: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # a kept choice; -1 none
    parent: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # slot of the item that contains it; -1 none
    sequence: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # order in which goods entered their nodes
    since_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # when it began to wait
    at_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # belt without geometry: when it entered
    coordinate_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # least distances up to it, summed
    fallen_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # how long it has lain below the line
    choices: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # at routers by probability behind a choice by room
    born_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # sum over its loose pieces of when they left their source
    pieces: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    stacked: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # gripped, or put on the stack, by a robot
    loose: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # pieces that are not items of their own in it
    defective: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]
    id: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    gliding: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # is carried to ``glide_to``
    glide_to: wp.array2d(dtype=wp.vec3)  # type: ignore[valid-type]
    glide_speed: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]
    # robots [W,A], hinges [W,6A]
    robot_item: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # slot that it takes or has; -1 none
    robot_id: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    robot_rank: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # place in the stack
    robot_step: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # point that it goes to
    robot_s: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # since when it goes there [s]
    robot_at: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # angles now [rad]
    robot_from: wp.array2d(dtype=wp.float32)  # type: ignore[valid-type]  # angles where it set out [rad]
    # lists [W,...]
    candidate: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # scratch: who may move; slot, or -1 - server
    candidate_us: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    candidate_key: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]
    wanted: wp.array2d(dtype=wp.int32)  # type: ignore[valid-type]  # durations to be drawn
    # worlds [W]
    candidates: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    wants: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    top: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # slots from here on are free
    time_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    next_id: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    next_sequence: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    spawned: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    sunk: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    scrapped: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    lost: wp.array(dtype=wp.int64)  # type: ignore[valid-type]
    full: wp.array(dtype=wp.int64)  # type: ignore[valid-type]  # steps in which an item found no free slot
    pieces_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]  # integral of pieces inside
    lead_us: wp.array(dtype=wp.int64)  # type: ignore[valid-type]  # sum of lead times of pieces sunk
    lead_hist: wp.array2d(dtype=wp.int64)  # type: ignore[valid-type]  # [W,LEAD_BINS] pieces


NODE_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(
        (
            "belt_us",
            "belt_front_us",
            "belt_end_us",
            "belt_entry_us",
            "fail_us",
            "fail_whole_us",
            "repair_us",
            "repair_whole_us",
            "repair_asked_us",
            "arrival_us",
            "ready_us",
            "made",
            "entered",
            "left",
            "defects",
            "level_us",
            "unattended_us",
        ),
        ("WN", wp.int64),
    ),
    **dict.fromkeys(("halts", "repair", "waiting", "last_type", "round_robin", "level", "state", "stuck"), ("WN", wp.int32)),
    "state_us": ("WN7", wp.int64),
    "ordinal": ("WNP", wp.int64),
}
SERVER_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(
        ("server_state", "server_count", "claims", "vehicle_stop", "vehicle_from", "vehicle_origin", "vehicle_claim"),
        ("WK", wp.int32),
    ),
    **dict.fromkeys(
        (
            "server_left_us",
            "server_whole_us",
            "server_ready_us",
            "server_asked_us",
            "server_joined",
            "vehicle_job_us",
            "vehicle_used_us",
            "vehicle_battery_us",
        ),
        ("WK", wp.int64),
    ),
    **dict.fromkeys(("vehicle_position", "vehicle_offset"), ("WK", wp.vec3)),
    "vehicle_rotation": ("WK", wp.quat),
}
ITEM_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(
        ("phase", "node", "server", "target", "parent", "pieces", "stacked", "loose", "defective", "gliding"), ("WS", wp.int32)
    ),
    **dict.fromkeys(
        ("sequence", "at_us", "coordinate_us", "since_us", "fallen_us", "born_us", "id", "choices"), ("WS", wp.int64)
    ),
    "glide_to": ("WS", wp.vec3),
    "glide_speed": ("WS", wp.float32),
}
WORLD_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(
        ("time_us", "next_id", "next_sequence", "spawned", "sunk", "scrapped", "lost", "full", "pieces_us", "lead_us"),
        ("W", wp.int64),
    ),
    "top": ("W", wp.int32),
    "lead_hist": ("WL", wp.int64),
}
CALENDAR_ARRAYS: dict[str, Any] = {
    "crew_free": ("WC", wp.int32),
    **dict.fromkeys(("crew_busy_us", "crew_on_us"), ("WC", wp.int64)),
    "shift_at": ("WH", wp.int32),
}
ROBOT_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(("robot_item", "robot_rank", "robot_step"), ("WA", wp.int32)),
    "robot_id": ("WA", wp.int64),
    "robot_s": ("WA", wp.float32),
    **dict.fromkeys(("robot_at", "robot_from"), ("WJ", wp.float32)),
}
SCRATCH_ARRAYS: dict[str, Any] = {
    **dict.fromkeys(("head", "closed"), ("WN", wp.int32)),
    "freed": ("WN", wp.float32),
    "server_head": ("WK", wp.int32),
    "candidate": ("WQ", wp.int32),
    **dict.fromkeys(("candidate_us", "candidate_key"), ("WQ", wp.int64)),
    "wanted": ("WD", wp.int32),
    **dict.fromkeys(("candidates", "wants"), ("W", wp.int32)),
}
KEPT_ARRAYS = NODE_ARRAYS | SERVER_ARRAYS | ITEM_ARRAYS | WORLD_ARRAYS | CALENDAR_ARRAYS | ROBOT_ARRAYS
"""Shape and type of what continues from step to step; scratch arrays do not."""


def allocate_state(t: LineTables, worlds: int, slots: int, device: wp.Device) -> LineState:
    """A line in which nothing has happened yet; ``start_line`` in kernels.py makes the first draws."""
    n, k, i = max(t.nodes, 1), max(t.slots, 1), max(slots, 1)
    sizes = {"W": worlds, "N": n, "K": k, "S": i, "C": max(t.crews, 1), "H": max(t.shifts, 1)}
    sizes |= {"A": max(t.robots, 1), "J": 6 * max(t.robots, 1)}
    sizes |= {"7": NODE_STATES, "P": PURPOSES, "L": LEAD_BINS, "Q": n + k + i, "D": k + 3 * n}
    state = LineState()
    for name, (shape, dtype) in (KEPT_ARRAYS | SCRATCH_ARRAYS).items():
        setattr(state, name, wp.zeros(tuple(sizes[c] for c in shape), dtype=dtype, device=device))
    for name in ("waiting", "last_type", "node", "server", "target", "parent", "server_ready_us", "robot_item"):
        getattr(state, name).fill_(-1)
    return state


def state_arrays(state: LineState) -> dict[str, wp.array]:
    """Every array of a state that continues from step to step, by name."""
    return {name: getattr(state, name) for name in KEPT_ARRAYS}
