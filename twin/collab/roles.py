"""Who may do what. Each role may do all that the ones before it may."""

from __future__ import annotations

ROLES = ("viewer", "operator", "editor", "admin")
"""viewer looks; operator also runs, pauses and comments; editor also edits; admin also hands out access."""

_NEEDED = {"view": "viewer", "comment": "operator", "control": "operator", "edit": "editor", "share": "admin"}


def may(role: str, action: str) -> bool:
    """Whether ``role`` may ``view``, ``comment``, ``control``, ``edit`` or ``share``."""
    return role in ROLES and ROLES.index(role) >= ROLES.index(_NEEDED[action])
