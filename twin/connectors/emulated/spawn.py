"""Start the emulated plant beside a running twin, and connect to it."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from twin.connectors.mapping import Mapping, load
from twin.core.errors import WorkError
from twin.core.samples import SignalKey

MAPPING = Path(__file__).parent / "packaging_line.mapping.yaml"


def spawn_emulated(*, port: int = 0, seed: int = 1, timeout_s: float = 120.0) -> tuple[str, subprocess.Popen[bytes]]:
    """Start the emulated packaging line in a process of its own; returns its endpoint and the process.

    The process ends when its standard input is closed, so also when this process dies. ``port`` 0 takes a free one.

    Raises:
        WorkError: It did not start.
    """
    command = [
        sys.executable,
        "-m",
        "twin.connectors.emulated",
        f"--port={port}",
        f"--parent-pid={os.getpid()}",
        f"--seed={seed}",
    ]
    ready, process = _spawn(command, timeout_s)
    return str(ready["endpoint"]), process


def spawn_plant(stage: Path, *, seed: int = 1, timeout_s: float = 300.0) -> tuple[Mapping, subprocess.Popen[bytes]]:
    """Start ``twin plant`` on a stage in a process of its own, over OPC UA; returns the mapping onto its signals and the process.

    The process ends on SIGTERM and when this process is gone. It simulates the stage, so the first start on a machine compiles
    kernels: hence the long ``timeout_s``.

    Raises:
        WorkError: It did not start, as on a stage that declares no signals.
    """
    with tempfile.TemporaryDirectory(prefix="twin-emulated-") as folder:
        command = [
            sys.executable,
            "-m",
            "twin.cli.main",
            "plant",
            str(stage),
            "--opcua=0",
            f"--mapping={folder}",
            f"--parent-pid={os.getpid()}",
            f"--seed={seed}",
        ]
        _, process = _spawn(command, timeout_s)
        return load(Path(folder) / "emulated-opcua.mapping.yaml"), process


def _spawn(command: list[str], timeout_s: float) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    """Start a process that prints one line of JSON when it is ready; returns that and the process."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        return _ready(process, timeout_s), process
    except BaseException:
        process.kill()
        process.communicate()
        raise


def _ready(process: subprocess.Popen[bytes], timeout_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    end = time.monotonic() + timeout_s
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(end - time.monotonic(), 0.0))
        part = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not part:
            reason = f"ended with {process.wait()}" if ready else f"not ready after {timeout_s:g} s"
            raise WorkError(f"the emulated plant did not start: {reason}")
        line += part
    return dict(json.loads(line))


def emulated_mapping(endpoint: str, targets: Collection[SignalKey] | None = None) -> Mapping:
    """The mapping of the emulated packaging line at ``endpoint``; only onto ``targets`` where they are given."""
    mapping = load(MAPPING, variables={"endpoint": endpoint})
    if targets is None:
        return mapping
    return dataclasses.replace(mapping, points=tuple(p for p in mapping.points if p.target in targets))
