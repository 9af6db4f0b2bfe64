"""The study file: YAML in, validated settings out (docs: the study section of the contract).

Every mistake is a ``StudyError`` that names the file, the key and what would be allowed.
"""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from twin.core.clock import parse_duration
from twin.core.errors import InputError, StudyError
from twin.model.kpis import kpi_unit
from twin.studies.design import Design, Range, parse_design
from twin.studies.labels import short_name

FIDELITIES = ("flow", "physics")
DEFAULT_BEGIN = "2026-11-23T00:00"
"""A Monday midnight: where no ``run.begin`` is given, weekly shifts start with their week."""
SENSITIVITY = 0.05
COST = "cost"
"""Name of the figure that ``optimise.cost`` makes."""
_OF_BEST = r"\s*(\d+(?:\.\d+)?)\s*%\s*of\s+best\s*"
BLOCK = 32
"""Replications run in blocks of this size, cut at its multiples."""


@dataclass(frozen=True)
class Scenario:
    """What one scenario lays over the stage: layers (a later one is stronger), variant selections, attribute values."""

    name: str
    layers: tuple[Path, ...] = ()
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """A half-width to reach: ``value`` in the figure's unit, or as a share of its mean when ``relative``."""

    value: float
    relative: bool

    def __str__(self) -> str:
        return f"{self.value * 100:g} %" if self.relative else f"{self.value:g}"


@dataclass(frozen=True)
class Replications:
    """A plain number (``low == high``, no ``until``), or as many as ``until`` asks for between ``low`` and ``high``."""

    low: int
    high: int
    until: Mapping[str, Target] = field(default_factory=dict)

    @property
    def plain(self) -> bool:
        return not self.until


@dataclass(frozen=True)
class Optimise:
    """What ``twin study optimise`` looks for: most (``sign`` 1) or least (-1) of a figure, tried in ``trials`` points, ``batch``
    at a time. ``limits``: lowest and highest mean that other figures may have. ``of_best``: the same as shares of the best mean
    of any point tried (highest for the lowest allowed, lowest for the highest). ``cost``: what a unit of each swept attribute
    costs; it makes the figure ``cost``."""

    kpi: str
    sign: int
    trials: int = 64
    batch: int = 8
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    of_best: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """The goal and its limits in words."""
        out = f"{'most' if self.sign > 0 else 'least'} {self.kpi.replace('_', ' ')} of {self.trials} trials"
        if self.cost:
            out += f", cost being {' + '.join(f'{v:g} x {short_name(n)}' for n, v in self.cost.items())}"
        ends = [
            f"{n} at {'least' if e == 0 else 'most'} {v:g}"
            for n, b in self.limits.items()
            for e, v in enumerate(b)
            if abs(v) < math.inf
        ]
        ends += [
            f"{n} at {'least' if e == 0 else 'most'} {v * 100:g} % of the best found"
            for n, b in self.of_best.items()
            for e, v in enumerate(b)
            if v is not None
        ]
        return f"{out}; mean {', '.join(ends)}" if ends else out


@dataclass(frozen=True)
class RunSettings:
    """When and how long. ``warmup_s`` None: found by MSER-5. ``begin``: plant-local ISO time, before the warm-up."""

    horizon_s: float
    warmup_s: float | None = 0.0
    begin: str = DEFAULT_BEGIN
    seed: int = 1
    crn: bool = True
    begin_given: bool = False

    @property
    def begin_s(self) -> float:
        """``begin`` as seconds since the midnight before its week's Monday."""
        moment = datetime.datetime.fromisoformat(self.begin)
        midnight = datetime.datetime.combine(moment.date(), datetime.time())
        return moment.weekday() * 86400.0 + (moment - midnight).total_seconds()


@dataclass(frozen=True)
class Study:
    """A validated study file."""

    file: Path
    name: str
    stage: Path
    scenarios: dict[str, Scenario]
    baseline: str
    run: RunSettings
    replications: Replications
    fidelity: str = "flow"
    sweep: dict[str, list[object] | Range] = field(default_factory=dict)
    design: Design = field(default_factory=Design)
    kpis: tuple[str, ...] = ("throughput", "wip", "lead_time")
    compare: str = "paired-t"
    start: str = "empty"
    sensitivity: float = SENSITIVITY
    """How much faster each station is tried, as a share of its rate; 0: not at all."""
    optimise: Optimise | None = None


_TOP_KEYS = (
    "fidelity",
    "scenarios",
    "baseline",
    "sweep",
    "design",
    "replications",
    "kpis",
    "compare",
    "start",
    "physics",
    "sensitivity",
    "optimise",
)


class _UniqueKeys(yaml.SafeLoader):
    """YAML says that keys are unique; PyYAML silently keeps the last one."""


def _mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    out: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.MarkedYAMLError(
                problem=f"the key {key!r} is not text: write it in quotes", problem_mark=key_node.start_mark
            )
        if key in out:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} appears twice", problem_mark=key_node.start_mark)
        out[key] = loader.construct_object(value_node, deep=True)
    return out


_UniqueKeys.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def load_study(path: Path | str) -> Study:
    """Read and validate a study file.

    Raises:
        StudyError: The file cannot be read, is not YAML, or says something that a study cannot say.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise StudyError("no such file", file=file) from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot be read: {error}", file=file) from error
    try:
        document = yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise StudyError(f"not a YAML file: {where}{error.problem}", file=file) from error
    except yaml.YAMLError as error:
        raise StudyError(f"not a YAML file: {error}", file=file) from error
    return parse_study(document, file)


def parse_study(document: object, file: Path) -> Study:
    """Validate a study document; paths in it are relative to ``file``."""
    reader = _Reader(file)
    top = reader.mapping(document, "", required=("stage", "run"), optional=_TOP_KEYS)
    fidelity = reader.choice(top.get("fidelity", "flow"), "fidelity", FIDELITIES)
    scenarios = reader.scenarios(top.get("scenarios", {"as-is": {}}))
    baseline = reader.choice(top.get("baseline", next(iter(scenarios))), "baseline", tuple(scenarios))
    run = reader.run(top["run"])
    replications = reader.replications(top.get("replications", BLOCK), "replications")
    if fidelity == "physics":
        physics = reader.mapping(top.get("physics", {}), "physics", optional=("horizon", "replications", "warmup"))
        run = RunSettings(
            horizon_s=reader.duration(physics["horizon"], "physics.horizon") if "horizon" in physics else run.horizon_s,
            warmup_s=reader.warmup(physics["warmup"], "physics.warmup") if "warmup" in physics else run.warmup_s,
            begin=run.begin,
            seed=run.seed,
            crn=run.crn,
            begin_given=run.begin_given,
        )
        replications = (
            reader.replications(physics["replications"], "physics.replications") if "replications" in physics else replications
        )
    elif "physics" in top:
        reader.mapping(top["physics"], "physics", optional=("horizon", "replications", "warmup"))
    if run.horizon_s <= 0.0:
        raise reader.error("the horizon must be above 0", "run.horizon")
    design = parse_design(top.get("design", "grid"), file=file)
    sweep = reader.sweep(top.get("sweep", {}))
    if design.n and not sweep:
        raise reader.error(f"{design} has nothing to sample: there is no sweep", "design")
    return Study(
        file=file,
        name=file.stem,
        stage=reader.path(top["stage"], "stage"),
        scenarios=scenarios,
        baseline=baseline,
        run=run,
        replications=replications,
        fidelity=fidelity,
        sweep=sweep,
        design=design,
        kpis=reader.names(top.get("kpis", ["throughput", "wip", "lead_time"]), "kpis"),
        compare=reader.choice(top.get("compare", "paired-t"), "compare", ("paired-t", "none")),
        start=reader.start(top.get("start", "empty")),
        optimise=reader.optimise(top["optimise"], sweep) if "optimise" in top else None,
        sensitivity=reader.sensitivity(top.get("sensitivity", f"{SENSITIVITY * 100:g} %")),
    )


class _Reader:
    """Turns parts of the document into values; knows the file for its messages."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def error(self, message: str, key: str, allowed: tuple[object, ...] | None = None) -> StudyError:
        return StudyError(message, file=self.file, attribute=key or None, allowed=allowed)

    def mapping(
        self, value: object, key: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] | None = None
    ) -> dict[str, Any]:
        if value is None and not required:
            return {}
        if not isinstance(value, dict):
            raise self.error(f"expected a mapping, found {_kind(value)}", key)
        if optional is not None:
            for name in value:
                if name not in required + optional:
                    raise self.error(f"unknown key {name!r}{_belongs(name, key)}", key, required + optional)
        for name in required:
            if name not in value:
                raise self.error(f"the key {name!r} is missing", key)
        return value

    def choice(self, value: object, key: str, allowed: tuple[str, ...]) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise self.error(f"{value!r} is not known", key, allowed)
        return value

    def path(self, value: object, key: str) -> Path:
        if not isinstance(value, str) or not value:
            raise self.error(f"expected a path, found {_kind(value)}", key)
        return self.file.parent / value

    def names(self, value: object, key: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
            raise self.error("expected a list of names", key)
        return tuple(dict.fromkeys(value))

    def duration(self, value: object, key: str) -> float:
        try:
            return parse_duration(value)
        except InputError as error:
            raise self.error(error.message, key, tuple(error.allowed) if error.allowed else None) from error

    def warmup(self, value: object, key: str) -> float | None:
        if value == "auto":
            return None
        if value is None or value == "none":
            return 0.0
        try:
            return parse_duration(value)
        except InputError as error:
            raise self.error(error.message, key, ("a duration such as 1 h", "auto", "none")) from error

    def integer(self, value: object, key: str, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(f"{value!r} is not a whole number", key, (f"{low} to {high}",))
        return value

    def run(self, value: object) -> RunSettings:
        run = self.mapping(value, "run", required=("horizon",), optional=("begin", "warmup", "seed", "crn"))
        crn = run.get("crn", True)
        if not isinstance(crn, bool):
            raise self.error(f"{crn!r} is not true or false", "run.crn", ("true", "false"))
        return RunSettings(
            horizon_s=self.duration(run["horizon"], "run.horizon"),
            warmup_s=self.warmup(run.get("warmup", "none"), "run.warmup"),
            begin=self.begin(run.get("begin", DEFAULT_BEGIN)),
            seed=self.integer(run.get("seed", 1), "run.seed", 0, 2**31 - 1),
            crn=crn,
            begin_given="begin" in run,
        )

    def begin(self, value: object) -> str:
        moment: datetime.datetime | None = None
        if isinstance(value, datetime.datetime):
            moment = value
        elif isinstance(value, datetime.date):
            moment = datetime.datetime(value.year, value.month, value.day)
        elif isinstance(value, str):
            try:
                moment = datetime.datetime.fromisoformat(value)
            except ValueError:
                moment = None
        if moment is None or moment.tzinfo is not None:
            raise self.error(f"{value!r} is not a plant-local date and time", "run.begin", ("2026-11-23T06:00",))
        return moment.isoformat(timespec="seconds")

    def start(self, value: object) -> str:
        match = re.fullmatch(r"empty|live|history@(\S+)", value) if isinstance(value, str) else None
        allowed = ("empty", "live", "history@2026-11-23T08:00:00Z")
        if match is None:
            raise self.error(f"{value!r} is not known", "start", allowed)
        if match[1]:
            try:
                datetime.datetime.fromisoformat(match[1])
            except ValueError as error:
                raise self.error(f"{match[1]!r} is not a time", "start", allowed) from error
        return match[0]

    def scenarios(self, value: object) -> dict[str, Scenario]:
        out: dict[str, Scenario] = {}
        for name, body in self.mapping(value, "scenarios").items():
            key = f"scenarios.{name}"
            parts = self.mapping(body, key, optional=("layers", "variants", "set"))
            layers = parts.get("layers") or []
            if not isinstance(layers, list):
                raise self.error(f"expected a list of layers, found {_kind(layers)}", f"{key}.layers")
            variants: dict[str, dict[str, str]] = {}
            for prim, selection in self.mapping(parts.get("variants"), f"{key}.variants").items():
                _prim_path(self, prim, f"{key}.variants")
                variants[prim] = self.mapping(selection, f"{key}.variants.{prim}")
                for variant_set, variant in variants[prim].items():
                    if not isinstance(variant, str):
                        raise self.error(f"{variant!r} is not the name of a variant", f"{key}.variants.{prim}.{variant_set}")
            values = self.mapping(parts.get("set"), f"{key}.set")
            for attribute in values:
                _attribute_path(self, attribute, f"{key}.set")
            out[name] = Scenario(name, tuple(self.path(layer, f"{key}.layers") for layer in layers), variants, values)
        if not out:
            raise self.error("there is no scenario", "scenarios")
        return out

    def sweep(self, value: object) -> dict[str, list[object] | Range]:
        out: dict[str, list[object] | Range] = {}
        for name, values in self.mapping(value, "sweep").items():
            key = f"sweep.{name}"
            _attribute_path(self, name, "sweep")
            if isinstance(values, dict):
                out[name] = self.range(values, key)
            elif isinstance(values, list) and values:
                out[name] = values
            else:
                raise self.error("expected a list of values or a range", key, ("[2, 4, 8]", "{min: 2, max: 8, type: int}"))
        return out

    def range(self, value: object, key: str) -> Range:
        parts = self.mapping(value, key, required=("min", "max"), optional=("type",))
        kind = self.choice(parts.get("type", "float"), f"{key}.type", ("int", "float"))
        ends = []
        for name in ("min", "max"):
            end = parts[name]
            if (
                not isinstance(end, (int, float))
                or isinstance(end, bool)
                or not math.isfinite(end)
                or (kind == "int" and end != int(end))
            ):
                raise self.error(f"{end!r} is not a {'whole ' if kind == 'int' else ''}number", f"{key}.{name}")
            ends.append(float(end))
        if ends[0] >= ends[1]:
            raise self.error("min must be below max", key)
        return Range(ends[0], ends[1], kind == "int")

    def replications(self, value: object, key: str) -> Replications:
        most = 10_000_000
        if not isinstance(value, dict):
            n = self.integer(value, key, 1, most)
            return Replications(n, n)
        parts = self.mapping(value, key, optional=("min", "max", "until"))
        low = self.integer(parts.get("min", BLOCK), f"{key}.min", 2, most)
        high = self.integer(parts.get("max", max(4096, low)), f"{key}.max", low, most)
        if isinstance(parts.get("until"), (str, int, float)):
            raise self.error(
                f"{parts['until']!r} does not say of which figure", f"{key}.until", ("{throughput: 1 %, lead_time: 30 s}",)
            )
        until = self.mapping(parts.get("until"), f"{key}.until")
        if not until:
            if "max" in parts and high != low:
                raise self.error(
                    "min and max need a precision to stop at", f"{key}.until", ("{throughput: 1 %}", "a plain number")
                )
            return Replications(low, low)
        return Replications(low, high, {name: self.target(v, f"{key}.until.{name}", kpi_unit(name)) for name, v in until.items()})

    def optimise(self, value: object, sweep: Mapping[str, object]) -> Optimise:
        parts = self.mapping(value, "optimise", optional=("maximise", "minimise", "trials", "batch", "limits", "cost"))
        goals = [name for name in ("maximise", "minimise") if name in parts]
        if len(goals) != 1:
            raise self.error("expected one of maximise and minimise", "optimise", ("maximise: throughput", "minimise: lead_time"))
        kpi = parts[goals[0]]
        if not isinstance(kpi, str):
            raise self.error(f"{kpi!r} is not a figure", f"optimise.{goals[0]}")
        cost = {}
        for name, price in self.mapping(parts.get("cost"), "optimise.cost").items():
            if name not in sweep:
                raise self.error(f"{name!r} is not swept: only what is varied has a cost here", "optimise.cost", tuple(sweep))
            cost[name] = self.number(price, f"optimise.cost.{name}")
        if kpi == COST and not cost:
            raise self.error("what a unit costs is missing", "optimise.cost", ('{"/Line/B1.twin:buffer:capacity": 1}',))
        limits: dict[str, tuple[float, float]] = {}
        of_best: dict[str, tuple[float | None, float | None]] = {}
        for name, ends in self.mapping(parts.get("limits"), "optimise.limits").items():
            key = f"optimise.limits.{name}"
            ends = self.mapping(ends, key, optional=("min", "max"))
            shares = {e: float(m[1]) / 100.0 for e, v in ends.items() if (m := re.fullmatch(_OF_BEST, str(v)))}
            if shares:
                of_best[name] = (shares.get("min"), shares.get("max"))
            fixed = {e: v for e, v in ends.items() if e not in shares}
            if fixed or not ends:
                low, high = (self.limit(fixed.get(e, d), f"{key}.{e}") for e, d in (("min", -math.inf), ("max", math.inf)))
                limits[name] = (low, high)
        return Optimise(
            kpi,
            1 if goals[0] == "maximise" else -1,
            self.integer(parts.get("trials", 64), "optimise.trials", 1, 100_000),
            self.integer(parts.get("batch", 8), "optimise.batch", 1, 1000),
            limits,
            of_best,
            cost,
        )

    def limit(self, value: object, key: str) -> float:
        if isinstance(value, str):
            raise self.error(f"{value!r} is not a limit", key, ("60 (in the figure's unit)", "99 % of best"))
        return self.number(value, key)

    def number(self, value: object, key: str) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
            raise self.error(f"{value!r} is not a number", key)
        return float(value)

    def sensitivity(self, value: object) -> float:
        if value is None or value == "none":
            return 0.0
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", str(value))
        if match is None or not 0.0 < float(match[1]) <= 100.0:
            raise self.error(f"{value!r} is not a share of a station's rate", "sensitivity", ("5 %", "none"))
        return float(match[1]) / 100.0

    def target(self, value: object, key: str, unit: str) -> Target:
        """``1 %`` of the mean, or a half-width in the figure's unit; one in seconds may be written as a duration."""
        if unit == "s" and isinstance(value, str) and "%" not in value:
            seconds = self.duration(value, key)
            if seconds > 0.0:
                return Target(seconds, False)
        match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*(%?)\s*", str(value))
        try:
            number = float(match[1]) if match else 0.0
        except ValueError:
            number = 0.0
        if match is None or number <= 0.0 or isinstance(value, bool):
            raise self.error(f"{value!r} is not a precision", key, ("1 %", "a half-width above 0 in the figure's unit"))
        return Target(number / 100.0, True) if match[2] else Target(number, False)


def _attribute_path(reader: _Reader, text: str, key: str) -> None:
    if not re.fullmatch(r"/[^.\s]*[^./\s]\.[A-Za-z_][\w:]*", text):
        raise reader.error(f"{text!r} is not an attribute path", key, ("/Line/M1.twin:station:servers",))


def _prim_path(reader: _Reader, text: str, key: str) -> None:
    if not re.fullmatch(r"/[^.\s]*[^./\s]", text):
        raise reader.error(f"{text!r} is not a prim path", key, ("/Line/M1",))


_ELSEWHERE = {
    **dict.fromkeys(("horizon", "warmup", "begin", "seed", "crn"), "run"),
    **dict.fromkeys(("min", "max", "until"), "replications"),
    **dict.fromkeys(("set", "layers", "variants"), "scenarios.<name>"),
    **dict.fromkeys(("maximise", "minimise", "trials", "batch", "limits", "cost"), "optimise"),
}


def _belongs(name: str, key: str) -> str:
    """Where a key that is out of place belongs, or which one may be meant."""
    place = _ELSEWHERE.get(name)
    if place is not None and place.partition(".")[0] != key.partition(".")[0]:
        return f": it belongs under {place}:"
    if key and name in ("stage", *_TOP_KEYS):
        return ": it belongs at the top, outside of all others"
    near = difflib.get_close_matches(name, ("stage", "run", *_TOP_KEYS, *_ELSEWHERE), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)
