"""Where replications run: in this process, or on a Ray cluster. The numbers are the same: a draw depends on its key alone."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any, Protocol

from twin.core.errors import InputError, WorkError
from twin.flow import LineState
from twin.model.factory import FactoryModel
from twin.studies.outcome import Outcome

NAMES = ("local", "ray")
FAILURES = (WorkError, InputError, RuntimeError, ValueError, ArithmeticError, MemoryError)
"""What a single point may fail of without stopping the others."""


@dataclass(frozen=True)
class Task:
    """Consecutive replications of one point. ``begin_s``: time 0, counted from a Monday's midnight [s]. ``start``: the line
    at time 0, None: empty."""

    model: FactoryModel
    fidelity: str
    horizon_s: float
    warmup_s: float
    seed: int
    first: int
    count: int
    intervals: int
    begin_s: float = 0.0
    start: LineState | None = None
    device: str = "cpu"
    jobs: int | None = None


@dataclass(frozen=True)
class Done:
    """A finished task: its outcome, and how long it took [s]."""

    outcome: Outcome
    seconds: float


class Backend(Protocol):
    """Runs tasks. ``slots`` tasks are kept in flight; ``collect`` waits for any one of them and tells ``progress`` how many
    replications came to an end since it last did."""

    slots: int

    def submit(self, task: Task) -> None: ...

    def collect(self, progress: Callable[[float], None]) -> Done: ...

    def clear(self) -> None: ...


def open_backend(name: str, stop: Event | None = None) -> Backend:
    """The backend of that name; when ``stop`` is set, a task that runs in this process ends early with a WorkError.

    Raises:
        InputError: Unknown, or what it needs is not installed.
    """
    if name == "local":
        return LocalBackend(stop)
    if name != "ray":
        raise InputError(f"no backend {name!r}", attribute="--backend", allowed=NAMES)
    if importlib.util.find_spec("ray") is None:
        raise InputError(
            "this backend needs the package ray, which is not installed: pip install 'twin[ray]'",
            attribute="--backend",
            allowed=["local"],
        )
    return RayBackend()


def perform(task: Task, progress: Callable[[float], None] | None = None, stop: Event | None = None) -> Done:
    """Run a task here and now."""
    begin = time.perf_counter()
    run: Callable[..., Outcome]
    if task.fidelity == "flow":
        from twin.studies.outcome import run_flow as run
    else:
        from twin.studies.physics import run_physics as run  # loads the rigid-body engine
    outcome = run(
        task.model,
        horizon_s=task.horizon_s,
        warmup_s=task.warmup_s,
        seed=task.seed,
        first=task.first,
        count=task.count,
        device=task.device,
        jobs=task.jobs,
        intervals=task.intervals,
        begin_s=task.begin_s,
        **({"start": task.start} if task.fidelity == "flow" else {}),
        progress=progress,
        cancel=stop,
    )
    return Done(outcome, time.perf_counter() - begin)


class LocalBackend:
    """One task at a time; the engine itself spreads its replications over the cores."""

    slots = 1

    def __init__(self, stop: Event | None = None) -> None:
        self._stop = stop
        self._waiting: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        self._waiting.append(task)

    def collect(self, progress: Callable[[float], None]) -> Done:
        task, told = self._waiting.popleft(), 0.0

        def tell(share: float) -> None:
            nonlocal told
            progress((share - told) * task.count)
            told = share

        return perform(task, tell, self._stop)

    def clear(self) -> None:
        self._waiting.clear()


class RayBackend:
    """A task per core of a Ray cluster; joins the cluster of the environment, or starts one on this machine."""

    def __init__(self) -> None:
        self._ray: Any = importlib.import_module("ray")
        if not self._ray.is_initialized():
            self._ray.init(log_to_driver=False, configure_logging=False)
        self._remote = self._ray.remote(num_cpus=1)(perform)
        self._running: list[Any] = []
        self.slots = max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def submit(self, task: Task) -> None:
        # Ray spreads tasks over cores: each keeps to its own
        self._running.append(self._remote.remote(replace(task, jobs=1)))

    def collect(self, progress: Callable[[float], None]) -> Done:
        ready, self._running = self._ray.wait(self._running, num_returns=1)
        try:
            done: Done = self._ray.get(ready[0])
            progress(len(done.outcome))
            return done
        except self._ray.exceptions.RayTaskError as error:
            raise WorkError(str(error.cause)) from error
        except self._ray.exceptions.RayError as error:  # a worker or its machine is gone
            raise WorkError(f"a task was lost on the cluster: {error}") from error

    def clear(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference)
        self._running.clear()
