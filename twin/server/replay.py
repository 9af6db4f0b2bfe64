"""The pose track: what clients saw, ten times a second, kept on disk within a bound, so that anyone can look back.

A track is a folder of chunks of about ten seconds, each a deflated run of records (twin/protocol/track.py) that stands on its own
with what came before it in the same chunk.

The first records of a chunk are the id table and a whole frame; later frames hold what changed since the one before.
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import JSONResponse

from twin.core import log
from twin.core.clock import now_ns
from twin.live import Event
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable, Clock, LineFound, NodeStates, encode
from twin.protocol.track import FORMAT, RECORD
from twin.server.stream import FrameEncoder

TRACK_HZ = 10.0
CHUNK_S = 10.0
MAX_BYTES = 256 << 20
"""Oldest chunks are deleted so that the track stays below this."""
MAX_RUNS = 1000
WAITING = 512
"""Events that may wait for the writer; more are dropped and counted."""
MAX_CHUNKS = 2000
"""Chunks named in one answer."""


@dataclass(frozen=True)
class Chunk:
    """Where a stretch of the track is: times [ns UTC] of its first and last record."""

    begin_ns: int
    end_ns: int
    size: int

    @property
    def id(self) -> str:
        return str(self.begin_ns)

    @property
    def file(self) -> str:
        return f"{self.begin_ns}-{self.end_ns}.{FORMAT}"


class TrackRecorder:
    """Records the pose track of a running twin in ``folder``; ``publish`` takes its events and never blocks.

    Args:
        folder: Made where absent. max_bytes: Bound of what is kept.

    Attributes:
        lost: Events that found the writer too busy, or the disk full.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._events: queue.Queue[tuple[int, Event] | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._log = log.get("track")
        self.lost = 0
        folder.mkdir(parents=True, exist_ok=True)
        for stale in [*folder.glob("*.tmp"), *folder.glob("*.chunk")]:  # chunks of an earlier format cannot be shown any more
            stale.unlink()
        self._chunks = _kept_chunks(folder)
        self._runs = _kept_runs(folder / "runs.json")
        self._frames = FrameEncoder()
        self._table: BodyTable | None = None
        self._open: list[bytes] = []
        self._open_begin = self._open_end = 0
        self._last_frame_ns = 0
        self._last_sim = -1.0
        self._noted_ns = 0
        self._thread = threading.Thread(target=self._write_loop, name="twin-track", daemon=True)

    # ---- any thread

    def start(self) -> None:
        """Begin a run; without it, what is kept can be read and nothing is recorded."""
        now = now_ns()
        self._runs.append([now, now])
        self._thread.start()

    def publish(self, event: Event) -> None:
        """Take an event of the runtime; what the track does not hold is left alone."""
        if not isinstance(event, (StateFrame, BodyTable, NodeStates, LineFound, Clock)):
            return
        try:
            self._events.put_nowait((now_ns(), event))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what is waiting and stop. A second call does nothing."""
        if self._thread.is_alive():
            self._events.put(None)
            self._thread.join(10.0)

    def runs(self) -> list[tuple[int, int]]:
        """When the twin was up [ns UTC], oldest first; the last one reaches to the last sign of life."""
        with self._lock:
            return [(a, b) for a, b in self._runs]

    def chunks(self, t0_ns: int, t1_ns: int) -> list[Chunk]:
        """Chunks that hold something of ``t0_ns <= time <= t1_ns``, and the one before: it holds what stood at ``t0_ns``."""
        with self._lock:
            known = [*self._chunks, *self._open_chunk()]
        before = [c for c in known if c.end_ns < t0_ns][-1:]
        return before + [c for c in known if c.end_ns >= t0_ns and c.begin_ns <= t1_ns]

    def read(self, chunk_id: str) -> tuple[bytes, bool] | None:
        """Deflated records of a chunk, and whether it is finished; None where there is none."""
        with self._lock:
            if self._open and str(self._open_begin) == chunk_id:
                return zlib.compress(b"".join(self._open), 1), False
            chunk = next((c for c in self._chunks if c.id == chunk_id), None)
        if chunk is None:
            return None
        try:
            return (self._folder / chunk.file).read_bytes(), True
        except FileNotFoundError:  # deleted by the bound meanwhile
            return None

    # ---- writer thread

    def _write_loop(self) -> None:
        while True:
            item = self._events.get()
            if item is None:
                break
            time_ns, event = item
            try:
                self._take(time_ns, event)
            except Exception:  # noqa: BLE001  (one moment that cannot be recorded must not end the track)
                self.lost += 1
                self._log.exception("a moment was not recorded", kind=type(event).__name__)
            if self._open and time_ns - self._open_begin > CHUNK_S * 1e9:
                self._seal()
        self._seal()
        self._note_alive(now_ns(), write=True)

    def _take(self, time_ns: int, event: Event) -> None:
        if isinstance(event, BodyTable):
            if self._table is not None and event.version == self._table.version:
                return
            self._seal()
            self._table = event
            self._frames = FrameEncoder()
            self._frames.reset(event.version)
        elif isinstance(event, StateFrame):
            # a little early is on time: frames come at 30 Hz, and every third one is wanted
            if time_ns - self._last_frame_ns < (1.0 / TRACK_HZ - 0.008) * 1e9 or self._table is None:
                return
            since = self._frames.number if self._open else 0
            self._frames.push(event)
            data = self._frames.encode(since)
            if data is not None:
                self._append(time_ns, data)
            self._last_frame_ns = time_ns
        elif isinstance(event, NodeStates):
            if event.sim_time != self._last_sim and self._open:
                self._last_sim = event.sim_time
                self._append(time_ns, encode(event))
        elif isinstance(event, LineFound):
            if self._open:
                self._append(time_ns, encode(event))
        elif isinstance(event, Clock):
            if self._open and event.state == "running":
                self._append(time_ns, encode(event))
            self._note_alive(time_ns)

    def _append(self, time_ns: int, data: bytes) -> None:
        assert self._table is not None
        with self._lock:
            if not self._open:
                self._open_begin = time_ns
                table = encode(self._table)
                self._open.append(RECORD.pack(time_ns, len(table)) + table)
            self._open.append(RECORD.pack(time_ns, len(data)) + data)
            self._open_end = time_ns

    def _open_chunk(self) -> list[Chunk]:
        if not self._open:
            return []
        return [Chunk(self._open_begin, self._open_end, sum(map(len, self._open)))]

    def _seal(self) -> None:
        """Put the open chunk on disk, and keep within the bound."""
        if not self._open:
            return
        data = zlib.compress(b"".join(self._open), 6)
        sealed = Chunk(self._open_begin, self._open_end, len(data))
        try:
            _write(self._folder / sealed.file, data)
        except OSError as error:
            self.lost += len(self._open)
            self._log.error("the pose track is not written", reason=str(error))
            with self._lock:
                self._open = []
            return
        with self._lock:
            self._chunks.append(sealed)
            self._open = []
            total = sum(c.size for c in self._chunks)
            gone = []
            while total > self._max_bytes and len(self._chunks) > 1:
                gone.append(self._chunks.pop(0))
                total -= gone[-1].size
        for chunk in gone:
            (self._folder / chunk.file).unlink(missing_ok=True)
        self._note_alive(sealed.end_ns, write=True)

    def _note_alive(self, time_ns: int, *, write: bool = False) -> None:
        with self._lock:
            run = self._runs[-1]
            write = write or time_ns - self._noted_ns > CHUNK_S * 1e9
            self._noted_ns = time_ns if write else self._noted_ns
            run[1] = max(run[1], time_ns)
            del self._runs[:-MAX_RUNS]
            rows = [list(r) for r in self._runs]
        if write:
            try:
                _write(self._folder / "runs.json", json.dumps(rows).encode())
            except OSError as error:
                self._log.error("the pose track is not written", reason=str(error))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)


def _kept_chunks(folder: Path) -> list[Chunk]:
    out = []
    for path in folder.glob(f"*-*.{FORMAT}"):
        begin, _, end = path.stem.partition("-")
        out.append(Chunk(int(begin), int(end), path.stat().st_size))
    return sorted(out, key=lambda c: c.begin_ns)


def _kept_runs(path: Path) -> list[list[int]]:
    try:
        return [[int(a), int(b)] for a, b in json.loads(path.read_text())]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        log.get("track").warning("damaged, and begun anew", file=str(path), reason=str(error))
        return []


def replay_router(track: TrackRecorder) -> APIRouter:
    """``GET /api/track`` says what is recorded, ``GET /api/track/{id}`` gives a chunk."""
    router = APIRouter()
    started = time.time_ns()

    @router.get("/api/track")
    def index(
        t0_ns: Annotated[int, Query(alias="from")] = 0, t1_ns: Annotated[int, Query(alias="to")] = 2**63 - 1
    ) -> JSONResponse:
        known = track.chunks(t0_ns, t1_ns)
        whole = track.chunks(0, 2**63 - 1)
        chunks = [{"id": c.id, "begin_ns": str(c.begin_ns), "end_ns": str(c.end_ns), "bytes": c.size} for c in known[:MAX_CHUNKS]]
        body = {
            "begin_ns": str(whole[0].begin_ns if whole else started),
            "end_ns": str(whole[-1].end_ns if whole else started),
            "runs": [[str(a), str(b)] for a, b in track.runs()],
            "chunks": chunks,
            "more": len(known) > MAX_CHUNKS,
            "lost": track.lost,
        }
        return JSONResponse(body)

    @router.get("/api/track/{chunk}")
    def chunk_data(chunk: str) -> Response:
        found = track.read(chunk)
        if found is None:
            raise HTTPException(404, "this stretch of the track is not kept any more")
        data, finished = found
        cache = "private, max-age=86400, immutable" if finished else "no-store"
        return Response(
            data, media_type="application/octet-stream", headers={"Content-Encoding": "deflate", "Cache-Control": cache}
        )

    return router
