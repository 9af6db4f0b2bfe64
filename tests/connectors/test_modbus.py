"""Modbus against pymodbus' simulator and against a device by another hand (modbus-serial)."""

import asyncio
import struct
import threading
import time

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from twin.connectors.base import BAD_DECODING
from twin.connectors.drivers.modbus.config import ModbusSource
from twin.connectors.drivers.modbus.registers import decode, encode
from twin.connectors.inspect import browse, probe
from twin.connectors.mapping import parse
from twin.core.errors import MappingError, Rejected, WorkError
from twin.core.samples import BAD_CONFIGURATION, BAD_NO_COMMUNICATION, BAD_OUT_OF_RANGE, GOOD, SignalKey


class Device:
    """pymodbus' simulator on a thread: units 1 and 2; unit 2 can be made silent. Registers 0-49 and 60-69."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.silent = False
        self.requests: list[tuple[int, int, int]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> "Device":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    async def _start(self) -> None:
        def device(number: int) -> SimDevice:
            async def action(function, start, address, count, registers, values):
                self.requests.append((number, address, count))
                if number == 2 and self.silent:
                    await asyncio.sleep(5.0)
                    return ExcCodes.DEVICE_BUSY
                return None

            data = [
                SimData(0, values=[100 * number + i for i in range(50)], datatype=DataType.REGISTERS),
                SimData(60, values=list(struct.unpack(">4H", struct.pack(">d", 2.5))), datatype=DataType.REGISTERS),
                SimData(64, values=[0xFFFF, 0xC3, 0, 0, 0, 0], datatype=DataType.REGISTERS),
            ]
            return SimDevice(number, simdata=data, action=action)

        self._server = ModbusTcpServer([device(1), device(2)], address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.shutdown(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def device(unused_port):
    device = Device(unused_port()).start()
    yield device
    device.stop()


def mapping(port: int, signals: dict[str, str], options: str = "{poll: 50 ms, timeout: 300 ms}", more: dict | None = None) -> str:
    lines = [
        f"  - {{connection: cell, source: {source}, target: {{prim: /W/D, signal: {name}}}{(more or {}).get(name, '')}}}"
        for name, source in signals.items()
    ]
    connection = f'{{name: cell, driver: modbus, address: "modbus://127.0.0.1:{port}", options: {options}}}'
    return "\n".join(["schema: twin.mapping/1", f"connections: [{connection}]", "signals:", *lines])


class Watch:
    """The newest value and quality of each signal so far."""

    def __init__(self, plant) -> None:
        self._plant, self._seen = plant, {}

    def __call__(self, name: str):
        self._seen.update(self._plant.drain_state())
        sample = self._seen.get(SignalKey("/W/D", name))
        return (None, None) if sample is None else (sample.value, sample.quality)


def test_neighbours_are_read_together_and_far_registers_apart(device, make_plant, wait_for):
    plant = make_plant(mapping(device.port, {"a": "{address: 0}", "b": "{address: 8}", "c": "{address: 20}"}))
    watch = Watch(plant)
    wait_for(lambda: watch("c") == (120, GOOD), what="values")
    assert (watch("a"), watch("b")) == ((100, GOOD), (108, GOOD))
    assert {r[1:] for r in device.requests} == {(0, 9), (20, 1)}
    assert plant.statuses()[0].state == "live"


def test_a_gap_that_the_device_refuses_is_read_around(device, make_plant, wait_for):
    signals = {"a": "{address: 49}", "b": "{address: 60, type: float64}", "c": "{address: 200}"}
    plant = make_plant(mapping(device.port, signals, "{poll: 50 ms, gap: 20}"))
    watch = Watch(plant)
    wait_for(lambda: watch("b") == (2.5, GOOD), what="value behind the gap")
    assert watch("a") == (149, GOOD)
    wait_for(lambda: watch("c") == (None, BAD_CONFIGURATION), what="refusal")
    assert plant.losses()["cell: illegal address: signals[2] cell:unit 1 holding 200"] >= 1


def test_a_dead_unit_does_not_slow_down_the_others_and_comes_back(device, make_plant, wait_for):
    device.silent = True
    options = "{poll: 50 ms, timeout: 400 ms, retry: 500 ms}"
    plant = make_plant(mapping(device.port, {"a": "{unit: 1, address: 0}", "b": "{unit: 2, address: 0}"}, options))
    watch = Watch(plant)
    wait_for(lambda: watch("a")[1] == GOOD and watch("b")[1] == BAD_NO_COMMUNICATION, what="one dead, one alive")
    before = len(device.requests)
    time.sleep(1.0)
    # 20 polls a second are asked for; the dead unit alone would permit two
    assert sum(r[0] == 1 for r in device.requests[before:]) >= 10
    assert plant.statuses()[0].state == "live"
    device.silent = False
    wait_for(lambda: watch("b") == (200, GOOD), 15.0, what="the unit back")


def test_all_units_silent_is_a_lost_connection(device, make_plant, wait_for):
    plant = make_plant(mapping(device.port, {"b": "{unit: 2, address: 0}"}))
    watch = Watch(plant)
    wait_for(lambda: watch("b") == (200, GOOD), what="value")
    device.silent = True
    wait_for(lambda: plant.statuses()[0].state == "backoff", what="loss")
    assert "unit 2 does not answer" in plant.statuses()[0].error
    assert watch("b") == (None, BAD_NO_COMMUNICATION)


def test_writing_reads_back_and_stays_within_type_and_permission(device, make_plant, wait_for):
    more = {"a": ", transform: {scale: 0.1}, unit: Cel, write: {min: 0, max: 90000}", "b": ", write: {min: 0, max: 1}"}
    signals = {"a": "{address: 5, type: int16}", "b": "{address: 6, bit: 2}", "c": "{address: 7}"}
    plant = make_plant(mapping(device.port, signals, more=more), allow_writes=True)
    watch = Watch(plant)
    wait_for(lambda: watch("a")[1] == GOOD, what="value")
    key = SignalKey("/W/D", "a")
    assert plant.write(key, 42.5, user="ann").read_back == 425
    wait_for(lambda: watch("a") == (42.5, GOOD), what="written value")
    assert plant.write(key, 80000.0, user="ann").quality == BAD_OUT_OF_RANGE
    assert plant.write(SignalKey("/W/D", "b"), 1, user="ann").quality == 0x803B0000
    with pytest.raises(Rejected):
        plant.write(SignalKey("/W/D", "c"), 1, user="ann")


def test_probe_and_browse(device, unused_port):
    loaded = parse(mapping(device.port, {}).replace("signals:", "signals: []"), file="m", folder=None)
    assert probe(loaded, loaded.connections[0], timeout_s=5.0).peer.startswith("Modbus device")
    found = browse(loaded, loaded.connections[0], seconds=5.0, timeout_s=5.0)
    assert {"unit": 1, "table": "holding", "address": 7} in [f.source for f in found]
    assert next(f for f in found if f.source["address"] == 7).sample == "107"
    nobody = parse(mapping(unused_port(), {}).replace("signals:", "signals: []"), file="m", folder=None)
    with pytest.raises(WorkError, match="cannot connect"):
        probe(nobody, nobody.connections[0], timeout_s=5.0)


def test_a_device_by_another_hand(start_peer, make_plant, history, wait_for):
    port = start_peer("modbus_device.js").port
    signals = {
        "float": "{address: 0, type: float32}",
        "double": "{address: 2, type: float64}",
        "whole": "{table: input, address: 6, type: int32}",
        "swapped": "{unit: 2, address: 10, type: float32, words: little}",
        "text": "{address: 12, type: string, length: 4}",
        "bit": "{address: 16, bit: 15}",
        "unset": "{address: 16, bit: 14}",
        "large": "{address: 20, type: uint64}",
        "coil": "{table: coil, address: 3}",
        "sensor": "{table: discrete, address: 4}",
        "dead": "{unit: 9, address: 0}",
        "beyond": "{address: 64}",
    }
    more = {"whole": ", write: {}", "double": ", write: {}", "coil": ", write: {}"}
    plant = make_plant(mapping(port, signals, more=more), history, allow_writes=True)
    watch = Watch(plant)
    wait_for(lambda: watch("dead")[1] == BAD_NO_COMMUNICATION and watch("swapped")[1] == GOOD, what="values")
    assert {n: watch(n)[0] for n in signals} == {
        "float": 21.5,
        "double": -1234.5678901234,
        "whole": -70000,
        "swapped": 98.25,
        "text": "LINE-7",
        "bit": True,
        "unset": False,
        "large": 2**64 - 1,
        "coil": True,
        "sensor": False,
        "dead": None,
        "beyond": None,
    }
    assert plant.write(SignalKey("/W/D", "double"), 0.1, user="ann").read_back == 0.1
    assert plant.write(SignalKey("/W/D", "coil"), False, user="ann").read_back is False
    assert plant.write(SignalKey("/W/D", "whole"), 1, user="ann").quality == 0x803B0000  # an input register
    history.flush()
    assert {s.source_time for s in history.samples(SignalKey("/W/D", "float"), 0, 2**62)} == {None}


@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint32", "float32", "int64", "uint64", "float64", "string"])
@pytest.mark.parametrize("words", ["big", "little"])
@pytest.mark.parametrize("order", ["big", "little"])
def test_every_order_comes_back(kind, words, order):
    source = ModbusSource(address=0, type=kind, words=words, bytes=order, length=5 if kind == "string" else 0)
    value = {"string": "Grün 7", "float32": -0.15625, "float64": 1e-300}.get(kind, 2**15 - 3)
    registers = encode(source, value)
    assert len(registers) == source.width
    assert decode(source, registers) == value


def test_letters_of_the_manuals():
    number = struct.unpack(">f", bytes.fromhex("0A0B0C0D"))[0]
    for letters, words, order in (
        ("AB CD", "big", "big"),
        ("CD AB", "little", "big"),
        ("BA DC", "big", "little"),
        ("DC BA", "little", "little"),
    ):
        sent = [int("".join(f"0{c}" for c in pair), 16) for pair in letters.split()]
        assert decode(ModbusSource(address=0, type="float32", words=words, bytes=order), sent) == number


def test_text_that_is_none_is_bad(device, make_plant, wait_for):
    plant = make_plant(mapping(device.port, {"a": "{address: 64, type: string, length: 1}"}))
    watch = Watch(plant)
    wait_for(lambda: watch("a") == (None, BAD_DECODING), what="bad text")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("{address: 70000}", "address"),
        ("{address: 65535, type: float32}", "beyond the last"),
        ("{address: 1, type: string}", "length"),
        ("{address: 1, type: int32, bit: 3}", "a bit is taken"),
        ("{table: coil, address: 1, type: float32}", "single bits"),
    ],
)
def test_a_source_that_cannot_be_is_refused(source, told, tmp_path):
    with pytest.raises(MappingError, match=told):
        parse(mapping(1, {"a": source}), file="m.yaml", folder=tmp_path)
