"""What the page shows of a moment, beside what was recorded of it."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twin.core.samples import SignalKey, is_bad
from twin.history import Recording
from twin.history.track import Moment, Track

UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


@dataclass
class Difference:
    """The largest differences between page and record at one moment.

    Attributes:
        bodies, goods: How many were compared. missing: Goods that only one of the two has.
        metres, degrees: Of any body and any goods.
        signals: How many were compared. others: Signals of which the page shows another value.
        edit, edit_recorded: The edit after which the page shows the scene, and the one of the journal.
    """

    bodies: int
    goods: int
    missing: int
    metres: float
    degrees: float
    signals: int
    others: list[str]
    edit: int
    edit_recorded: int


def moments(project: Path, begin_ns: int = 0, end_ns: int = 2**62) -> list[Moment]:
    return list(Track(project / "track").moments(begin_ns, end_ns))


def compare(page: Any, project: Path, moment: Moment, bodies: list[str]) -> Difference:
    """Look at a sample of the track in the page, and compare. ``bodies``: those whose poses are asked for."""
    page.evaluate("(ms) => window.__twin.seek(ms)", moment.time_ns // 1000 / 1000)
    page.wait_for_function("() => window.__twin.settled", timeout=90_000)
    metres, degrees = [0.0], [0.0]
    there = {path: i for i, path in enumerate(moment.paths)}
    shown = page.evaluate("(paths) => paths.map((p) => window.__twin.pose(p))", bodies)
    for path, pose in zip(bodies, shown, strict=True):
        i = there[path]
        assert pose is not None, path
        metres.append(float(np.linalg.norm(np.array(pose["position"]) - moment.position[i])))
        degrees.append(_angle(np.array(pose["rotation"]), moment.rotation[i]))
    drawn = {int(slot): row for slot, row in page.evaluate("() => window.__twin.goods()").items()}
    recorded = {slot: row for (slot, _), row in moment.goods.items()}
    for slot in drawn.keys() & recorded.keys():
        prototype, position, rotation = recorded[slot]
        assert drawn[slot]["prototype"] == prototype
        metres.append(float(np.linalg.norm(np.array(drawn[slot]["pose"][:3]) - position)))
        degrees.append(_angle(np.array(drawn[slot]["pose"][3:]), rotation))
    compared, others = _signals(page, project, moment.time_ns)
    with closing(sqlite3.connect(f"file:{project / 'journal.db'}?mode=ro", uri=True)) as journal:
        newest = journal.execute("SELECT max(seq) FROM ops").fetchone()[0] or 0
        then = journal.execute("SELECT max(seq) FROM ops WHERE time_ns <= ?", (moment.time_ns,)).fetchone()[0] or 0
    edit = page.evaluate("() => window.__twin.editThen")
    return Difference(
        len(bodies), len(drawn), len(drawn.keys() ^ recorded.keys()), max(metres), max(degrees), compared, others,
        newest if edit is None else edit, then,
    )  # fmt: skip


def _signals(page: Any, project: Path, t_ns: int) -> tuple[int, list[str]]:
    shown = page.evaluate("() => window.__twin.valuesThen().values")
    at_ns = t_ns // 1000 * 1000
    recording = Recording(project / "history.db")
    others = []
    for key, value in shown.items():
        found = recording.latest_at(SignalKey.parse(key), at_ns)
        held = None if found is None or is_bad(found.quality) else found.value
        if held != value:
            others.append(f"{key}: {value!r} is shown, {held!r} was recorded")
    known = {str(SignalKey(s.prim, s.name)) for s in recording.signals() if s.first_ns <= at_ns}
    others += [f"{key} is not shown" for key in known - shown.keys()]
    recording.close()
    return len(shown), others


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two rotations, xyzw."""
    if not a.any() or not b.any():
        return 0.0
    dot = abs(float(np.dot(a / np.linalg.norm(a), b / np.linalg.norm(b))))
    return math.degrees(2.0 * math.acos(min(1.0, dot)))
