"""Who may edit what: rules on parts of the stage, for those whom the role alone says too much or too little about.

A rule stands at a prim and counts for all below it; with a property it counts for that property only. It names the role that
is needed there, and users who need none. Of several, the one about the property counts before the one about the prim, then
the nearest. Where none stands, an edit needs an editor. So ``admin`` at a machine locks it, and ``operator`` at a belt's
speed makes that a set-point.

Checking touches no disk; everything belongs to the document's thread.
"""

from __future__ import annotations

import msgspec

from twin.collab.journal import Journal
from twin.collab.moves import Moves
from twin.collab.roles import ROLES
from twin.core.clock import now_ns
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import Op, RuleDoc

_SCHEMA = """create table if not exists rules (
    id integer primary key, path text not null, field text not null, role text not null, users blob not null,
    note text not null, author text not null, time_ns integer not null, unique (path, field))"""
MAX_RULES = 1000
_VALUES = {"set_field", "block", "clear", "set_relationship", "list_edit"}
_HIDES = {"active", "instanceable"}
"""Metadata that takes all below a prim out of reach."""


class Rules:
    """The project's rules."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        journal.write(_SCHEMA)
        self.read()

    def read(self) -> None:
        """As the journal has them: after a step of it was taken back, too."""
        self._rules = [
            RuleDoc(id, path, field, role, msgspec.msgpack.decode(users, type=list[str]), note, author, time_ns)
            for id, path, field, role, users, note, author, time_ns in self._journal.read(
                "select id, path, field, role, users, note, author, time_ns from rules order by path, field"
            )
        ]

    def all(self) -> list[RuleDoc]:
        """In order of path and property."""
        return list(self._rules)

    def put(self, path: str, field: str, role: str, users: list[str], *, note: str, author: str) -> RuleDoc:
        """Set the rule of a prim or a property; what was said there before is replaced.

        Raises:
            InputError: No such role, or too many rules.
        """
        allowed = ROLES[1:]
        if role not in allowed:
            raise InputError(f"no role {role!r} that could edit", prim=path, attribute="role", allowed=allowed)
        before = [rule for rule in self._rules if (rule.path, rule.field) == (path, field)]
        if not before and len(self._rules) >= MAX_RULES:
            raise InputError(f"there are {MAX_RULES} rules already", prim=path)
        now = now_ns()
        id = self._journal.write(
            "insert or replace into rules (path, field, role, users, note, author, time_ns) values (?, ?, ?, ?, ?, ?, ?)",
            (path, field, role, msgspec.msgpack.encode(users), note, author, now),
        )
        rule = RuleDoc(id, path, field, role, users, note, author, now)
        self._rules = sorted([r for r in self._rules if r not in before] + [rule], key=lambda r: (r.path, r.field))
        return rule

    def delete(self, id: int) -> RuleDoc:
        """Take a rule away.

        Raises:
            InputError: There is none of that number.
        """
        for rule in self._rules:
            if rule.id == id:
                self._journal.write("delete from rules where id = ?", (id,))
                self._rules = [r for r in self._rules if r.id != id]
                return rule
        raise InputError(f"there is no rule {id}")

    def moved(self, moves: Moves) -> bool:
        """Prims have other paths now: their rules go along, in place of what was said there; returns whether there was any."""
        before = [rule for rule in self._rules if moves(rule.path) != rule.path]
        for rule in before:
            self._journal.write("delete from rules where id = ?", (rule.id,))
        for rule in before:
            self._journal.write(
                "insert or replace into rules values (?, ?, ?, ?, ?, ?, ?, ?)",
                (rule.id, moves(rule.path), rule.field, rule.role, msgspec.msgpack.encode(rule.users), rule.note, rule.author,
                 rule.time_ns),
            )  # fmt: skip
        if before:
            self.read()
        return bool(before)

    def check(self, op: Op, role: str, user: str) -> None:
        """Whether somebody may do an operation. ``user`` is the name that came with the token, not one of their own choice.

        Raises:
            Rejected: ``role`` where the role is too low, ``rule`` where a rule asks for more.
        """
        about_value = op.kind in _VALUES or (op.kind == "restore_spec" and bool(op.field))
        paths = [op.path, op.value] if op.kind == "move_prim" and isinstance(op.value, str) else [op.path]
        for path in paths:
            rule = self._at(path, op.field if about_value else "")
            if rule is None:
                if not _reaches(role, "editor"):
                    raise Rejected("role", "your role does not allow edits", prim=path)
            else:
                _allow(rule, role, user, path)
        if not about_value and (op.kind not in ("set_metadata", "apply_api") or op.field in _HIDES):
            for rule in self._rules:
                if any(_below(path, rule.path) for path in paths):
                    _allow(rule, role, user, op.path)

    def _at(self, path: str, field: str) -> RuleDoc | None:
        found = [r for r in self._rules if r.field in ("", field) and (r.path == path or _below(r.path, path))]
        return max(found, key=lambda r: (r.field != "", len(r.path)), default=None)


def _allow(rule: RuleDoc, role: str, user: str, path: str) -> None:
    if not (_reaches(role, rule.role) or (user and user in rule.users)):
        what = f"{rule.path}.{rule.field}" if rule.field else rule.path
        raise Rejected("rule", f"{what} is reserved for: {', '.join([rule.role, *rule.users])}", prim=path)


def _reaches(role: str, needed: str) -> bool:
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def _below(above: str, path: str) -> bool:
    return path != above and path.startswith(above if above.endswith("/") else above + "/")
