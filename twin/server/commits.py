"""Edits that wait are committed together: one wait for the disk for all of them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
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


@dataclass
class _Done:
    """An edit that was applied, and who waits to hear of it."""

    tell: Tell
    future: Future[Outcome]
    outcome: Outcome
    told: list[Any]


class Commits:
    """Queue of edits on their way to the owner thread, and from there to the disk.

    A thread of its own waits for the disk. Until then the owner thread does nothing else that has to do with the document, so
    that nobody sees what is not on disk; but the twin runs on, and its frames are sent.

    Args:
        document: Where they are applied. runtime: The owner thread.
        taken_back: Called on the owner thread when edits that were applied could not be written and are no more.
    """

    def __init__(self, document: Document, runtime: Runtime, taken_back: Callable[[], None]) -> None:
        self._document, self._runtime, self._taken_back = document, runtime, taken_back
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Work, Tell, Future[Outcome]]] = deque()
        self._asked = False
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="twin-commit")

    def close(self) -> None:
        """Let what is on its way to the disk arrive."""
        self._disk.shutdown()

    def commit(self, work: Work, tell: Tell) -> Future[Outcome]:
        """Any thread: do ``work`` on the owner thread; once it is on disk, ``tell`` is called on another, in the order of edits.

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
        done: list[_Done] = []
        until = time.perf_counter() + SLICE_S
        try:
            self._document.begin_group()
        except WorkError as error:
            self._refuse(error)
            return
        while time.perf_counter() < until and (item := self._next()) is not None:
            work, tell, future = item
            try:
                outcome, told = work()
            except Exception as error:  # noqa: BLE001  (belongs to whoever holds the future)
                future.set_exception(error)
                continue
            done.append(_Done(tell, future, outcome, told))
        try:
            commit = self._disk.submit(self._commit, done)
        except RuntimeError:  # the twin is stopping
            commit = Future()
            _carry_out(commit, lambda: self._commit(done))
        self._runtime.hold(commit, lambda: self._committed(commit, done))

    def _commit(self, done: list[_Done]) -> None:
        """Thread: wait for the disk, then tell; the owner thread lets nobody at the document meanwhile."""
        self._document.journal.commit()
        for each in done:
            try:
                each.tell(each.outcome, each.told)
            except Exception as error:  # noqa: BLE001  (belongs to whoever holds the future)
                each.future.set_exception(error)
            else:
                each.future.set_result(each.outcome)

    def _committed(self, commit: Future[None], done: list[_Done]) -> None:
        """Owner: what was held may go on."""
        if (reason := commit.exception()) is not None:
            error = reason if isinstance(reason, WorkError) else WorkError(f"could not be written: {reason}")
            self._document.abandon_group(error)
            self._taken_back()
            for each in done:
                each.future.set_exception(error)
        with self._lock:
            again = self._asked = bool(self._waiting)
        if again:
            with suppress(Rejected):  # who waits has been told
                self._ask()


def _carry_out(future: Future[None], work: Callable[[], None]) -> None:
    """Do the work here and now."""
    try:
        work()
    except Exception as error:  # noqa: BLE001  (belongs to whoever holds the future)
        future.set_exception(error)
    else:
        future.set_result(None)
