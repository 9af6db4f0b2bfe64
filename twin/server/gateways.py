"""The server's side of its gateways: processes at the same address that hold viewers' connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from twin.core import log
from twin.live import Event
from twin.model.frame import StateFrame
from twin.protocol.messages import BodyTable
from twin.server.ring import RingWriter

AGAIN_S = 0.5
"""A gateway that died is started again after this long."""
END_S = 5.0


@dataclass
class _Process:
    listening: socket.socket
    control: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None
    generation: int = 0


class Gateways:
    """Starts gateways, tells them of frames, starts them again when they die.

    Args:
        listening: One socket each, all bound to the server's address with SO_REUSEPORT: the kernel spreads connections.

    Attributes:
        upstream: Path of the socket at which the server itself must listen.
    """

    def __init__(self, listening: list[socket.socket]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="twin-")  # mode 0700: nobody else reaches the socket in it
        self.upstream = str(Path(self._folder.name) / "server")
        self._ring = RingWriter()
        self._version = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._log = log.get("gateways")
        self._processes = [_Process(sock) for sock in listening]
        self._watch = threading.Thread(target=self._keep_running, name="twin-gateways", daemon=True)

    def start(self) -> None:
        """Start them; they answer as soon as the server does."""
        for gateway in self._processes:
            self._spawn(gateway)
        self._watch.start()

    @property
    def pids(self) -> list[int]:
        return [g.process.pid for g in self._processes if g.process is not None]

    def _spawn(self, gateway: _Process) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        command = [
            sys.executable,
            "-m",
            "twin.server.gateway",
            str(gateway.listening.fileno()),
            str(theirs.fileno()),
            self.upstream,
        ]
        gateway.process = subprocess.Popen(command, pass_fds=(gateway.listening.fileno(), theirs.fileno()))
        theirs.close()
        with self._lock:
            if gateway.control is not None:
                gateway.control.close()
            gateway.control, gateway.generation = ours, 0
            self._tell(gateway)

    def publish(self, event: Event, wall_time: float) -> None:
        """Take an event of the runtime; called on the owner thread, never blocks."""
        if isinstance(event, BodyTable):
            self._version = event.version
        elif isinstance(event, StateFrame):
            with self._lock:
                self._ring.write(event, self._version, wall_time)
                for gateway in self._processes:
                    self._tell(gateway)

    def _tell(self, gateway: _Process) -> None:
        if gateway.control is None or self._ring.file < 0:
            return
        try:
            if gateway.generation != self._ring.generation:
                socket.send_fds(gateway.control, [b"r"], [self._ring.file])
                gateway.generation = self._ring.generation
            else:
                gateway.control.send(b"f")
        except BlockingIOError:
            pass  # it has plenty of news to read, and then takes the newest
        except OSError:
            gateway.control = None  # it has died: the watcher starts another

    def _keep_running(self) -> None:
        while not self._ended.wait(AGAIN_S):
            for gateway in self._processes:
                if gateway.process is not None and gateway.process.poll() is not None and not self._ended.is_set():
                    self._log.error("a gateway ended and is started again", code=gateway.process.returncode)
                    self._spawn(gateway)

    def stop(self) -> None:
        """End them and give everything back."""
        self._ended.set()
        if self._watch.is_alive():
            self._watch.join()
        with self._lock:
            for gateway in self._processes:
                if gateway.control is not None:
                    gateway.control.close()
                    gateway.control = None
        deadline = time.monotonic() + END_S
        for gateway in self._processes:
            if gateway.process is not None:
                try:
                    gateway.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    gateway.process.kill()
                    gateway.process.wait()
            gateway.listening.close()
        self._ring.close()
        self._folder.cleanup()


def upstream_socket(path: str) -> socket.socket:
    """The socket at which the server listens to its gateways."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, 0o600)
    sock.listen(512)
    return sock
