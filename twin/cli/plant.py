"""``twin plant``: emulate a plant from a scene, with faults, for a twin, a SCADA or a PLC program to be tried against."""

from __future__ import annotations

import json as json_module
import math
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.core.errors import InputError

app = typer.Typer(add_completion=False)

PARENT_CHECK_S = 0.5


@app.command()
def plant(
    stage: Annotated[Path, typer.Argument(help="The scene whose signals the plant has.")],
    opcua: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve OPC UA on this port; 0 takes a free one.")] = None,
    modbus: Annotated[int | None, typer.Option(min=0, max=65535, help="Serve Modbus TCP on this port.")] = None,
    mqtt: Annotated[str | None, typer.Option(help="Publish to this broker: mqtt://HOST[:PORT].")] = None,
    sparkplug: Annotated[str | None, typer.Option(help="Be a Sparkplug edge node on this broker: mqtt://HOST[:PORT].")] = None,
    prefix: Annotated[str, typer.Option(help="MQTT: beginning of the topics.")] = "emulated",
    group: Annotated[str, typer.Option(help="Sparkplug: the group; the node is called emulated.")] = "twin",
    fault: Annotated[
        list[str] | None,
        typer.Option(help="PRIM:NAME=stuck|spike|drift|offline|skew[@BEGIN][+DURATION][*SIZE]; may be given again."),
    ] = None,
    mapping: Annotated[Path | None, typer.Option(help="Folder to write the mapping files into, one a protocol.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long [s]; without it until it is stopped.")] = None,
    rate: Annotated[float, typer.Option(min=0.05, max=100.0, help="Simulated seconds per second.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the line and of what wanders.")] = 1,
    parent_pid: Annotated[int, typer.Option(hidden=True, help="End when this process is gone.")] = 0,
) -> None:
    """Emulate the plant of STAGE over one protocol or more. Everything it says is called emulated.

    Prints one line of JSON when it is ready. Faults begin BEGIN seconds after that.
    """
    from twin.connectors.emulated.faults import Faults, parse_fault
    from twin.connectors.emulated.virtual import VirtualPlant
    from twin.core import log
    from twin.live import Runtime
    from twin.scene import compile_factory, open_stage

    log.configure("warning")
    if opcua is None and modbus is None and mqtt is None and sparkplug is None:
        raise InputError("nothing to speak", attribute="--opcua, --modbus, --mqtt or --sparkplug")
    faults = Faults([parse_fault(text) for text in fault or []])
    opened = open_stage(stage)
    model = compile_factory(opened)
    known = {f"{s.prim}:{s.name}" for s in model.signals}
    for key in sorted(faults.keys(), key=str):
        if str(key) not in known:
            raise InputError("the stage has no such signal", attribute=str(key), allowed=sorted(known)[:20])
    if not model.signals:
        raise InputError("the stage declares no signals", file=stage)
    runtime = Runtime(lambda: model, rate=rate, seed=seed)
    runtime.start()
    virtual = VirtualPlant(model.signals, lambda: runtime.signals.latest, faults, seed=seed)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    serving: list[Any] = []
    try:
        endpoints, files = _serve(serving, model.signals, virtual, opcua, modbus, mqtt, sparkplug, prefix, group)
        if mapping is not None:
            mapping.mkdir(parents=True, exist_ok=True)
            for kind, text in files.items():
                (mapping / f"emulated-{kind}.mapping.yaml").write_text(text)
        print(json_module.dumps({"event": "ready", "origin": "emulated", "signals": len(model.signals), **endpoints}), flush=True)
        _wait(stopping, seconds, parent_pid)
    finally:
        for one in reversed(serving):
            one.stop()
        runtime.stop()
    told = {f"{f.key}={f.kind}": count for f, count in faults.told.items()}
    print(json_module.dumps({"event": "stopped", "faults": told}), flush=True)


def _wait(stopping: threading.Event, seconds: float | None, parent: int) -> None:
    """Until it is asked to stop, its time is over, or the process that started it is gone."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    while not stopping.is_set() and (left := end - time.monotonic()) > 0.0:
        if parent and os.getppid() != parent:
            return
        stopping.wait(min(left, PARENT_CHECK_S))


def _serve(
    serving: list[Any],
    signals: list[Any],
    virtual: Any,
    opcua: int | None,
    modbus: int | None,
    mqtt: str | None,
    sparkplug: str | None,
    prefix: str,
    group: str,
) -> tuple[dict[str, str], dict[str, str]]:
    """Begin to serve; returns the endpoints and the mapping files, by protocol."""
    from twin.connectors import publish_mqtt, publish_sparkplug, serve_opcua
    from twin.connectors.conformance.counterparts import free_port
    from twin.connectors.emulated.virtual import mapping_text, opcua_mapping

    endpoints, files = {}, {}
    if opcua is not None:
        server = serve_opcua(signals, virtual.state, port=opcua or free_port())
        serving.append(server)
        endpoints["opcua"] = server.endpoint
        files["opcua"] = opcua_mapping(signals, server.endpoint)
    if modbus is not None:
        from twin.connectors.serving.modbus import ModbusServing

        device = ModbusServing(signals, virtual.state, port=modbus or free_port())
        device.start()
        serving.append(device)
        endpoints["modbus"] = f"modbus://127.0.0.1:{device.port}"
        numbers = [s for s in signals if not isinstance(s.value, str)]
        source = lambda k: f"{{address: {device.address_of(k)}, type: float32}}"  # noqa: E731
        files["modbus"] = mapping_text(numbers, "modbus", endpoints["modbus"], source, numbers=True)
    if mqtt is not None:
        serving.append(publish_mqtt(mqtt, virtual.state, prefix=prefix))
        endpoints["mqtt"] = mqtt
        topic = lambda k: f'{{topic: "{prefix}{k.prim}/{k.name}", value: /value, time: /time, quality: /quality}}'  # noqa: E731
        files["mqtt"] = mapping_text(signals, "mqtt", mqtt, topic)
    if sparkplug is not None:
        serving.append(publish_sparkplug(sparkplug, signals, virtual.state, group=group, node="emulated"))
        endpoints["sparkplug"] = sparkplug
        address = "sparkplug://" + sparkplug.partition("://")[2]
        metric = lambda k: f'{{group: {group}, node: emulated, metric: "{k.prim.lstrip("/")}/{k.name}"}}'  # noqa: E731
        files["sparkplug"] = mapping_text(signals, "sparkplug", address, metric)
    return endpoints, files
