"""Python's cyclic garbage is collected without looking through everything again and again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from twin.server import garbage as garbage_module
from twin.server.garbage import ALL_S, ALONE_S, EVERY_S, Garbage


class Knot:
    """Holds itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(garbage_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def garbage(clock: list[float]) -> Iterator[Garbage]:
    before = gc.get_threshold()
    made = Garbage()
    made.begin()
    yield made
    made.end()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_what_has_come_since_is_looked_through_now_and_then(garbage: Garbage, clock: list[float]) -> None:
    knot = weakref.ref(Knot())
    clock[0] += EVERY_S - 1
    garbage.look(alone=False)
    assert knot() is not None, "not yet"
    clock[0] += 2
    garbage.look(alone=False)
    assert knot() is None
    full = gc.get_stats()[2]["collections"]
    for _ in range(50_000):
        Knot()  # young ones are collected as ever, and never all
    assert gc.get_stats()[2]["collections"] == full


@pytest.mark.parametrize(("alone", "after"), [(True, ALONE_S), (False, ALL_S)])
def test_what_has_outlived_a_collection_is_looked_for_where_nobody_waits_or_seldom(
    garbage: Garbage, clock: list[float], alone: bool, after: float
) -> None:
    kept = Knot()
    knot = weakref.ref(kept)
    clock[0] += EVERY_S
    garbage.look(alone=False)
    del kept
    clock[0] += EVERY_S
    garbage.look(alone=False)
    assert knot() is not None, "it was put aside"
    clock[0] += after
    garbage.look(alone=alone)
    assert knot() is None
