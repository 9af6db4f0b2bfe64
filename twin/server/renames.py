"""What is written down under the path of a prim goes along when the prim is renamed or moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from twin.collab import Comments, Document, Rules
from twin.collab.moves import Moves, upwards
from twin.connectors import Mapping
from twin.core.samples import SignalKey
from twin.live.signals import SignalBoard
from twin.model.factory import Signal
from twin.protocol.messages import Changed
from twin.server.alarms import Alarms


class Follows(Protocol):
    """What runs and knows prims by their paths."""

    def moved(self, now: Callable[[str], str]) -> None: ...


class Renames:
    """Comments, rules, alarms and limits go along with the edit itself; what runs, once the simulation knows the new paths.

    All on the owner thread.
    """

    def __init__(self, document: Document, comments: Comments, rules: Rules, alarms: Alarms) -> None:
        self._document = document
        self._comments, self._rules, self._alarms = comments, rules, alarms
        self._waiting: list[tuple[int, Moves]] = []

    def edited(self, moves: Moves) -> list[Changed]:
        """In the step of the journal that the edit is part of; returns what is to be fetched anew."""
        if not moves:
            return []
        self._comments.moved(moves)
        log = self._alarms.log
        moved = {"rules": self._rules.moved(moves), "limits": log.limits_moved(moves), "alarms": log.moved(moves)}
        return [Changed(what) for what, any_did in moved.items() if any_did]

    def wait(self, seq: int, moves: Moves) -> None:
        """The edit ``seq`` matters to the simulation, which has still to take it over."""
        if moves:
            self._waiting.append((seq, moves))

    def taken_back(self) -> None:
        """Edits could not be written and are no more."""
        self._waiting = [each for each in self._waiting if each[0] <= self._document.seq]
        self._rules.read()

    def since(self, seq: int) -> Moves:
        """What prims of the model in force are called after the edit ``seq``."""
        return Moves([pair for number, moves in self._waiting if number <= seq for pair in moves])

    def took_over(self, seq: int, signals: SignalBoard, connected: Follows) -> None:
        """The simulation runs with all edits up to ``seq``."""
        moves = self.since(seq)
        if moves:
            signals.moved(moves)
            self._alarms.moved(moves)
            connected.moved(moves)
        self._waiting = [each for each in self._waiting if each[0] > seq]

    # ---- mappings, which say what prims were called when they were written

    def followed(self, mapping: Mapping, signals: Sequence[Signal]) -> Mapping:
        """A mapping whose signals are found under what their prims are called now."""
        known, moves = {SignalKey(s.prim, s.name) for s in signals}, self._document.moves.all()
        points = []
        for point in mapping.points:
            now = SignalKey(moves(point.target.prim), point.target.name)
            points.append(replace(point, target=now) if point.target not in known and now in known else point)
        return replace(mapping, points=tuple(points))

    def called_now(self, path: str) -> str:
        """What a prim is called now that somebody may know by an earlier name; unknown ones stay."""
        now, has = self._document.moves.all()(path), self._document.stage.GetPrimAtPath
        return now if now != path and has(now) and not has(path) else path

    def was_there(self, path: str) -> bool:
        """Whether an edit has taken away a prim that the stage does not have."""
        missing = ""
        for above in upwards(path):
            prim = self._document.stage.GetPrimAtPath(above)
            if prim:
                return not prim.IsActive() or (bool(missing) and self._document.journal.mentions(missing))
            missing = above
        return self._document.journal.mentions(missing)
