"""What numbers a property may hold, for people who type them; ``twin check`` and the compiler have the last word."""

from __future__ import annotations

import math
import re

_RULES: tuple[tuple[str, tuple[float, float]], ...] = (
    (r"twin:.*:k$|twin:station:(servers|batchSize)$|twin:fleet:size$", (1.0, math.inf)),
    (r"twin:station:scrapRate$", (0.0, 1.0)),
    (r"twin:buffer:capacity$|twin:source:limit$", (-1.0, math.inf)),
    (r"twin:.*:(mean|cv|min|mode|max|shape)$", (0.0, math.inf)),
    (r"twin:(conveyor:(speed|pitch|length)|fleet:speed|crew:size|station:crewSize|power:.*|sensor:range)$", (0.0, math.inf)),
    (r"physics:(dynamicFriction|staticFriction|density|mass)$", (0.0, math.inf)),
    (r"physics:restitution$", (0.0, 1.0)),
    (r"(size|radius|height)$", (0.0, math.inf)),
)


def range_of(name: str) -> tuple[float | None, float | None]:
    """Least and greatest value of a property by its full name; None where there is no bound."""
    for pattern, (low, high) in _RULES:
        if re.match(pattern, name):
            return low, None if math.isinf(high) else high
    return None, None
