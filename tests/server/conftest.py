"""A real ``twin serve`` on a small line, and clients of it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from twin.protocol.frames import MAGIC, Frame, decode_frame
from twin.protocol.messages import (
    PROTOCOL_VERSION,
    Edit,
    Edited,
    Hello,
    Op,
    Redo,
    Refused,
    ScenePatch,
    Undo,
    Welcome,
    decode_server,
    decode_server_batch,
    encode,
)

LINE = """#usda 1.0
(
    defaultPrim = "Line"
    metersPerUnit = 1
    upAxis = "Z"
)
def Xform "Line"
{
    class Xform "Carton" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "TwinItemAPI"])
    {
        token twin:item:type = "carton"
        def Cube "Box" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {
            double size = 0.4
        }
    }
    def Cube "In" (prepend apiSchemas = ["TwinSourceAPI"])
    {
        double3 xformOp:translate = (-1, 0, 1.25)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        token twin:source:interarrival:distribution = "exponential"
        double twin:source:interarrival:mean = 5
        rel twin:source:items = </Line/Carton>
        rel twin:next = </Line/Belt>
    }
    def Xform "Belt" (prepend apiSchemas = ["TwinConveyorAPI", "TwinSignalAPI:speed"])
    {
        double twin:conveyor:speed = 0.5
        rel twin:next = </Line/Out>
        custom double twin:signal:speed:value = 0.5
        string twin:signal:speed:unit = "m/s"
        def Cube "Bed" (prepend apiSchemas = ["PhysicsCollisionAPI"])
        {
            double3 xformOp:translate = (1, 0, 0.9)
            float3 xformOp:scale = (1.5, 0.3, 0.1)
            uniform token[] xformOpOrder = ["xformOp:translate", "xformOp:scale"]
        }
    }
    def Cube "Out" (prepend apiSchemas = ["TwinSinkAPI"])
    {
        double3 xformOp:translate = (5, 0, 1)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Cube "Sign"
    {
        double3 xformOp:translate = (0, 3, 2)
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Cube "Crate" (prepend apiSchemas = ["PhysicsRigidBodyAPI", "PhysicsCollisionAPI"])
    {
        double3 xformOp:translate = (0, 6, 0.5)
        uniform token[] xformOpOrder = ["xformOp:translate"]
        bool physics:kinematicEnabled = 1
    }
    def SphereLight "Lamp"
    {
    }
}
"""


class Client:
    """One tab: a websocket whose messages are gathered as they come."""

    def __init__(
        self, url: str, token: str, hello: Hello, *, reading: bool = True, context: ssl.SSLContext | None = None
    ) -> None:
        self.hello = hello
        self.seen: list[Any] = []
        self.frames: list[Frame] = []
        self.code: int | None = None
        self.reason = ""
        self.session = ""
        self._new: queue.Queue[Any] = queue.Queue()
        address = url.replace("http", "ws", 1) + "/api/ws"
        headers = {"Authorization": f"Bearer {token}"}
        self._open = contextlib.ExitStack()
        self.socket = self._open.enter_context(
            connect(address, additional_headers=headers, max_size=None, compression=None, close_timeout=1, ssl=context)
        )
        self.socket.send(encode(hello))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._opid = int(time.time() * 1000)
        if reading:
            self._reader.start()

    def _read(self) -> None:
        try:
            for data in self.socket:
                if data[:4] == MAGIC:
                    self.frames.append(decode_frame(data))
                elif data[0] & 0xF0 == 0x90 or data[0] == 0xDC:  # an array: a batch
                    for message in decode_server_batch(data):
                        self._new.put(message)
                else:
                    self._new.put(decode_server(data))
        except ConnectionClosed:
            pass
        self.code = self.socket.close_code
        self.reason = self.socket.close_reason or ""
        self._new.put(None)

    def send(self, message: Any) -> None:
        self.socket.send(encode(message))

    def wait(self, kind: type, where: Callable[[Any], bool] = lambda message: True, timeout: float = 60.0) -> Any:
        """The next message of a kind; those that come before it are kept in ``seen``."""
        end = time.monotonic() + timeout
        while True:
            try:
                message = self._new.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {kind.__name__} within {timeout:g} s; last: {self.seen[-5:]}") from None
            if message is None:
                raise AssertionError(f"closed ({self.code} {self.reason}) while waiting for {kind.__name__}")
            self.seen.append(message)
            if isinstance(message, kind) and where(message):
                return message

    def wait_closed(self, timeout: float = 60.0) -> int:
        self._reader.join(timeout)
        assert not self._reader.is_alive(), "still open"
        assert self.code is not None
        return self.code

    def welcome(self) -> Welcome:
        welcome: Welcome = self.wait(Welcome)
        self.session = welcome.session
        return welcome

    def opid(self) -> int:
        self._opid += 1
        return self._opid

    def edit(self, *ops: Op, label: str = "") -> Any:
        """Send an edit (after ``welcome``); returns its acknowledgement or refusal."""
        return self._ask(Edit(self.opid(), 0, list(ops), label))

    def undo(self) -> Any:
        return self._ask(Undo(self.opid()))

    def redo(self) -> Any:
        return self._ask(Redo(self.opid()))

    def _ask(self, message: Any) -> Any:
        self.send(message)
        return self.wait(object, lambda m: isinstance(m, (Edited, Refused)) and self._answers(m, message.opid))

    def _answers(self, message: Edited | Refused, opid: int) -> bool:
        """Operation ids are each session's own: somebody else's edit may carry the same number."""
        return message.opid == opid and (isinstance(message, Refused) or message.session == self.session)

    def patch(self, seq: int) -> ScenePatch:
        patch: ScenePatch = self.wait(ScenePatch, lambda m: m.seq >= seq)
        return patch

    def close(self) -> None:
        self._open.close()


@dataclass
class Server:
    """A running ``twin serve``."""

    stage: Path
    project: Path
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    clients: list[Client] = field(default_factory=list)

    port: int = 0
    context: ssl.SSLContext | None = None
    """What clients trust, where the server has a certificate of its own."""

    def command(self) -> list[str]:
        """The command line of the server."""
        command = [sys.executable, "-m", "twin.cli.main", "serve", str(self.stage), "--project", str(self.project)]
        return [*command, "--port", str(self.port), *self.arguments]

    def try_start(self) -> subprocess.CompletedProcess[str]:
        """Start a server that is expected to refuse."""
        return subprocess.run(self.command(), capture_output=True, text=True, timeout=120, check=False)

    def free_port(self) -> int:
        """A port that nobody listens on."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    def start(self, timeout: float = 60.0, *, local: bool = False) -> Server:
        """Start, and wait until it is ready. ``local``: talk to it on loopback, whatever address it names."""
        self.log = self.project.with_suffix(".log")
        if local:
            self.port = self.free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | self.environment
            )
        assert self.process.stdout is not None
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, f"did not start: {self.log.read_text()}"
        self.ready = json.loads(line)
        self.url = f"http://127.0.0.1:{self.port}" if local else self.ready["url"].replace("//0.0.0.0:", "//127.0.0.1:")
        self.token = self.ready["token"]
        return self

    def client(self, name: str = "", token: str = "", *, reading: bool = True, **hello: Any) -> Client:
        """A new tab; a ``tab`` of its own unless one is given."""
        hello = {"protocol": PROTOCOL_VERSION, "name": name, "tab": uuid.uuid4().hex} | hello
        client = Client(self.url, token or self.token, Hello(**hello), reading=reading, context=self.context)
        self.clients.append(client)
        return client

    def http(self, token: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP client: as admin, with another token, or with an empty one as nobody."""
        token = self.token if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=180.0, verify=self.context or False, **options)

    def share(self, role: str, **body: Any) -> str:
        """A token for a role."""
        with self.http() as http:
            answer = http.post("/api/share", json={"role": role} | body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["url"].split("#token=")[1])

    def kill(self) -> None:
        """As a loss of power would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._let_go()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout=120.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not stop") from None
        finally:
            self._let_go()
        return code

    def _let_go(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self.process.stdout is not None:
            self.process.stdout.close()


def _line(folder: Path) -> Path:
    stage = folder / "line.usda"
    stage.write_text(LINE)
    return stage


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of a file."""
    folder = tmp_path_factory.mktemp("server")
    running = Server(_line(folder), folder / "project").start()
    yield running
    code = running.stop()
    log = running.log.read_text()
    assert "Traceback" not in log, log
    assert code == 0, log


@pytest.fixture(scope="module")
def make_shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Servers for all tests of a file: ``make_shared_server(change, "--mapping", ...)``, where ``change`` edits the stage."""
    made: list[Server] = []

    def make(change: Callable[[str], str], *arguments: str, **environment: str) -> Server:
        folder = tmp_path_factory.mktemp("server")
        stage = _line(folder)
        stage.write_text(change(stage.read_text()))
        made.append(Server(stage, folder / "project", list(arguments), environment).start())
        return made[-1]

    yield make
    for running in made:
        code = running.stop()
        log = running.log.read_text()
        assert "Traceback" not in log, log
        assert code == 0, log


@pytest.fixture(autouse=True)
def _tabs_closed(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "server" in request.fixturenames:
        running: Server = request.getfixturevalue("server")
        for client in running.clients:
            client.close()
        running.clients.clear()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Servers of a test's own: ``make_server("--paused")`` is not started yet."""
    made: list[Server] = []

    def make(*arguments: str, **environment: str) -> Server:
        stage = tmp_path / "line.usda"
        if not stage.exists():
            _line(tmp_path)
        made.append(Server(stage, tmp_path / "project", list(arguments), environment))
        return made[-1]

    yield make
    for running in made:
        if hasattr(running, "process") and running.process.poll() is None:
            running.kill()
