"""The driver of docs/driver-tutorial.md, as a reader would type it, against a real socket and through the failures."""

from __future__ import annotations

import asyncio
import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from twin.connectors.conformance import CASES, Rig
from twin.connectors.conformance.counterparts import _OnLoop
from twin.connectors.drivers import KINDS, DriverKind
from twin.connectors.inspect import browse, probe
from twin.connectors.mapping import parse

TUTORIAL = Path(__file__).parents[2] / "docs" / "driver-tutorial.md"
BLOCKS = dict(re.findall(r"```python\n# (\w+)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL))


class Scale(_OnLoop):
    driver, scheme, peer = "scale", "scale", "a scale"
    source, options = "{name: weight}", "{silence: 0.5}"

    async def _start(self) -> None:
        self._peers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peers.add(writer)
        try:
            await reader.read()
        except OSError:
            pass
        finally:
            self._peers.discard(writer)
            writer.close()

    async def _stop(self) -> None:
        self._server.close()
        for peer in list(self._peers):
            peer.transport.abort()

    async def _send(self, line: bytes) -> None:
        for peer in list(self._peers):
            peer.write(line)

    def emit(self, value: int) -> None:
        self._do(self._send(f"weight {value}\n".encode()))


@pytest.fixture
def scale(monkeypatch):
    """The tutorial's code as a module, and its driver among the others."""
    module = types.ModuleType("tutorial_scale")
    names: dict[str, Any] = module.__dict__
    exec(BLOCKS["config"] + BLOCKS["driver"], names)
    monkeypatch.setitem(sys.modules, "tutorial_scale", module)
    entry = BLOCKS["kind"].replace("twin.connectors.drivers.scale.driver", "tutorial_scale")
    monkeypatch.setitem(KINDS, "scale", eval(entry, names | {"DriverKind": DriverKind}))


@pytest.mark.parametrize("case", ["absent", "half-open", "restart", "burst"])
def test_the_tutorial_s_driver_stands_the_failures(scale, case, tmp_path):
    with Rig(Scale, tmp_path, reconnects=3) as rig:
        CASES[case](rig)


def test_it_is_probed_and_browsed(scale, tmp_path):
    other = Scale(tmp_path)
    other.start()
    try:
        text = f"""
schema: twin.mapping/1
connections: [{{name: s, driver: scale, address: "scale://127.0.0.1:{other.port}"}}]
signals: [{{connection: s, source: {{name: weight}}, target: {{prim: /W, signal: w}}, unit: kg}}]
"""
        mapping = parse(text, file="m", folder=tmp_path)
        assert probe(mapping, mapping.connections[0], timeout_s=20.0).peer == "a scale"
        assert browse(mapping, mapping.connections[0], seconds=0.2, timeout_s=20.0) == []
    finally:
        other.stop()
