"""What a study will run: its points, who they are by content, and which overrides dangle."""

from __future__ import annotations

import difflib
import enum
import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from threading import Event
from typing import Any

import numpy as np

from twin import __version__, flow
from twin.core.errors import InputError, StudyError, WorkError
from twin.core.findings import Findings
from twin.flow import LineState
from twin.model.factory import FactoryModel
from twin.model.kpis import LINE_KPIS, kpi_names
from twin.studies.design import Range, design_points
from twin.studies.labels import few, point_label, short_name
from twin.studies.no_effect import no_effect
from twin.studies.spec import COST, Scenario, Study
from twin.studies.start import Found

INTERVALS = 60
"""Bins of the time series that every replication keeps."""

COLUMNS_VERSION = 2
"""Raised whenever a replication keeps other columns: what was stored before is computed anew."""

Compile = Callable[[Study, Scenario, Mapping[str, object]], FactoryModel]
"""Compiles one point: study, scenario, swept values."""


class StageCompiler:
    """Compiles the points of one study from its stage; a scenario stays open while its swept values change."""

    def __init__(self) -> None:
        self._open: tuple[Scenario, Any] | None = None

    def __call__(self, study: Study, scenario: Scenario, parameters: Mapping[str, object]) -> FactoryModel:
        from twin.scene import OpenScenario  # loads USD

        if self._open is None or self._open[0] != scenario:
            self._open = None
            opened = OpenScenario(
                study.stage,
                layers=list(scenario.layers),
                variants={prim: dict(selection) for prim, selection in scenario.variants.items()},
                values=scenario.values,
            )
            self._open = (scenario, opened)
        compiled: FactoryModel = self._open[1].compile(parameters)
        return compiled

    def values(self, study: Study, scenario: Scenario, names: list[str]) -> dict[str, object]:
        """Numbers that attributes have in a scenario, without those that have none."""
        from twin.scene import list_settable
        from twin.scene.scenario import open_scenario

        variants = {prim: dict(selection) for prim, selection in scenario.variants.items()}
        stage = open_scenario(study.stage, layers=list(scenario.layers), variants=variants, values=scenario.values)
        found = {s.path: s.value for s in list_settable(stage) if s.path in names}
        return {name: v for name, v in found.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


@dataclass
class Point:
    """One scenario at one combination of swept values.

    Attributes:
        model: None where it cannot be compiled; ``error`` says why. content: hash of all that its engine reads.
        start: The line as it stands at time 0; None: empty. name: Of a point of a search, such as ``trial 57``.
    """

    index: int
    scenario: str
    parameters: dict[str, object]
    seed: int
    model: FactoryModel | None = None
    error: str | None = None
    content: str = ""
    start: LineState | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """Scenario and swept values, for people; a short name where it was given one."""
        return self.name or point_label(self.scenario, self.parameters)

    @property
    def runnable(self) -> FactoryModel:
        """The model. Raises StudyError where there is none."""
        if self.model is None:
            raise StudyError(self.error or "not compiled")
        return self.model


@dataclass
class Plan:
    """All points of a study, in the order in which they are run and reported."""

    study: Study
    points: list[Point]
    found: Found | None = None
    idle: list[str] = field(default_factory=list)
    """What is set or swept to no effect, in sentences."""

    @property
    def baseline(self) -> Point:
        """The first point of the baseline scenario."""
        return next(p for p in self.points if p.scenario == self.study.baseline)

    @property
    def warnings(self) -> list[str]:
        """What a planner should know before running."""
        out = []
        for scenario in self.study.scenarios.values():
            for name in sorted(set(scenario.values) & set(self.study.sweep)):
                out.append(f"scenario {scenario.name!r} sets {name}, which the sweep sets again: the swept value counts")
        goal = self.study.optimise
        if goal is not None and goal.cost and (free := [n for n in self.study.sweep if n not in goal.cost]):
            out.append(
                f"{few([short_name(n) for n in free])}: swept without a price in optimise.cost, so more of it costs nothing"
            )
        return out + self.idle + self._of_the_line()

    def _of_the_line(self) -> list[str]:
        """Dead ends, what nothing reaches, and loops that can lock: of the baseline, and what other scenarios add to them."""
        from twin.scene.check import check_graph  # loads USD

        said: dict[str, str] = {}
        for point in sorted(self.points, key=lambda p: p.scenario != self.study.baseline):
            if point.model is not None:
                findings = Findings()
                check_graph(point.model, findings)
                for finding in findings:
                    if finding.severity == "warning":
                        said.setdefault(f"{finding.path}: {finding.message}", point.scenario)
        return [text if s == self.study.baseline else f"scenario {s!r}: {text}" for text, s in said.items()]

    def problems(self) -> list[str]:
        """What keeps points from being compiled, alike ones together."""
        broken: dict[str, list[str]] = {}
        for point in self.points:
            if point.error is not None:
                broken.setdefault(point.error, []).append(point.label)
        return [f"{labels[0]}{f' and {len(labels) - 1} more' if len(labels) > 1 else ''}: {e}" for e, labels in broken.items()]

    def require_runnable(self) -> None:
        """Raise StudyError where a point cannot be compiled: a long run must not end with a spelling mistake."""
        if texts := self.problems():
            raise StudyError("; ".join(texts), file=self.study.file)

    def key(self, point: Point, warmup_s: float) -> str:
        """Identity of a point's replications: the same key and number always give the same result.

        The device is not part of it: a replication from another one is another sample of the same line at worst.
        """
        run = self.study.run
        identity = {
            "content": point.content,
            "fidelity": self.study.fidelity,
            "engine": _engine(self.study.fidelity),
            "horizon_s": run.horizon_s,
            "warmup_s": warmup_s,
            "begin": run.begin,
            "seed": point.seed,
            "intervals": INTERVALS,
            "columns": COLUMNS_VERSION,
        }
        if self.found is not None:
            identity["start"] = self.found.digest
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def warmup_key(self) -> str:
        """Identity of an automatic warm-up: what the baseline's pilot runs depend on."""
        run = self.study.run
        identity = [self.baseline.content, self.study.fidelity, _engine(self.study.fidelity), run.horizon_s, run.begin, run.seed]
        if self.found is not None:
            identity.append(self.found.digest)
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def plan_study(study: Study, compile: Compile | None = None, stop: Event | None = None, found: Found | None = None) -> Plan:
    """Compile every point; what cannot be compiled is noted at its point.

    Args:
        compile: What makes a point's factory; by default its stage. found: the line that all points begin with.

    Raises:
        StudyError: A design that cannot be laid out, or a figure that this line does not have.
        WorkError: ``stop`` was set.
    """
    compile = compile or StageCompiler()
    ranges = [name for name, values in study.sweep.items() if isinstance(values, Range)]
    if study.optimise is not None and ranges and study.design.kind in ("grid", "zip"):
        raise StudyError(
            f"the study is one to search with: a {study.design.kind} takes lists of values, not ranges",
            file=study.file,
            attribute=f"sweep.{ranges[0]}",
            allowed=[f"twin study optimise {study.file.name}", "design: lhs(N)", "design: sobol(N)"],
        )
    combinations = design_points(study.sweep, study.design, seed=study.run.seed, file=study.file)
    points: list[Point] = []
    for scenario in study.scenarios.values():
        for parameters in combinations:
            if stop is not None and stop.is_set():
                raise WorkError("interrupted while planning; nothing was run", file=study.file)
            points.append(compile_point(study, scenario, parameters, len(points), compile))
    plan = Plan(study, points, found)
    if found is not None:
        base = plan.baseline.runnable
        for point in points:
            if point.model is not None:
                point.start = found.line_state(point.model, base)
    models = [p.model for p in points if p.model is not None]
    if models:
        try:
            require_kpis(study, models)
        except StudyError as wrong:  # a long list of mistakes is told at once, whatever they are about
            raise StudyError("; ".join([wrong.message, *plan.problems()]), file=study.file) from wrong
    plan.idle = no_effect(plan, lambda s, p: content_hash(compile(study, s, p), study.fidelity))
    return plan


def compile_point(study: Study, scenario: Scenario, parameters: Mapping[str, object], index: int, compile: Compile) -> Point:
    """One point; what keeps it from being run is its ``error``."""
    point = Point(index, scenario.name, dict(parameters), _seed(study, scenario.name, parameters))
    try:
        point.model = compile(study, scenario, parameters)
        _require_simulable(study, point.model)
        point.content = content_hash(point.model, study.fidelity)
    except InputError as error:
        point.model, point.error = None, str(error)
    return point


def content_hash(model: FactoryModel, fidelity: str) -> str:
    """Hash of what the engine reads: the flow tables, or everything that rigid bodies depend on."""
    if fidelity == "flow":
        return flow.tables_hash(model)
    digest = hashlib.sha256(b"physics")
    _feed(
        digest.update,
        {f.name: getattr(model, f.name) for f in fields(model) if f.name not in ("name", "findings", "unread", "signals")},
    )
    return digest.hexdigest()


def _engine(fidelity: str) -> str:
    if fidelity == "flow":
        return f"flow {flow.ENGINE_VERSION}"
    from twin.sim import ENGINE_VERSION  # loads the rigid-body engine

    return f"physics {ENGINE_VERSION} {__version__}"


def _seed(study: Study, scenario: str, parameters: Mapping[str, object]) -> int:
    if study.run.crn:
        return study.run.seed
    text = json.dumps([study.run.seed, scenario, parameters], sort_keys=True, default=str)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


def _require_simulable(study: Study, model: FactoryModel) -> None:
    """A finding that is an error, of the stage's line or in the chosen engine, stops a study while it is planned."""
    line = {n.path for n in model.nodes} | {c.path for c in model.crews} | {s.path for s in model.shifts}
    wrong = [f for f in model.findings if f.severity == "error" and f.path.partition(".")[0] in line]
    if wrong:
        more = f" (and {len(wrong) - 1} more: twin check lists them)" if len(wrong) > 1 else ""
        prim, _, attribute = wrong[0].path.partition(".")
        raise StudyError(wrong[0].message + more, file=study.stage, prim=prim, attribute=attribute or None)
    if study.fidelity == "flow":
        errors = [f for f in flow.flow_findings(model) if f.severity == "error"]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise StudyError(errors[0].message + more, prim=errors[0].path)
    elif not model.nodes:
        raise StudyError("the stage has no line: nothing in it is a source, station or sink", file=study.stage)


def require_kpis(study: Study, models: Iterable[FactoryModel]) -> None:
    """Raise StudyError where the study names figures that none of the lines has: all of them at once."""
    known = dict.fromkeys(name for model in models for name in kpi_names(model))
    goal = study.optimise
    named: dict[str, Iterable[str]] = {"kpis": study.kpis, "replications.until": tuple(study.replications.until)}
    if goal is not None:
        if goal.cost:
            known[COST] = None
        named["optimise"] = (goal.kpi, *goal.limits, *goal.of_best)
    wrong = {name: key for key, names in named.items() for name in names if name not in known}
    if not wrong:
        return
    texts = []
    for name, key in wrong.items():
        near = difflib.get_close_matches(name, known, n=3) or _same_place(name, known)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; it has {', '.join(LINE_KPIS)}, and figures of each place"
        texts.append(f"{key}: the line has no figure {name!r}{hint}")
    raise StudyError(f"{'; '.join(texts)} (twin study names STAGE lists all)", file=study.file)


def _same_place(name: str, known: Iterable[str]) -> list[str]:
    """Figures of that name, or of that place, where the other half is wrong."""
    place, _, figure = name.rpartition(":")
    last = place.rsplit("/", 1)[-1].lower()
    return [k for k in known if k.rpartition(":")[2] == figure and k.rpartition(":")[0].rsplit("/", 1)[-1].lower() == last][:3]


def _feed(update: Callable[[bytes], None], value: object) -> None:
    """Feed a value of plain data into a hash, with its type and size so that neighbours cannot run together."""
    if isinstance(value, np.ndarray):
        update(f"a{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value) and not isinstance(value, type):
        update(type(value).__name__.encode())
        for f in fields(value):
            _feed(update, getattr(value, f.name))
    elif isinstance(value, Mapping):
        update(f"m{len(value)}".encode())
        for k in value:
            _feed(update, k)
            _feed(update, value[k])
    elif isinstance(value, (list, tuple)):
        update(f"l{len(value)}".encode())
        for item in value:
            _feed(update, item)
    elif isinstance(value, enum.Enum):
        _feed(update, value.value)
    elif isinstance(value, float):
        update(struct.pack("<cd", b"f", value))
    else:
        text = repr(value).encode()
        update(f"r{len(text)}".encode())
        update(text)
