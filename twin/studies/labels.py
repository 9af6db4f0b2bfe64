"""Names of attributes, values and points for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
BRIEF = 52
"""So many letters stand beside a chart."""
GROUPED_FROM = 3
"""So many swept values are named by what they are, with the prims below it: four racks have one capacity each."""


def short_name(attribute: str) -> str:
    """``/Line/B1.twin:buffer:capacity`` -> ``B1 capacity``, ``/Line/M1.twin:station:cycleTime:type:A:mean`` -> ``M1 cycle time A
    mean``; a KPI ``/Line/M1:blocked`` -> ``M1 blocked``."""
    prim, what = _parts(attribute)
    return f"{prim} {what}".strip()


def show_value(value: object) -> str:
    """A swept value for people."""
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(show_value, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def point_label(scenario: str, parameters: Mapping[str, object]) -> str:
    """Scenario and swept values of a point."""
    if not parameters:
        return scenario
    if len(parameters) < GROUPED_FROM:
        return f"{scenario} [{', '.join(f'{short_name(k)} = {show_value(v)}' for k, v in parameters.items())}]"
    groups: dict[str, list[str]] = {}
    for name, value in parameters.items():
        prim, what = _parts(name)
        groups.setdefault(what, []).append(f"{prim} {show_value(value)}")
    return f"{scenario} [{'; '.join(f'{what}: ' + ', '.join(values) for what, values in groups.items())}]"


def brief_labels(points: Sequence[tuple[str, Mapping[str, object], str]], most: int = BRIEF) -> tuple[list[str], str]:
    """Labels of points (scenario, swept values, own name) that fit beside a chart: whole ones where all are short, else the
    values without their names, and what says which value is which (else empty)."""
    whole = [name or point_label(scenario, values) for scenario, values, name in points]
    if all(len(label) <= most for label in whole):
        return whole, ""
    swept = list(dict.fromkeys(n for _, values, _ in points for n in values))
    brief = [name or " · ".join([scenario, *(show_value(v) for v in values.values())]) for scenario, values, name in points]
    return brief, " · ".join(["scenario", *map(short_name, swept)])


def few(names: list[str], most: int = 6) -> str:
    """The names, the first few of them where there are many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _parts(attribute: str) -> tuple[str, str]:
    prim, dot, name = attribute.rpartition(".")
    if not dot:
        prim, _, name = attribute.rpartition(":")
        return prim.rsplit("/", 1)[-1], name
    parts = [p for p in name.split(":") if p != "type"]
    if parts[0] == "twin":
        parts = parts[2:]
    return prim.rsplit("/", 1)[-1], " ".join(_WORDS.sub(" ", p).lower() if i < 1 else p for i, p in enumerate(parts))
