"""Databases, polled: a SQLite file that another program writes, and a PostgreSQL server."""

import sqlite3

import pytest

from twin.connectors.conformance import Unavailable
from twin.connectors.conformance.postgres import Cluster
from twin.connectors.inspect import browse, draft, probe
from twin.connectors.mapping import parse
from twin.core.samples import SignalKey, is_bad, is_good

OVEN, PRESS, ORDER = SignalKey("/W/Oven", "t"), SignalKey("/W/Press", "t"), SignalKey("/W", "order")
T0 = 1_700_000_000
LOG = "SELECT id, machine, t, at FROM readings WHERE id > :since ORDER BY id"


def mapping(
    address: str, *, begin: str = "begin: 0, ", cursor: str = "id", query: str = LOG, options: str = "{poll: 50 ms}"
) -> str:
    lines = [
        f'  - {{connection: mes, source: {{query: "{query}", cursor: {cursor}, {begin}column: t, time: at, '
        f"where: {{machine: {m}}}}}, "
        f"target: {{prim: {key.prim}, signal: {key.name}}}, raw_unit: '[degF]', unit: Cel}}"
        for m, key in (("oven", OVEN), ("press", PRESS))
    ]
    lines.append(
        "  - {connection: mes, source: {query: \"SELECT number FROM running WHERE note NOT LIKE '%x%'\", column: number}, "
        "target: {prim: /W, signal: order}}"
    )
    head = f'connections: [{{name: mes, driver: sql, address: "{address}", options: {options}}}]'
    return "\n".join(["schema: twin.mapping/1", head, "signals:", *lines])


@pytest.fixture
def file(tmp_path):
    db = sqlite3.connect(tmp_path / "mes.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(
        "CREATE TABLE readings (id INTEGER PRIMARY KEY, machine TEXT, t REAL, at REAL);"
        "CREATE TABLE running (number TEXT, note TEXT); INSERT INTO running VALUES ('A1', '')"
    )
    yield db
    db.close()


@pytest.fixture(scope="module")
def cluster():
    try:
        made = Cluster()
    except Unavailable as reason:
        pytest.skip(str(reason))
    made.start()
    with made.connect() as db:
        db.execute("CREATE TABLE readings (id bigserial PRIMARY KEY, machine text, t numeric, at timestamptz)")
        db.execute("CREATE TABLE running (number text, note text DEFAULT '')")
        db.execute("INSERT INTO running (number) VALUES ('A1')")
    yield made
    made.close()


def add(db, first: int, count: int) -> None:
    rows = [("oven" if i % 2 else "press", 32.0 + 9.0 * i, T0 + i) for i in range(first, first + count)]
    db.executemany("INSERT INTO readings (machine, t, at) VALUES (?, ?, ?)", rows)


def good(history, key) -> list[tuple[int, float]]:
    history.flush()
    return [(s.source_time, s.value) for s in history.samples(key, 0, 2**62) if is_good(s.quality) and s.source_time]


def test_every_row_becomes_a_sample_of_its_machine(file, make_plant, history, wait_for):
    add(file, 0, 1000)
    plant = make_plant(mapping("sqlite://mes.db", options="{poll: 50 ms, rows: 100}"), history)
    wait_for(lambda: len(good(history, OVEN)) == 500, what="what was there already")
    add(file, 1000, 10)
    file.execute("INSERT INTO readings (machine, t, at) VALUES ('oven', NULL, ?)", (T0 + 2000,))
    file.execute("UPDATE running SET number = 'B2'")
    wait_for(lambda: len(good(history, PRESS)) == 505, what="what came then")
    assert good(history, OVEN) == [((T0 + i) * 10**9, pytest.approx(5.0 * i)) for i in range(1, 1010, 2)]
    state = {}
    wait_for(lambda: state.update(plant.drain_state()) or (ORDER in state and state[ORDER].value == "B2"), what="the order")
    assert is_bad(state[OVEN].quality)  # NULL
    assert plant.losses() == {}


def test_without_a_begin_only_what_comes_is_delivered(file, make_plant, history, wait_for):
    add(file, 0, 10)
    plant = make_plant(mapping("sqlite://mes.db", begin=""), history)
    wait_for(lambda: plant.statuses()[0].good, what="the state of things")
    add(file, 10, 4)
    wait_for(lambda: len(good(history, OVEN)) == 2, what="new rows")
    assert good(history, PRESS) == [((T0 + i) * 10**9, pytest.approx(5.0 * i)) for i in (10, 12)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.replace("SELECT id", "SELEKT id"), "syntax"),
        (lambda m: m.replace("column: t,", "column: heat,"), "no column 'heat'"),
        (lambda m: m.replace("WHERE id > :since ", ""), "names :since"),
        (lambda m: m.replace("cursor: id", "cursor: nothing"), "no column 'nothing'"),
        (lambda m: m.replace("sqlite://", "oracle://"), "not understood"),
    ],
)
def test_what_a_person_must_mend_is_final_and_named(file, make_plant, wait_for, change, reason):
    add(file, 0, 2)
    plant = make_plant(change(mapping("sqlite://mes.db")))
    wait_for(lambda: plant.statuses()[0].state == "fatal", what="refusal")
    assert reason in plant.statuses()[0].error


def test_a_file_or_a_table_that_is_not_there_yet_is_waited_for(tmp_path, make_plant, wait_for):
    plant = make_plant(mapping("sqlite://later.db"))
    wait_for(lambda: plant.statuses()[0].state == "backoff", what="back-off")
    assert "later.db" in plant.statuses()[0].error
    db = sqlite3.connect(tmp_path / "later.db", isolation_level=None)
    wait_for(lambda: "no such table" in plant.statuses()[0].error, what="the missing table")
    db.execute("CREATE TABLE readings (id INTEGER PRIMARY KEY, machine TEXT, t REAL, at REAL)")
    db.execute("CREATE TABLE running (number TEXT, note TEXT)")
    add(db, 0, 2)
    wait_for(lambda: plant.statuses()[0].good, what="live")
    db.close()


def test_a_file_that_nobody_may_write_is_not_written(file, tmp_path, make_plant, wait_for):
    text = mapping("sqlite://mes.db").replace(LOG, "DELETE FROM readings WHERE id > :since RETURNING id, machine, t, at")
    add(file, 0, 5)
    plant = make_plant(text)
    wait_for(lambda: "readonly" in plant.statuses()[0].error, what="refusal")
    assert file.execute("SELECT count(*) FROM readings").fetchone() == (5,)


def test_postgresql_is_read_by_number_and_by_time_and_over_a_restart(cluster, make_plant, history, wait_for):
    with cluster.connect() as db:
        add_to = "INSERT INTO readings (machine, t, at) VALUES (%s, %s, to_timestamp(%s))"
        db.cursor().executemany(add_to, [("oven", 32 + 9 * i, T0 + i) for i in range(100)])
    by_time = LOG.replace("id > :since ORDER BY id", "at > :since AND machine LIKE '%en' ORDER BY at")
    text = mapping(cluster.address)
    plant = make_plant(text, history)
    late = make_plant(mapping(cluster.address, begin="", cursor="at", query=by_time).replace("/W/Oven", "/W/Late"), history)
    wait_for(lambda: len(good(history, OVEN)) == 100, what="what was there")
    wait_for(lambda: late.statuses()[0].good, what="the state of things")
    assert good(history, OVEN)[7] == ((T0 + 7) * 10**9, pytest.approx(35.0))
    cluster.stop()
    wait_for(lambda: plant.statuses()[0].state == "backoff", what="loss")
    cluster.start()
    wait_for(lambda: plant.statuses()[0].state == "live" and late.statuses()[0].state == "live", what="live again")
    with cluster.connect() as db:
        db.cursor().executemany(add_to, [("oven", 32 + 9 * i, T0 + i) for i in range(100, 110)])
    wait_for(lambda: len(good(history, OVEN)) == 110, what="what came then")
    wait_for(lambda: len(good(history, SignalKey("/W/Late", "t"))) == 10, what="by time")
    loaded = parse(text, file="m", folder=cluster._home)
    assert probe(loaded, loaded.connections[0], timeout_s=10.0).peer.startswith("PostgreSQL ")
    found = browse(loaded, loaded.connections[0], seconds=1.0, timeout_s=10.0)
    assert "public.readings/machine" in {f.label for f in found}
    assert parse(draft(loaded.connections[0], found), file="draft", folder=cluster._home).points


def test_postgresql_refuses_writing_and_a_wrong_login_is_final(cluster, make_plant, wait_for):
    text = mapping(cluster.address).replace(LOG, "DELETE FROM readings WHERE id > :since RETURNING id, machine, t, at")
    writing = make_plant(text)
    wait_for(lambda: "read-only" in writing.statuses()[0].error, what="refusal")
    stranger = make_plant(mapping(cluster.address.replace("twin@", "nobody:hunter2@")), file="other")
    wait_for(lambda: stranger.statuses()[0].state in ("fatal", "backoff"), what="refusal")
    assert "nobody" in stranger.statuses()[0].error
    assert "hunter2" not in stranger.statuses()[0].error
