"""Running a study: what is finished is found by content, the rest is simulated block by block and stored as it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np

from twin.core.errors import InputError, StudyError, WorkError
from twin.process.device import resolve_device
from twin.studies.backends import FAILURES, Backend, Task, open_backend, perform
from twin.studies.insight import Insight, add_traces, load_traces
from twin.studies.levers import changed_point, changes_to_try, lever_of
from twin.studies.limits import first_that_moves
from twin.studies.plan import INTERVALS, Compile, Plan, Point, plan_study
from twin.studies.ranking import rank_points
from twin.studies.results import PointResult, Results, WarmUp, digest
from twin.studies.spec import BLOCK, COST, Study
from twin.studies.start import keep_start, resolve_start
from twin.studies.statistics import estimate, mser, replications_needed
from twin.studies.store import StorageError, Store, write_atomically

PILOT_INTERVALS = 500
"""Bins of the pilot runs' series: a hundred batches of five for MSER-5."""
TASK_S = 1.0
"""A task is made this long [s]: long enough to be worth its part, short enough to lose little when killed."""
TASK_BLOCKS = 128
"""Blocks of one task at most."""


@dataclass(frozen=True)
class Options:
    """How to run, not what: nothing here alters a number.

    Attributes:
        jobs: CPU threads; None: all cores. shard: (I, N): this is one of N processes that share the work; I counts from 0
            or from 1. backend: ``local`` or ``ray``. device: Warp device.
        stop: When set, the run ends soon; what is finished is kept and returned.
    """

    jobs: int | None = None
    shard: tuple[int, int] | None = None
    backend: str = "local"
    device: str = "cpu"
    stop: Event | None = None


class Progress(Protocol):
    """Where a run tells how far it is; counts are replications."""

    def expect(self, replications: int) -> None:
        """``replications`` more are to be done."""

    def advance(self, replications: float, label: str) -> None:
        """So many are done, of the point ``label``."""


class Quiet:
    """Tells nobody."""

    def expect(self, replications: int) -> None:
        return

    def advance(self, replications: float, label: str) -> None:
        return


def run_study(
    study: Study,
    folder: Path,
    *,
    options: Options | None = None,
    compile: Compile | None = None,
    progress: Progress | None = None,
    source: str | None = None,
) -> Results:
    """Run what is missing of a study and read all of it back.

    Args:
        folder: The results folder; parts go to ``folder/parts``.
        source: Where the line is found that the study starts with: a running twin's address, or a project's folder.

    Raises:
        StudyError: The study cannot be planned; nothing was run.
        WorkError: No warm-up could be found, or stored results are damaged.
        StorageError: The disk is full or refuses; what is finished is kept.
    """
    options = options or Options()
    if options.shard is not None and not study.replications.plain:
        raise StudyError(
            "shards need a plain number of replications", file=study.file, attribute="replications", allowed=["replications: 256"]
        )
    resolve_device(options.device)  # a mistyped device is not each point's failure
    study, found = resolve_start(study, folder, source)
    plan = plan_study(study, compile, options.stop, found)
    plan.require_runnable()
    if found is not None and source is not None:
        keep_start(folder, found)
    backend = open_backend(options.backend, options.stop)
    store = Store(folder / "parts")
    return StudyRun(plan, store, folder, options, backend, progress or Quiet()).all()


def read_study(study: Study, folder: Path, *, compile: Compile | None = None, beyond: bool = False) -> Results:
    """What is stored of a study, from whichever shards wrote it. Nothing is run.

    Args:
        beyond: Also replications past the plain number that the study asks for, where a longer run has left some.
    """
    study, found = resolve_start(study, folder, None)
    plan = plan_study(study, compile, found=found)
    plan.require_runnable()
    stored = StudyRun(plan, Store(folder / "parts"), folder, Options(), None, Quiet())
    stored.beyond = beyond and study.replications.plain
    return stored.all()


def stored_warmup(plan: Plan, folder: Path) -> WarmUp | None:
    """The warm-up where it is known without simulating; None where the first run has to find it."""
    given = plan.study.run.warmup_s
    if given is not None:
        return WarmUp(given, "given" if given > 0.0 else "none")
    entry = _read_warmups(folder).get(plan.warmup_key())
    return None if entry is None else WarmUp(float(entry["warmup_s"]), "auto", bool(entry["too_short"]))


def shard_spans(points: int, replications: int, shard: tuple[int, int] | None) -> list[tuple[int, int]]:
    """For each point the replications [first, end) that a shard runs; shards are cut between blocks and never overlap."""
    if shard is None:
        return [(0, replications)] * points
    index, count = shard[0] % shard[1], shard[1]
    blocks = -(-replications // BLOCK)
    first, end = points * blocks * index // count, points * blocks * (index + 1) // count
    out = []
    for p in range(points):
        a, b = min(max(first - p * blocks, 0), blocks), min(max(end - p * blocks, 0), blocks)
        out.append((min(a * BLOCK, replications), min(b * BLOCK, replications)))
    return out


class StudyRun:
    """The points of a plan, run as far as they are missing; without a backend nothing is simulated."""

    def __init__(
        self, plan: Plan, store: Store, folder: Path, options: Options, backend: Backend | None, progress: Progress
    ) -> None:
        self.plan, self.study, self.store, self.folder = plan, plan.study, store, folder
        self.options, self.backend, self.progress = options, backend, progress
        self.computed = 0
        self.interrupted = False
        self.beyond = False
        self.task_size = BLOCK * max(options.jobs or 1, 1) if plan.study.fidelity == "flow" else BLOCK

    def all(self, *, insight: bool = True) -> Results:
        """Finish every point, and look further where ``insight`` is wanted."""
        warmup = stored_warmup(self.plan, self.folder)
        if warmup is None and self.backend is not None:
            warmup = self._find_warmup()
        if warmup is None:
            return Results(self.plan, None, [PointResult(p) for p in self.plan.points], interrupted=self.interrupted)
        low = self.study.replications.low
        spans = shard_spans(len(self.plan.points), low, self.options.shard)
        self.progress.expect(sum(end - first for first, end in spans))
        points = [self._point(point, span, warmup.seconds) for point, span in zip(self.plan.points, spans, strict=True)]
        computed = self.computed
        cached = sum(len(p.replication) for p in points) - computed
        results = Results(self.plan, warmup, points, computed, cached, self.interrupted)
        if insight and self.study.fidelity == "flow" and not results.interrupted and self.options.shard is None:
            results.insight = self._insight(points, warmup.seconds)
            results.interrupted = self.interrupted
        return results

    def _insight(self, points: list[PointResult], warmup_s: float) -> Insight:
        """Sensitivity of the baseline and traces of the baseline and the best point, as far as they are there or can be run."""
        insight = Insight()
        base = next(p for p in points if p.point is self.plan.baseline)
        best = rank_points(points, self.study.kpis[0], self.study.kpis[1:])[:1]
        wanted = {p.point.index: p.point for p in [base, *(r.point for r in best)] if len(p.replication)}
        if self.backend is not None:
            add_traces(insight, self.plan, list(wanted.values()), warmup_s, self.folder)
        else:
            insight.traces = load_traces(self.folder, {i: self.plan.key(p, warmup_s) for i, p in wanted.items()})
        step = self.study.sensitivity
        changes = changes_to_try(base, step) if step > 0.0 else []
        kpi = first_that_moves(base, tuple(k for k in self.study.kpis if k != COST))
        span = (0, min(BLOCK, len(base.replication)))
        store = Store(self.folder / "sensitivity")
        self.progress.expect(len(changes) * span[1])
        for change in changes:
            point = changed_point(self.plan.baseline, change, self.study.fidelity, self.plan.found)
            key = self.plan.key(point, warmup_s)
            if self.backend is not None and not self._stopped():
                try:
                    self._simulate(point, key, span, warmup_s, store)
                except StorageError:
                    raise
                except FAILURES as failure:
                    self.backend.clear()
                    if not self._stopped():
                        insight.problems.append(f"it is not known what {change.name} would bring: {failure}")
            outcome = store.read(key, span[1])
            if outcome is not None and len(outcome) == span[1]:
                result = digest(point, outcome, None)
                insight.levers.append(lever_of(base, result, change, kpi, len(changes)))
        return insight

    def _point(self, point: Point, span: tuple[int, int], warmup_s: float) -> PointResult:
        """Finish one point, to its number of replications or to its precision."""
        key = self.plan.key(point, warmup_s)
        target = self.study.replications
        error: str | None = None
        n = target.low
        if self.beyond:
            n = max(n, int(self.store.finished(key).max(initial=-1)) + 1)
        while True:
            if self.backend is not None and error is None:
                try:
                    self._simulate(point, key, span, warmup_s, self.store)
                except StorageError:
                    self.backend.clear()
                    raise
                except FAILURES as failure:
                    self.backend.clear()
                    if self._stopped():
                        self.backend = None
                    else:
                        error = str(failure)
            outcome = self.store.read(key, n)
            result = digest(point, outcome, error)
            if target.plain or outcome is None:
                return result
            wanted = self._next(result, n)
            result.imprecise = self._imprecise(result)
            result.precise = wanted == n and not result.imprecise
            if wanted == n or len(outcome) < n or error is not None or self.interrupted:
                return result
            self.progress.expect(wanted - n)
            span, n = (n, wanted), wanted

    def _simulate(self, point: Point, key: str, span: tuple[int, int], warmup_s: float, store: Store) -> None:
        """Run the replications of [first, end) that are not stored yet."""
        assert self.backend is not None
        finished = store.finished(key)
        missing = np.setdiff1d(np.arange(*span), finished)
        self.progress.advance(span[1] - span[0] - len(missing), point.label)
        tasks = self._tasks(point, missing, warmup_s)
        running = 0
        labels = {"scenario": point.scenario, "parameters": json.dumps(point.parameters, default=str)}
        while True:
            while running < self.backend.slots and not self._stopped():
                task = next(tasks, None)
                if task is None:
                    break
                self.backend.submit(task)
                running += 1
            if running == 0:
                return
            done = self.backend.collect(lambda n: self.progress.advance(n, point.label))
            running -= 1
            count = len(done.outcome)
            store.append(key, done.outcome, labels)
            self.computed += count
            if self.study.fidelity == "flow":
                blocks = round(count / BLOCK * TASK_S / max(done.seconds, 1e-3))
                self.task_size = BLOCK * int(np.clip(blocks, 1, TASK_BLOCKS))

    def _tasks(self, point: Point, missing: np.ndarray, warmup_s: float) -> Iterator[Task]:
        """Consecutive replications, cut where the block of a task ends; sized while running."""
        at = 0
        while at < len(missing):
            first = int(missing[at])
            size = self.task_size - first % BLOCK
            end = at + 1
            while end < len(missing) and end - at < size and missing[end] == missing[end - 1] + 1:
                end += 1
            yield self._task(point, first, end - at, warmup_s)
            at = end

    def _task(self, point: Point, first: int, count: int, warmup_s: float) -> Task:
        return Task(
            model=point.runnable,
            fidelity=self.study.fidelity,
            horizon_s=self.study.run.horizon_s,
            warmup_s=warmup_s,
            seed=point.seed,
            first=first,
            count=count,
            intervals=INTERVALS,
            begin_s=self.study.run.begin_s,
            start=point.start,
            device=self.options.device,
            jobs=self.options.jobs,
        )

    def _next(self, result: PointResult, n: int) -> int:
        """How many replications to have next; ``n`` when it is enough or the most."""
        most = n
        for name, target in self.study.replications.until.items():
            if name not in result.kpis:
                continue  # this scenario has taken that station away
            e = estimate(result.kpis[name])
            if e.mean is None or e.half_width is None:
                needed = 2 * n
            else:
                # a tenth more than the present spread asks for, so that it seldom takes another round
                goal = target.value * abs(e.mean) if target.relative else target.value
                needed = n if e.half_width <= goal else math.ceil(1.1 * replications_needed(e.half_width, goal, n))
            most = max(most, needed)
        if most > n:
            most = -(-max(min(most, 4 * n), n + BLOCK) // BLOCK) * BLOCK
        return min(most, max(self.study.replications.high, n))

    def _imprecise(self, result: PointResult) -> list[str]:
        """What is still too wide, how wide it may be, and about how many replications that takes."""
        out = []
        for name, target in self.study.replications.until.items():
            if name not in result.kpis:
                continue
            e = estimate(result.kpis[name])
            if e.mean is None or e.half_width is None:
                out.append(f"{name} is undefined")
                continue
            goal = target.value * abs(e.mean) if target.relative else target.value
            if e.half_width > goal:
                now = f"{e.half_width / abs(e.mean) * 100:.3g} %" if target.relative and e.mean else f"{e.half_width:.4g}"
                needed = math.ceil(replications_needed(e.half_width, goal, len(result.replication)) / BLOCK) * BLOCK
                out.append(f"{name} ± {now}, wanted ± {target}; that takes about {needed:,} replications")
        return out

    def _stopped(self) -> bool:
        if self.options.stop is not None and self.options.stop.is_set():
            self.interrupted = True
        return self.interrupted

    def _find_warmup(self) -> WarmUp | None:
        """MSER-5 on the first replications of the baseline, run without a warm-up; kept, so that it never changes again."""
        count = BLOCK if self.study.fidelity == "flow" else min(BLOCK, self.study.replications.low)
        task = replace(self._task(self.plan.baseline, 0, count, 0.0), intervals=PILOT_INTERVALS)
        try:
            pilot = perform(task, stop=self.options.stop).outcome
        except InputError:
            raise
        except FAILURES as failure:
            if self._stopped():
                return None
            raise WorkError(
                f"no warm-up: the baseline failed: {failure}", file=self.study.file, attribute="run.warmup"
            ) from failure
        series = (pilot.wip_per_interval.mean(axis=0), pilot.sunk_per_interval.mean(axis=0))
        cuts = [mser(s) for s in series]
        seconds = math.ceil(max(c.index for c in cuts) * pilot.interval_s)
        too_short = any(c.too_short for c in cuts)
        known = _read_warmups(self.folder)
        known[self.plan.warmup_key()] = {"warmup_s": seconds, "too_short": too_short}
        write_atomically(self.folder / "warmup.json", json.dumps(known, indent=1))
        return WarmUp(float(seconds), "auto", too_short)


def _read_warmups(folder: Path) -> dict[str, Any]:
    path = folder / "warmup.json"
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise WorkError(f"damaged: remove it, and the next run finds the warm-up again ({error})", file=path) from error
