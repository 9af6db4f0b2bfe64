"""What a report shows beyond the study's own points: what a little more of each thing is worth, and one replication in full.

Both are computed once, after the points, and kept beside them: ``sensitivity/*.parquet`` and ``traces.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from twin import flow
from twin.core.errors import TwinError, WorkError
from twin.flow import Trace
from twin.model.factory import NodeKind
from twin.model.kpis import planned_cycle_s
from twin.studies.levers import Lever
from twin.studies.plan import Plan, Point
from twin.studies.store import write_atomically

CYCLES_SHOWN = 40
"""A trace shows about so many cycles of the slowest station."""
KEPT = 12
"""Traces that a results folder keeps; the oldest go."""
TRACED_S = (60.0, 4 * 3600.0)
"""Shortest and longest window of a trace [s]."""


@dataclass
class Insight:
    """``levers``: of the baseline. ``traces``: by the index of the point."""

    levers: list[Lever] = field(default_factory=list)
    traces: dict[int, Trace] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def trace_point(plan: Plan, point: Point, warmup_s: float) -> Trace:
    """The first replication of a point, from the end of the warm-up on."""
    model = point.runnable
    cycles = [planned_cycle_s(model, n) / max(n.servers, 1) for n in model.nodes if n.kind == NodeKind.STATION]
    span = min(max(CYCLES_SHOWN * max(cycles, default=60.0), TRACED_S[0]), TRACED_S[1], plan.study.run.horizon_s)
    return flow.trace(
        model,
        from_s=warmup_s,
        span_s=span,
        warmup_s=warmup_s,
        begin_s=plan.study.run.begin_s,
        seed=point.seed,
        start=point.start,
    )


def load_traces(folder: Path, keys: dict[int, str]) -> dict[int, Trace]:
    """Stored traces of points, by the points' indices; ``keys`` are their identities."""
    path = folder / "traces.json"
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {index: _trace(stored[key]) for index, key in keys.items() if key in stored}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"damaged: remove it, and the next run makes it again ({error})", file=path) from error


def add_traces(insight: Insight, plan: Plan, wanted: list[Point], warmup_s: float, folder: Path) -> None:
    """Find, make and keep the traces of some points; what cannot be traced is a problem to be told, not a failure."""
    keys = {p.index: plan.key(p, warmup_s) for p in wanted}
    insight.traces = load_traces(folder, keys)
    for point in wanted:
        if point.index not in insight.traces:
            try:
                insight.traces[point.index] = trace_point(plan, point, warmup_s)
            except TwinError as error:
                insight.problems.append(f"no Gantt chart of {point.label}: {error}")
    path = folder / "traces.json"
    made = {keys[index]: _plain(trace) for index, trace in insight.traces.items()}
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not made.keys() <= kept.keys():
        others = {key: trace for key, trace in kept.items() if key not in made}
        room = max(KEPT - len(made), 0)
        write_atomically(path, json.dumps({**dict(list(others.items())[-room:] if room else []), **made}))


def _plain(trace: Trace) -> dict[str, Any]:
    return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in asdict(trace).items()}


def _trace(stored: dict[str, Any]) -> Trace:
    arrays = {name: np.array(v) for name, v in stored.items() if isinstance(v, list)}
    arrays["stretch_s"] = arrays["stretch_s"].reshape(-1, 2)
    return Trace(**{**stored, **arrays})
