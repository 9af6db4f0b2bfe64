"""Samples that come as columns are recorded as those that come one by one."""

import math
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE, Sample, SampleBlock, SignalKey
from twin.history import Historian
from twin.history.chunks import SEALED, YOUNG, block_of, decode, encode
from twin.history.rows import pack

KEYS = [SignalKey(f"/World/M{n}", "t") for n in range(3)]
T0, SECOND = 1_700_000_000 * 10**9, 10**9
EVER = (0, 2**62)


def block(begin: int, end: int, *, seed: int = 1) -> SampleBlock:
    """``end - begin`` moments, a sample of each signal at each, whole numbers and floats, qualities mixed."""
    rng = np.random.default_rng(seed)
    moment = np.repeat(np.arange(begin, end), len(KEYS))
    n = len(moment)
    value = np.round(20.0 + rng.normal(0.0, 1.0, n), 1)
    whole = moment % 5 == 0
    value[whole] = np.rint(value[whole])
    value[7] = math.nan
    whole[7] = False
    quality = np.where(moment % 11 == 0, UNCERTAIN_LAST_USABLE, GOOD).astype(np.uint32)
    time = T0 + moment * SECOND
    return SampleBlock(KEYS, np.tile(np.arange(len(KEYS)), end - begin), value, quality, time, time + 5, whole, "emulated")


def told(samples: list[Sample]) -> list[str]:
    return [repr(s) for s in samples]  # NaN is not equal to itself, and 5 is equal to 5.0


@pytest.mark.parametrize("part", [10, 70, 150], ids=["rows", "young chunks", "sealed at once"])
def test_a_block_is_recorded_as_its_samples(tmp_path, part):
    whole = block(0, 450)
    a, b = Historian(tmp_path / "a.db", seal_rows=100), Historian(tmp_path / "b.db", seal_rows=100)
    for begin in range(0, len(whole), part * len(KEYS)):
        piece = whole[begin : begin + part * len(KEYS)]
        a.append_block(piece)
        a.flush()
        b.append(piece.samples())
    b.flush()
    for key in KEYS:
        expected = [s for s in whole.samples() if s.key == key]
        assert told(a.samples(key, *EVER)) == told(b.samples(key, *EVER)) == told(expected)
        assert told([a.latest_at(key, T0 + 333 * SECOND + 1)]) == told(expected[333:334])
    assert a.signals() == b.signals()
    a.close()
    b.close()
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        unsealed = db.execute("SELECT count(*) FROM tail").fetchone()[0]
        unsealed += db.execute("SELECT coalesce(sum(count), 0) FROM chunk WHERE count < 100").fetchone()[0]
    assert unsealed < 100 * len(KEYS)


def test_what_comes_twice_or_late_as_a_block_counts_once_and_stands_in_its_place(tmp_path):
    whole, key = block(0, 600), KEYS[0]
    order = [3, 0, 1, 4, 1, 2, 5, 0]
    history = Historian(tmp_path / "h.db", seal_rows=128)
    for n in order:
        history.append_block(whole[n * 300 : (n + 1) * 300])
        history.flush()
    assert history.losses().repeated == 2 * 300
    assert told(history.samples(key, *EVER)) == told([s for s in whole.samples() if s.key == key])
    history.close()
    again = Historian(tmp_path / "h.db", seal_rows=128)
    again.append_block(whole[300:900])
    again.flush()
    assert again.losses().repeated == 600
    assert [s.count for s in again.signals()] == [600] * 3
    again.close()


def test_a_block_without_source_time_and_several_values_of_one_moment(tmp_path):
    history, key = Historian(tmp_path / "h.db"), KEYS[0]
    history.append_block(SampleBlock.of(key, np.arange(100.0), None, T0))
    history.append_block(SampleBlock.of(key, np.arange(100.0), None, T0))
    history.flush()
    found = history.samples(key, *EVER)
    assert sorted(s.value for s in found) == [float(i) for i in range(100)]
    assert {(s.source_time, s.time) for s in found} == {(None, T0)}
    assert history.losses().repeated == 100
    history.close()


def test_a_block_that_finds_no_room_is_counted_by_signal(tmp_path):
    history = Historian(tmp_path / "h.db", queue_samples=300)
    other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # somebody holds the file, so the writer has to wait
    taken = sum(history.append_block(block(n, n + 50)) for n in range(0, 1000, 50))
    assert taken < 3000
    assert sum(history.losses().overflow.values()) == 3000 - taken
    assert set(history.losses().overflow) == set(KEYS)
    other.execute("ROLLBACK")
    other.close()
    history.flush()
    assert sum(s.count for s in history.signals()) == taken
    history.close()


_CRASHING = """
import sys
import numpy as np
from twin.core.samples import SampleBlock, SignalKey
from twin.history import Historian
historian = Historian(sys.argv[1], seal_rows=300)
n = 0
while True:
    t = np.arange(n, n + 137)
    historian.append_block(SampleBlock.of(SignalKey("/World/M0", "t"), t.astype(float), t, 7))
    n += 137
    historian.flush()
    print(n, flush=True)
"""


def test_a_killed_process_loses_no_block_that_was_flushed(tmp_path):
    path = tmp_path / "h.db"
    with subprocess.Popen([sys.executable, "-c", _CRASHING, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < 5000:
            acknowledged = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
    history = Historian(path)
    values = history.range(KEYS[0], *EVER).value
    history.close()
    assert len(values) >= acknowledged
    assert values == [float(i) for i in range(len(values))]


@pytest.mark.parametrize("level", [SEALED, YOUNG])
def test_a_chunk_gives_the_same_bits_back(level):
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 2**63, 50, dtype=np.uint64).view(np.float64)
    columns = [
        np.round(rng.normal(20.0, 1.0, 200), 2).tolist(),
        [*np.round(rng.normal(20.0, 1.0, 200), 2).tolist(), 1 / 3],
        [v for v in noise.tolist() if v == v],
        [0.0, -0.0, math.inf, -math.inf, 5e-324, 1.7e308, 1e15 + 0.5],
        [-0.0] * 5,
        [1.0],
        [3, 2**60, -(2**63), True, None, 2.5, "run", "", 2**70, math.nan],
        list(range(100)),
    ]
    for values in columns:
        samples = [
            Sample(
                KEYS[0], v, GOOD if v is not None else BAD_NO_COMMUNICATION, T0 + i * 97, None if i % 3 else T0 + i, T0, "plant"
            )
            for i, v in enumerate(values)
        ]
        rows = [pack(s) for s in samples]
        back = decode(encode(block_of(rows), level)).rows()
        assert [repr(tuple(r)) for r in back] == [repr(tuple(r)) for r in rows]


def test_an_impossible_stamp_costs_its_own_sample_only(tmp_path):
    history = Historian(tmp_path / "h.db")
    far = 253_402_300_799 * 10**9  # 9999-12-31 in nanoseconds, as some servers say where they have no time
    history.append([Sample(KEYS[0], 1.0, GOOD, T0, None, T0), Sample(KEYS[0], 2.0, GOOD, far, None, T0)])
    history.append([Sample(KEYS[1], 3.0, GOOD, T0, far, T0)])
    history.flush()
    assert [s.value for s in history.samples(KEYS[0], *EVER)] == [1.0]
    assert history.losses().unusable == {KEYS[0]: 1, KEYS[1]: 1}
    history.close()
