"""What was recorded is there: every sample once, in order of time, after any end of the process."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from twin.core.clock import now_ns
from twin.core.errors import InputError, WorkError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE, Sample, SignalKey
from twin.history import Historian, Recording

KEY = SignalKey("/World/Line/Sealer", "temperature")
T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def sample(i: int, value=None, *, key: SignalKey = KEY, quality: int = GOOD, source: bool = True) -> Sample:
    time = T0 + i * SECOND
    return Sample(key, float(i) if value is None else value, quality, time if source else None, None, time + 7, "plant")


@pytest.fixture
def history(tmp_path):
    historian = Historian(tmp_path / "history.db", seal_rows=100)
    yield historian
    historian.close()


def test_values_of_every_kind_come_back_as_they_were(history):
    values = [1.5, 7, True, False, "auto", "", None, math.inf, -0.25, 2**64 - 1, -(2**63), 1, 1.0]
    samples = [
        Sample(KEY, v, GOOD if v is not None else BAD_NO_COMMUNICATION, T0 + i, T0 + 2 * i, T0 + 9, "emulated")
        for i, v in enumerate(values)
    ]
    history.append(samples)
    history.flush()
    assert history.samples(KEY, T0, T0 + SECOND) == samples
    columns = history.range(KEY, T0, T0 + SECOND)
    assert [type(v) for v in columns.value] == [type(v) for v in values]
    assert columns.time_ns.dtype == np.int64
    assert columns.quality.dtype == np.uint32


def test_sealed_chunks_give_back_the_same_samples(tmp_path):
    mixed = [1.25, 3, True, "run", None, math.inf, 2**70, -4]
    samples = [
        Sample(KEY, mixed[i % 8], i % 3, T0 + i * 999_983 if i % 5 else None, None if i % 2 else T0, T0 + i * 10**6, "plant")
        for i in range(350)
    ]
    with_chunks = Historian(tmp_path / "a.db", seal_rows=100)
    without = Historian(tmp_path / "b.db", seal_rows=10**6)
    for historian in (with_chunks, without):
        for begin in range(0, 350, 70):
            historian.append(samples[begin : begin + 70])
            historian.flush()
    everything = (KEY, 0, 2**62)
    assert (
        with_chunks.samples(*everything)
        == without.samples(*everything)
        == sorted(samples, key=lambda s: (s.time, s.receive_time))
    )
    for historian in (with_chunks, without):
        historian.close()
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert db.execute("SELECT count(*) FROM chunk").fetchone()[0] >= 2


def test_nan_is_kept_apart_from_no_value(history):
    history.append([sample(0, math.nan), Sample(KEY, None, BAD_NO_COMMUNICATION, None, None, T0 + SECOND)])
    history.flush()
    value = history.range(KEY, T0, T0 + SECOND).value
    assert math.isnan(value[0])
    assert value[1] is None


def test_late_samples_are_in_order_and_repeated_ones_count_once(history):
    rng = np.random.default_rng(4)
    order = rng.permutation(500)
    for begin in range(0, 500, 50):
        history.append([sample(int(i)) for i in order[begin : begin + 50]])
        history.flush()
    history.append([sample(int(i)) for i in order])
    history.flush()
    assert history.range(KEY, 0, 2**62).value == [float(i) for i in range(500)]
    assert history.signals() == [(KEY.prim, KEY.name, T0, T0 + 499 * SECOND, 500)]
    assert history.losses().repeated == 500


def test_the_same_moment_with_another_value_is_not_a_repetition(history):
    history.append([sample(0, 1.0), sample(0, 2.0), sample(0, 1.0, quality=UNCERTAIN_LAST_USABLE), sample(0, 1)])
    history.flush()
    assert len(history.range(KEY, T0, T0)) == 4


def test_latest_at_looks_across_chunks_and_tail(history):
    order = [*range(0, 300, 2), *range(1, 300, 2)]
    for begin in range(0, 300, 60):
        history.append([sample(i) for i in order[begin : begin + 60]])
        history.flush()
    assert history.latest_at(KEY, T0 - 1) is None
    for i in (0, 1, 77, 149, 150, 151, 298, 299):
        found = history.latest_at(KEY, T0 + i * SECOND + SECOND // 2)
        assert found is not None
        assert found.value == float(i)
    assert history.latest_at(SignalKey("/Other", "x"), T0) is None


def test_samples_without_source_time_go_by_receive_time(history):
    history.append([sample(5, source=False)])
    history.flush()
    found = history.latest_at(KEY, T0 + 10 * SECOND)
    assert found is not None
    assert (found.source_time, found.time) == (None, T0 + 5 * SECOND + 7)


def test_a_thinned_range_keeps_extremes_and_gaps(history):
    values = np.sin(np.arange(5000) / 50.0)
    values[1234], values[3456] = 9.0, -9.0
    samples = [sample(i, float(v)) for i, v in enumerate(values)]
    samples[2000:2100] = [sample(i, quality=BAD_NO_COMMUNICATION) for i in range(2000, 2100)]
    history.append(samples)
    history.flush()
    assert len(history.range(KEY, T0, T0 + 5000 * SECOND, points=2)) <= 12  # the least that M4 can do with
    thin = history.range(KEY, T0, T0 + 5000 * SECOND, points=200)
    assert len(thin) <= 300
    assert np.all(np.diff(thin.time_ns) > 0)
    assert {9.0, -9.0} <= set(thin.value)
    gaps = [int(t - T0) // SECOND for t, v in zip(thin.time_ns, thin.value, strict=True) if v is None]
    assert gaps[0] == 2000
    assert gaps[-1] == 2099
    assert (thin.time_ns[0], thin.time_ns[-1]) == (T0, T0 + 4999 * SECOND)


def test_a_thinned_text_signal_keeps_its_changes(history):
    history.append([sample(i, "down" if 400 <= i < 403 else "run") for i in range(1000)])
    history.flush()
    thin = history.range(KEY, T0, T0 + 1000 * SECOND, points=40)
    assert [v for _, v in zip(thin.time_ns, thin.value, strict=True)] == ["run", "down", "run", "run"]
    assert [int(t - T0) // SECOND for t in thin.time_ns] == [0, 400, 403, 999]


def test_many_threads_append_at_once(history):
    keys = [SignalKey("/World/M", f"s{n}") for n in range(4)]

    def work(key):
        for begin in range(0, 1000, 10):
            history.append([sample(i, key=key) for i in range(begin, begin + 10)])

    threads = [threading.Thread(target=work, args=(k,)) for k in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.flush()
    assert [s.count for s in history.signals()] == [1000] * 4
    assert history.losses().overflow == {}


def test_overflow_is_counted_and_named(tmp_path):
    historian = Historian(tmp_path / "h.db", queue_samples=1000)
    other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # somebody holds the file, so the writer has to wait
    accepted = sum(historian.append([sample(i) for i in range(n, n + 500)]) for n in range(0, 5000, 500))
    lost = historian.losses().overflow
    assert lost == {KEY: 5000 - accepted}
    assert accepted < 5000
    with pytest.raises(WorkError, match="not written"):
        historian.flush(timeout_s=0.2)
    other.execute("ROLLBACK")
    other.close()
    historian.flush()
    historian.close()
    again = Historian(tmp_path / "h.db")
    assert again.signals()[0].count == accepted
    again.close()


_CRASHING = """
import os, sys
from twin.core.samples import GOOD, Sample, SignalKey
from twin.history import Historian, Recording
historian = Historian(sys.argv[1], seal_rows=300)
key = SignalKey("/World/Line/Sealer", "temperature")
n = 0
while True:
    historian.append([Sample(key, float(i), GOOD, i, None, i) for i in range(n, n + 37)])
    n += 37
    historian.flush()
    print(n, flush=True)
"""


def test_a_killed_process_loses_nothing_that_was_flushed(tmp_path):
    path = tmp_path / "h.db"
    with subprocess.Popen([sys.executable, "-c", _CRASHING, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < 3000:
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
    historian = Historian(path)
    values = historian.range(KEY, 0, 2**62).value
    historian.close()
    assert len(values) >= acknowledged
    assert values == [float(i) for i in range(len(values))]


def test_it_goes_on_after_a_restart_and_remembers_units(tmp_path):
    for part in range(3):
        historian = Historian(tmp_path / "h.db", seal_rows=100)
        historian.declare(KEY, "Cel")
        historian.append([sample(i) for i in range(part * 80, part * 80 + 120)])
        historian.close()
    historian = Historian(tmp_path / "h.db")
    assert historian.signals()[0].count == 280
    assert historian.units() == {KEY: "Cel"}
    historian.close()


def test_retention_by_age_goes_by_receive_time(tmp_path):
    now = now_ns()
    old = [Sample(KEY, float(i), GOOD, now + i, None, now - 3600 * SECOND) for i in range(50)]
    new = [Sample(KEY, float(i), GOOD, T0 + i, None, now) for i in range(50)]
    historian = Historian(tmp_path / "h.db")
    historian.append(old)
    historian.flush()  # what is committed together may go together
    historian.append(new)
    historian.close()
    historian = Historian(tmp_path / "h.db", max_age_s=600)
    historian.append([sample(0, 1.0, key=SignalKey("/Other", "x"))])
    historian.flush()
    historian.close()
    historian = Historian(tmp_path / "h.db")
    assert historian.signals()[0].last_ns == T0 + 49
    assert historian.signals()[0].count == 50
    historian.close()


def test_retention_by_size_deletes_the_oldest(tmp_path):
    rng = np.random.default_rng(1)
    historian = Historian(tmp_path / "h.db", seal_rows=1000)
    for begin in range(0, 40_000, 4000):
        historian.append([sample(i, float(rng.random())) for i in range(begin, begin + 4000)])
        historian.flush()
    historian.close()
    historian = Historian(tmp_path / "h.db", seal_rows=1000, max_bytes=200_000)
    historian.append([sample(40_000)])
    historian.flush()
    historian.close()
    assert (tmp_path / "h.db").stat().st_size < 260_000
    historian = Historian(tmp_path / "h.db")
    (kept,) = historian.signals()
    assert 0 < kept.count < 40_000
    assert kept.last_ns == T0 + 40_000 * SECOND
    historian.close()


def test_regular_data_needs_less_than_six_bytes_a_sample(tmp_path):
    rng = np.random.default_rng(2)
    time = np.arange(20_000)
    value = np.round(180.0 + 5.0 * np.sin(time / 700.0) + rng.normal(0.0, 0.05, len(time)), 1)
    historian = Historian(tmp_path / "h.db", seal_rows=4000)
    stamps = (T0 + time * (SECOND // 10)).tolist()
    delays = rng.integers(1_000_000, 4_000_000, len(time)).tolist()
    rows = zip(stamps, value.tolist(), delays, strict=True)
    historian.append([Sample(KEY, v, GOOD, t, None, t + delay) for t, v, delay in rows])
    historian.close()
    with closing(sqlite3.connect(tmp_path / "h.db")) as db:
        count, size = db.execute("SELECT sum(count), sum(length(data)) FROM chunk").fetchone()
    assert count == 20_000
    assert size / count < 6.0


def test_a_recording_is_read_while_it_is_written_and_never_changed(tmp_path):
    historian = Historian(tmp_path / "h.db", seal_rows=100)
    historian.declare(KEY, "Cel")
    historian.append([sample(i) for i in range(250)])
    historian.flush()
    recording = Recording(tmp_path / "h.db")
    assert [s.value for s in recording.samples(KEY, 0, 2**62)] == list(range(250))
    historian.append([sample(250)])
    historian.flush()
    assert recording.read_latest(KEY, 2**62).value == 250.0
    assert recording.units() == {KEY: "Cel"}
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        recording._connection.execute("DELETE FROM chunk")
    recording.close()
    historian.close()
    for wrong in (tmp_path / "none.db", tmp_path):
        with pytest.raises(InputError, match="no such file"):
            Recording(wrong)


def test_a_file_that_is_no_history_is_refused_by_name(tmp_path):
    path: Path = tmp_path / "notes.txt"
    path.write_text("these are notes, " * 100)
    with pytest.raises(InputError, match=r"notes\.txt"):
        Historian(path)
    with pytest.raises(InputError, match=r"notes\.txt"):
        Recording(path)
    assert path.read_text().startswith("these are notes")
