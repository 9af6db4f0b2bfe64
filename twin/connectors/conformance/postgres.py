"""A PostgreSQL cluster of one's own for tests: on a free loopback port, by an unprivileged user, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from twin.connectors.conformance.counterparts import START_S, Unavailable, free_port
from twin.core.errors import WorkError

USERS = ("postgres", "nobody")
"""Who runs the server when root asks: PostgreSQL refuses to run as root."""
LOGIN = "twin"


def _programs() -> Path:
    """The folder with initdb and postgres.

    Raises:
        Unavailable: PostgreSQL or its client library is not installed.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise Unavailable("the package psycopg is not installed") from error
    kept = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name) if p.parent.name.isdecimal() else 0)
    on_path = shutil.which("initdb")
    for folder in [*reversed(kept), *([Path(on_path).resolve().parent] if on_path else [])]:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise Unavailable("PostgreSQL is not installed")


class Cluster:
    """Made with the first start(); stop() ends the server and keeps its data, close() deletes them."""

    def __init__(self, port: int | None = None) -> None:
        self._bin = _programs()
        self.port = port or free_port()
        self._user = next((u for u in USERS if _known(u)), None) if os.getuid() == 0 else None
        if os.getuid() == 0 and self._user is None:
            raise Unavailable("there is no unprivileged user to run PostgreSQL")
        # not below a test's folder, which only the tests' own user may enter
        self._home = Path(tempfile.mkdtemp(prefix="twin-pg-"))
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        if not (self._home / "data").exists():
            make = [
                str(self._bin / "initdb"),
                "-D",
                str(self._home / "data"),
                "-U",
                LOGIN,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "-N",
                "--locale=C",
            ]
            done = subprocess.run(make, user=self._user, cwd=self._home, capture_output=True, text=True, check=False)
            if done.returncode:
                raise WorkError(f"initdb failed: {done.stderr[-300:]}")
        command = [
            str(self._bin / "postgres"), "-D", str(self._home / "data"), "-p", str(self.port), "-F",
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self._home}",
        ]  # fmt: skip
        log = (self._home / "log").open("ab")
        self._process = subprocess.Popen(command, user=self._user, cwd=self._home, stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + START_S
        while True:
            try:
                self.connect().close()
                return
            except Exception as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise WorkError(f"PostgreSQL does not answer: {error}; {(self._home / 'log').read_text()[-300:]}") from error
                time.sleep(0.05)

    def connect(self, **more: Any) -> Any:
        """A psycopg connection that commits by itself."""
        import psycopg

        return psycopg.connect(host="127.0.0.1", port=self.port, user=LOGIN, dbname="postgres", autocommit=True, **more)

    @property
    def address(self) -> str:
        return f"postgresql://{LOGIN}@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        """At once, with all connections. A second call does nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
