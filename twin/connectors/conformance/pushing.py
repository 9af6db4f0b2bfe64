"""The cases for what devices push (``http``): the twin is the server here, so the proxy stands before a real ``twin serve``."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from twin.connectors.conformance.cases import BURST, KEY, NOTHING_LEFT_MB, PULSE_S, until
from twin.connectors.conformance.counterparts import START_S, free_port
from twin.connectors.conformance.proxy import FaultProxy
from twin.core.errors import WorkError

INTERVAL_S = 0.3
ANSWER_S = 1.0
"""How long a device waits for an answer before it sends again."""
STAGE = """#usda 1.0
(
    defaultPrim = "World"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "World"
{
    def Cube "Cell" (prepend apiSchemas = ["TwinSignalAPI:value"])
    {
        custom double twin:signal:value:value = 0
    }
}
"""
MAPPING = f"""schema: twin.mapping/1
connections: [{{name: cell, driver: http, address: "push://"}}]
signals:
  - connection: cell
    source: {{value: /v, time: /t}}
    target: {{prim: {KEY.prim}, signal: {KEY.name}}}
    unit: '1'
    interval: {INTERVAL_S * 1e3:g} ms
"""
PATH = "/api/in/cell"


class PostingDevice:
    """Sends each value by a post until it is answered."""

    peer = "a device that posts"

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._port = port
        self._line: http.client.HTTPConnection | None = None

    def send(self, payload: bytes) -> bool:
        """One try; whether all of it was taken.

        Raises:
            OSError, http.client.HTTPException: The line failed.
        """
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_S)
        self._line.request("POST", PATH, payload, self._headers)
        answer = self._line.getresponse()
        answer.read()
        return answer.status == 200

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class SocketDevice:
    """Sends each value as a message of a websocket until it is answered."""

    peer = "a device with a websocket"

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._url = f"ws://127.0.0.1:{port}{PATH}"
        self._line: ClientConnection | None = None

    def send(self, payload: bytes) -> bool:
        """One try; whether all of it was taken.

        Raises:
            OSError, WebSocketException: The line failed.
        """
        if self._line is None:
            self._line = connect(self._url, additional_headers=self._headers, open_timeout=ANSWER_S, close_timeout=0.2)
        self._line.send(payload)
        return json.loads(self._line.recv(timeout=ANSWER_S)) == {"good": 1}

    def close(self) -> None:
        if self._line is not None:
            with suppress(OSError, WebSocketException):
                self._line.close()
            self._line = None


LINE_ERRORS = (OSError, http.client.HTTPException, WebSocketException)


class PushRig:
    """A ``twin serve``, a proxy before it, and a device that sends a value ten times a second, each until it is answered."""

    def __init__(self, make: type[PostingDevice] | type[SocketDevice], folder: Path, *, reconnects: int = 10) -> None:
        self._folder, self._make, self.reconnects = folder, make, reconnects
        (folder / "stage.usda").write_text(STAGE)
        (folder / "push.yaml").write_text(MAPPING)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.proxy = FaultProxy(self.port)
        self.token = ""
        self.sent = 0
        self._over, self._sending = threading.Event(), threading.Event()
        self._sending.set()
        self._idle = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PushRig:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sending.set()
        self.proxy.close()
        if self._thread is not None:
            self._thread.join()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # ---- what cases do

    def start(self) -> None:
        """Start the twin; returns when it answers."""
        command = [sys.executable, "-m", "twin.cli.main", "serve", "stage.usda", "--project", "project", "--paused"]
        command += ["--mapping", "push.yaml", "--port", str(self.port)]
        with (self._folder / "serve.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        impatient = threading.Timer(10 * START_S, self._process.kill)
        impatient.start()
        line = self._process.stdout.readline()  # comes when the twin is ready
        impatient.cancel()
        if not line:
            raise WorkError(f"twin serve did not start: {(self._folder / 'serve.log').read_text()[-500:]}")
        self.token = str(json.loads(line)["token"])

    def stop(self) -> float:
        """End the twin as a person does; returns how long it took [s]."""
        assert self._process is not None
        begin = time.monotonic()
        self._process.terminate()
        code = self._process.wait(30.0)
        self._process = None
        assert code == 0, f"twin serve ended with {code}"
        return time.monotonic() - begin

    def send(self) -> None:
        """Let the device begin, or go on."""
        self._sending.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, daemon=True)
            self._thread.start()

    def hush(self) -> None:
        """Let the device pause; returns when all that it sent is answered."""
        self._sending.clear()
        assert self._idle.wait(30.0), "the device is still sending"

    def device(self, port: int | None = None) -> PostingDevice | SocketDevice:
        """A device of one's own; behind the proxy, unless another port is said."""
        return self._make(port or self.proxy.port, self.token)

    def ask(self, path: str) -> Any:
        """What the twin answers, asked past the proxy."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        try:
            line.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            answer = line.getresponse()
            text = answer.read()
            assert answer.status == 200, f"{path}: {answer.status} {text[:200]!r}"
            return json.loads(text)
        finally:
            line.close()

    def status(self) -> Any:
        return self.ask("/api/plant")["connections"][0]

    def live(self) -> bool:
        status = self.status()
        return status["state"] == "live" and status["good"] == 1

    def quiet(self) -> bool:
        """Whether the twin shows no good value."""
        status = self.status()
        return status["state"] != "live" and status["good"] == 0

    def missing(self, upto: int) -> list[int]:
        """Which of the values 1 to ``upto`` are not in history, or there more than once."""
        about = f"prim={quote(KEY.prim)}&name={KEY.name}&t0_ns=0&t1_ns={2**62}&points=0"
        there = [round(v) for v in self.ask(f"/api/history?{about}")["value"] if v is not None]
        return [n for n in range(1, upto + 1) if there.count(n) != 1]

    def memory(self) -> tuple[float, int]:
        """Resident memory of the twin [MB], and its threads."""
        assert self._process is not None
        with Path(f"/proc/{self._process.pid}/status").open() as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["VmRSS"].split()[0]) / 1024.0, int(lines["Threads"])

    # ---- the device

    def _beat(self) -> None:
        device = self.device()
        while not self._over.wait(PULSE_S):
            if not self._sending.is_set():
                self._idle.set()
                self._sending.wait()
                continue
            self._idle.clear()
            self.sent += 1
            payload = _payload(self.sent)
            while not self._over.is_set():
                try:
                    if device.send(payload):
                        break
                except LINE_ERRORS:
                    device.close()
                self._over.wait(0.02)
        device.close()


def _payload(number: int) -> bytes:
    return json.dumps({"v": number, "t": time.time_ns()}).encode()


def absent(rig: PushRig) -> str:
    rig.start()
    time.sleep(1.0)
    assert rig.quiet(), "claims to be live"
    rig.send()
    return f"found after {until(rig.live, 'live'):.1f} s"


def refuse(rig: PushRig) -> str:
    return _after(rig, "refuse")


def black_hole(rig: PushRig) -> str:
    return _after(rig, "hole")


def _after(rig: PushRig, mode: Any) -> str:
    rig.proxy.mode = mode
    rig.start()
    rig.send()
    until(lambda: rig.proxy.accepted >= 3, "three attempts")
    assert rig.quiet(), "claims to be live"
    rig.proxy.mode = "pass"
    took = until(rig.live, "live")
    return f"live after {took:.1f} s{_all(rig)}"


def nonsense(rig: PushRig) -> str:
    rig.start()
    for text in (b"\x00\x01\x02" * 400, b"SSH-2.0-OpenSSH_9.2\r\n", b"POST /api/in/cell HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", rig.proxy.port), 5.0) as line:
            line.sendall(text)
            line.settimeout(5.0)
            with suppress(OSError):
                while line.recv(4096):
                    pass
    device = rig.device()
    assert not device.send(b"<html>"), "takes a web page for a value"
    device.close()
    assert rig.quiet(), "shows a good value"
    rig.send()
    return f"live after {until(rig.live, 'live'):.1f} s"


def half_open(rig: PushRig) -> str:
    rig.start()
    rig.send()
    until(rig.live, "live")
    rig.proxy.mode = "freeze"
    noticed = until(rig.quiet, "silence noticed", 10.0)
    rig.proxy.mode = "pass"
    until(rig.live, "live again")
    return f"noticed in {noticed:.1f} s{_all(rig)}"


def slow(rig: PushRig) -> str:
    rig.proxy.mode = "slow"
    rig.start()
    rig.send()
    took = until(rig.live, "live", 30.0)
    return f"live after {took:.1f} s{_all(rig)}"


def restart(rig: PushRig) -> str:
    rig.start()
    rig.send()
    until(rig.live, "live")
    rig.stop()
    rig.start()
    took = until(rig.live, "live again")
    return f"back after {took:.1f} s{_all(rig)}"


def burst(rig: PushRig) -> str:
    rig.start()
    device = rig.device()
    for number in range(1, BURST + 1):
        assert device.send(_payload(number)), f"value {number} is not taken"
    device.close()
    until(lambda: not rig.missing(BURST), "all values")
    return f"{BURST} of {BURST}"


def reconnects(rig: PushRig) -> str:
    rig.start()
    rig.send()
    until(rig.live, "live")

    def again() -> None:
        before, sent = rig.proxy.accepted, rig.sent
        rig.proxy.cut()
        until(lambda: rig.proxy.accepted > before and rig.sent > sent + 1, "a new connection and a value by it")

    for _ in range(max(rig.reconnects // 5, 2)):
        again()
    memory, threads = rig.memory()
    for _ in range(rig.reconnects):
        again()
    grown, more = rig.memory()[0] - memory, rig.memory()[1] - threads
    assert more <= 2, f"{more} threads more"
    # the server keeps what has come in memory for the page as well: a value a cut is no leak
    assert grown < NOTHING_LEFT_MB + 0.02 * rig.reconnects, f"{grown:.1f} MB more"
    return f"{rig.reconnects}, {grown:+.1f} MB{_all(rig)}"


def stop(rig: PushRig) -> str:
    rig.start()
    device = rig.device()
    assert device.send(_payload(1))
    with socket.create_connection(("127.0.0.1", rig.proxy.port), 5.0) as half:
        half.sendall(b"POST /api/in/cell HTTP/1.1\r\nHost: twin\r\nContent-Length: 30\r\n\r\n{")
        rig.proxy.mode = "freeze"
        took = rig.stop()
    device.close()
    return f"{took:.1f} s"


def _all(rig: PushRig) -> str:
    """That everything the device sent is in history, once."""
    rig.hush()
    until(lambda: not rig.missing(rig.sent), f"all of {rig.sent} values")
    return f", {rig.sent} of {rig.sent}"


CASES: dict[str, Callable[[PushRig], str]] = {
    c.__name__.replace("_", "-"): c
    for c in (absent, refuse, black_hole, nonsense, half_open, slow, restart, burst, reconnects, stop)
}
