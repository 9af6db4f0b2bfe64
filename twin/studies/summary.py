"""``summary.json``: every figure of every point with its interval, and what differs from the baseline."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from twin import __version__
from twin.model.kpis import kpi_unit
from twin.studies.compare import Comparison, compare_points, compare_within, rank_bottlenecks
from twin.studies.effects import Effect, main_effects
from twin.studies.levers import Lever
from twin.studies.loops import locked_loop
from twin.studies.margins import margins
from twin.studies.ranking import Rank, rank_points
from twin.studies.results import PointResult, Results
from twin.studies.spec import Study
from twin.studies.statistics import estimate
from twin.studies.store import write_atomically


def summarise(results: Results, baseline: str | None = None) -> dict[str, Any]:
    """The document of ``summary.json``; what is undefined is None. ``baseline``: what to compare with instead of the study's."""
    study, warmup = results.plan.study, results.warmup
    search = {"optimise": _search(results)} if study.design.kind == "optuna" else {}
    return search | {
        "study": study.name,
        "stage": str(study.stage),
        "fidelity": study.fidelity,
        "baseline": study.baseline,
        "design": str(study.design),
        "begin": study.run.begin,
        "start": _start(results),
        "horizon_s": study.run.horizon_s,
        "warmup_s": None if warmup is None else warmup.seconds,
        "warmup": None if warmup is None else {"how": warmup.how, "too_short": warmup.too_short},
        "seed": study.run.seed,
        "crn": study.run.crn,
        "kpis": list(study.kpis),
        "computed": results.computed,
        "cached": results.cached,
        "interrupted": results.interrupted,
        "twin": __version__,
        "sets": {s.name: dict(s.values) for s in study.scenarios.values() if s.values},
        "points": [_point(p) for p in results.points],
        "comparisons": [_comparison(c) for c in compare_points(results, baseline)],
        "within": [_comparison(c) for c in compare_within(results)],
        "ranking": {kpi: [_rank(r) for r in rank_points(results.points, kpi, _ties(study, kpi))] for kpi in study.kpis},
        "effects": {kpi: [_effect(e) for e in main_effects(study, results.points, kpi)] for kpi in study.kpis},
        "sensitivity": [_lever(lever) for lever in results.insight.levers] if results.insight is not None else [],
        "warnings": results.plan.warnings,
    }


def write_summary(results: Results, folder: Path) -> dict[str, Any]:
    """Write ``folder/summary.json`` and return it."""
    document = summarise(results)
    write_atomically(folder / "summary.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    return document


def _point(result: PointResult) -> dict[str, Any]:
    kpis = {}
    for name, values in result.kpis.items():
        e = estimate(values)
        kpis[name] = {"mean": e.mean, "half_width": e.half_width, "std": e.std, "unit": kpi_unit(name), "defined": e.n}
    return {
        "scenario": result.point.scenario,
        "parameters": result.point.parameters,
        "replications": len(result.replication),
        "kpis": kpis,
        "precise": result.precise,
        "imprecise": result.imprecise,
        "feasible": result.feasible,
        "broken": result.broken,
        "deadlocked": result.deadlocked,
        "stuck": result.stuck,
        "loop": locked_loop(result.point.runnable, result.stuck) if result.stuck else [],
        "pieces": result.pieces,
        "bottlenecks": [
            {
                "path": b.path,
                "active": b.active,
                "active_period_s": b.active_s if b.active_s is None or math.isfinite(b.active_s) else None,
                "blocked": b.blocked,
                "starved": b.starved,
                "waiting_crew": b.waiting_crew,
                "arrows_end_here": b.points_to_it,
            }
            for b in rank_bottlenecks(result)
        ],
        "notes": result.notes,
        "error": result.error,
    }


def _search(results: Results) -> dict[str, Any]:
    """What was looked for, and what was found; a trial is counted from 1, as the points are listed after the stage as it is."""
    study = results.plan.study
    assert study.optimise is not None
    trials = [p for p in results.points if p.point.parameters]
    ranks = rank_points(trials, study.optimise.kpi, study.kpis[1:])
    limits = margins(ranks[0].point, results.points, study) if ranks else []
    base = next(p for p in results.points if p.point is results.plan.baseline)
    reasons: dict[str, int] = {}
    for p in trials:
        for name in p.broken:
            reasons[name] = reasons.get(name, 0) + 1
    return {
        "goal": study.optimise.text(),
        "tried": sum(bool(p.point.parameters) for p in results.points),
        "best": {**_rank(ranks[0]), "trial": ranks[0].point.point.index} if ranks else None,
        "infeasible": sum(not p.feasible for p in results.points if p.point.parameters),
        "reasons": reasons,
        "present": _rank(Rank(base, 0, estimate(base.kpis.get(study.optimise.kpi, np.zeros(0))), False)),
        "limits": [
            {
                "kpi": m.kpi,
                "end": "min" if m.low else "max",
                "limit": m.limit,
                "room": m.room.mean,
                "half_width": m.room.half_width,
                "verdict": m.verdict,
            }
            for m in limits
        ],
    }


def _ties(study: Study, kpi: str) -> tuple[str, ...]:
    """The figures that decide between equal ones in the first."""
    return study.kpis[1:] if kpi == study.kpis[0] else ()


def _start(results: Results) -> dict[str, Any] | str:
    found = results.plan.found
    if found is None:
        return "empty"
    moment = datetime.datetime.fromtimestamp(found.wall_ns / 1e9, datetime.UTC)
    return {"start": found.asked, "time": moment.isoformat(timespec="seconds"), "source": found.source, "items": sum(found.level)}


def _rank(rank: Rank) -> dict[str, Any]:
    return {
        "scenario": rank.point.point.scenario,
        "parameters": rank.point.point.parameters,
        "mean": rank.estimate.mean,
        "may_be_best": rank.may_be_best,
    }


def _lever(lever: Lever) -> dict[str, Any]:
    return {
        "path": lever.path,
        "change": lever.change.name,
        "kind": lever.change.kind,
        "rate_step": lever.step if lever.change.kind == "speed" else None,
        "kpi": lever.kpi,
        "difference": lever.effect.mean,
        "difference_half_width_family": lever.effect.half_width_family,
        "significant": lever.effect.significant,
        "throughput_difference": lever.difference.mean,
        "half_width": lever.difference.half_width,
        "elasticity": lever.elasticity,
        "elasticity_half_width": lever.half_width,
    }


def _effect(effect: Effect) -> dict[str, Any]:
    return {
        "attribute": effect.attribute,
        "from": effect.low,
        "to": effect.high,
        "change": effect.change,
        "half_width": effect.half_width,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    reference = comparison.reference.point
    return {
        "scenario": comparison.point.point.scenario,
        "parameters": comparison.point.point.parameters,
        "reference": {"scenario": reference.scenario, "parameters": reference.parameters},
        "kpis": {
            name: {
                "difference": d.mean,
                "half_width": d.half_width,
                "half_width_family": d.half_width_family,
                "p_value": d.p_value,
                "significant": d.significant,
                "replications": d.n,
                "unit": kpi_unit(name),
            }
            for name, d in comparison.differences.items()
        },
    }
