"""``twin replay``: play a recording, as lines or onto an MQTT broker, where it is called a replay."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.core import log
from twin.core.errors import InputError

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="A history file, as twin record and twin serve write it.")],
    speed: Annotated[float, typer.Option(min=0.001, max=1e6, help="Recorded seconds per second.")] = 1.0,
    signal: Annotated[list[str] | None, typer.Option(help="PRIM:NAME; may be given again. Without it all.")] = None,
    begin: Annotated[str | None, typer.Option(help="First moment, ISO 8601, UTC where it names no zone.")] = None,
    end: Annotated[str | None, typer.Option(help="Last moment.")] = None,
    longest_gap: Annotated[
        float, typer.Option(min=0.0, help="Longer stretches without a sample are shortened to this [s].")
    ] = 60.0,
    to: Annotated[str | None, typer.Option(help="mqtt://HOST[:PORT]: publish there instead of printing.")] = None,
    prefix: Annotated[str, typer.Option(help="Beginning of the topics.")] = "twin/replay",
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout at the end.")] = False,
) -> None:
    """Play RECORDING in order of time. Nothing of it can write to a plant: its origin is always replay."""
    from dataclasses import replace

    from twin.cli.connectors import _moment
    from twin.connectors.serving.mqtt import payload
    from twin.core.samples import SignalKey
    from twin.history import Recording

    log.configure("error")
    if to is not None and not to.startswith(("mqtt://", "mqtts://")):
        raise InputError(f"{to!r} is no broker", attribute="--to", allowed=["mqtt://HOST[:PORT]", "mqtts://HOST[:PORT]"])
    history = Recording(recording)
    try:
        known = [SignalKey(s.prim, s.name) for s in history.summaries()]
        wanted = [SignalKey.parse(s) for s in signal] if signal else known
        for key in wanted:
            if key not in known:
                raise InputError("not recorded", file=recording, attribute=str(key), allowed=[str(k) for k in known[:20]])
        span = _moment("--begin", begin, 0), _moment("--end", end, 2**62)
        samples = sorted((s for key in wanted for s in history.samples(key, *span)), key=lambda s: s.time)
    finally:
        history.close()
    samples = [replace(s, origin="replay") for s in samples]
    due = _schedule([s.time for s in samples], speed, longest_gap)
    start = time.perf_counter()
    if to is None:
        for sample, at in zip(samples, due, strict=True):
            _wait(at, start)
            line = {"signal": str(sample.key)} | json_module.loads(payload(sample))
            print(json_module.dumps(line), file=sys.stderr if json else sys.stdout, flush=True)
    else:
        asyncio.run(_publish(to, prefix, samples, due))
    result = {"samples": len(samples), "seconds": round(time.perf_counter() - start, 3), "to": to or "stdout"}
    if json:
        print(json_module.dumps(result))
    else:
        print(f"{result['samples']} samples in {result['seconds']} s", file=sys.stderr)


def _schedule(times_ns: list[int], speed: float, longest_gap: float) -> list[float]:
    """When each sample is due, in seconds of playing since the first."""
    due, at = [], 0.0
    for i, time_ns in enumerate(times_ns):
        at += min((time_ns - times_ns[i - 1]) / 1e9, longest_gap) / speed if i else 0.0
        due.append(at)
    return due


def _wait(due_s: float, start: float) -> None:
    ahead = start + due_s - time.perf_counter()
    if ahead > 0.0:
        time.sleep(ahead)


async def _publish(address: str, prefix: str, samples: list[Any], due: list[float]) -> None:
    from twin.connectors.drivers.mqtt.config import MqttLogin
    from twin.connectors.drivers.mqtt.session import open_session
    from twin.connectors.serving.mqtt import payload

    start = time.perf_counter()
    async with open_session(address, MqttLogin(keepalive=15)) as client:
        for sample, at in zip(samples, due, strict=True):
            ahead = start + at - time.perf_counter()
            if ahead > 0.0:
                await asyncio.sleep(ahead)
            topic = f"{prefix.strip('/')}{sample.key.prim}/{sample.key.name}"
            await client.publish(topic, payload(sample), qos=1)
