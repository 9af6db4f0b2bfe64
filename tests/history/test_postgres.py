"""History in PostgreSQL answers as the file does, and survives a restart of the server."""

from __future__ import annotations

import math
import random
import time

import pytest

from twin.connectors.conformance import Unavailable
from twin.connectors.conformance.postgres import Cluster
from twin.core.clock import now_ns
from twin.core.errors import InputError
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, Sample, SignalKey
from twin.history import Historian, diff

OVEN, DOOR = SignalKey("/W/Oven", "t"), SignalKey("/W/Oven", "door")
T0, S = 1_700_000_000 * 10**9, 10**9


@pytest.fixture(scope="module")
def cluster():
    try:
        made = Cluster()
    except Unavailable as reason:
        pytest.skip(str(reason))
    made.start()
    yield made
    made.close()


@pytest.fixture
def both(cluster, tmp_path):
    with cluster.connect() as db:
        db.execute("DROP SCHEMA IF EXISTS twin_history CASCADE")
    pair = [Historian(tmp_path / "file.db", seal_rows=100), Historian(cluster.address, seal_rows=100)]
    yield pair
    for history in pair:
        history.close()


def samples() -> list[Sample]:
    rng = random.Random(5)
    values = [1.5, 7, True, False, "auto", "", None, math.inf, -0.25, 2**64 - 1, -(2**63), 1, 1.0]
    out = [Sample(OVEN, 20.0 + i % 17, GOOD, T0 + i * S, T0 + i * S + 3, T0 + i * S + 7) for i in range(450)]
    out += [Sample(DOOR, v, GOOD, None, None, T0 + i * S, "emulated") for i, v in enumerate(values)]
    out.append(Sample(OVEN, None, BAD_NO_COMMUNICATION, T0 + 460 * S, None, T0 + 460 * S))
    rng.shuffle(out)
    return out


def test_both_stores_answer_alike(both):
    given = samples()
    for history in both:
        history.declare(OVEN, "Cel")
        for begin in range(0, len(given), 50):
            history.append(given[begin : begin + 50])
            history.flush()
        history.append(given[:100])  # delivered twice
        history.flush()
        assert history.losses().repeated == 100
        assert history.losses().error == ""
    file, server = both
    for key in (OVEN, DOOR):
        assert server.samples(key, 0, 2**62) == file.samples(key, 0, 2**62)
        assert [type(s.value) for s in server.samples(key, 0, 2**62)] == [type(s.value) for s in file.samples(key, 0, 2**62)]
        for moment in (T0 - 1, T0, T0 + 99 * S, T0 + 100 * S + 5, T0 + 449 * S, 2**62):
            assert server.latest_at(key, moment) == file.latest_at(key, moment)
    thin = [h.range(OVEN, T0 + 10 * S, T0 + 460 * S, 40) for h in both]
    assert (thin[0].time_ns.tolist(), thin[0].value) == (thin[1].time_ns.tolist(), thin[1].value)
    assert server.signals() == file.signals()
    assert server.units() == file.units() == {OVEN: "Cel"}
    assert diff(server, T0 + 5 * S, T0 + 300 * S) == diff(file, T0 + 5 * S, T0 + 300 * S)


def test_it_goes_on_after_a_restart_of_the_server(both, cluster):
    _, server = both
    server.append([Sample(OVEN, float(i), GOOD, T0 + i * S, None, T0 + i * S) for i in range(250)])
    server.flush()
    cluster.stop()
    server.append([Sample(OVEN, float(i), GOOD, T0 + i * S, None, T0 + i * S) for i in range(250, 300)])
    cluster.start()
    server.flush(60.0)
    assert [s.value for s in server.samples(OVEN, 0, 2**62)] == [float(i) for i in range(300)]
    again = Historian(cluster.address)
    assert again.signals()[0].count == 300
    again.close()


def until(condition, what: str) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_retention_by_class_and_by_size(both, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("twin.history.historian.EXPIRE_S", 0.0)  # after each commit
    now = now_ns()
    old, fresh = now - 7200 * S, now - 60 * S
    kept = {"*:door": 600.0, "/W/Oven:*": 86_400.0}
    for index, place in enumerate((tmp_path / "kept.db", cluster.address)):
        history = Historian(place, keep=kept, max_age_s=3600.0)
        for key in (OVEN, DOOR, SignalKey("/W", "other")):
            history.append([Sample(key, 1.0, GOOD, at, None, at) for at in (old, fresh)])
        history.flush()
        until(lambda h=history: h.losses().expired == 2, f"two samples of store {index} expire")
        counts = {f"{s.prim}:{s.name}": s.count for s in history.signals()}
        assert counts == {"/W/Oven:t": 2, "/W/Oven:door": 1, "/W:other": 1}, index
        history.close()
    full = Historian(cluster.address, max_bytes=400_000, seal_rows=100)
    rng = random.Random(1)
    for part in range(20):
        at = now + part * 1000 * S
        full.append([Sample(OVEN, rng.random(), GOOD, at + i, None, at + i) for i in range(2000)])
        full.flush()
    until(lambda: full.used_bytes() <= 400_000, "the oldest go")
    assert full.latest_at(OVEN, 2**62).time == now + 19 * 1000 * S + 1999
    full.close()


def test_an_address_that_cannot_be_used_is_told_without_its_password():
    with pytest.raises(InputError) as refused:
        Historian("postgresql://twin:hunter2@127.0.0.1:1/none?connect_timeout=2")
    assert "hunter2" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)
