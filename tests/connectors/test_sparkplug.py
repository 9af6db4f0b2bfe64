"""Sparkplug B against an edge node by another hand (sparkplug-client) through a real Mosquitto."""

import asyncio
import contextlib
import json
import random
import threading
import time
import zlib

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.connectors.drivers.sparkplug import wire
from twin.connectors.drivers.sparkplug.config import SparkplugSource
from twin.connectors.drivers.sparkplug.wire import Metric, Payload, WireError, decode, encode
from twin.connectors.inspect import browse
from twin.connectors.mapping import parse
from twin.core.samples import BAD_NO_COMMUNICATION, BAD_OUT_OF_RANGE, GOOD, SignalKey

NAMES = ("Temperature", "Offset", "Recipe", "Door", "Total", "Ratio")


def mapping(port: int, *, options: str = "{rebirth_pause: 300 ms}", more: str = "") -> str:
    lines = [
        f"  - {{connection: plant, source: {{group: Plant 1, node: Line A, device: Oven, metric: {name}}}, "
        f"target: {{prim: /W/Oven, signal: {name}}}{', write: {max: 300}' if name in ('Temperature', 'Offset') else ''}}}"
        for name in NAMES
    ]
    lines += [
        f'  - {{connection: plant, source: {{group: "+", node: Line A, metric: {name}}}, '
        f'target: {{prim: "/W/{{1}}", signal: {name}}}}}'
        for name in ("Births", "Limit")
    ]
    connection = f'{{name: plant, driver: sparkplug, address: "sparkplug://127.0.0.1:{port}", options: {options}}}'
    return "\n".join(["schema: twin.mapping/1", f"connections: [{connection}]", "signals:", *lines, more])


class Watch:
    """The newest value and quality of each signal so far."""

    def __init__(self, plant) -> None:
        self._plant, self._seen = plant, {}

    def __call__(self, name: str):
        self._seen.update(self._plant.drain_state())
        sample = self._seen.get(SignalKey("/W/Plant 1" if name in ("Births", "Limit") else "/W/Oven", name))
        return (None, None) if sample is None else (sample.value, sample.quality)


@pytest.fixture
def setting(broker, start_peer, make_plant, history, wait_for):
    """A node that was there before, and the twin that comes later and asks for its birth."""
    node = start_peer("sparkplug_node.js", broker.port)
    plant = make_plant(mapping(broker.port), history, allow_writes=True)
    watch = Watch(plant)
    wait_for(lambda: watch("Ratio")[1] == GOOD, what="birth on request")
    return node, plant, watch


def test_every_type_arrives_with_the_devices_own_time(setting, history, wait_for):
    _, plant, watch = setting
    assert {n: watch(n)[0] for n in NAMES} == dict(zip(NAMES, (180.5, -300, "rye", True, -5, 0.25), strict=True))
    assert watch("Limit") == (4_000_000_000, GOOD)
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")
    history.flush()
    sample = history.latest_at(SignalKey("/W/Oven", "Temperature"), 2**62)
    assert 0 <= sample.receive_time - sample.source_time < 10**10


def test_data_by_alias_compressed_null_and_historical(setting, history, wait_for):
    node, plant, watch = setting
    node.tell(command="data", metrics=[{"alias": 10, "type": "Double", "value": 181.5}])
    wait_for(lambda: watch("Temperature") == (181.5, GOOD), what="alias")
    for algorithm in ("GZIP", "DEFLATE"):
        metrics = [{"name": "Recipe", "type": "String", "value": algorithm}]
        node.tell(command="data", metrics=metrics, options={"compress": True, "algorithm": algorithm})
        wait_for(lambda a=algorithm: watch("Recipe") == (a, GOOD), what=algorithm)
    old = {"name": "Temperature", "type": "Double", "value": 99.0, "timestamp": 1_700_000_000_000, "isHistorical": True}
    node.tell(command="data", metrics=[old, {"name": "Door", "type": "Boolean", "value": None, "isNull": True}])
    wait_for(lambda: watch("Door") == (None, 0x809B0000), what="null")
    assert watch("Temperature") == (181.5, GOOD)
    history.flush()
    assert history.latest_at(SignalKey("/W/Oven", "Temperature"), 1_700_000_000_000_000_000).value == 99.0
    assert plant.late() == {"plant": 1}
    assert plant.losses() == {}


def test_a_missing_message_is_counted_and_leads_to_a_birth(setting, wait_for):
    node, plant, watch = setting
    births = watch("Births")[0]
    node.tell(command="skip")
    node.tell(command="data", metrics=[{"alias": 10, "type": "Double", "value": 1.0}])
    wait_for(lambda: watch("Births")[0] > births, what="birth")
    assert plant.losses() == {"plant: messages are missing (sequence): Plant 1/Line A": 1}
    node.tell(command="data", metrics=[{"alias": 77, "type": "Double", "value": 1.0}])
    wait_for(lambda: watch("Births")[0] > births + 1, what="birth after an alias that nobody told")
    assert plant.losses()["plant: alias is not known: spBv1.0/Plant 1/DDATA/Line A/Oven"] == 1


def test_deaths_are_seen_at_once_and_late_ones_are_not_believed(setting, wait_for):
    node, plant, watch = setting
    node.tell(command="late_death", bdSeq=7)
    node.tell(command="data", metrics=[{"alias": 10, "type": "Double", "value": 182.0}])
    wait_for(lambda: watch("Temperature") == (182.0, GOOD), what="data after a late death")
    assert watch("Births")[1] == GOOD
    node.tell(command="death")
    wait_for(lambda: watch("Temperature") == (None, BAD_NO_COMMUNICATION), what="death of the device")
    assert watch("Births")[1] == GOOD
    node.tell(command="data", metrics=[{"alias": 10, "type": "Double", "value": 183.0}])
    wait_for(lambda: watch("Temperature")[1] == GOOD, what="rebirth after data of a dead device")
    node.tell(command="cut")
    seen = []
    wait_for(lambda: seen.append(watch("Births")[1]) or BAD_NO_COMMUNICATION in seen, what="death of the node")
    wait_for(lambda: watch("Temperature") == (180.5, GOOD), what="the node back")
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")


def test_a_command_reaches_the_device_in_its_own_type(setting, wait_for):
    _, plant, watch = setting
    assert plant.write(SignalKey("/W/Oven", "Temperature"), 200.25, user="ann").quality == GOOD
    wait_for(lambda: watch("Temperature") == (200.25, GOOD), what="echo")
    assert plant.write(SignalKey("/W/Oven", "Offset"), -7, user="ann").quality == GOOD
    wait_for(lambda: watch("Offset") == (-7, GOOD), what="echo of a negative number")
    assert plant.write(SignalKey("/W/Oven", "Offset"), -40_000, user="ann").quality == BAD_OUT_OF_RANGE


def test_the_state_of_the_host_is_told_and_defended(broker, make_plant, wait_for):
    seen: list[tuple[bool, int]] = []

    async def listen(until: int, publish: bytes = b"") -> None:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("spBv1.0/STATE/twin", 1)
            if publish:
                await client.publish("spBv1.0/STATE/twin", publish, qos=1, retain=True)
            async with asyncio.timeout(10.0):
                async for message in client.messages:
                    document = json.loads(message.payload)
                    seen.append((document["online"], document["timestamp"]))
                    if len(seen) >= until:
                        return

    plant = make_plant(mapping(broker.port, options="{host_id: twin}"))
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    asyncio.run(listen(1))
    assert seen[0][0] is True
    stale_will = json.dumps({"online": False, "timestamp": 1}).encode()
    asyncio.run(listen(4, stale_will))
    assert seen[1:] == [seen[0], (False, 1), seen[0]]
    plant.stop()
    asyncio.run(listen(5))
    assert seen[4] == (False, seen[0][1])


def test_browse_lists_metrics_and_drafts_a_mapping(broker, start_peer):
    node = start_peer("sparkplug_node.js", broker.port)
    loaded = parse(mapping(broker.port), file="m", folder=None)

    def talk():
        for _ in range(20):
            time.sleep(0.1)
            node.tell(command="data", metrics=[{"alias": 10, "type": "Double", "value": 1.0}])

    talking = threading.Thread(target=talk)
    talking.start()
    found = browse(loaded, loaded.connections[0], seconds=2.5, timeout_s=5.0)
    talking.join()
    assert {f.source["metric"]: f.type for f in found if "device" in f.source} == {
        "Temperature": "Double",
        "Offset": "Int16",
        "Recipe": "String",
        "Door": "Boolean",
        "Total": "Int64",
        "Ratio": "Float",
    }


def test_what_is_no_payload_is_refused_and_never_fatal():
    rng = random.Random(3)
    good = encode(Payload(1, 2, [Metric("a", 3, 4, wire.DOUBLE, value=1.5), Metric("b", datatype=wire.STRING, value="x" * 40)]))
    for _ in range(3000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(WireError):
            decode(bytes(data[: rng.randrange(1, len(data) + 1)]))
    bomb = zlib.compress(bytes(wire.MOST_BYTES + 1))
    name = wire.COMPRESSED.encode()
    with pytest.raises(WireError, match="too large"):
        decode(b"\x22" + bytes([len(name)]) + name + b"\x2a" + wire._varint(len(bomb)) + bomb)


@given(
    st.sampled_from([*wire.SIGNED_BITS.items()]).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), st.integers(-(2 ** (kind[1] - 1)), 2 ** (kind[1] - 1) - 1))
    )
    | st.tuples(st.just(wire.DOUBLE), st.floats(allow_nan=False))
    | st.tuples(st.just(wire.UINT64), st.integers(0, 2**64 - 1))
    | st.tuples(st.just(wire.STRING), st.text())
    | st.tuples(st.just(wire.BOOLEAN), st.booleans())
)
def test_what_is_written_is_read(pair):
    datatype, value = pair
    metric = decode(encode(Payload(5, 6, [Metric("m", 7, 8, datatype, value=value)]))).metrics[0]
    assert (metric.name, metric.alias, metric.timestamp, metric.datatype, metric.value) == ("m", 7, 8, datatype, value)


def test_names_are_matched_level_by_level():
    source = SparkplugSource(group="+", node="n", device="+", metric="m")
    assert source.captures("g", "n", "d") == ("g", "d")
    assert source.captures("g", "x", "d") is None
    assert source.captures("g", "n", None) is None
