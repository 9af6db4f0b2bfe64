"""Who may edit what, by role and by rule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from twin.collab import ROLES, Journal, Rules
from twin.core.errors import InputError, Rejected
from twin.protocol.messages import Op
from twin.scene.edits.apply import _SINGLE, _STRUCTURE, _VALUES

M = "/Line/M"
OPS = {
    "set_field": Op("set_field", M, "size", ["double", 1.0]),
    "block": Op("block", M, "size"),
    "clear": Op("clear", M, "size"),
    "set_relationship": Op("set_relationship", M, "twin:next", []),
    "list_edit": Op("list_edit", M, "twin:next", {"append": ["/A"]}),
    "set_metadata": Op("set_metadata", M, "kind", "component"),
    "add_prim": Op("add_prim", f"{M}/New", "", {"type": "Cube"}),
    "remove_prim": Op("remove_prim", M),
    "move_prim": Op("move_prim", M, "", "/Line/N"),
    "set_variant": Op("set_variant", M, "look", "plain"),
    "apply_api": Op("apply_api", M, "TwinPowerAPI"),
    "restore_spec": Op("restore_spec", M, "size", {"text": "", "index": -1}),
}


@pytest.fixture
def rules(tmp_path: Path) -> Iterator[Rules]:
    journal = Journal(tmp_path / "project")
    yield Rules(journal)
    journal.close()


def may(rules: Rules, op: Op, role: str, user: str = "") -> str:
    try:
        rules.check(op, role, user)
    except Rejected as error:
        return error.code
    return "yes"


def test_every_operation_has_a_row_and_only_editors_may_do_any(rules: Rules) -> None:
    assert set(OPS) == set(_VALUES) | set(_STRUCTURE) | set(_SINGLE)
    for op, role in itertools.product(OPS.values(), ("", "nobody", *ROLES)):
        assert may(rules, op, role) == ("yes" if role in ("editor", "admin") else "role"), (op.kind, role)


@pytest.mark.parametrize("where", ["/", "/Line", M])
def test_a_rule_locks_a_prim_and_all_below_against_every_operation(rules: Rules, where: str) -> None:
    rules.put(where, "", "admin", ["Ann"], note="", author="admin")
    for op, role in itertools.product(OPS.values(), ROLES):
        assert may(rules, op, role) == ("yes" if role == "admin" else "rule"), (op.kind, role)
        inside = where != M or op.kind != "move_prim"  # to put it elsewhere takes what is needed there
        assert may(rules, op, role, "Ann") == ("yes" if inside or role in ("editor", "admin") else "role")
        assert may(rules, op, role, "Bob") == ("yes" if role == "admin" else "rule")


def test_names_that_merely_begin_alike_are_not_below(rules: Rules) -> None:
    rules.put("/Line", "", "admin", [], note="", author="admin")
    assert may(rules, Op("remove_prim", "/Line2"), "editor") == "yes"
    assert may(rules, Op("remove_prim", "/Line/M"), "editor") == "rule"


def test_whoever_takes_away_what_is_above_needs_to_be_let_below_as_well(rules: Rules) -> None:
    rules.put("/Line/M/Guard", "", "admin", [], note="", author="admin")
    for op in (
        Op("remove_prim", M),
        Op("move_prim", M, "", "/N"),
        Op("set_variant", M, "look", "x"),
        Op("set_metadata", M, "active", False),
        Op("set_metadata", "/Line", "active", False),
        Op("restore_spec", M, "", {"text": "", "index": -1}),
        Op("add_prim", "/Line/M/Guard/New", "", {}),
        Op("move_prim", "/Line/X", "", "/Line/M/Guard/X"),
    ):
        assert may(rules, op, "editor") == "rule", op
    assert may(rules, Op("set_metadata", M, "kind", "component"), "editor") == "yes"
    assert may(rules, OPS["set_field"], "editor") == "yes"


def test_a_set_point_is_an_operators_and_nothing_else_is(rules: Rules) -> None:
    speed = Op("set_field", "/Line/Belt", "twin:conveyor:speed", ["double", 1.0])
    rules.put("/Line", "twin:conveyor:speed", "operator", [], note="", author="admin")
    assert may(rules, speed, "operator") == "yes"
    assert may(rules, speed, "viewer") == "rule"
    assert may(rules, Op("set_field", "/Line/Belt", "twin:conveyor:pitch", ["double", 1.0]), "operator") == "role"
    assert may(rules, Op("set_metadata", "/Line/Belt", "twin:conveyor:speed", "x"), "operator") == "role"
    assert may(rules, Op("remove_prim", "/Line/Belt"), "operator") == "role"


def test_the_nearest_rule_counts_and_rules_survive_a_restart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "project")
    rules = Rules(journal)
    rules.put("/Line", "", "admin", [], note="", author="admin")
    open_again = rules.put(M, "", "editor", [], note="open again", author="admin")
    assert may(rules, OPS["set_field"], "editor") == "yes"
    rules.put(M, "", "editor", ["Ann"], note="", author="admin")  # replaces
    assert len(rules.all()) == 2
    journal.close()
    journal = Journal(tmp_path / "project")
    again = Rules(journal)
    assert again.all() == rules.all()
    with pytest.raises(InputError):
        again.delete(open_again.id)
    for rule in again.all():
        again.delete(rule.id)
    assert again.all() == []
    with pytest.raises(InputError, match="operator, editor, admin"):
        again.put(M, "", "viewer", [], note="", author="admin")
    journal.close()
