"""What asks for attention: machines that are down, signals that are bad or beyond a limit, lost connections, disagreement.

An alarm is raised when its condition begins and ends with it; acknowledging is somebody's own act and kept elsewhere. Signals
flicker: their alarms end only when the condition has been away for ``OFF_DELAY_S``, and then at the moment when it went; a bad
value is one only after ``ON_DELAY_S``, with the moment when it began (on-delay and off-delay as in ISA-18.2, 2016). Where a
connection is lost, that is the alarm: the signals that it leaves without a value are none of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from twin.core.samples import BAD_NO_COMMUNICATION, SignalKey, is_bad
from twin.live.disagreement import PastAlarm
from twin.model.factory import NodeState
from twin.protocol.messages import AlarmDoc, ConnectorStatus, LimitDoc, SignalValue

ON_DELAY_S = 2.0
OFF_DELAY_S = 2.0
CONFIRM_S = 30.0
"""An alarm of before a restart ends when nothing has confirmed it for so long."""
CONNECTED = ("live", "connecting")
_OF_SIGNALS = ("quality", "limit", "residual")
NAMED = 4
"""Places that the text of an alarm names, at most."""


@dataclass
class _Open:
    alarm: AlarmDoc
    away_ns: int = 0
    """Since when the condition is away; 0: it is there."""
    confirmed: bool = True


class AlarmBoard:
    """The alarms that last. One thread calls everything; times in ns UTC.

    Args:
        tell: Given alarms that have begun or ended, or whose text is another now.
        next_id: Id of the next alarm.
        lasting: Alarms that lasted when the process before ended.
    """

    def __init__(self, tell: Callable[[list[AlarmDoc]], None], *, next_id: int, lasting: Iterable[AlarmDoc] = ()) -> None:
        self._tell, self._next = tell, next_id
        self._open = {a.key: _Open(a, confirmed=False) for a in lasting}
        self._suspects: dict[str, tuple[int, SignalValue]] = {}
        """Signals that have been bad for a moment, since when [ns], and what they said last."""
        self._limits: dict[SignalKey, LimitDoc] = {}
        self._gone: set[SignalKey] = set()
        self._units: dict[SignalKey, str] = {}
        self._changed: list[AlarmDoc] = []
        self._since_ns = self._lost_ns = 0

    def limits(self, limits: Iterable[LimitDoc]) -> None:
        """The limits that hold from now on; alarms of others end with the next ``tick``."""
        self._limits = {SignalKey(limit.prim, limit.name): limit for limit in limits}
        for key, entry in self._open.items():
            if entry.alarm.kind == "limit" and SignalKey.parse(key.partition(" ")[2].rpartition(" ")[0]) not in self._limits:
                entry.away_ns, entry.confirmed = entry.away_ns or 1, True

    def gone(self, paths: Iterable[str], signals: Iterable[SignalKey]) -> None:
        """Nodes and signals that are no more: their alarms end with the next ``tick``, and none begins for such a signal."""
        self._gone = set(signals)
        keys = {f"down {path}" for path in paths}
        for key, entry in self._open.items():
            about = SignalKey.parse(key.split(" ")[1]) if entry.alarm.kind in _OF_SIGNALS else None
            if key in keys or about in self._gone:
                entry.away_ns, entry.confirmed = entry.away_ns or 1, True

    def moved(self, now: Callable[[str], str]) -> None:
        """Prims have other paths now: their alarms last, and are told with these."""
        for entry in self._open.values():
            alarm = entry.alarm
            path = now(alarm.path) if alarm.path else ""
            if path != alarm.path:
                entry.alarm = replace(alarm, path=path, key=alarm.key.replace(f" {alarm.path}", f" {path}"))
                self._changed.append(entry.alarm)
        self._open = {entry.alarm.key: entry for entry in self._open.values()}
        self._suspects.clear()
        self._say()

    def units(self, units: dict[SignalKey, str]) -> None:
        """Units of the signals, for the text of an alarm."""
        self._units = units

    def acknowledged(self, alarms: Iterable[AlarmDoc]) -> None:
        """Somebody has seen these: what lasts is told with that from now on."""
        for alarm in alarms:
            entry = self._open.get(alarm.key)
            if entry is not None and entry.alarm.id == alarm.id:
                entry.alarm = replace(entry.alarm, acked_ns=alarm.acked_ns, acked_by=alarm.acked_by)

    def nodes(self, paths: Sequence[str], states: Sequence[int], now_ns: int) -> None:
        """States of the line's nodes."""
        for path, state in zip(paths, states, strict=False):
            key = f"down {path}"
            if state == NodeState.DOWN:
                self._on(key, "down", "error", path, f"{_name(path)} is down", now_ns)
            elif key in self._open:
                self._off(key, now_ns)
        self._say()

    def signals(self, values: Sequence[SignalValue], now_ns: int) -> None:
        """Values of signals that have changed."""
        for v in values:
            signal = SignalKey(v.prim, v.name)
            if signal in self._gone:
                continue
            bad = is_bad(v.quality)
            key = f"quality {signal}"
            if not bad:
                self._suspects.pop(key, None)
                self._away(key, now_ns)
            elif key in self._open:
                self._without_value(key, v, now_ns)
            else:
                self._suspects[key] = (self._suspects.get(key, (now_ns, v))[0], v)
            limit = self._limits.get(signal)
            if limit is not None and not bad:
                self._compare(limit, signal, v.value, now_ns)
        self._say()

    def _without_value(self, key: str, v: SignalValue, since_ns: int) -> None:
        self._on(key, "quality", "warning", v.prim, f"{_name(v.prim)} {v.name}: no good value", since_ns)

    def _compare(self, limit: LimitDoc, signal: SignalKey, value: object, now_ns: int) -> None:
        number = float(value) if isinstance(value, (int, float)) else math.nan
        for side, bound, beyond in (
            ("below", limit.low, limit.low is not None and number < limit.low),
            ("above", limit.high, limit.high is not None and number > limit.high),
        ):
            key = f"limit {signal} {side}"
            if beyond:
                unit = self._units.get(signal, "")
                text = f"{_name(signal.prim)} {signal.name} is {side} {bound:g} {unit}".strip()
                self._on(key, "limit", "warning", signal.prim, text, now_ns)
            else:
                self._away(key, now_ns)

    def connections(self, statuses: Sequence[ConnectorStatus], now_ns: int) -> None:
        """How the connections are."""
        for c in statuses:
            key = f"connection {c.name}"
            if c.state in CONNECTED:
                self._away(key, now_ns)
            elif c.state != "idle" or c.error:  # idle without a reason: nobody has tried yet
                why = f": {c.error}" if c.error else ""
                self._on(key, "connection", "error", "", f"Connection {c.name} is {c.state}{why}"[:500], now_ns)
        self._say()

    def standstill(self, paths: Sequence[str], now_ns: int) -> None:
        """Nodes whose goods do not move any more, although nothing keeps them waiting; empty while something moves."""
        if paths:
            more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
            text = f"The line stands still: goods at {', '.join(map(_name, paths[:NAMED]))}{more} do not move"
            self._on("standstill", "standstill", "error", paths[-1], text, now_ns)
        else:
            self._away("standstill", now_ns)
        self._say()

    def recording(self, error: str, now_ns: int) -> None:
        """Why history cannot be written, as on a full disk; empty while it can."""
        if error:
            self._on("recording", "recording", "error", "", f"History has stopped recording: {error}"[:500], now_ns)
        else:
            self._away("recording", now_ns)
        self._say()

    def disagreement(self, alarm: PastAlarm) -> None:
        """A signal of the plant has begun or ceased to disagree with the simulation."""
        key = f"residual {alarm.key}"
        text = f"{_name(alarm.key.prim)} {alarm.key.name}: plant and simulation disagree, score {alarm.worst:.3g}"
        if not alarm.end_ns:
            self._on(key, "residual", "warning", alarm.key.prim, text, alarm.begin_ns)
        elif (entry := self._open.get(key)) is not None:
            entry.alarm = replace(entry.alarm, text=text)
            self._off(key, alarm.end_ns)
        self._say()

    def tick(self, now_ns: int) -> None:
        """About once a second: raise what has lasted; end what has been away long enough, or never came back after a restart."""
        if any(entry.alarm.kind == "connection" and not entry.away_ns for entry in self._open.values()):
            self._lost_ns = now_ns
        for key, (since_ns, v) in list(self._suspects.items()):
            alone_ns = max(since_ns, self._lost_ns) if v.quality == BAD_NO_COMMUNICATION else since_ns
            if now_ns - alone_ns > ON_DELAY_S * 1e9:
                del self._suspects[key]
                self._without_value(key, v, since_ns)
        self._since_ns = self._since_ns or now_ns
        late = now_ns - self._since_ns > CONFIRM_S * 1e9
        for key, entry in list(self._open.items()):
            if entry.away_ns and now_ns - entry.away_ns > OFF_DELAY_S * 1e9:
                self._off(key, entry.away_ns if entry.away_ns > 1 else now_ns)
            elif not entry.confirmed and late:
                self._off(key, now_ns)
        self._say()

    def _on(self, key: str, kind: str, severity: str, path: str, text: str, now_ns: int) -> None:
        entry = self._open.get(key)
        if entry is None:
            alarm = AlarmDoc(self._next, key, kind, severity, path, text, now_ns)
            self._next += 1
            self._open[key] = _Open(alarm)
            self._changed.append(alarm)
            return
        entry.away_ns, entry.confirmed = 0, True
        if entry.alarm.text != text:
            entry.alarm = replace(entry.alarm, text=text)
            self._changed.append(entry.alarm)

    def _away(self, key: str, now_ns: int) -> None:
        entry = self._open.get(key)
        if entry is not None:
            entry.away_ns, entry.confirmed = entry.away_ns or now_ns, True

    def _off(self, key: str, end_ns: int) -> None:
        entry = self._open.pop(key, None)
        if entry is not None:
            self._changed.append(replace(entry.alarm, end_ns=max(end_ns, entry.alarm.begin_ns + 1)))

    def _say(self) -> None:
        if self._changed:
            changed, self._changed = self._changed, []
            self._tell(changed)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
