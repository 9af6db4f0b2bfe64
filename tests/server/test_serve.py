"""The life of a server: one ready line, one project, an orderly end, and nothing lost when there was none."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
import sys
import time

import pytest

from twin.protocol.messages import Edit, Edited, Op


def size(value: float) -> Op:
    return Op("set_field", "/Line/Sign", "size", ["double", value])


def sign(server) -> float:
    """The sign's size as the server has it."""
    with server.http() as http:
        detail = http.get("/api/prim", params={"path": "/Line/Sign"}).json()
    return next(p["value"] for p in detail["properties"] if p["name"] == "size")


def run(server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin.cli.main", "serve", str(server.stage), "--project", str(server.project), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ, check=False)


def test_from_the_ready_line_to_an_orderly_end(make_server) -> None:
    server = make_server().start()
    ready = server.ready
    assert ready == {
        "event": "ready",
        "url": server.url,
        "open_url": f"{server.url}#token={server.token}",
        "token": server.token,
    }
    with server.http("") as http:
        health = http.get("/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "ok")
    file = server.project / "token"
    assert file.read_text() == server.token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    second = run(server, "--port", "0")  # one process a project
    assert (second.returncode, second.stdout) == (2, "")
    assert "another process serves this project" in second.stderr
    assert "Traceback" not in second.stderr

    ann = server.client("Ann")
    ann.welcome()
    assert isinstance(ann.edit(size(3.0)), Edited)
    out = server.process.stdout
    server.process.terminate()
    assert server.process.wait(timeout=120) == 0
    with out:
        assert out.read() == ""  # the ready line was the only one
    assert "Traceback" not in server.log.read_text()

    token = server.token
    server.start()
    assert server.token == token
    assert sign(server) == 3.0
    assert server.stop() == 0


@pytest.mark.parametrize("moment", ["compiling the stage", "loading physics kernels"])
def test_told_to_stop_while_it_starts_it_leaves_in_order(make_server, tmp_path, moment: str) -> None:
    server = make_server()
    command = [sys.executable, "-m", "twin.cli.main", "serve", str(server.stage), "--project", str(server.project), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    with process.stderr:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if moment in line:
                process.terminate()
        text = "".join(lines)
    assert process.wait(timeout=30) == 0, text
    assert moment in text
    assert "Traceback" not in text


def test_a_port_in_use_is_one_clear_line(make_server) -> None:
    server = make_server()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(server, "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (2, "")
    assert "--port" in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["192.0.2.7", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine_is_named_as_such(make_server, host: str) -> None:
    server = make_server()
    command = [
        sys.executable,
        "-m",
        "twin.cli.main",
        "serve",
        str(server.stage),
        "--project",
        str(server.project),
        "--host",
        host,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | {"TWIN_TOKEN": "t"}, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --host: cannot listen on")


def test_an_address_that_others_reach_needs_a_token_of_ones_own(make_server) -> None:
    done = run(make_server(), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "TWIN_TOKEN" in done.stderr


def test_an_empty_token_file_lets_nobody_in(make_server) -> None:
    """What a loss of power may leave behind."""
    server = make_server("--paused")
    server.project.mkdir()
    (server.project / "token").write_text("")
    server.start()
    assert len(server.token) > 20
    cookie = f"twin_{'0' * 12}="
    with server.http("") as http:
        assert http.get("/api/scene", headers={"Cookie": cookie}).status_code == 401
        assert http.post("/api/login", json={"token": ""}).status_code == 401


def test_no_acknowledged_edit_is_lost_when_the_server_is_killed(make_server) -> None:
    """Several editors at work, SIGKILL, restart: all that was acknowledged is there and the epoch is the same."""
    server = make_server("--paused")
    draw = random.Random(11)
    epochs = set()
    value = 1.0
    server.start()
    tabs = [server.client(f"Editor {i}") for i in range(3)]
    epochs |= {tab.welcome().epoch for tab in tabs}
    until = time.monotonic() + draw.uniform(0.2, 0.6)
    while time.monotonic() < until:
        for tab in tabs:
            value += 1.0
            tab.send(Edit(tab.opid(), 0, [size(value)]))
    server.process.kill()
    server.process.wait()
    acknowledged = []
    for tab in tabs:
        tab.wait_closed()
        while not tab._new.empty():
            message = tab._new.get()
            if isinstance(message, Edited):
                acknowledged.append(message)
    assert acknowledged
    server._let_go()
    last = max(acknowledged, key=lambda m: m.seq)
    server.start()
    check = server.client("Check")
    welcome = check.welcome()
    epochs.add(welcome.epoch)
    assert welcome.seq >= last.seq
    assert sign(server) >= last.txn[0].value[1]
    server.stop()
    assert len(epochs) == 1
