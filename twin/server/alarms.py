"""Alarms of the running twin: what raises them, where they are kept, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twin.collab import AlarmLog, Journal
from twin.collab.alarms import MAX_LISTED
from twin.core.clock import now_ns
from twin.core.errors import InputError
from twin.core.samples import SignalKey
from twin.live import Event
from twin.live.alarms import AlarmBoard
from twin.live.disagreement import PastAlarm
from twin.live.signals import SignalBoard
from twin.model.factory import FactoryModel
from twin.protocol.documents import NodeDoc
from twin.protocol.messages import AlarmBatch, AlarmDoc, Connectors, KpiBatch, LimitDoc, NodeStates, SignalBatch, SignalValue

MOST_GONE = 10_000
"""Signals that are no more, of which a mapping may still bring values that nobody is to be alarmed by: so many are remembered."""


class Alarms:
    """All on the owner thread.

    Attributes:
        told: Passes on what everybody is to know.
        standstill: Paths of the nodes whose goods have come to a standstill.
        recording: Why history cannot be written; empty while it can.
    """

    def __init__(self, journal: Journal) -> None:
        self.log = AlarmLog(journal)
        self.told: Callable[[AlarmBatch], None] = lambda message: None
        self.standstill: Callable[[], list[str]] = list
        self.recording: Callable[[], str] = str
        self._board = AlarmBoard(self._raised, next_id=self.log.next_id(), lasting=self.log.lasting())
        self._board.limits(self.log.limits())
        self._paths: list[str] = []
        self._names: set[SignalKey] = set()
        self._gone: dict[SignalKey, None] = {}
        """Signals that were there once, those that went last at the end."""

    def use(self, model: FactoryModel, nodes: Sequence[NodeDoc]) -> None:
        """What the running twin tells is about this model from now on."""
        before, had = set(self._paths), self._names
        self._paths = [node.path for node in nodes]
        self._names = {SignalKey(s.prim, s.name) for s in model.signals}
        gone = self._gone | dict.fromkeys(had)
        self._gone = dict.fromkeys([key for key in gone if key not in self._names][-MOST_GONE:])
        self._board.gone(before.difference(self._paths), self._gone)
        self._board.units({SignalKey(s.prim, s.name): s.unit for s in model.signals if s.unit})

    def moved(self, now: Callable[[str], str]) -> None:
        """The running twin knows prims by other paths; what is kept of their alarms and limits is there already."""
        self._paths = [now(path) for path in self._paths]
        self._names = {key.moved(now) for key in self._names}
        self._board.moved(now)
        self._board.limits(self.log.limits())

    def watch(self, event: Event) -> None:
        """Take what the running twin tells."""
        if isinstance(event, NodeStates):
            self._board.nodes(self._paths, event.state, now_ns())
        elif isinstance(event, SignalBatch):
            self._board.signals(event.values, now_ns())
        elif isinstance(event, Connectors):
            self._board.connections(event.connections, now_ns())
        elif isinstance(event, KpiBatch):  # comes once a second
            self._board.standstill(self.standstill(), now_ns())
            self._board.recording(self.recording(), now_ns())
            self._board.tick(now_ns())
            self.log.flush()

    def disagreement(self, alarm: PastAlarm) -> None:
        """The alarm of a residual has begun, or has ended."""
        self._board.disagreement(alarm)

    def _raised(self, alarms: list[AlarmDoc]) -> None:
        self.log.keep(alarms)
        self.told(AlarmBatch(alarms))

    def acknowledge(self, ids: Sequence[int], user: str) -> int:
        """``user`` has seen these alarms, or, without ids, all; returns how many nobody had seen before.

        Raises:
            WorkError: It could not be written.
        """
        seen = self.log.acknowledge(ids, user)
        self._board.acknowledged(seen)
        if seen:
            self.told(AlarmBatch(seen[-MAX_LISTED:]))
        return len(seen)

    def set_limit(
        self, prim: str, name: str, low: float | None, high: float | None, *, author: str, signals: SignalBoard
    ) -> LimitDoc:
        """Raise an alarm where a signal is below ``low`` or above ``high`` [its unit], now too; with neither, no longer.

        Raises:
            InputError: There is no such signal. Rejected: ``range`` or ``limit``. WorkError: It could not be written.
        """
        key = SignalKey(prim, name)
        if key not in self._names:
            known = sorted(k.name for k in self._names if k.prim == prim)
            raise InputError(f"there is no signal {name!r}", prim=prim, attribute="name", allowed=known)
        limit = self.log.set_limit(prim, name, low, high, author)
        self._board.limits(self.log.limits())
        latest = signals.latest.get(key)
        if latest is not None:
            value = SignalValue(prim, name, latest.value, latest.quality, latest.time, latest.origin)
            self._board.signals([value], now_ns())
        return limit
