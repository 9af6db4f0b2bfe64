"""The driver of docs/driver-tutorial.md, as a reader would type it, against a real socket and through the failures."""

from __future__ import annotations

import asyncio
import re
import subprocess
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
from twin.core.errors import WorkError
from twin.core.samples import SignalKey

TUTORIAL = Path(__file__).parents[2] / "docs" / "driver-tutorial.md"
MAPPING = re.search(r"```yaml\n(schema:.*?)```", TUTORIAL.read_text(), re.DOTALL)[1]  # type: ignore[index]
BLOCKS = dict(re.findall(r"```python\n# (\w+)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL))


_NAMES: dict[str, Any] = {"_OnLoop": _OnLoop, "asyncio": asyncio}
exec(BLOCKS["counterpart"], _NAMES)
Scale = _NAMES["Scale"]


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


def test_the_tutorial_s_scale_is_probed_browsed_and_mapped(scale, tmp_path, unused_port, make_plant, wait_for):
    port = unused_port()
    (tmp_path / "fake_scale.py").write_text(BLOCKS["fake"].replace("4001", str(port)))
    process = subprocess.Popen([sys.executable, str(tmp_path / "fake_scale.py")], stderr=subprocess.DEVNULL)
    try:
        text = MAPPING.replace("4001", str(port))
        mapping = parse(text, file="m", folder=tmp_path)
        wait_for(lambda: _answers(mapping), 60.0, "the scale listens")
        [found] = browse(mapping, mapping.connections[0], seconds=1.0, timeout_s=60.0)
        assert (found.label, found.source) == ("weight", {"name": "weight"})
        plant = make_plant(text)
        wait_for(lambda: plant.statuses()[0].state == "live", what="live")
        assert 500.0 <= plant.drain_state()[SignalKey("/World/Line/Checkweigher", "weight")].value < 530.0
    finally:
        process.kill()
        process.wait(10)


def _answers(mapping) -> bool:
    try:
        return probe(mapping, mapping.connections[0], timeout_s=20.0).peer == "a scale"
    except WorkError:
        return False
