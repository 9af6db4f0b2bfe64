"""Search for the best swept values with Optuna: batches of trials, each an ordinary point of the study.

The sampler is seeded and is told results in order, so that the same study asks for the same points again: what is finished is
found by its content, and a search that was killed, or is given more trials, goes on from there.
"""

from __future__ import annotations

import dataclasses
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twin.core.errors import InputError, StudyError, WorkError
from twin.process.device import resolve_device
from twin.studies.backends import open_backend
from twin.studies.design import Design, Range
from twin.studies.plan import Compile, Plan, Point, StageCompiler, compile_point, require_kpis
from twin.studies.results import PointResult, Results
from twin.studies.run import Options, Progress, Quiet, StudyRun
from twin.studies.spec import COST, Study
from twin.studies.start import keep_start, resolve_start
from twin.studies.statistics import estimate
from twin.studies.store import Store


def optimise_study(
    study: Study,
    folder: Path,
    *,
    options: Options | None = None,
    compile: Compile | None = None,
    progress: Progress | None = None,
    source: str | None = None,
) -> Results:
    """Try swept values of the baseline scenario, ``study.optimise.trials`` of them in batches. Arguments as ``run_study``.

    Returns:
        The baseline as the stage has it, and every combination that was tried, once.

    Raises:
        InputError: Optuna is not installed. StudyError: There is nothing to optimise, or a point cannot be planned.
        WorkError: Every point of a batch failed.
    """
    goal = study.optimise
    if goal is None:
        allowed = ["optimise: {maximise: throughput, trials: 64}"]
        raise StudyError("the study does not say what to optimise", file=study.file, attribute="optimise", allowed=allowed)
    if not study.sweep:
        raise StudyError("there is no sweep: nothing may be varied", file=study.file, attribute="sweep")
    optuna = _optuna()
    options = options or Options()
    resolve_device(options.device)
    compile = compile or StageCompiler()
    backend = open_backend(options.backend, options.stop)
    told = progress or Quiet()
    others = tuple(kpi for kpi in (*study.kpis, *goal.limits, *goal.of_best) if kpi != goal.kpi)
    study, found_start = resolve_start(study, folder, source)
    study = dataclasses.replace(study, design=Design("optuna"), kpis=(goal.kpi, *dict.fromkeys(others)))
    store = Store(folder / "parts")
    base = compile_point(study, study.scenarios[study.baseline], {}, 0, compile)
    Plan(study, [base]).require_runnable()
    present = present_values(study, compile)
    require_kpis(study, [base.runnable])
    if found_start is not None and source is not None:
        keep_start(folder, found_start)

    def planned(some: list[Point]) -> Plan:
        plan = Plan(study, [base, *some], found_start)
        plan.require_runnable()
        if found_start is not None:
            for point in plan.points:
                point.start = found_start.line_state(point.runnable, base.runnable)
        return plan

    direction = "maximize" if goal.sign > 0 else "minimize"
    search = optuna.create_study(direction=direction, sampler=_sampler(optuna, study))
    space = {name: _distribution(optuna, study, name) for name in study.sweep}
    points: dict[tuple[Any, ...], Point] = {}
    tried: dict[int, PointResult] = {}
    asked = computed = 0
    interrupted = False
    while asked < goal.trials and not interrupted:
        trials = [search.ask(space) for _ in range(min(goal.batch, goal.trials - asked))]
        asked += len(trials)
        keys = []
        for trial in trials:
            parameters = {name: trial.params[name] for name in study.sweep}
            key = tuple(parameters.values())
            if key not in points:
                points[key] = compile_point(study, study.scenarios[study.baseline], parameters, len(points) + 1, compile)
                points[key].name = f"trial {len(points)}"
            keys.append(key)
        batch = {key: points[key] for key in keys}
        run = StudyRun(planned(list(batch.values())), store, folder, options, backend, told)
        found = run.all(insight=False)
        for one in found.points:
            add_cost(one, study, present)
            tried[one.point.index] = one
        computed += found.computed
        interrupted = found.interrupted
        if interrupted:
            break
        by_key = dict(zip(batch, found.points[1:], strict=True))
        if all(r.error is not None for r in by_key.values()):
            raise WorkError(f"all points of a batch failed: {next(iter(by_key.values())).error}", file=study.file)
        best = best_means(list(tried.values()), study)
        for trial, key in zip(trials, keys, strict=True):
            _tell(optuna, search, trial, by_key[key], study, best)
    whole = StudyRun(planned(list(points.values())), store, folder, options, None if interrupted else backend, Quiet())
    results = whole.all(insight=not interrupted)
    best = best_means(results.points, study)
    for found_point in results.points:
        add_cost(found_point, study, present)
        found_point.broken = [name for name, v in violations(found_point, study, best).items() if v > 0.0]
        found_point.feasible = found_point.error is None and not found_point.broken
    results.computed += computed
    results.cached = sum(len(p.replication) for p in results.points) - results.computed
    results.interrupted = results.interrupted or interrupted
    return results


def present_values(study: Study, compile: Compile) -> dict[str, object]:
    """The priced attributes as the baseline scenario has them, without what is not known: the design that is there costs too."""
    priced = study.optimise.cost if study.optimise is not None else {}
    if not priced:
        return {}
    scenario = study.scenarios[study.baseline]
    known = compile.values(study, scenario, list(priced)) if isinstance(compile, StageCompiler) else {}
    return {**known, **{name: v for name, v in scenario.values.items() if name in priced}}


def add_cost(result: PointResult, study: Study, present: Mapping[str, object]) -> None:
    """Give a point the figure ``cost``, where the study says what its swept values cost; ``present``: values where it sweeps
    none."""
    goal = study.optimise
    values: dict[str, Any] = {**present, **result.point.parameters}
    if goal is not None and goal.cost and len(result.replication) and goal.cost.keys() <= values.keys():
        cost = sum(price * float(values[name]) for name, price in goal.cost.items())
        result.kpis[COST] = np.full(len(result.replication), cost)


def best_means(points: list[PointResult], study: Study) -> dict[str, tuple[float, float]]:
    """Lowest and highest mean of each figure with a relative limit, over all points that came to no standstill."""
    out = {}
    for name in study.optimise.of_best if study.optimise is not None else ():
        known = [m for p in points if not p.deadlocked and (m := estimate(p.kpis.get(name, np.zeros(0))).mean) is not None]
        if known:
            out[name] = (min(known), max(known))
    return out


def violations(result: PointResult, study: Study, best: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """How far a point is beyond each limit, by what the limit says; positive: it breaks it. Means count, not their intervals; an
    undefined figure breaks its limit, and so does a standstill in any replication."""
    goal = study.optimise
    if goal is None:
        return {}
    limits = dict(goal.limits)
    for name, (low, high) in goal.of_best.items():
        ends = best.get(name)
        fixed = limits.get(name, (-np.inf, np.inf))
        if ends is not None:
            relative = (-np.inf if low is None else low * ends[1], np.inf if high is None else high * ends[0])
            limits[name] = (max(fixed[0], relative[0]), min(fixed[1], relative[1]))
    out: dict[str, float] = {"standstill": float(len(result.deadlocked))}
    for name, (low, high) in limits.items():
        mean = estimate(result.kpis.get(name, np.zeros(0))).mean
        if np.isfinite(low):
            out[f"{name} at least {low:.6g}"] = np.inf if mean is None else low - mean
        if np.isfinite(high):
            out[f"{name} at most {high:.6g}"] = np.inf if mean is None else mean - high
    return {name: float(v) for name, v in out.items() if v > -np.inf}


def _tell(
    optuna: Any, search: Any, trial: Any, result: PointResult, study: Study, best: Mapping[str, tuple[float, float]]
) -> None:
    assert study.optimise is not None
    mean = estimate(result.kpis.get(study.optimise.kpi, np.zeros(0))).mean
    if mean is None:
        search.tell(trial, state=optuna.trial.TrialState.FAIL)
        return
    # the sampler knows a limit by its name, which must not change with the best that is known
    for name, value in violations(result, study, best).items():
        trial.set_constraint(" ".join(name.split()[:3]), value)
    search.tell(trial, mean)


def _sampler(optuna: Any, study: Study) -> Any:
    startup = min(max(4 * len(study.sweep), 8), 24)
    return optuna.samplers.TPESampler(seed=study.run.seed, n_startup_trials=startup, constant_liar=True)


def _distribution(optuna: Any, study: Study, name: str) -> Any:
    values = study.sweep[name]
    if isinstance(values, Range):
        if values.integer:
            return optuna.distributions.IntDistribution(int(values.low), int(values.high))
        return optuna.distributions.FloatDistribution(values.low, values.high)
    if not all(isinstance(v, (str, int, float, bool)) for v in values):
        raise StudyError("only numbers and texts can be searched", file=study.file, attribute=f"sweep.{name}")
    return optuna.distributions.CategoricalDistribution(values)


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise InputError(
            "optimising needs the package optuna, which is not installed", allowed=["pip install 'twin[optimise]'"]
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
