"""Edits that wait for their turn hold up neither reading nor anybody else. The server runs in this process, so that its owner
thread can be held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.sync.client import ClientConnection, connect

from twin.protocol.frames import MAGIC
from twin.protocol.messages import PROTOCOL_VERSION, Edit, Edited, Hello, Op, Refused, Welcome, decode_server, encode
from twin.server import inbox as inbox_module
from twin.server.app import create_app
from twin.server.host import Host
from twin.server.hub import Hub
from twin.server.serve import bind, server_config
from twin.server.settings import Settings

STAGE = '#usda 1.0\n(\n    metersPerUnit = 1\n)\ndef Cube "A"\n{\n}\n'
LIMIT_S = 60.0


class Here:
    """A server in this process."""

    def __init__(self, host: Host, hub: Hub, port: int) -> None:
        self.host, self.hub, self.port = host, hub, port

    @contextmanager
    def client(self, name: str) -> Iterator[ClientConnection]:
        headers = {"Authorization": f"Bearer {self.host.token}"}
        with connect(f"ws://127.0.0.1:{self.port}/api/ws", additional_headers=headers, max_size=None) as socket:
            socket.send(encode(Hello(PROTOCOL_VERSION, name)))
            assert isinstance(next_of(socket, Welcome), Welcome)
            yield socket

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no edit is done, as if the disk took none."""
        go_on = threading.Event()
        self.host.on_owner(lambda: go_on.wait(LIMIT_S))
        try:
            yield
        finally:
            go_on.set()

    @property
    def seq(self) -> int:
        return int(self.host.on_owner(lambda: self.host.document.seq).result(LIMIT_S))


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    stage = tmp_path / "stage.usda"
    stage.write_text(STAGE)
    host = Host(Settings(stage, tmp_path / "project", paused=True))
    host.start()
    sock = bind("127.0.0.1", 0)
    app = create_app(host)
    config = server_config(app)
    config.ws_ping_interval, config.ws_ping_timeout = 0.05, 20.0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    yield Here(host, app.state.context.hub, sock.getsockname()[1])
    server.should_exit = True
    thread.join(LIMIT_S)
    host.stop()
    sock.close()


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def next_of(socket: ClientConnection, *kinds: type) -> object:
    while True:
        data = socket.recv(timeout=LIMIT_S)
        if data[:4] != MAGIC and isinstance(message := decode_server(data), kinds):
            return message


def size(number: int) -> bytes:
    return encode(Edit(number, 0, [Op("set_field", "/A", "size", ["double", float(number)])]))


def test_who_waits_for_a_slow_disk_is_still_heard(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ping is sent only when the one before was answered."""
    answered = []
    handle = WebSocketsSansIOProtocol.handle_pong
    monkeypatch.setattr(WebSocketsSansIOProtocol, "handle_pong", lambda self, event: (answered.append(self), handle(self, event)))
    with here.client("Ann") as ann:
        with here.held():
            for number in range(1, 200):
                ann.send(size(number))
            before = len(answered)
            until(lambda: len(answered) > before + 10, "answers to pings wait behind edits")
        for number in range(1, 200):
            answer = next_of(ann, Edited, Refused)
            assert (type(answer), answer.opid) == (Edited, number)


def test_what_was_sent_before_somebody_left_is_done(here: Here) -> None:
    with ExitStack() as held:
        with here.client("Ann") as ann:
            held.enter_context(here.held())
            for number in range(1, 40):
                ann.send(size(number))
        until(lambda: not here.hub.clients, "the server has not seen her go")
    until(lambda: here.seq == 39, "her edits are lost")


def test_more_than_can_wait_is_refused_and_the_rest_is_done(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_WAITING", 20)
    with here.client("Ann") as ann:
        with here.held():
            for number in range(1, 101):
                ann.send(size(number))
            refused = [next_of(ann, Refused) for _ in range(79)]
        assert {(r.code, r.reason) for r in refused} == {
            ("limit", "20 edits of yours are waiting already; try again in a moment")
        }
        done = [next_of(ann, Edited).opid for _ in range(21)]
        assert sorted(done + [r.opid for r in refused]) == list(range(1, 101))
        assert done == sorted(done)
