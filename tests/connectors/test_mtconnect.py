"""MTConnect: the recording of a real lathe, sent through a socket as its adapter would."""

import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from twin.connectors.drivers.mtconnect.model import Item
from twin.connectors.drivers.mtconnect.shdr import LineError, LineReader
from twin.connectors.inspect import browse, draft, probe
from twin.connectors.mapping import parse
from twin.core.samples import GOOD, SignalKey, is_good

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "mtconnect"
RECORDING = DATA / "okuma_shdr.txt"
recorded = pytest.mark.skipif(not RECORDING.is_file(), reason="the recorded lathe is not at ../shared/data")

UNITS = {"X1actm": "mm", "Z1actm": "mm", "Z4load": "%", "YS1load": "%", "S1speed": "1/min"}
TEXTS = ("estop", "pexecution", "system", "CoolantSystem1_cond")


class Adapter:
    """Sends lines to whoever connects; answers pings until it is told to be silent."""

    def __init__(self, lines: list[str], *, heartbeat_ms: int = 10_000) -> None:
        self._lines, self._heartbeat = lines, heartbeat_ms
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.silent = False
        self.sessions = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.sessions += 1
            self._open.append(peer)
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()
            threading.Thread(target=self.send, args=(self._lines, peer), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer.makefile("r") as lines:
            try:
                for line in lines:
                    if line.startswith("* PING") and not self.silent:
                        peer.sendall(f"* PONG {self._heartbeat}\n".encode())
            except OSError:
                return

    def send(self, lines: list[str], peer: socket.socket | None = None) -> None:
        try:
            for begin in range(0, len(lines), 200):
                (peer or self._open[-1]).sendall("".join(f"{line}\n" for line in lines[begin : begin + 200]).encode())
        except OSError:
            return

    def close(self) -> None:
        self._listener.close()
        for peer in self._open:
            peer.close()


@pytest.fixture
def start_adapter():
    running: list[Adapter] = []

    def start(lines: list[str], **options) -> Adapter:
        running.append(Adapter(lines, **options))
        return running[-1]

    yield start
    for adapter in running:
        adapter.close()


def mapping(port: int, items: dict[str, str], options: str = "{}") -> str:
    lines = [
        f"  - {{connection: lathe, source: {{item: {item}}}, target: {{prim: /W/Lathe, signal: {item}}}{more}}}"
        for item, more in items.items()
    ]
    connection = f'{{name: lathe, driver: mtconnect, address: "shdr://127.0.0.1:{port}", options: {options}}}'
    return "\n".join(["schema: twin.mapping/1", f"connections: [{connection}]", "signals:", *lines])


def expected(item: str) -> list[tuple[int, str]]:
    """(time, text) of an item in the recording, by another way of reading: first of equals only, in order of the file."""
    found: dict[tuple[int, str], None] = {}
    for line in RECORDING.read_text().splitlines():
        if not line.startswith("20"):
            continue
        stamp, *fields = line.split("|")
        whole, _, fraction = stamp.removesuffix("Z").partition(".")
        second = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
        for key, value in zip(fields[::2], fields[1::2], strict=False):
            if key == item:
                found[second * 10**9 + int(fraction.ljust(9, "0")), value] = None
    return list(found)


@recorded
def test_a_real_lathe_arrives_whole_and_late_lines_do_not_become_the_state(start_adapter, make_plant, history, wait_for):
    lines = RECORDING.read_text().splitlines()
    assert len(lines) == 10_770
    adapter = start_adapter([*lines, "2030-01-01T00:00:00Z|pprogram|THE END"])
    items = {i: f', raw_unit: "{u}"' for i, u in UNITS.items()} | dict.fromkeys((*TEXTS, "pprogram"), "")
    plant = make_plant(mapping(adapter.port, items, f"{{devices: {DATA / 'Devices.xml'}, device: OKUMA}}"), history)
    state = {}
    end = SignalKey("/W/Lathe", "pprogram")
    wait_for(lambda: state.update(plant.drain_state()) or (end in state and state[end].value == "THE END"), 30.0)
    history.flush()
    late = 0
    for item in UNITS:
        wanted = expected(item)
        key = SignalKey("/W/Lathe", item)
        there = [s for s in history.samples(key, 0, 2**62) if s.source_time is not None]
        assert sorted((s.source_time, s.value) for s in there if is_good(s.quality)) == sorted(
            (t, float(v)) for t, v in wanted if v != "UNAVAILABLE"
        )
        assert len(there) == len(wanted)
        newest = max(t for t, _ in wanted)
        assert state[key].source_time == newest
    for item in items:
        newest = 0
        for moment, _ in every(item, lines):
            late += moment < newest
            newest = max(moment, newest)
    assert late > 100
    assert plant.late() == {"lathe": late}
    assert plant.losses() == {}
    assert state[SignalKey("/W/Lathe", "system")].value in ("NORMAL", "WARNING", "FAULT")
    assert state[SignalKey("/W/Lathe", "estop")].value == "ARMED"


def every(item: str, lines: list[str]):
    """As expected(), with repetitions: what is counted as late is counted as it comes."""
    reader = LineReader({"system": Item("system", "CONDITION", "SYSTEM", "", "")}, UTC)
    for line in lines:
        if not line.startswith("*"):
            yield from ((o.time, o.value) for o in reader.read(line) if o.item == item)


@recorded
def test_browse_takes_units_and_components_from_the_device_model(start_adapter):
    adapter = start_adapter(RECORDING.read_text().splitlines()[:60])
    text = mapping(adapter.port, {"X1actm": ""}, f"{{devices: {DATA / 'Devices.xml'}, device: OKUMA}}")
    loaded = parse(text, file="m", folder=Path())
    found = browse(loaded, loaded.connections[0], seconds=1.0, timeout_s=5.0)
    position = next(f for f in found if f.source == {"item": "X1actm"})
    assert (position.unit, position.type, position.label) == ("mm", "sample", "/Axes/X/X1actm")
    again = parse(draft(loaded.connections[0], found), file="draft", folder=Path())
    assert next(p for p in again.points if p.source.item == "X1actm").raw_unit == "mm"
    assert probe(loaded, loaded.connections[0], timeout_s=5.0).details["heartbeat"] == "10000 ms"


@recorded
def test_a_unit_that_the_machine_does_not_send_is_refused(start_adapter, make_plant, wait_for):
    adapter = start_adapter([])
    plant = make_plant(mapping(adapter.port, {"X1actm": ", raw_unit: m"}, f"{{devices: {DATA / 'Devices.xml'}, device: OKUMA}}"))
    wait_for(lambda: plant.statuses()[0].state == "fatal", what="refusal")
    assert "X1actm is in 'mm' by the device model, not in 'm'" in plant.statuses()[0].error


def test_an_adapter_that_stops_answering_is_left(start_adapter, make_plant, wait_for):
    adapter = start_adapter(["2026-01-05T00:00:00Z|x|1"], heartbeat_ms=100)
    plant = make_plant(mapping(adapter.port, {"x": ", unit: mm"}, "{heartbeat: 100 ms}"))
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")
    time.sleep(0.6)
    assert adapter.sessions == 1
    adapter.silent = True
    wait_for(lambda: adapter.sessions >= 2, what="a new session")


def test_a_clock_that_was_set_back_is_believed_after_a_while(start_adapter, make_plant, wait_for, monkeypatch):
    monkeypatch.setattr("twin.connectors.intake.CLOCK_PATIENCE_S", 0.5)
    adapter = start_adapter(["2026-01-05T00:00:10Z|x|1"])
    plant = make_plant(mapping(adapter.port, {"x": ", unit: mm"}))
    key, state = SignalKey("/W/Lathe", "x"), {}
    wait_for(lambda: state.update(plant.drain_state()) or (key in state and state[key].value == 1), what="value")
    adapter.send(["2026-01-05T00:00:00Z|x|2"])
    wait_for(lambda: plant.late() == {"lathe": 1}, what="late value")
    assert plant.drain_state() == {}
    time.sleep(0.5)
    adapter.send(["2026-01-05T00:00:01Z|x|3"])
    wait_for(lambda: state.update(plant.drain_state()) or state[key].value == 3, what="the new clock")


def lines_of(reader: LineReader, *lines: str) -> list[tuple[str, str | None]]:
    return [(o.item, o.value) for line in lines for o in reader.read(line)]


def test_conditions_messages_assets_and_escapes():
    items = {"sys": Item("sys", "CONDITION", "SYSTEM", "", ""), "msg": Item("msg", "EVENT", "MESSAGE", "", "")}
    reader = LineReader(items, UTC, "OKUMA")
    stamp = "2026-01-05T00:00:00.1234567Z"
    assert lines_of(reader, f"{stamp}|sys|WARNING|17|||low", f"{stamp}|sys|FAULT|18|||hot") == [
        ("sys", "WARNING"),
        ("sys", "FAULT"),
    ]
    assert lines_of(reader, f"{stamp}|sys|NORMAL|18|||", f"{stamp}|sys|NORMAL||||") == [("sys", "WARNING"), ("sys", "NORMAL")]
    assert lines_of(reader, f"{stamp}|sys|UNAVAILABLE||||") == [("sys", None)]
    assert lines_of(reader, f"{stamp}|other|FAULT|1|2||text") == [("other", "FAULT")]
    assert lines_of(reader, f"{stamp}|msg|42|tool change") == [("msg", "tool change")]
    assert lines_of(reader, f"{stamp}|OKUMA:a|1|b|x\\|y|c|") == [("a", "1"), ("b", "x|y"), ("c", "")]
    assert lines_of(reader, f"{stamp}|@ASSET@|7|Tool|--multiline--AB", "<Tool a|b|c>", "--multiline--AB", f"{stamp}|a|2") == [
        ("a", "2")
    ]
    assert reader.read(f"{stamp}@0.5|a|1")[0].time == 1_767_571_200_123_456_700
    assert reader.read("|a|1")[0].time is None
    for wrong in ("hello", f"{stamp}|a", f"{stamp}|a|1|b", "yesterday|a|1", f"{stamp}|sys|BROKEN||||"):
        with pytest.raises(LineError):
            reader.read(wrong)


def test_what_is_no_line_is_counted(start_adapter, make_plant, wait_for):
    adapter = start_adapter(["* shdrVersion: 2.0", "nonsense", "2026-01-05T00:00:00Z|x|UNAVAILABLE", "2026-01-05T00:00:01Z|x|7"])
    plant = make_plant(mapping(adapter.port, {"x": ", unit: mm"}))
    wait_for(lambda: plant.statuses()[0].state == "live", what="live")
    assert plant.losses() == {"lathe: line is not stamp|item|value: nonsense": 1}
    assert plant.drain_state()[SignalKey("/W/Lathe", "x")].quality == GOOD
