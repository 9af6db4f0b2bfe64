"""Keeps one connection alive: a fresh driver for each attempt, back-off between them, and a look at what is subscribed.

States: ``idle connecting syncing live stale backoff fatal``. ``live`` means fresh good samples, not an open socket.
"""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from twin.connectors.base import Driver, Fatal, Plan, Reading, Receiver, Retryable, Series, WriteRequest, WriteResult
from twin.connectors.drivers import kind
from twin.connectors.intake import Intake
from twin.connectors.mapping import ConnectionEntry, Mapping, Point
from twin.connectors.secret import Redactor
from twin.core import log
from twin.core.errors import InputError, Rejected, TwinError, WorkError
from twin.core.samples import BAD_NO_COMMUNICATION
from twin.protocol.messages import ConnectorStatus


@dataclass(frozen=True)
class Timing:
    """Seconds. ``backoff`` is the range of the full-jitter back-off; ``settled``: after so long, it begins anew."""

    connect: float = 10.0
    close: float = 5.0
    write: float = 10.0
    reconcile: float = 30.0
    tick: float = 0.25
    backoff: tuple[float, float] = (0.5, 60.0)
    settled: float = 10.0


class _AttemptSink:
    """What a driver of one attempt delivers to; deaf once the attempt is over."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.ready = asyncio.Event()
        self.over = False

    def connected(self) -> None:
        if not self.over:
            self._intake.connected()
            self.ready.set()

    def offer(self, batch: Iterable[Reading]) -> None:
        if not self.over:
            self._intake.offer(batch)

    def offer_series(self, series: Series) -> None:
        if not self.over:
            self._intake.offer_series(series)

    def reject(self, reason: str, where: str, count: int = 1) -> None:
        self._intake.reject(reason, where, count)


class Supervisor:
    """One connection. Everything runs on the event loop, except status()."""

    def __init__(
        self, mapping: Mapping, connection: ConnectionEntry, intake: Intake, timing: Timing, jitter: random.Random
    ) -> None:
        self.mapping, self.connection, self._timing, self._jitter = mapping, connection, timing, jitter
        self._plan = Plan(tuple(p for p in mapping.points if p.connection == connection.name))
        self._redactor = Redactor()
        self._log = log.get("connectors")
        self._driver: Driver | None = None
        self._anew = asyncio.Event()
        self.intake = intake
        self.state = "idle"
        self.error = ""
        self.attempts = 0

    def status(self) -> ConnectorStatus:
        """How it stands; safe from any thread."""
        intake = self.intake
        return ConnectorStatus(
            name=self.connection.name,
            driver=self.connection.driver,
            state=self.state,
            origin=self.connection.origin,
            signals=intake.signals(),
            good=intake.good(),
            stale=intake.stale(),
            rate=round(intake.rate, 2),
            error=self.error,
            lag=intake.lag(),
            lost=intake.losses.total(),
        )

    def begin_anew(self) -> None:
        """End the attempt, or the wait for the next one, and try at once: a person has changed something."""
        self._anew.set()

    async def run(self) -> None:
        """Until cancelled. What is fatal is tried again only when somebody asks for it."""
        failures = 0
        while True:
            begin = time.monotonic()
            self._anew.clear()
            try:
                await self._attempt()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    self.intake.silence()
                    self.state = "idle"
                    raise
                # nobody has ended this connection: a client has cancelled its own requests when it lost its server
                self._failed("backoff", WorkError("the client gave up what it was waiting for"))
            except (Fatal, InputError) as error:
                self._failed("fatal", error)
                await self._anew.wait()
                failures = 0
                continue
            except Retryable as error:
                self._failed("backoff", error)
            except Exception as error:  # noqa: BLE001  (a driver's bug must not take the other connections down; it is told in full)
                told = self._redactor.clean(traceback.format_exc())
                self._log.error("driver failed", connection=self.connection.name, driver=self.connection.driver, traceback=told)
                self._failed("backoff", WorkError(f"the driver failed: {type(error).__name__}: {error}"))
            failures = 0 if time.monotonic() - begin >= self._timing.settled else failures + 1
            low, high = self._timing.backoff
            pause = self._jitter.uniform(0.0, min(high, low * 2.0 ** min(failures, 16)))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._anew.wait(), pause)

    def _failed(self, state: str, error: TwinError) -> None:
        text = self._redactor.clean(str(error))
        if text != self.error or state == "fatal":
            self._log.warning("connection lost", connection=self.connection.name, state=state, reason=text)
        self.error = text
        self.intake.silence()  # before the state: who sees the loss finds the samples that say so
        self.state = state

    async def _attempt(self) -> None:
        self.state = "connecting"
        self.attempts += 1
        driver = kind(self.connection.driver).load()(self.mapping.resolve(self.connection, self._redactor))
        sink = _AttemptSink(self.intake)
        running = asyncio.create_task(driver.run(self._plan, sink), name=f"{self.connection.name} driver")
        try:
            await self._wait_until_ready(running, sink)
            self.state, self.error = "syncing", ""
            self._log.info("connected", connection=self.connection.name, driver=self.connection.driver)
            self._driver = driver
            await self._watch(running, driver)
        finally:
            self._driver = None
            sink.over = True
            running.cancel()
            # shielded from a second cancellation, so that a stop does not leave a half-closed client behind
            done, _ = await asyncio.shield(asyncio.wait({running}, timeout=self._timing.close))
            if done and not running.cancelled():
                running.exception()  # the reason of the failure is raised already; asyncio need not tell it again
            elif not done:
                self._log.error("a client did not close and is abandoned", connection=self.connection.name)

    async def _wait_until_ready(self, running: asyncio.Task[None], sink: _AttemptSink) -> None:
        ready = asyncio.create_task(sink.ready.wait())
        try:
            await asyncio.wait({running, ready}, timeout=self._timing.connect, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if running.done():
            running.result()
        elif not sink.ready.is_set():
            raise Retryable(f"no connection within {self._timing.connect:g} s")

    async def _watch(self, running: asyncio.Task[None], driver: Driver) -> None:
        """While the driver runs: keep the state true, and every now and then subscribe what is missing."""
        reconcile_at = time.monotonic() + self._timing.reconcile
        while not running.done():
            self._judge()
            await asyncio.wait({running}, timeout=self._timing.tick)
            if self._anew.is_set():
                raise Retryable("begun anew by hand")
            if time.monotonic() >= reconcile_at and not running.done():
                reconcile_at = time.monotonic() + self._timing.reconcile
                await self._reconcile(driver)
        running.result()
        raise Retryable("the connection was closed")

    def _judge(self) -> None:
        if self.intake.stale():
            self.state = "stale"
        elif self.intake.good():
            self.state = "live"
        elif self.state != "syncing":
            self.state = "stale"

    async def _reconcile(self, driver: Driver) -> None:
        there = driver.subscribed()
        missing = [p for p in self._plan.points if p.index not in there]
        if not missing:
            return
        self._log.warning("subscribing what is missing", connection=self.connection.name, signals=len(missing))
        try:
            async with asyncio.timeout(self._timing.connect):
                await driver.subscribe(missing)
        except TimeoutError:
            raise Retryable(f"subscribing took more than {self._timing.connect:g} s") from None

    async def push(self, channel: str, payload: bytes, secret: str | None) -> int:
        """Hand a payload to the driver; returns how many values were good.

        Raises:
            Rejected: The driver takes none, is not running, or refuses.
        """
        if not isinstance(self._driver, Receiver):
            running = self._driver is not None
            reason = "this connection takes nothing that is sent to it" if running else "the connection is not running"
            raise Rejected("path" if running else "gone", reason, attribute=self.connection.name)
        return self._driver.push(channel, payload, secret)

    async def write(self, point: Point, raw: float | int | bool | str) -> WriteResult:
        """Write one raw value.

        Raises:
            WorkError: Not connected, refused, or no answer in time.
        """
        if self._driver is None:
            return WriteResult(point, BAD_NO_COMMUNICATION)
        try:
            async with asyncio.timeout(self._timing.write):
                (result,) = await self._driver.write([WriteRequest(point, raw)])
        except TimeoutError:
            raise WorkError(f"{self.connection.name} did not answer the write within {self._timing.write:g} s") from None
        return result
