"""A prim with a connection, a limit and a history is renamed and deleted while the twin runs, and the twin is started again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from twin.collab import Identity
from twin.connectors.conformance import Unavailable
from twin.connectors.conformance.counterparts import MqttBroker
from twin.core.errors import MappingError
from twin.core.samples import SignalKey
from twin.protocol.messages import Op
from twin.server.app import create_app
from twin.server.host import Host
from twin.server.settings import Settings

ADMIN = Identity("test", "admin")
STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "Oven" (prepend apiSchemas = ["TwinSignalAPI:heat"])
    {
        string twin:signal:heat:unit = "Cel"
    }
}
"""
MAPPING = """
schema: twin.mapping/1
connections: [{{name: cell, driver: mqtt, address: "mqtt://127.0.0.1:{port}"}}]
signals:
  - connection: cell
    source: {{topic: probe/heat, value: /v}}
    target: {{prim: /World/{prim}, signal: heat}}
    raw_unit: Cel
    unit: Cel
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 60.0
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MqttBroker]:
    made = MqttBroker(tmp_path)
    try:
        made.start()
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield made
    made.stop()


def edit(host: Host, opid: int, *ops: Op) -> None:
    outcome, _ = host.on_owner(lambda: host.edit(ADMIN, "s", opid, "Ann", list(ops), "")).result()
    assert outcome.refusal is None


def latest(host: Host, prim: str) -> Any:
    found = host.runtime.signals.latest.get(SignalKey(prim, "heat"))
    return None if found is None else found.value


def heard(host: Host, broker: MqttBroker, prim: str, value: float) -> None:
    """The plant says a value, and it stands at a prim."""
    until(lambda: host.plant is not None and host.plant.statuses()[0].state in ("syncing", "live"), "connection")

    def said() -> bool:
        broker.publish("probe/heat", json.dumps({"v": value}).encode())
        return latest(host, prim) == value

    until(said, f"{value} at {prim}")


def history(host: Host, prim: str) -> list[float]:
    """What its chart shows, without repetitions."""
    host.history.flush()
    window = {"prim": prim, "name": "heat", "t0_ns": 0, "t1_ns": 2**62, "before": True}

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(host)), base_url="http://127.0.0.1") as web:
            return await web.get("/api/history", params=window, headers={"Authorization": f"Bearer {host.token}"})

    return list(dict.fromkeys(value for value in asyncio.run(ask()).json()["value"] if value is not None))


def test_what_is_about_a_prim_goes_along_when_it_is_renamed_and_a_prim_that_is_deleted_hinders_no_start(
    broker: MqttBroker, tmp_path: Path
) -> None:
    stage, mapping = tmp_path / "stage.usda", tmp_path / "cell.yaml"
    stage.write_text(STAGE)
    mapping.write_text(MAPPING.format(port=broker.port, prim="Kiln"))
    settings = Settings(stage, tmp_path / "project", mappings=[mapping], paused=True)
    bare = Host(Settings(stage, tmp_path / "project", paused=True))
    bare.start()
    edit(bare, 1, Op("add_prim", "/World/Kiln", "", {"copy": "/World/Oven"}))
    bare.stop()

    host = Host(settings)
    host.start()
    try:
        heard(host, broker, "/World/Kiln", 21.0)
        signals = host.runtime.signals
        limit = dict(low=None, high=100.0, author="Ann", signals=signals)
        host.on_owner(lambda: host.alarms.set_limit("/World/Kiln", "heat", **limit)).result()
        edit(host, 2, Op("move_prim", "/World/Kiln", "", "/World/Furnace"))
        until(lambda: latest(host, "/World/Furnace") == 21.0, "what it said last is shown under the new name")
        assert signals.driven(SignalKey("/World/Furnace", "heat"))
        heard(host, broker, "/World/Furnace", 150.0)
        (alarm,) = until(lambda: host.on_owner(host.alarms.log.lasting).result(), "the limit holds under the new name")
        assert (alarm.path, alarm.text) == ("/World/Furnace", "Furnace heat is above 100 Cel")
        assert history(host, "/World/Furnace") == [21.0, 150.0]
        assert history(host, "/World/Kiln") == [21.0], "what was called so then"
        edit(host, 21, Op("add_prim", "/World/Sign", "", {"type": "Cube"}))
        edit(host, 22, Op("move_prim", "/World/Sign", "", "/World/Board"))
        assert not host.renames.since(host.document.seq), "what is not simulated waits for no taking over"
        called = [host.on_owner(lambda p=p: host.renames.called_now(f"/World/{p}")).result() for p in ("Sign", "Board", "Nobody")]
        assert called == ["/World/Board", "/World/Board", "/World/Nobody"], "a comment on its way finds it"
    finally:
        host.stop()

    host = Host(settings)  # the mapping says Kiln still
    host.start()
    try:
        heard(host, broker, "/World/Furnace", 90.0)
        assert host.on_owner(host.alarms.log.limits).result()[0].prim == "/World/Furnace"
        edit(host, 3, Op("remove_prim", "/World/Furnace"))
        edit(host, 4, Op("remove_prim", "/World/Oven"))
        until(lambda: not host.on_owner(host.alarms.log.lasting).result(), "the alarm of what is gone ends")
    finally:
        host.stop()

    other = tmp_path / "other.yaml"
    for prim, said in (("Kiln", "Kiln away"), ("Oven", "Oven away")):  # made by an edit, and of the stage itself
        other.write_text(MAPPING.format(port=broker.port, prim=prim))
        host = Host(Settings(stage, tmp_path / "project", mappings=[other], paused=True))
        try:
            assert [f.code for f in host.document.findings if said in f.message] == ["prim-gone"]
        finally:
            host.stop()
    other.write_text(MAPPING.format(port=broker.port, prim="Ovne"))
    with pytest.raises(MappingError, match="no prim /World/Ovne"):
        Host(Settings(stage, tmp_path / "project", mappings=[other], paused=True))
