"""OPC UA against a real server: subscriptions by namespace URI, status codes and times as the server gave them."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from asyncua import Server, ua

from twin.connectors.base import WorkError
from twin.core.errors import Rejected
from twin.core.samples import BAD_CONFIGURATION, BAD_NO_COMMUNICATION, BAD_OUT_OF_RANGE, GOOD, SignalKey

URI = "urn:test:cell"
KEY = SignalKey("/World/Cell/Oven", "temperature")


class Cell:
    """An OPC UA server on a thread of its own, with variables under ``URI``."""

    def __init__(self, port: int, *, other_namespaces: int = 0) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}/cell"
        self._others = other_namespaces
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Server | None = None
        self._index = 0

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def start(self, **variables) -> "Cell":
        self._thread.start()
        self._do(self._start(variables))
        return self

    async def _start(self, variables) -> None:
        self._server = Server()
        await self._server.init()
        self._server.set_endpoint(self.url)
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for number in range(self._others):
            await self._server.register_namespace(f"urn:test:other{number}")
        self._index = await self._server.register_namespace(URI)
        for name, value in variables.items():
            await self._add(name, value)
        await self._server.start()

    async def _add(self, name: str, value) -> None:
        node = await self._server.nodes.objects.add_variable(ua.NodeId(name, self._index), name, value)
        await node.set_writable()

    def add(self, name: str, value) -> None:
        self._do(self._add(name, value))

    def set(self, name: str, value, *, quality: int = GOOD, source: datetime | None = None) -> None:
        now = datetime.now(UTC)
        data = ua.DataValue(ua.Variant(value), ua.StatusCode(quality), source or now, now)
        self._do(self._server.write_attribute_value(ua.NodeId(name, self._index), data))

    def get(self, name: str):
        return self._do(self._server.get_node(ua.NodeId(name, self._index)).read_value())

    def stop(self) -> None:
        if self._server is not None:
            self._do(self._server.stop())
            self._server = None
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


@pytest.fixture
def make_cell(unused_port):
    port = unused_port()
    made = []

    def make(**options) -> Cell:
        made.append(Cell(port, **options))
        return made[-1]

    yield make
    for cell in made:
        cell.stop()


def mapping(url: str, more: str = "", node: str = "s=Oven", unit: str = "Cel") -> str:
    return f"""
schema: twin.mapping/1
connections:
  - {{name: cell, driver: opcua, address: "{url}", options: {{publishing: 50 ms, sampling: 20 ms, timeout: 2 s}}}}
signals:
  - connection: cell
    source: {{namespace: "{URI}", node: {node}}}
    target: {{prim: /World/Cell/Oven, signal: temperature}}
    raw_unit: "{unit}"
    unit: Cel
    {more}
"""


def state_of(plant) -> str:
    return plant.statuses()[0].state


def quality_of(plant) -> int | None:
    """Of what has come since the last look."""
    sample = plant.drain_state().get(KEY)
    return None if sample is None else sample.quality


def test_fahrenheit_arrives_as_celsius_with_the_servers_times(make_cell, make_plant, history, wait_for):
    cell = make_cell().start(Oven=212.0)
    plant = make_plant(mapping(cell.url, unit="[degF]"), history)
    wait_for(lambda: state_of(plant) == "live", what="live")
    moment = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    cell.set("Oven", 32.0, source=moment)
    wait_for(lambda: sum(s.count for s in history.signals()) == 2, what="two samples")
    stamp = int(moment.timestamp()) * 10**9 + 123_456_000
    sample = history.latest_at(KEY, stamp)
    assert sample.value == pytest.approx(0.0, abs=1e-9)
    assert (sample.quality, sample.source_time, sample.origin) == (GOOD, stamp, "plant")
    assert sample.server_time is not None
    assert max(s.value for s in history.samples(KEY, 0, 2**62)) == pytest.approx(100.0, abs=1e-9)


def test_every_change_is_recorded_and_the_state_shows_the_newest(make_cell, make_plant, history, wait_for):
    cell = make_cell().start(Oven=0.0)
    plant = make_plant(mapping(cell.url), history)
    wait_for(lambda: state_of(plant) == "live", what="live")
    for i in range(1, 201):
        cell.set("Oven", float(i))
    wait_for(lambda: plant.statuses()[0].good and sum(s.count for s in history.signals()) >= 201, what="all changes")
    assert history.range(KEY, 0, 2**62).value == [float(i) for i in range(201)]
    assert plant.drain_state()[KEY].value == 200.0
    assert plant.losses() == {}


def test_a_bad_status_is_kept(make_cell, make_plant, history, wait_for):
    cell = make_cell().start(Oven=1.0)
    plant = make_plant(mapping(cell.url), history)
    wait_for(lambda: state_of(plant) == "live", what="live")
    cell.set("Oven", 999.0, quality=BAD_OUT_OF_RANGE)
    wait_for(lambda: quality_of(plant) == BAD_OUT_OF_RANGE, what="bad value")
    cell.set("Oven", 2.0)
    wait_for(lambda: quality_of(plant) == GOOD, what="good again")
    history.flush()
    assert [s.quality for s in history.samples(KEY, 0, 2**62)] == [GOOD, BAD_OUT_OF_RANGE, GOOD]


def test_a_server_that_appears_late_and_restarts_with_other_indices(make_cell, make_plant, history, wait_for):
    first = make_cell()
    plant = make_plant(mapping(first.url), history)
    wait_for(lambda: state_of(plant) == "backoff", what="back-off")
    assert plant.drain_state()[KEY].quality == BAD_NO_COMMUNICATION
    first.start(Oven=20.0)
    wait_for(lambda: state_of(plant) == "live", what="live")
    first.stop()
    wait_for(lambda: state_of(plant) == "backoff", what="loss noticed")
    assert plant.drain_state()[KEY].quality == BAD_NO_COMMUNICATION
    make_cell(other_namespaces=3).start(Oven=30.0)
    wait_for(lambda: state_of(plant) == "live", what="live again")
    assert plant.drain_state()[KEY].value == 30.0
    history.flush()
    qualities = [s.quality for s in history.samples(KEY, 0, 2**62)]
    assert [q for i, q in enumerate(qualities) if i == 0 or q != qualities[i - 1]][-3:] == [GOOD, BAD_NO_COMMUNICATION, GOOD]


def test_an_unchanged_value_ends_the_gap_after_a_reconnection(make_cell, make_plant, history, wait_for):
    old = datetime(2026, 1, 1, tzinfo=UTC)
    first = make_cell().start(Oven=20.0)
    first.set("Oven", 20.0, source=old)
    plant = make_plant(mapping(first.url), history)
    wait_for(lambda: state_of(plant) == "live", what="live")
    first.stop()
    wait_for(lambda: state_of(plant) == "backoff", what="loss noticed")
    second = make_cell().start(Oven=20.0)
    second.set("Oven", 20.0, source=old)
    wait_for(lambda: state_of(plant) == "live", what="live again")
    history.flush()
    newest = history.latest_at(KEY, 2**62)
    assert (newest.value, newest.quality) == (20.0, GOOD)


def test_a_node_that_appears_later_is_subscribed_then(make_cell, make_plant, wait_for):
    cell = make_cell().start(Other=1.0)
    plant = make_plant(mapping(cell.url, node="s=Late"))
    wait_for(lambda: any("node refused" in loss for loss in plant.losses()), what="refusal counted")
    wait_for(lambda: (quality_of(plant) or GOOD) & 0x80000000, what="a bad quality")
    assert state_of(plant) != "live"
    cell.add("Late", 5.0)
    wait_for(lambda: state_of(plant) == "live", what="live")
    assert plant.drain_state()[KEY].value == 5.0


def test_an_unknown_namespace_and_an_array_are_named(make_cell, make_plant, wait_for):
    cell = make_cell().start(Oven=[1.0, 2.0])
    plant = make_plant(mapping(cell.url))
    wait_for(lambda: plant.losses(), what="array counted")
    assert next(iter(plant.losses())) == f"cell: value is a list: signals[0] cell:nsu={URI};s=Oven"
    wait_for(lambda: quality_of(plant) == BAD_CONFIGURATION, what="a bad quality")
    other = make_plant(mapping(cell.url).replace(URI, "urn:nobody"))
    wait_for(lambda: other.losses(), what="namespace counted")
    assert "no such namespace" in next(iter(other.losses()))


def test_writing_is_off_limited_and_read_back(make_cell, make_plant, wait_for):
    cell = make_cell().start(Oven=212.0, Fixed=1.0)
    permitted = mapping(cell.url, "write: {min: 0, max: 150}", unit="[degF]")
    closed = make_plant(permitted)
    wait_for(lambda: state_of(closed) == "live", what="live")
    with pytest.raises(Rejected, match="switched off"):
        closed.write(KEY, 20.0, user="ann")
    closed.stop()
    with pytest.raises(Rejected, match="does not permit"):
        make_plant(mapping(cell.url), allow_writes=True).write(KEY, 20.0, user="ann")
    plant = make_plant(permitted, allow_writes=True)
    wait_for(lambda: state_of(plant) == "live", what="live")
    for value in (150.1, float("nan"), True, "hot"):
        with pytest.raises(Rejected):
            plant.write(KEY, value, user="ann")
    assert cell.get("Oven") == 212.0
    result = plant.write(KEY, 100.0, user="ann")
    assert result.quality == GOOD
    assert result.read_back == pytest.approx(212.0)
    assert plant.write(KEY, 0.0, user="ann").read_back == pytest.approx(32.0)
    assert cell.get("Oven") == pytest.approx(32.0)
    plant.stop()
    with pytest.raises(WorkError):
        plant.write(KEY, 1.0, user="ann")
