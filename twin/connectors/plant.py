"""All connections of a twin, on one event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

from twin.connectors.base import Probe, Recorder, WriteResult
from twin.connectors.inspect import probe
from twin.connectors.intake import Intake, SignalView, StateBoard
from twin.connectors.mapping import Mapping, Point
from twin.connectors.supervisor import Supervisor, Timing
from twin.core import log
from twin.core.errors import InputError, Rejected, WorkError
from twin.core.samples import Sample, SignalKey
from twin.protocol.messages import ConnectorStatus

MAX_ARMED_S = 3600.0
START_S = 60.0


class Plant:
    """The connected plant.

    Args:
        mappings: What is connected; names of connections are unique over all of them.
        recorder: Takes every sample; None records nothing.
        allow_writes: Permit write() where the mapping permits it too: always, or only what arm() has armed.
        timing: For tests; the defaults are meant for plants.

    Raises:
        InputError: Two connections have the same name.
    """

    def __init__(
        self,
        mappings: Mapping | Sequence[Mapping],
        recorder: Recorder | None = None,
        *,
        allow_writes: bool | Literal["armed"] = False,
        timing: Timing | None = None,
        seed: int | None = None,
    ) -> None:
        self._board = StateBoard()
        self._allow_writes = allow_writes
        self._armed: dict[SignalKey, float] = {}
        self._timing = timing or Timing()
        self._log = log.get("connectors")
        self._supervisors: dict[str, Supervisor] = {}
        jitter = random.Random(seed)
        for mapping in [mappings] if isinstance(mappings, Mapping) else mappings:
            for connection in mapping.connections:
                if connection.name in self._supervisors:
                    raise InputError(f"two connections are named {connection.name!r}", file=mapping.file, attribute="connections")
                points = [p for p in mapping.points if p.connection == connection.name]
                intake = Intake(connection.name, connection.origin, points, self._board, recorder)
                self._supervisors[connection.name] = Supervisor(mapping, connection, intake, self._timing, jitter)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="twin-connectors", daemon=True)

    # ---- any thread

    def start(self) -> None:
        """Begin connecting; returns at once.

        Raises:
            WorkError: The thread that connects does not come up.
        """
        self._thread.start()
        if not self._ready.wait(START_S):
            raise WorkError(f"the thread of the connections did not start within {START_S:g} s")

    def stop(self, timeout_s: float = 10.0) -> None:
        """Disconnect and end the thread. A second call does nothing.

        Raises:
            WorkError: A connection did not close in time.
        """
        if self._loop is None or self._stopping is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise WorkError(f"connections did not close within {timeout_s:g} s")

    def drain_state(self) -> dict[SignalKey, Sample]:
        """The newest sample of each signal that changed since the last call."""
        return self._board.drain()

    def statuses(self) -> list[ConnectorStatus]:
        """How each connection stands."""
        return [s.status() for s in self._supervisors.values()]

    def targets(self) -> set[SignalKey]:
        """Signals that a connection writes, those found through wildcards included as they appear."""
        return set().union(*(s.intake.targets() for s in self._supervisors.values()))

    def losses(self) -> dict[str, int]:
        """What came and was not delivered: ``connection: reason: where`` -> how many."""
        return {
            f"{name}: {reason}: {where}": count
            for name, supervisor in self._supervisors.items()
            for (reason, where), count in list(supervisor.intake.losses.items())
        }

    def late(self) -> dict[str, int]:
        """Samples by connection that came after a newer one of their signal: recorded, and not shown as the state."""
        return {name: supervisor.intake.late for name, supervisor in self._supervisors.items()}

    def view(self) -> list[SignalView]:
        """Every signal with its raw and its converted value."""
        return [row for s in self._supervisors.values() for row in s.intake.view()]

    def moved(self, now: Callable[[str], str]) -> None:
        """Prims have other paths now: what the mappings say of them counts there. Permissions to write end."""
        self._armed.clear()
        if self._loop is None or not self._thread.is_alive():
            return
        for supervisor in self._supervisors.values():
            self._loop.call_soon_threadsafe(supervisor.intake.moved, now)

    def restart(self, connection: str, timeout_s: float = 5.0) -> None:
        """End the attempt of a connection and begin anew at once, also where it had given up.

        Raises:
            Rejected: ``path``: no such connection, ``gone``: stopped.
        """
        supervisor = self._supervisors.get(connection)
        if supervisor is None:
            raise Rejected("path", f"no connection {connection!r}", attribute=connection)
        if self._loop is None or not self._thread.is_alive():
            raise Rejected("gone", "the connections are stopped", attribute=connection)
        self._log.info("restart asked for", connection=connection)
        self._loop.call_soon_threadsafe(supervisor.begin_anew)

    def probe(self, connection: str, timeout_s: float) -> Probe:
        """Connect a second time, outside the running connection, and ask who is there. Not for the loop's thread.

        Raises:
            Rejected: No such connection. WorkError: Nobody answered, or not in time.
        """
        supervisor = self._supervisors.get(connection)
        if supervisor is None:
            raise Rejected("path", f"no connection {connection!r}", attribute=connection)
        return probe(supervisor.mapping, supervisor.connection, timeout_s=timeout_s)

    def arm(self, key: SignalKey, seconds: float) -> None:
        """Permit writing a signal for a while; 0 takes it back.

        Raises:
            Rejected: ``path``: not in the mapping, ``role``: nothing permits writing it, ``limit``: for longer than an hour.
        """
        self._point(key)
        if not self._allow_writes:
            raise Rejected("role", "writing to the plant is switched off", prim=key.prim, attribute=key.name)
        if self._point(key)[1].write is None:
            raise Rejected("role", "the mapping does not permit writing this signal", prim=key.prim, attribute=key.name)
        if not 0.0 <= seconds <= MAX_ARMED_S:
            raise Rejected("limit", f"a signal is armed for at most {MAX_ARMED_S:g} s", prim=key.prim, attribute=key.name)
        self._armed[key] = time.monotonic() + seconds

    def armed(self) -> dict[SignalKey, float]:
        """Signals that may be written at the moment, with the seconds left."""
        now = time.monotonic()
        return {key: until - now for key, until in list(self._armed.items()) if until > now}

    def _point(self, key: SignalKey) -> tuple[Supervisor, Point]:
        for supervisor in self._supervisors.values():
            point = supervisor.intake.point_of(key)
            if point is not None:
                return supervisor, point
        raise Rejected("path", "no connection has this signal", prim=key.prim, attribute=key.name)

    def write(self, key: SignalKey, value: float | int | bool | str, *, user: str) -> WriteResult:
        """Write a signal's source on behalf of ``user``; the value is in the signal's unit.

        Raises:
            Rejected: Not allowed here, not in the mapping, or outside its limits.
            WorkError: The other side did not take it.
        """
        supervisor, point = self._point(key)
        self._permit(key, point.write, value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        raw = point.convert.back(float(value)) if number and not point.convert.is_identity else value
        self._log.info("write to plant", user=user, signal=str(key), value=value, raw=raw, source=str(point.source))
        result = self._call(supervisor.write(point, raw))
        self._log.info(
            "write answered", user=user, signal=str(key), quality=f"0x{result.quality:08X}", read_back=result.read_back
        )
        return result

    async def push(self, connection: str, channel: str, payload: bytes, *, secret: str | None = None) -> int:
        """Deliver what somebody sent to ``connection``; returns how many values were good. For any event loop.

        Raises:
            Rejected: ``path``: no such connection or channel, ``role``: wrong secret, ``limit``: too large, ``gone``: stopped.
        """
        supervisor = self._supervisors.get(connection)
        if supervisor is None:
            raise Rejected("path", f"no connection {connection!r}", attribute=connection)
        if self._loop is None or not self._thread.is_alive():
            raise Rejected("gone", "the connections are stopped", attribute=connection)
        delivering = asyncio.run_coroutine_threadsafe(supervisor.push(channel, payload, secret), self._loop)
        return await asyncio.wrap_future(delivering)

    def _permit(self, key: SignalKey, permission: Any, value: object) -> None:
        where = {"prim": key.prim, "attribute": key.name}
        if not self._allow_writes:
            raise Rejected("role", "writing to the plant is switched off", **where)
        if permission is None:
            raise Rejected("role", "the mapping does not permit writing this signal", **where)
        if self._allow_writes == "armed" and key not in self.armed():
            raise Rejected("role", "this signal is not armed", **where)
        low, high = permission.min, permission.max
        if isinstance(value, str) and permission.text is not None:
            if re.fullmatch(permission.text, value, re.DOTALL) is None:
                raise Rejected("limit", f"{value[:40]!r} does not match {permission.text!r}", **where)
            return
        if low is None and high is None:
            return
        if isinstance(value, (str, bool)) or not isinstance(value, (int, float)):
            raise Rejected("limit", f"{value!r} is not a number, and this signal has limits", **where)
        # written so that NaN is outside
        if not ((low is None or value >= low) and (high is None or value <= high)):
            raise Rejected("limit", f"{value:g} is outside {low} to {high}", **where)

    def _call(self, work: Coroutine[Any, Any, WriteResult]) -> WriteResult:
        if self._loop is None or not self._thread.is_alive():
            work.close()
            raise WorkError("the connections are stopped")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._timing.write + 5.0)

    # ---- the loop's thread

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        tasks = [asyncio.create_task(s.run(), name=name) for name, s in self._supervisors.items()]
        ticking = asyncio.create_task(self._tick())
        stop = asyncio.create_task(self._stopping.wait())
        self._ready.set()
        await asyncio.wait({stop, ticking}, return_when=asyncio.FIRST_COMPLETED)
        if ticking.done():
            failure = ticking.exception()
            self._log.error("connections are shut down", reason=repr(failure))
            for supervisor in self._supervisors.values():
                supervisor.state, supervisor.error = "fatal", f"internal error: {failure!r}"
        for task in (*tasks, ticking, stop):
            task.cancel()
        await asyncio.wait([*tasks, ticking, stop])

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._timing.tick)
            for supervisor in self._supervisors.values():
                supervisor.intake.tick()
