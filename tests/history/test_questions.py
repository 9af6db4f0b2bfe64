"""Moments, SQL, and a disk that is full."""

import json
import resource
import subprocess
import sys

import pytest

from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, Sample, SignalKey
from twin.history import Historian, Recording, diff, query, state_at

OVEN, DOOR, MODE = SignalKey("/W/Oven", "t"), SignalKey("/W/Oven", "door"), SignalKey("/W", "mode")
T0, S = 1_700_000_000 * 10**9, 10**9


def sample(key, value, second: float, quality: int = GOOD) -> Sample:
    stamp = T0 + round(second * S)
    return Sample(key, value, quality, stamp, None, stamp)


@pytest.fixture
def history(tmp_path):
    made = Historian(tmp_path / "history.db", seal_rows=50)
    made.declare(OVEN, "Cel")
    made.append([sample(OVEN, 20.0 + i, i) for i in range(200)])
    made.append([sample(DOOR, False, 10.0), sample(DOOR, True, 100.0), sample(MODE, "auto", 50.0)])
    made.append([sample(OVEN, None, 201.0, BAD_NO_COMMUNICATION)])
    made.flush()
    yield made
    made.close()


def test_what_held_at_a_moment_and_what_differs_between_two(history, tmp_path):
    assert {k: s.value for k, s in state_at(history, T0 + 60 * S).items()} == {OVEN: 80.0, DOOR: False, MODE: "auto"}
    changes = {c.key: c for c in diff(history, T0 + 20 * S, T0 + 60 * S)}
    assert set(changes) == {OVEN, MODE}
    assert changes[OVEN].difference == 40.0
    assert changes[MODE].before is None
    assert {c.key for c in diff(history, T0 + 90 * S, T0 + 110 * S)} == {OVEN, DOOR}
    (gap,) = diff(history, T0 + 199 * S, T0 + 300 * S)
    assert (gap.after.quality, gap.difference) == (BAD_NO_COMMUNICATION, None)
    assert diff(history, T0 + 60 * S, T0 + 60 * S) == []
    recording = Recording(tmp_path / "history.db")
    assert [c.key for c in diff(recording, T0 + 20 * S, T0 + 60 * S)] == [OVEN, MODE]
    recording.close()


def test_duckdb_answers_over_what_is_sealed_and_what_is_not(history, tmp_path):
    recording = Recording(tmp_path / "history.db")
    try:
        answer = query(recording, "SELECT signal, count(*) AS n, max(value) AS top FROM samples GROUP BY signal ORDER BY signal")
        assert answer.to_pylist() == [
            {"signal": "/W/Oven:door", "n": 2, "top": 1.0},
            {"signal": "/W/Oven:t", "n": 201, "top": 219.0},
            {"signal": "/W:mode", "n": 1, "top": None},
        ]
        narrow = query(recording, "SELECT count(*) AS n FROM samples", signals=[OVEN], begin_ns=T0, end_ns=T0 + 9 * S)
        assert narrow.to_pylist() == [{"n": 10}]
        for bad in ("SELECT heat FROM samples", "SELECT * FROM read_csv('/etc/passwd')", "nonsense"):
            with pytest.raises(InputError, match="refused"):
                query(recording, bad)
    finally:
        recording.close()


FULL = """
import json, resource, signal, sys, time
from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
T0, KEY = 1_700_000_000 * 10**9, SignalKey("/W/Oven", "t")
history = Historian(sys.argv[1], queue_samples=50_000)
def feed(first, count):
    numbers = range(first, first + count)
    return history.append([Sample(KEY, float(i * 7919 % 10007), GOOD, T0 + i * 1000003, None, T0 + i) for i in numbers])
def wait(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, history.losses()
        time.sleep(0.02)
feed(0, 2000)
history.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
taken = offered = 2000
while not history.losses().error:
    taken += feed(offered, 2000)
    offered += 2000
begin = time.monotonic()
taken += feed(offered, 100)  # whoever delivers goes on, at once
offered += 100
waited = time.monotonic() - begin
error = history.losses().error
readable = history.latest_at(KEY, 2**62) is not None
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
wait(lambda: not history.losses().error)
history.flush()
there = sum(s.count for s in history.signals())
history.close()
lost = sum(history.losses().overflow.values())
found = {"error": error, "waited": waited, "taken": taken, "offered": offered, "there": there, "lost": lost}
print(json.dumps(found | {"readable": readable}))
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="files cannot be limited here")
def test_a_full_disk_stops_recording_loudly_and_goes_on_when_there_is_room(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "history.db")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *log, last = done.stdout.splitlines()
    found = json.loads(last)
    assert found["error"]
    assert found["readable"]
    assert found["there"] == found["taken"]  # nothing that was taken is missing
    assert found["taken"] + found["lost"] == found["offered"]  # and what found no room is counted
    assert any("stopped recording" in line for line in log + done.stderr.splitlines())
    assert any("records again" in line for line in log + done.stderr.splitlines())
