"""A real Mosquitto and helpers to wait for what must happen soon."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from twin.connectors import Plant, Timing
from twin.connectors.mapping import parse
from twin.history import Historian

QUICK = Timing(connect=5.0, close=2.0, reconcile=0.5, tick=0.05, backoff=(0.05, 0.3))


def _wait_for(condition: Callable[[], object], timeout_s: float = 15.0, what: str = "condition") -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} not met within {timeout_s} s")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A Mosquitto on a free loopback port that can be stopped and started again."""

    def __init__(self, folder: Path, *, login: tuple[str, str] | None = None, more: tuple[str, ...] = ()) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "max_queued_messages 0", "persistence false"]
        if login is None:
            lines.append("allow_anonymous true")
        else:
            users = folder / "users"
            tool = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
            subprocess.run([tool, "-b", "-c", str(users), *login], check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {users}"]
        lines += more
        if folder.stat().st_uid == 0:
            lines.append("user root")
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(self._answers, 10.0, "broker")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


def has_mosquitto() -> bool:
    return shutil.which("mosquitto") is not None or Path("/usr/sbin/mosquitto").is_file()


PEERS = Path(__file__).parent / "peers"


class Peer:
    """A running device that takes a line of JSON as a command."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port, self._process = port, process

    def tell(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def read(self) -> dict:
        """The next line of JSON that it says."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@pytest.fixture
def start_peer():
    """Starts a device of ``peers/``; it ends with the test, since its input is closed then."""
    node = shutil.which("node")
    if node is None or not (PEERS / "node_modules").is_dir():
        pytest.skip("the devices of tests/connectors/peers are not installed (npm ci there)")
    running: list[subprocess.Popen[bytes]] = []

    def start(script: str, *arguments: object) -> "Peer":
        port = free_port()
        command = [str(node), str(PEERS / script), str(port), *map(str, arguments)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert running[-1].stdout is not None
        assert running[-1].stdout.readline().strip() == b"ready"
        return Peer(port, running[-1])

    yield start
    for process in running:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        process.stdout.close()


@pytest.fixture
def wait_for():
    return _wait_for


@pytest.fixture
def unused_port():
    return free_port


@pytest.fixture
def make_broker(tmp_path):
    """Makes brokers that end with the test."""
    if not has_mosquitto():
        pytest.skip("mosquitto is not installed")
    made = []

    def make(*, login: tuple[str, str] | None = None, more: tuple[str, ...] = ()) -> Broker:
        made.append(Broker(tmp_path, login=login, more=more))
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(make_broker):
    broker = make_broker()
    broker.start()
    return broker


@pytest.fixture
def make_plant(tmp_path, history):
    """Makes plants that stop with the test, before the history that they may write to."""
    made = []

    def make(text: str, recorder: object = None, *, file: str = "plant.yaml", **options: object) -> Plant:
        options.setdefault("timing", QUICK)
        made.append(Plant(parse(text, file=file, folder=tmp_path), recorder, **options))
        made[-1].start()
        return made[-1]

    yield make
    for plant in made:
        plant.stop()


@pytest.fixture
def history(tmp_path):
    historian = Historian(tmp_path / "history.db")
    yield historian
    historian.close()
