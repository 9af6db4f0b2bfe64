"""Recordings come back as they were, at any speed, and never reach a plant."""

import itertools
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from twin.connectors.mapping import parse
from twin.connectors.secret import Redactor
from twin.core.errors import MappingError, Rejected
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN, Sample, SignalKey
from twin.history import Historian, Recording, export_parquet

KEY = SignalKey("/W/Oven", "temperature")
NAB = Path(__file__).parents[2].parent / "shared" / "data" / "nab" / "machine_temperature_system_failure.csv"
T0 = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * 10**9
S = 10**9


def mapping(file, source: str, options: str = "{speed: max}", more: str = "") -> str:
    return f"""
schema: twin.mapping/1
connections: [{{name: tape, driver: replay, address: "replay://{file}", options: {options}}}]
signals:
  - {{connection: tape, source: {source}, target: {{prim: /W/Oven, signal: temperature}}{more}}}
"""


def recorded(history, count: int, wait_for) -> list[Sample]:
    wait_for(lambda: sum(s.count for s in history.signals()) >= count, 30.0, "all recorded")
    history.flush()
    return history.samples(KEY, 0, 2**62)


def resolved(text: str, folder: Path):
    loaded = parse(text, file="m.yaml", folder=folder)
    return loaded.resolve(loaded.connections[0], Redactor())


@pytest.mark.skipif(not NAB.is_file(), reason="the recorded machine temperature is not at ../shared/data")
def test_a_real_machine_is_replayed_whole(make_plant, history, wait_for):
    text = mapping(NAB, "{column: value}", more=', raw_unit: "[degF]", unit: Cel')
    plant = make_plant(text, history)
    # one hour of the file is recorded twice, with other values: both are kept
    samples = recorded(history, 22_695, wait_for)
    assert len(samples) == 22_695
    assert samples[0].value == pytest.approx((73.96732207 - 32.0) / 1.8)
    assert samples[0].source_time == int(datetime(2013, 12, 2, 21, 15, tzinfo=UTC).timestamp()) * S
    assert {s.origin for s in samples} == {"replay"}
    assert plant.losses() == {}
    assert plant.statuses()[0].state == "live"
    assert plant.statuses()[0].origin == "replay"


def test_a_history_file_and_its_export_are_replayed_alike(tmp_path, make_plant, history, wait_for):
    values = [1.5, 7, True, "auto", None, 2**60 + 1, -0.25, False, float(10**6)]
    kept = [
        Sample(KEY, v, GOOD if v is not None else BAD_NO_COMMUNICATION, T0 + i * S, None, T0 + 2 * i, "plant")
        for i, v in enumerate(values * 40)
    ]
    kept[3] = Sample(KEY, 9.0, UNCERTAIN, T0 + 3 * S, None, T0, "plant")
    with_history = Historian(tmp_path / "first.db", seal_rows=100)
    with_history.declare(KEY, "Cel")
    with_history.append(kept)
    with_history.close()
    recording = Recording(tmp_path / "first.db")
    assert export_parquet(recording, tmp_path / "first.parquet", signals=[KEY]) == len(kept)
    recording.close()
    for number, file in enumerate(("first.db", "first.parquet")):
        into = Historian(tmp_path / f"again{number}.db")
        plant = make_plant(mapping(file, "{signal: '/W/Oven:temperature'}"), into)
        back = recorded(into, len(kept), wait_for)
        plant.stop()
        into.close()
        assert [(s.value, type(s.value), s.quality, s.source_time) for s in back] == [
            (s.value, type(s.value), s.quality, s.source_time) for s in kept
        ]


def test_an_export_is_a_table_for_others(tmp_path):
    import duckdb

    historian = Historian(tmp_path / "h.db")
    historian.declare(KEY, "Cel")
    historian.append([Sample(KEY, float(i), GOOD, T0 + i * S, None, T0, "plant") for i in range(1000)])
    historian.close()
    command = [sys.executable, "-m", "twin.cli.main", "connectors", "export", str(tmp_path / "h.db"), "--json"]
    more = ["--out", str(tmp_path / "h.parquet"), "--begin", "2026-01-05T00:00:10", "--end", "2026-01-05T00:00:19Z"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 10
    found = duckdb.sql(f"SELECT signal, unit, avg(value), min(time) FROM '{tmp_path / 'h.parquet'}' GROUP BY ALL").fetchall()
    assert found[0][:3] == ("/W/Oven:temperature", "Cel", 14.5)
    wrong = subprocess.run([*command, *more, "--signal", "/W/Oven:speed"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "allowed: /W/Oven:temperature" in wrong.stderr


def test_rows_of_a_long_table_are_told_apart_and_bad_stamps_counted(tmp_path, make_plant, history, wait_for):
    rows = ["tag,when,reading,status", "T1,2026-01-05T00:00:02Z,20.5,0", "T2,2026-01-05T00:00:01Z,99,0"]
    rows += ["T1,2026-01-05T01:00:01+01:00,20,1073741824", "T1,soon,1,0", "T1,2026-01-05T00:00:03Z,,2150694912"]
    (tmp_path / "long.csv").write_text("\n".join(rows) + "\n")
    source = "{column: reading, time: when, quality: status, where: {tag: T1}}"
    plant = make_plant(mapping("long.csv", source, more=", unit: Cel"), history)
    samples = recorded(history, 3, wait_for)
    assert [(s.value, s.quality, s.source_time) for s in samples] == [
        (20, UNCERTAIN, T0 + S),
        (20.5, GOOD, T0 + 2 * S),
        (None, BAD_NO_COMMUNICATION, T0 + 3 * S),
    ]
    assert plant.losses() == {"tape: time cannot be read: signals[0] tape:reading tag=T1": 1}


def test_speed_and_moving_stamps(tmp_path, make_plant, history, wait_for):
    times = pa.array([T0 + i * S for i in range(21)], pa.timestamp("ns"))
    pa.parquet.write_table(pa.table({"time": times, "v": [float(i) for i in range(21)]}), tmp_path / "t.parquet")
    begin = time.time_ns()
    plant = make_plant(mapping("t.parquet", "{column: v}", "{speed: 20, stamps: now}"), history)
    samples = recorded(history, 21, wait_for)
    took = (samples[-1].receive_time - samples[0].receive_time) / S
    assert took == pytest.approx(1.0, abs=0.35)
    gaps = [b.source_time - a.source_time for a, b in itertools.pairwise(samples)]
    assert gaps == pytest.approx([S / 20] * 20, abs=1000)
    assert samples[0].source_time >= begin
    assert plant.statuses()[0].state == "live"


def test_a_stretch_and_a_loop(tmp_path, make_plant, history, wait_for):
    lines = [f"{T0 // S + i},{i}" for i in range(10)]
    (tmp_path / "t.csv").write_text("ts,v\n" + "\n".join(lines) + "\n")
    options = '{speed: 100, stamps: now, loop: true, begin: "2026-01-05T00:00:04", end: "2026-01-05T00:00:06"}'
    make_plant(mapping("t.csv", "{column: v}", options), history)
    assert [s.value for s in recorded(history, 9, wait_for)][:9] == [4, 5, 6] * 3


def test_replay_cannot_write_or_pass_for_a_plant(tmp_path, make_plant, wait_for):
    text = mapping("t.csv", "{column: v}")
    for wrong, reason in (
        (mapping("t.csv", "{column: v}", more=", write: {min: 0, max: 1}"), "nothing can be written"),
        (text.replace("driver: replay", "driver: replay, origin: plant"), "cannot be called 'plant'"),
        (mapping("t.csv", "{column: v}", "{loop: true}"), "a loop needs"),
        (
            text.replace("driver: replay", "driver: mqtt, origin: replay").replace(", options: {speed: max}", ""),
            "cannot be called",
        ),
    ):
        with pytest.raises(MappingError, match=reason):
            resolved(wrong, tmp_path)
    (tmp_path / "t.csv").write_text("ts,v\n1,1\n")
    plant = make_plant(text, allow_writes=True)
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")
    with pytest.raises(Rejected, match="does not permit writing"):
        plant.write(KEY, 1.0, user="eve")


@pytest.mark.parametrize(
    ("content", "source", "told"),
    [
        (None, "{column: v}", "cannot be read"),
        (b"", "{column: v}", "cannot be read"),
        (b"ts,v\n1,2\n", "{column: w}", "allowed: ts, v"),
        (b"SQLite format 3\x00 but no more", "{signal: '/W:a'}", "cannot be read"),
    ],
)
def test_what_is_no_recording_is_fatal_and_told(tmp_path, make_plant, wait_for, content, source, told):
    if content is not None:
        (tmp_path / "t.csv").write_bytes(content)
    plant = make_plant(mapping("t.csv", source))
    wait_for(lambda: plant.statuses()[0].state == "fatal", what="fatal")
    assert told in plant.statuses()[0].error
