"""Topics and the filters that match them."""

from __future__ import annotations


def match(levels: tuple[str, ...], topic: str) -> tuple[str, ...] | None:
    """What the wildcards of a topic filter stand for in ``topic``; None where it does not match."""
    parts = topic.split("/")
    if topic.startswith("$") and levels[0] in ("+", "#"):
        return None
    captures: list[str] = []
    for i, level in enumerate(levels):
        if level == "#":
            return (*captures, "/".join(parts[i:]))
        if i >= len(parts) or (level not in ("+", parts[i])):
            return None
        if level == "+":
            captures.append(parts[i])
    return tuple(captures) if len(parts) == len(levels) else None
