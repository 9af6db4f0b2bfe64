"""A history goes on in the file that an earlier version of the program began, whole and without a conversion."""

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from twin.core.errors import InputError
from twin.core.samples import Sample, SignalKey
from twin.history import Historian, Recording, export_parquet
from twin.history.reader import FORMAT

FIRST = Path(__file__).parent / "data" / "format-1.db"
"""Written by the last version of the program that wrote format 1, chunks of 100 samples, with the samples of ``written()``."""
T0 = 1_700_000_000_000_000_000
OVEN, MIXED, COUNT = (
    SignalKey(*k) for k in (("/World/Line/Oven", "temperature"), ("/World/Line", "mixed"), ("/World/Line/Belt", "count"))
)


def written() -> dict[SignalKey, list[Sample]]:
    values = [1.25, 3, True, "run", None, math.inf, 2**70, -4, "", False, -0.0, 20.1]
    found: dict[SignalKey, list[Sample]] = {OVEN: [], MIXED: [], COUNT: []}
    for i in range(250):
        at = T0 + i * 10**9
        found[OVEN].append(Sample(OVEN, round(20 + i / 10, 1), 0, at, None, at + 1000 * (i % 7), "plant"))
        source, server = T0 + i * 999_983 if i % 5 else None, None if i % 2 else T0 + i
        quality = (0, 0x40900000, 0x80310000)[i % 3]
        row = Sample(MIXED, values[i % 12], quality, source, server, T0 + i * 10**6, ("plant", "emulated")[i % 2])
        found[MIXED].append(row)
        found[COUNT].append(Sample(COUNT, i, 0, at, at + 5, at + 9, "replay"))
    found[MIXED].sort(key=lambda s: (s.time, s.receive_time))
    return found


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copy(FIRST, tmp_path / "history.db"))


def everything(history) -> dict[SignalKey, list[Sample]]:
    return {SignalKey(s.prim, s.name): history.samples(SignalKey(s.prim, s.name), 0, 2**62) for s in history.signals()}


def test_the_file_is_of_the_first_format_and_mostly_sealed(old):
    with closing(sqlite3.connect(old)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
        assert file.execute("SELECT sum(count), (SELECT count(*) FROM tail) FROM chunk").fetchone() == (600, 150)


def test_it_is_read_as_it_is(old, tmp_path):
    before = old.read_bytes()
    recording = Recording(old)
    assert everything(recording) == written()
    assert [type(s.value) for s in recording.samples(MIXED, 0, 2**62)] == [type(s.value) for s in written()[MIXED]]
    assert recording.latest_at(OVEN, T0 + 42 * 10**9 + 5) == written()[OVEN][42]
    assert export_parquet(recording, tmp_path / "all.parquet") == 750
    recording.close()
    assert old.read_bytes() == before


def test_recording_goes_on_in_it_and_old_and_new_are_merged(old):
    expected = written()
    history = Historian(old, seal_rows=100)
    assert history.range(OVEN, T0, 2**62).value == [s.value for s in expected[OVEN]]
    for first in range(250, 500, 50):
        more = [Sample(OVEN, i / 4, 0, T0 + i * 10**9, None, T0 + i * 10**9, "plant") for i in range(first, first + 50)]
        expected[OVEN] += more
        history.append(more)
        history.flush()
    history.append(expected[OVEN][30:60])  # delivered again, from chunks of the old format
    history.flush()
    assert history.losses().repeated == 30
    history.close()
    again = Recording(old)
    assert everything(again) == expected
    assert again.units() == {OVEN: "Cel"}
    again.close()
    with closing(sqlite3.connect(old)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (FORMAT,)  # programs that know only the first one refuse it


def test_a_file_of_a_later_format_is_refused_and_not_touched(old):
    with closing(sqlite3.connect(old)) as file:
        file.execute(f"PRAGMA user_version = {FORMAT + 1}")
    before = old.read_bytes()
    for use in (Historian, Recording):
        with pytest.raises(InputError, match=f"history of format {FORMAT + 1}, this program reads up to {FORMAT}"):
            use(old)
    assert old.read_bytes() == before
