"""MQTT against a real Mosquitto: everything arrives, with unit, quality and the device's own time."""

import asyncio
import csv
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import pytest

from twin.connectors.base import BAD_DECODING
from twin.core.samples import BAD_NO_COMMUNICATION, GOOD, UNCERTAIN_LAST_USABLE, SignalKey

KEY = SignalKey("/World/Line/Sealer", "temperature")
NAB = Path(__file__).parents[2].parent / "shared" / "data" / "nab" / "machine_temperature_system_failure.csv"


def mapping(port: int, signals: str, *, address: str = "", options: str = "{}") -> str:
    return f"""
schema: twin.mapping/1
connections:
  - {{name: cell, driver: mqtt, address: "{address or f"mqtt://127.0.0.1:{port}"}", options: {options}}}
signals:
{signals}
"""


def temperature(source: str, more: str = "") -> str:
    target = "{prim: /World/Line/Sealer, signal: temperature}"
    return f"  - {{connection: cell, source: {source}, target: {target}, raw_unit: Cel, unit: Cel{more}}}"


def publish(port: int, messages, *, qos: int = 1, retain: bool = False, **login) -> None:
    """Publish (topic, payload) pairs, in order, as fast as they are taken."""

    async def send() -> None:
        async with aiomqtt.Client("127.0.0.1", port, **login) as client:
            for topic, payload in messages:
                await client.publish(topic, payload, qos=qos, retain=retain)

    # a loop of its own, whatever the test runs in
    failure = []
    thread = threading.Thread(target=lambda: failure.extend(_attempt(send)))
    thread.start()
    thread.join()
    assert failure == []


def _attempt(send) -> list[BaseException]:
    try:
        asyncio.run(send())
    except BaseException as error:  # noqa: BLE001
        return [error]
    return []


def state_of(plant) -> str:
    return plant.statuses()[0].state


def connected(plant) -> bool:
    return state_of(plant) in ("syncing", "live", "stale")


@pytest.mark.skipif(not NAB.is_file(), reason="the recorded machine temperature is not at ../shared/data")
def test_all_samples_of_a_real_machine_arrive(broker, make_plant, history, wait_for):
    with NAB.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22_695
    source = "{topic: plant/machine/temperature, value: /value, time: /time}"
    plant = make_plant(mapping(broker.port, temperature(source).replace("raw_unit: Cel", 'raw_unit: "[degF]"')), history)
    wait_for(lambda: connected(plant), what="connection")
    payloads = [json.dumps({"value": float(r["value"]), "time": r["timestamp"]}) for r in rows]

    async def flood() -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port, max_queued_outgoing_messages=0) as client:
            # a window of open acknowledgements, so that the broker and not the round trip sets the pace
            window = asyncio.Semaphore(100)

            async def one(payload: str) -> None:
                async with window:
                    await client.publish("plant/machine/temperature", payload, qos=1)

            client.pending_calls_threshold = 200
            for begin in range(0, len(payloads), 500):
                await asyncio.gather(*(one(p) for p in payloads[begin : begin + 500]))

    asyncio.run(flood())
    wait_for(lambda: sum(s.count for s in history.signals()) >= len(rows), 60.0, "all samples recorded")
    history.flush()
    recorded = history.samples(KEY, 0, 2**62)
    expected: dict[int, list[float]] = {}
    for row in rows:
        moment = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
        expected.setdefault(int(moment.timestamp()) * 10**9, []).append((float(row["value"]) - 32.0) * 5.0 / 9.0)
    found: dict[int, list[float]] = {}
    for sample in recorded:
        found.setdefault(sample.source_time, []).append(sample.value)
    assert found.keys() == expected.keys()
    for moment, values in expected.items():
        assert sorted(found[moment]) == pytest.approx(sorted(values), abs=1e-9)
    assert {s.quality for s in recorded} == {GOOD}
    assert {s.origin for s in recorded} == {"plant"}
    assert history.units()[KEY] == "Cel"
    assert plant.losses() == {}
    assert history.losses().overflow == {}
    assert plant.drain_state()[KEY].value == pytest.approx((float(rows[-1]["value"]) - 32.0) * 5.0 / 9.0)


def test_a_broker_that_appears_late_is_found(make_broker, make_plant, wait_for):
    broker = make_broker()
    plant = make_plant(mapping(broker.port, temperature("{topic: t}")))
    wait_for(lambda: state_of(plant) == "backoff", what="back-off")
    assert plant.drain_state()[KEY].quality == BAD_NO_COMMUNICATION
    assert "refused" in plant.statuses()[0].error.lower()
    broker.start()
    wait_for(lambda: connected(plant), what="connection")
    assert plant.statuses()[0].error == ""
    publish(broker.port, [("t", b"21.5")])
    wait_for(lambda: state_of(plant) == "live", what="live")
    assert plant.drain_state()[KEY].value == 21.5


def test_a_restarted_broker_leaves_a_visible_gap_and_loses_nothing_after(broker, make_plant, history, wait_for):
    plant = make_plant(mapping(broker.port, temperature("{topic: t}")), history)
    wait_for(lambda: connected(plant), what="connection")
    publish(broker.port, [("t", b"1"), ("t", b"2")])
    wait_for(lambda: state_of(plant) == "live", what="live")
    broker.stop()
    wait_for(lambda: state_of(plant) == "backoff", what="loss noticed")
    broker.start()
    wait_for(lambda: connected(plant), what="reconnection")
    publish(broker.port, [("t", b"3")])
    wait_for(lambda: state_of(plant) == "live", what="live again")
    history.flush()
    recorded = [(s.value, s.quality) for s in history.samples(KEY, 0, 2**62)]
    assert recorded == [(1, GOOD), (2, GOOD), (None, BAD_NO_COMMUNICATION), (3, GOOD)]


def test_what_cannot_be_read_is_counted_named_and_shown_as_bad(broker, make_plant, history, wait_for):
    plant = make_plant(mapping(broker.port, temperature("{topic: t, value: v, time: ts}")), history)
    wait_for(lambda: connected(plant), what="connection")
    bad = [b"{", b'{"x": 1}', b'{"v": [1], "ts": 0}', b'{"v": 1, "ts": "soon"}', b'{"v": "hot", "ts": 1}']
    publish(broker.port, [("t", p) for p in (*bad, b'{"v": 4.5, "ts": 2}')])
    wait_for(lambda: state_of(plant) == "live", what="live")
    assert plant.losses() == {
        "cell: payload is not JSON: t": 1,
        "cell: payload has no v: t": 1,
        "cell: payload value is not a scalar: t": 1,
        "cell: payload time 'soon' is not ISO 8601: t": 1,
        "cell: not a number: signals[0] cell:t v": 1,
    }
    history.flush()
    recorded = history.samples(KEY, 0, 2**62)
    assert sorted(s.quality for s in recorded) == sorted([GOOD] + [BAD_DECODING] * 5)
    assert [s.value for s in recorded if s.quality == GOOD] == [4.5]


def test_wildcards_find_their_prims(broker, make_plant, wait_for):
    signals = '  - {connection: cell, source: {topic: "plant/+/+"}, target: {prim: "/World/{1}", signal: speed}, unit: m/s}'
    plant = make_plant(mapping(broker.port, signals))
    wait_for(lambda: connected(plant), what="connection")
    assert plant.targets() == set()
    publish(broker.port, [("plant/InfeedA/v", b"0.5"), ("plant/InfeedB/v", b"0.25"), ("plant/deep/er/v", b"9")])
    wait_for(lambda: len(plant.targets()) == 2, what="both conveyors")
    state = plant.drain_state()
    assert {k.prim: s.value for k, s in state.items()} == {"/World/InfeedA": 0.5, "/World/InfeedB": 0.25}


def test_batches_scale_and_time_in_milliseconds(broker, make_plant, history, wait_for):
    source = "{topic: t, value: /v, time: /t, batch: true}"
    signals = temperature(source, ", transform: {scale: 0.1, offset: 1.0}")
    plant = make_plant(mapping(broker.port, signals), history)
    wait_for(lambda: connected(plant), what="connection")
    batch = [{"v": 10 * i, "t": 1_700_000_000_000 + i} for i in range(50)]
    publish(broker.port, [("t", json.dumps(batch))])
    wait_for(lambda: state_of(plant) == "live", what="live")
    history.flush()
    columns = history.range(KEY, 0, 2**62)
    assert columns.time_ns.tolist() == [(1_700_000_000_000 + i) * 10**6 for i in range(50)]
    assert columns.value == pytest.approx([i + 1.0 for i in range(50)])


def test_silence_makes_the_last_value_doubtful(broker, make_plant, wait_for):
    plant = make_plant(mapping(broker.port, temperature("{topic: t}", ", interval: 0.1 s")))
    wait_for(lambda: connected(plant), what="connection")
    publish(broker.port, [("t", b"7")])
    wait_for(lambda: state_of(plant) == "stale" and plant.drain_state().get(KEY) is not None, what="stale")
    publish(broker.port, [("t", b"8")])
    wait_for(lambda: state_of(plant) == "live", what="live")
    seen = []
    wait_for(lambda: seen.append(plant.drain_state().get(KEY)) or state_of(plant) == "stale", what="stale again")
    seen.append(plant.drain_state().get(KEY))
    last = [s for s in seen if s is not None][-1]
    assert (last.value, last.quality) == (8, UNCERTAIN_LAST_USABLE)
    assert plant.statuses()[0].stale == 1


def test_a_small_change_is_not_delivered(broker, make_plant, history, wait_for):
    plant = make_plant(mapping(broker.port, temperature("{topic: t}", ", deadband: 0.5")), history)
    wait_for(lambda: connected(plant), what="connection")
    publish(broker.port, [("t", v) for v in ("10", "10.3", "10.6", "10.2", "9.9", "off")])
    wait_for(lambda: plant.losses(), what="the last message")
    history.flush()
    assert history.range(KEY, 0, 2**62).value == [10, 10.6, 9.9, None]


def test_a_retained_value_without_a_stamp_is_doubtful(broker, make_plant, wait_for):
    publish(broker.port, [("t", b"5")], retain=True)
    plant = make_plant(mapping(broker.port, temperature("{topic: t}")))
    seen = {}
    wait_for(lambda: seen.update(plant.drain_state()) or KEY in seen, what="retained value")
    assert (seen[KEY].value, seen[KEY].quality) == (5, UNCERTAIN_LAST_USABLE)


def test_messages_sent_while_away_come_with_a_session(broker, make_plant, history, wait_for):
    text = mapping(broker.port, temperature("{topic: t}"), options="{client_id: twin-test, session: true}")
    first = make_plant(text)
    wait_for(lambda: connected(first), what="connection")
    first.stop()
    publish(broker.port, [("t", str(i)) for i in range(20)])
    second = make_plant(text, history)
    wait_for(lambda: state_of(second) == "live", what="live")
    wait_for(lambda: sum(s.count for s in history.signals()) >= 20, what="all twenty")
    assert history.range(KEY, 0, 2**62).value == list(range(20))


def test_a_wrong_login_is_fatal_and_no_secret_is_shown(make_broker, make_plant, wait_for, tmp_path, monkeypatch, capfd, caplog):
    broker = make_broker(login=("line", "right-password"))
    broker.start()
    caplog.set_level(logging.DEBUG)
    (tmp_path / "secret.txt").write_text("wrong-pass-77\n")
    monkeypatch.setenv("CELL_USER", "line")
    options = '{username: "${env:CELL_USER}", password: "${file:secret.txt}"}'
    plant = make_plant(mapping(broker.port, temperature("{topic: t}"), options=options))
    wait_for(lambda: state_of(plant) == "fatal", what="fatal")
    assert "refuses" in plant.statuses()[0].error
    monkeypatch.setenv("CELL_PASSWORD", "right-password")
    good = '{username: "${env:CELL_USER}", password: "${env:CELL_PASSWORD}"}'
    second = make_plant(mapping(broker.port, temperature("{topic: t}"), options=good))
    wait_for(lambda: connected(second), what="connection")
    third = make_plant(mapping(0, temperature("{topic: t}"), address="mqtt://line:${env:CELL_PASSWORD}@nowhere.invalid"))
    wait_for(lambda: state_of(third) == "backoff", what="back-off")
    broker.stop()
    wait_for(lambda: state_of(second) == "backoff", what="loss noticed")
    shown = capfd.readouterr()
    everything = shown.out + shown.err + caplog.text + "".join(s.error for p in (plant, second, third) for s in p.statuses())
    assert "connection lost" in everything
    for secret in ("wrong-pass-77", "right-password"):
        assert secret not in everything


def test_a_missing_secret_says_which(make_plant, wait_for):
    plant = make_plant(mapping(1, temperature("{topic: t}"), options='{password: "${env:TWIN_NO_SUCH_SECRET}"}'))
    wait_for(lambda: state_of(plant) == "fatal", what="fatal")
    assert "TWIN_NO_SUCH_SECRET is not set" in plant.statuses()[0].error
    assert "connections[0].options.password" in plant.statuses()[0].error


def test_lost_connections_leave_no_threads_behind(broker, make_plant, wait_for):
    plant = make_plant(mapping(broker.port, temperature("{topic: t}")))
    wait_for(lambda: connected(plant), what="connection")
    before = threading.active_count()
    for _ in range(6):
        broker.stop()
        wait_for(lambda: not connected(plant), what="loss noticed")
        broker.start()
        wait_for(lambda: connected(plant), what="reconnection")
    assert threading.active_count() <= before + 2
