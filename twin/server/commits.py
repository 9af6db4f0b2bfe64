"""Edits that wait are committed together: one wait for the disk for all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from twin.collab import Document, Outcome
from twin.core.errors import Rejected, WorkError
from twin.live import Runtime

SLICE_S = 0.03
"""Longest time that edits take the owner thread at once [s]."""

MAX_WAITING = 2000
"""Edits that may wait; a client waits for each of its own, so this is more than all of them can bring."""

Work = Callable[[], tuple[Outcome, list[Any]]]
Tell = Callable[[Outcome, list[Any]], None]


class Commits:
    """Queue of edits on their way to the owner thread.

    Args:
        document: Where they are applied. runtime: The owner thread.
        taken_back: Called on the owner thread when edits that were applied could not be written and are no more.
    """

    def __init__(self, document: Document, runtime: Runtime, taken_back: Callable[[], None]) -> None:
        self._document, self._runtime, self._taken_back = document, runtime, taken_back
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Work, Tell, Future[Outcome]]] = deque()
        self._asked = False

    def commit(self, work: Work, tell: Tell) -> Future[Outcome]:
        """Any thread: do ``work`` on the owner thread; once it is on disk, ``tell`` is called there, in the order of edits.

        The future holds the outcome, or WorkError if it could not be written.

        Raises:
            Rejected: The twin has stopped, or is too busy.
        """
        future: Future[Outcome] = Future()
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise Rejected("busy", f"{MAX_WAITING} edits are waiting already; try again in a moment")
            self._waiting.append((work, tell, future))
            ask, self._asked = not self._asked, True
        if ask:
            self._ask()
        return future

    def _ask(self) -> None:
        try:
            call = self._runtime.call(self._drain)
        except BaseException as error:
            self._refuse(error)
            raise
        call.add_done_callback(lambda done: None if (error := done.exception()) is None else self._refuse(error))

    def _refuse(self, error: BaseException) -> None:
        """The owner thread takes no more: whoever waits is told."""
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
            self._asked = False
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)

    def _next(self) -> tuple[Work, Tell, Future[Outcome]] | None:
        """The next that still has somebody waiting for it. From here on nobody can give it up: it may be on disk already."""
        with self._lock:
            while self._waiting:
                item = self._waiting.popleft()
                if item[2].set_running_or_notify_cancel():
                    return item
            return None

    def _drain(self) -> None:
        """Owner: a slice of what waits, in one commit."""
        done: list[tuple[Tell, Future[Outcome], Outcome, list[Any]]] = []
        until = time.perf_counter() + SLICE_S
        try:
            with self._document.group():
                while time.perf_counter() < until and (item := self._next()) is not None:
                    work, tell, future = item
                    try:
                        outcome, told = work()
                    except Exception as error:  # noqa: BLE001  (belongs to whoever holds the future)
                        future.set_exception(error)
                        continue
                    done.append((tell, future, outcome, told))
        except WorkError as error:
            self._taken_back()
            for _, future, _, _ in done:
                future.set_exception(error)
        else:
            for tell, future, outcome, told in done:
                tell(outcome, told)
                future.set_result(outcome)
        with self._lock:
            self._asked = bool(self._waiting)
            again = self._asked
        if again:
            self._ask()
