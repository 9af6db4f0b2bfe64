"""MTConnect agents: the recording of a real lathe behind its device model, served over HTTP as an agent would."""

import asyncio
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest

from twin.connectors.conformance.agent import Agent
from twin.connectors.drivers.mtconnect_agent.documents import DocumentError, Parts, parse_streams
from twin.connectors.inspect import browse, draft, probe
from twin.connectors.mapping import parse
from twin.core.samples import SignalKey, is_bad, is_good

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "mtconnect"
RECORDING = DATA / "okuma_shdr.txt"
recorded = pytest.mark.skipif(not RECORDING.is_file(), reason="the recorded lathe is not at ../shared/data")
SMALL = b"""<MTConnectDevices xmlns="urn:mtconnect.org:MTConnectDevices:2.2"><Devices><Device name="d" uuid="u"><DataItems>
<DataItem id="t1" name="temp" category="SAMPLE" type="TEMPERATURE" units="CELSIUS" nativeUnits="FAHRENHEIT"/>
<DataItem id="c1" name="cool" category="CONDITION" type="SYSTEM"/></DataItems></Device></Devices></MTConnectDevices>"""
ITEMS = {"X1actm": "mm", "Z1actm": "mm", "S1speed": "1/min", "estop": ""}


class Serving:
    """An agent on a loop in a thread of its own; ``do`` calls it there."""

    def __init__(self, devices: bytes, **options) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.start(devices, **options)

    def start(self, devices: bytes, **options) -> None:
        async def begin() -> None:
            self.agent = Agent(devices, self.port, **options)
            await self.agent.start()
            self.port = self.agent.port

        self._wait(begin())

    def add(self, rows: list[tuple]) -> None:
        async def add() -> None:
            for item, time, value, *condition in rows:
                self.agent.add(item, time, value, **dict(zip(("level", "code"), condition, strict=False)))

        self._wait(add())

    def stop(self) -> None:
        self._wait(self.agent.stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _wait(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@pytest.fixture
def serve_agent():
    made = []

    def make(devices: bytes, **options) -> Serving:
        made.append(Serving(devices, **options))
        return made[-1]

    yield make
    for serving in made:
        serving.close()


def mapping(port: int, items: dict[str, str], options: str = "{heartbeat: 1 s, interval: 5 ms}") -> str:
    lines = [
        f"  - {{connection: shop, source: {{item: {i}}}, target: {{prim: /W, signal: {i}}}{f', raw_unit: {u!r}' if u else ''}}}"
        for i, u in items.items()
    ]
    head = f'connections: [{{name: shop, driver: mtconnect-agent, address: "mtconnect://127.0.0.1:{port}", options: {options}}}]'
    return "\n".join(["schema: twin.mapping/1", head, "signals:", *lines])


def names() -> dict[str, str]:
    """Names of ITEMS by their ids."""
    device = next(e for e in ElementTree.parse(DATA / "Devices.xml").iter() if e.get("name") == "OKUMA")
    return {e.get("id"): e.get("name") for e in device.iter() if e.tag.endswith("DataItem") and e.get("name") in ITEMS}


def observations() -> list[tuple[str, str, str]]:
    """(id, stamp, text) of ITEMS in the recording, in its order."""
    ids = {name: item for item, name in names().items()}
    rows = []
    for line in RECORDING.read_text().splitlines():
        if line.startswith("20"):
            stamp, *fields = line.split("|")
            pairs = zip(fields[::2], fields[1::2], strict=False)
            rows += [(ids[k], stamp, v) for k, v in pairs if k in ids]
    return rows


@recorded
def test_a_real_lathe_behind_an_agent_arrives_whole_also_over_an_interruption(serve_agent, make_plant, history, wait_for):
    rows = observations()
    assert len(rows) > 2000
    serving = serve_agent((DATA / "Devices.xml").read_bytes())
    serving.add(rows[: len(rows) // 3])
    plant = make_plant(mapping(serving.port, ITEMS, "{device: OKUMA, heartbeat: 1 s, interval: 5 ms}"), history)
    wait_for(lambda: plant.statuses()[0].good, what="live")
    serving.add(rows[len(rows) // 3 : len(rows) // 2])
    serving.stop()  # the line is cut, the agent goes on collecting
    wait_for(lambda: plant.statuses()[0].state == "backoff", what="loss")
    serving.add(rows[len(rows) // 2 :])
    serving._wait(serving.agent.start())
    wanted: dict[str, set[tuple[str, str]]] = {}
    name = names()
    for item, stamp, text in rows:
        if text != "UNAVAILABLE":
            wanted.setdefault(name[item], set()).add((stamp, text))

    def there() -> dict[str, int]:
        history.flush()
        keys = {i: SignalKey("/W", i) for i in ITEMS}
        return {
            i: len({(s.source_time, s.value) for s in history.samples(k, 0, 2**62) if s.source_time and is_good(s.quality)})
            for i, k in keys.items()
        }

    distinct = {i: len({(s, v if not ITEMS[i] else float(v)) for s, v in found}) for i, found in wanted.items()}
    wait_for(lambda: there() == distinct, 30.0, f"all of {distinct}, there: {there()}")
    assert plant.losses() == {}


def test_units_are_those_into_which_the_agent_converts(serve_agent, make_plant, wait_for):
    serving = serve_agent(SMALL)
    serving.add([("t1", "2026-01-05T00:00:00Z", "20.5"), ("c1", "2026-01-05T00:00:00Z", "too warm", "warning", "W1")])
    loaded = parse(mapping(serving.port, {"temp": "Cel"}), file="m", folder=Path())
    found = browse(loaded, loaded.connections[0], seconds=1.0, timeout_s=5.0)
    assert {(f.source["item"], f.unit, f.sample) for f in found} == {("t1", "Cel", "20.5"), ("c1", "", "WARNING")}
    assert parse(draft(loaded.connections[0], found), file="draft", folder=Path()).points
    assert probe(loaded, loaded.connections[0], timeout_s=5.0).details["buffered"] == 2
    wrong = make_plant(mapping(serving.port, {"temp": "[degF]"}))
    wait_for(lambda: wrong.statuses()[0].state == "fatal", what="refusal")
    assert "temp is in 'Cel' by the agent, not in '[degF]'" in wrong.statuses()[0].error


def test_conditions_show_their_worst_level_and_what_is_unavailable_is_bad(serve_agent, make_plant, history, wait_for):
    serving = serve_agent(SMALL)
    plant = make_plant(mapping(serving.port, {"cool": "", "temp": "Cel"}), history)
    wait_for(lambda: plant.statuses()[0].state == "syncing", what="connection")
    levels = [("warning", "W1"), ("fault", "F1"), ("normal", "F1"), ("normal", ""), ("unavailable", "")]
    serving.add([("c1", f"2026-01-05T00:00:0{i}Z", "", *level) for i, level in enumerate(levels)])
    serving.add([("t1", "2026-01-05T00:00:06Z", "UNAVAILABLE")])
    key = SignalKey("/W", "cool")
    wait_for(
        lambda: history.flush() or len([s for s in history.samples(key, 0, 2**62) if s.source_time]) == 5, what="five levels"
    )
    seen = [s for s in history.samples(key, 0, 2**62) if s.source_time]
    assert [s.value for s in seen] == ["WARNING", "FAULT", "WARNING", "NORMAL", None]
    assert is_bad(seen[-1].quality)
    wait_for(lambda: any(k.name == "temp" and is_bad(s.quality) for k, s in plant.drain_state().items()), what="bad")


def test_what_the_agent_has_overwritten_is_counted_by_number(serve_agent, make_plant, wait_for):
    serving = serve_agent(SMALL, buffer=10)
    plant = make_plant(mapping(serving.port, {"temp": "Cel"}, "{heartbeat: 1 s, interval: 300 ms}"))
    serving.add([("t1", "2026-01-05T00:00:00Z", "0")])
    wait_for(lambda: plant.statuses()[0].good, what="live")
    before = len(serving.agent.requests)
    serving.add([("t1", f"2026-01-05T00:01:{i % 60:02}.{i}Z", str(i)) for i in range(100)])
    wait_for(plant.losses, what="a loss")
    assert len(serving.agent.requests) == before  # on the same stream
    ((name, count),) = plant.losses().items()
    assert "overwritten in the agent's buffer" in name
    assert 0 < count <= 90


def test_a_restarted_agent_is_begun_anew(serve_agent, make_plant, wait_for):
    serving = serve_agent(SMALL, instance=1)
    serving.add([("t1", f"2026-01-05T00:00:00.{i:03}Z", str(i)) for i in range(50)])
    plant = make_plant(mapping(serving.port, {"temp": "Cel"}))
    wait_for(lambda: plant.statuses()[0].good, what="live")
    serving.stop()
    serving.start(SMALL, instance=2)
    serving.add([("t1", "2026-01-05T01:00:00Z", "99")])
    wait_for(lambda: any(s.value == 99 for s in plant.drain_state().values()), what="the new agent's value")


def test_documents_that_are_none_are_refused():
    for text in (b"", b"<html/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a/>', b"<MTConnectStreams><Header/></MTConnectStreams>"):
        with pytest.raises(DocumentError):
            parse_streams(text)
    with pytest.raises(DocumentError, match="OUT_OF_RANGE"):
        parse_streams(b'<MTConnectError><Errors><Error errorCode="OUT_OF_RANGE">x</Error></Errors></MTConnectError>')
    with pytest.raises(DocumentError, match="no multipart"):
        Parts("text/html")
    stream = b"--b\r\nContent-length: 3\r\n\r\nabc\r\n--b\r\nContent-Length: 2\r\n\r\nde\r\n"
    parts, found = Parts('multipart/x-mixed-replace; boundary="b"'), []
    for i in range(len(stream)):  # however the network cuts it
        found += parts.feed(stream[i : i + 1])
    assert found == [b"abc", b"de"]
    with pytest.raises(DocumentError, match="without its length"):
        list(Parts("multipart/x;boundary=b").feed(b"--b\r\nA: 1\r\n\r\nabc"))
