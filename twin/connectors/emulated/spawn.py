"""Run the emulated plant beside a twin, and connect to it."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from twin.connectors.mapping import Mapping, load
from twin.core import log
from twin.core.errors import WorkError
from twin.core.samples import SignalKey

MAPPING = Path(__file__).parent / "packaging_line.mapping.yaml"
PATIENCE_S = 60.0
"""After so long it is said that the emulated plant is not ready yet: a first start compiles kernels."""
LONGEST_PAUSE_S = 30.0


class NotReadyError(WorkError):
    """It runs, and has not said yet that it is ready."""


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


class EmulatedPlant:
    """An emulated plant that runs beside a twin, in a process of its own, which is started again whenever it has ended.

    Its endpoint is known before it runs, so that nobody has to wait for it: a connection finds it when it is there.

    Args:
        stage: Emulate the signals of this stage; None: the packaging line, which has dynamics of its own.
        seed: Of the first start, and of each after it.
    """

    def __init__(self, stage: Path | None = None, *, seed: int = 1) -> None:
        port = free_port()
        self.endpoint = f"opc.tcp://127.0.0.1:{port}/twin" + ("/emulated" if stage is None else "")
        module = ["twin.connectors.emulated", f"--port={port}"]
        if stage is not None:
            module = ["twin.cli.main", "plant", str(stage), f"--opcua={port}"]
        self._command = [sys.executable, "-m", *module, f"--parent-pid={os.getpid()}", f"--seed={seed}"]
        self._log = log.get("emulated")
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._answers = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that was started last."""
        return self._process.pid if self._process is not None else None

    def start(self, ready: Callable[[], None] = lambda: None) -> None:
        """Begin; returns at once. ``ready`` is called in a thread of its own each time that the plant answers."""
        self._thread = threading.Thread(target=self._keep, args=(ready,), name="twin-emulated", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Until it has answered for the first time; False: not within ``timeout_s``, and it is still waited for."""
        return self._answers.wait(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """End it. A second call does nothing."""
        with self._lock:
            self._stopping.set()
            process = self._process
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _keep(self, ready: Callable[[], None]) -> None:
        failures = 0
        while not self._stopping.is_set():
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            begin = time.monotonic()
            with process:
                while not self._stopping.is_set():
                    try:
                        _ready(process, PATIENCE_S)
                    except NotReadyError:
                        waited = time.monotonic() - begin
                        self._log.warning("the emulated plant is not ready yet; the twin runs without it", waited_s=round(waited))
                        continue
                    except WorkError:
                        failures += 1
                    else:
                        failures = 0
                        self._log.info("the emulated plant answers", endpoint=self.endpoint, pid=process.pid)
                        self._answers.set()
                        ready()
                    break
                process.wait()
            if not self._stopping.is_set():
                pause = min(0.5 * 2.0**failures, LONGEST_PAUSE_S)
                self._log.warning("the emulated plant has ended and is started again", code=process.returncode, pause_s=pause)
                self._stopping.wait(pause)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
            if not ready:
                raise NotReadyError(f"the emulated plant did not start: not ready after {timeout_s:g} s")
            raise WorkError(f"the emulated plant did not start: ended with {process.wait()}")
        line += part
    return dict(json.loads(line))


def emulated_mapping(endpoint: str, targets: Collection[SignalKey] | None = None) -> Mapping:
    """The mapping of the emulated packaging line at ``endpoint``; only onto ``targets`` where they are given."""
    mapping = load(MAPPING, variables={"endpoint": endpoint})
    if targets is None:
        return mapping
    return dataclasses.replace(mapping, points=tuple(p for p in mapping.points if p.target in targets))
