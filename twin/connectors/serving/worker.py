"""An event loop in a thread of its own, for what serves until it is stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address

from twin.core import log
from twin.core.errors import InputError, TwinError, WorkError
from twin.core.samples import Sample, SignalKey

State = Callable[[], Mapping[SignalKey, Sample]]
"""Gives the newest sample of every signal; called often, from a thread of its own."""
Take = Callable[[SignalKey, float | int | bool | str, str], None]
"""Takes a value that somebody wrote: signal, value, who. Raises TwinError to refuse."""
Now = Callable[[str], str]
"""What a prim path is now."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Worker:
    """Runs ``serve`` until stop(). ``serve`` sets ``ready`` when it works, or raises.

    Raises (start):
        WorkError: It could not start.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    async def serve(self, ready: Callable[[], None]) -> None:
        """To be overridden: work until cancelled."""
        raise NotImplementedError

    def start(self, timeout_s: float = 120.0) -> None:
        """Begin, and wait until it works."""
        self._thread.start()
        if not self._started.wait(timeout_s):
            raise WorkError(f"{self._name} does not start within {timeout_s:g} s")
        if isinstance(self._failure, TwinError):
            raise self._failure
        if self._failure is not None:
            raise WorkError(f"{self._name} cannot start: {self._failure}") from self._failure

    def moved(self, now: Now) -> None:
        """Any thread: prims have other paths now, and their signals are served under those; in the order of the calls."""
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(self.rename, now)

    def rename(self, now: Now) -> None:
        """To be overridden; on the loop, between two steps of ``serve``."""
        raise NotImplementedError

    def stop(self, timeout_s: float = 10.0) -> None:
        """End, and wait for it. A second call does nothing."""
        if self._loop is None or self._stopping is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise WorkError(f"{self._name} does not stop within {timeout_s:g} s")

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        serving = asyncio.create_task(self.serve(self._started.set))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        serving.cancel()
        (ended,) = await asyncio.gather(serving, return_exceptions=True)
        if isinstance(ended, Exception):
            if self._started.is_set():
                log.get("serving").error(f"{self._name} has ended", reason=str(ended) or repr(ended))
            self._failure = ended
        self._started.set()


def guard(host: str, login: tuple[str, str] | None) -> None:
    """Refuse to serve others than this machine without a login.

    Raises:
        InputError: It would be open to everybody.
    """
    if not is_loopback(host) and login is None:
        raise InputError("an address that others can reach needs a login", attribute="host", allowed=["127.0.0.1", "a login"])
