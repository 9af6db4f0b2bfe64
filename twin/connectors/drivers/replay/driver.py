"""Plays a recording into the twin, in order of time, at any speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from twin.connectors.base import Fatal, Found, Plan, Probe, Reading, Sink, WriteRequest, WriteResult
from twin.connectors.drivers.replay.config import ReplayOptions
from twin.connectors.drivers.replay.tracks import Tape, Track, open_tape
from twin.connectors.mapping import Point, ResolvedConnection
from twin.connectors.stamps import StampError, parse_time
from twin.core.clock import now_ns

SCHEME = "replay://"
SLICE_S = 0.05
"""What is due is delivered this often [s]."""
EVER = 2**62


class ReplayDriver:
    """One recording. It never writes: a recording is not a plant."""

    def __init__(self, connection: ResolvedConnection) -> None:
        self._options: ReplayOptions = connection.options
        if not connection.address.startswith(SCHEME):
            raise Fatal("the address is not understood", attribute="address", allowed=["replay://FILE"])
        self._path = connection.folder / connection.address.removeprefix(SCHEME)
        self._zone = ZoneInfo(self._options.timezone)
        self._subscribed: set[int] = set()

    async def probe(self) -> Probe:
        found = await self.browse(seconds=0.0)
        return Probe(f"recording {Path(self._path).name}", {"signals": len(found), "bytes": self._path.stat().st_size})

    async def browse(self, *, seconds: float) -> list[Found]:
        tape = await asyncio.to_thread(open_tape, self._path, self._zone)
        try:
            return await asyncio.to_thread(tape.found)
        finally:
            tape.close()

    async def run(self, plan: Plan, sink: Sink) -> None:
        tracks = await asyncio.to_thread(self._read, plan)
        for point, track in zip(plan.points, tracks, strict=True):
            if track.unreadable:
                sink.reject("time cannot be read", str(point), track.unreadable)
        self._subscribed = {p.index for p in plan.points}
        sink.connected()
        while True:
            await self._play(plan, tracks, sink)
            if not self._options.loop:
                break
        # The tape has ended, and the connection has not: what expects values goes stale, and nothing is read again.
        await asyncio.get_running_loop().create_future()

    def subscribed(self) -> set[int]:
        return set(self._subscribed)

    async def subscribe(self, points: Sequence[Point]) -> None:
        """A recording is read as a whole: there is nothing to add."""

    async def write(self, requests: Sequence[WriteRequest]) -> list[WriteResult]:
        raise Fatal("a recording cannot be written", attribute=str(requests[0].point))

    # ---- inside

    def _read(self, plan: Plan) -> list[Track]:
        begin, end = self._moment(self._options.begin, 0), self._moment(self._options.end, EVER)
        tape: Tape = open_tape(self._path, self._zone)
        try:
            return [tape.track(point.source, begin, end) for point in plan.points]
        finally:
            tape.close()

    def _moment(self, text: str | None, default: int) -> int:
        if text is None:
            return default
        try:
            return parse_time(text, self._zone)
        except StampError as error:
            raise Fatal(str(error), attribute="options") from error

    async def _play(self, plan: Plan, tracks: list[Track], sink: Sink) -> None:
        times = np.concatenate([t.time_ns for t in tracks]) if tracks else np.zeros(0, np.int64)
        if not len(times):
            sink.reject("nothing recorded in this stretch", str(self._path))
            return
        which = np.repeat(np.arange(len(tracks)), [len(t.time_ns) for t in tracks])
        row = np.concatenate([np.arange(len(t.time_ns)) for t in tracks])
        order = np.argsort(times, kind="stable")
        times, which, row = times[order], which[order], row[order]
        options = self._options
        speed = None if options.speed == "max" else float(options.speed)
        first, start_ns, start = int(times[0]), now_ns(), time.monotonic()
        done = 0
        most = max(int(options.rate * SLICE_S), 1)
        while done < len(times):
            due = len(times)
            if speed is not None:
                due = int(np.searchsorted(times, first + int((time.monotonic() - start) * speed * 1e9), side="right"))
            upto = min(due, done + most)
            received = now_ns()
            batch = []
            for i in range(done, upto):
                track = tracks[which[i]]
                stamp = int(times[i])
                if options.stamps == "now":
                    stamp = start_ns + int((stamp - first) / (speed or 1.0))
                at = row[i]
                quality = int(track.quality[at])
                batch.append(Reading(plan.points[which[i]], track.value[at], quality, stamp, None, received))
            sink.offer(batch)
            done = upto
            await asyncio.sleep(SLICE_S)
