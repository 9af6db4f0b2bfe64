"""The pose track: what was seen can be seen again, within a bound, across restarts."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from twin.core.clock import now_ns
from twin.model.frame import StateFrame
from twin.protocol.frames import GOODS, decode_frame
from twin.protocol.messages import BodyTable, Clock, NodeStates, decode_server
from twin.protocol.track import records
from twin.server import replay
from twin.server.replay import TrackRecorder, replay_router

SLOTS = 4
TABLE = BodyTable(1, [], ["/Goods/Carton"], SLOTS)


def frame(tick: int, x: float) -> StateFrame:
    """One carton in slot 2, at ``x`` metres."""
    alive = np.array([False, False, True, False])
    position = np.zeros((SLOTS, 3), np.float32)
    position[2] = x, 1.0, 0.5
    rotation = np.tile(np.array([0, 0, 0, 1], np.float32), (SLOTS, 1))
    none3, none4 = np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32)
    count = np.array([tick], np.int64)
    return StateFrame(
        tick / 60.0, tick, none3, none4, alive, np.array([-1, -1, 7, -1]), np.zeros(SLOTS, np.int32), position, rotation,
        np.ones(SLOTS, np.int32), np.zeros(1, np.int8), np.ones(1, np.int32), count, count,
    )  # fmt: skip


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch):
    """A wall clock that the test moves [ns]."""
    at = [now_ns()]
    monkeypatch.setattr(replay, "now_ns", lambda: at[0])
    return at


def play(track: TrackRecorder, times: list[int], seconds: float, *, first: int = 1) -> int:
    """Frames at 30 Hz, a carton that moves 1 m/s; returns the next tick."""
    n = round(seconds * 30)
    for i in range(n):
        tick = first + 2 * i
        track.publish(frame(tick, tick / 60.0))
        if i % 6 == 0:
            track.publish(NodeStates(tick / 60.0, [i % 2], [1], [tick], [tick]))
        if i % 30 == 0:
            track.publish(Clock("running", tick / 60.0, 1.0, 1.0, "run-1", times[0]))
        times[0] += int(1e9 / 30)
        while track._events.qsize() > 100:
            pass  # the writer must not be outrun: here a second passes in a millisecond
    return first + 2 * n


def test_a_carton_is_seen_again_where_it_was(tmp_path, times):
    track = TrackRecorder(tmp_path)
    track.start()
    begin = times[0]
    track.publish(TABLE)
    play(track, times, 25.0)
    track.close()

    chunks = track.chunks(begin, times[0])
    assert len(chunks) == 3, "ten seconds each"
    assert track.lost == 0
    seen, kinds = [], set()
    for chunk in chunks:
        data, finished = track.read(chunk.id) or (b"", False)
        assert finished
        own = list(records(data))
        assert isinstance(decode_server(own[0][1]), BodyTable), "a chunk stands on its own"
        for time_ns, payload in own:
            if payload[:4] != b"TWF2":
                kinds.add(type(decode_server(payload)))
                continue
            poses = [b for b in decode_frame(payload).blocks if b.kind == GOODS]
            seen += [((time_ns - begin) / 1e9, float(p.position[0, 0])) for p in poses]
    assert kinds == {BodyTable, NodeStates, Clock}
    assert 230 <= len(seen) <= 260, "ten a second"
    assert max(abs(x - t) for t, x in seen) < 0.04


def test_a_restart_keeps_the_track_and_says_when_the_twin_was_down(tmp_path, times):
    track = TrackRecorder(tmp_path)
    track.start()
    begin = times[0]
    track.publish(TABLE)
    play(track, times, 12.0)
    track.close()
    stopped = times[0]
    times[0] += int(3600e9)

    again = TrackRecorder(tmp_path)
    again.start()
    again.publish(TABLE)
    play(again, times, 3.0)
    again.close()

    runs = again.runs()
    assert len(runs) == 2
    assert abs(runs[0][0] - begin) < 1e9
    assert abs(runs[0][1] - stopped) < 2e9
    assert runs[1][0] - runs[0][1] > 3590e9
    assert len(again.chunks(begin, stopped)) == 2
    assert [c.begin_ns for c in again.chunks(stopped + int(60e9), stopped + int(120e9))] == [
        again.chunks(begin, stopped)[-1].begin_ns
    ], "while it was down, what stood last is what is asked for"


def test_the_oldest_chunks_make_room(tmp_path, times):
    track = TrackRecorder(tmp_path, max_bytes=10_000)
    track.start()
    begin = times[0]
    track.publish(TABLE)
    play(track, times, 65.0)
    track.close()
    files = list(tmp_path.glob("*.twf2"))
    assert sum(f.stat().st_size for f in files) <= 10_000
    kept = track.chunks(begin, times[0])
    assert len(kept) == len(files)
    assert kept[0].begin_ns > begin
    assert track.read(str(begin)) is None


def test_the_page_gets_the_newest_seconds_too(tmp_path, times):
    track = TrackRecorder(tmp_path)
    track.start()
    app = FastAPI()
    app.include_router(replay_router(track))
    client = TestClient(app)
    track.publish(TABLE)
    play(track, times, 4.0)
    while track._events.qsize():
        pass
    index = client.get("/api/track", params={"from": times[0] - int(2e9), "to": times[0]}).json()
    assert len(index["runs"]) == 1
    (chunk,) = index["chunks"]
    answer = client.get(f"/api/track/{chunk['id']}")
    assert answer.headers["cache-control"] == "no-store", "it still grows"
    assert b"TWF2" in answer.content
    assert client.get("/api/track/1").status_code == 404
    track.close()
