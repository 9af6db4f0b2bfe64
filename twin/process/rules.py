"""Rules of the line that both engines apply to their own state (docs/semantics.md, "Nodes")."""

from __future__ import annotations

import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)

FIRST = wp.constant(0)
ROUND_ROBIN = wp.constant(1)
SHORTEST_QUEUE = wp.constant(2)
PROBABILITY = wp.constant(3)
BY_TYPE = wp.constant(4)
BY_QUALITY = wp.constant(5)


@wp.func
def pick_by_weight(cumulative: wp.array(dtype=wp.float64), begin: int, end: int, u: wp.float64) -> int:
    """Index in [begin, end) whose cumulative share holds ``u``."""
    for e in range(begin, end):
        if u < cumulative[e]:
            return e
    return end - 1


@wp.func
def pick_by_type(types: wp.array(dtype=wp.int32), begin: int, end: int, item_type: int) -> int:
    """First edge for this item type, else the last edge."""
    for e in range(begin, end):
        if types[e] == item_type:
            return e
    return end - 1


@wp.func
def pick_by_quality(begin: int, end: int, defective: int) -> int:
    """Good items take the first edge, defective ones the second."""
    if defective != 0 and end - begin > 1:
        return begin + 1
    return begin


@wp.func
def choice_is_kept(rule: int) -> bool:
    """Choices by probability, type and quality stand while an item waits; the others are taken anew."""
    return rule >= PROBABILITY
