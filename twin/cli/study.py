"""``twin study names|plan|run|show|compare|optimise``: what-if studies."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
import json as json_module
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twin.core.errors import InputError, WorkError

if TYPE_CHECKING:
    from twin.studies.results import Results
    from twin.studies.spec import Study

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Plan, run, show, compare and optimise what-if studies.")

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Results folder; default STUDY.results beside the file.")]
Count = Annotated[int | None, typer.Option("--replications", metavar="N", min=1, help="Run N replications of every point.")]
Seed = Annotated[int | None, typer.Option("--seed", metavar="K", min=0, max=2**31 - 1, help="Use this seed.")]
Jobs = Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="CPU threads of a run; default all cores.")]
Shard = Annotated[str | None, typer.Option("--shard", metavar="I/N", help="Run one of N disjoint shares; show merges them.")]
Where = Annotated[str, typer.Option("--backend", metavar="local|ray", help="Where replications run.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="URL|DIR", help="Where start: live or history@ finds the line: a twin's address, a project."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Device = Annotated[str, typer.Option("--device", metavar="cpu|cuda:0", help="Warp device.")]


@dataclasses.dataclass(frozen=True)
class Flags:
    """What the verbs of a study are told alike. Those that run nothing take the flags of a run, so that a script can pass the
    same ones; a mistake in them is one."""

    file: StudyFile
    out: Out = None
    jobs: Jobs = None
    shard: Shard = None
    backend: Where = "local"
    replications: Count = None
    seed: Seed = None
    source: From = None
    json: Json = False

    def study(self) -> Study:
        """The study as the file and the flags have it."""
        from twin.studies.spec import Replications, load_study

        study = load_study(self.file)
        if self.replications is not None:
            study = dataclasses.replace(study, replications=Replications(self.replications, self.replications))
        if self.seed is not None:
            study = dataclasses.replace(study, run=dataclasses.replace(study.run, seed=self.seed))
        return study

    def folder(self) -> Path:
        """Where its results lie."""
        folder = self.file.with_suffix(".results") if self.out is None else self.out
        if folder.exists() and not folder.is_dir():
            raise InputError("is not a folder", file=folder, attribute="--out")
        return folder

    def share(self) -> tuple[int, int] | None:
        """I and N of ``--shard``."""
        if self.shard is None:
            return None
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", self.shard)
        if match is None or int(match[2]) < 1 or int(match[1]) > int(match[2]):
            raise InputError(
                f"{self.shard!r} is not a shard", attribute="--shard", allowed=["I/N with I from 0 to N-1, or from 1 to N"]
            )
        return int(match[1]), int(match[2])

    def check_where(self) -> None:
        """For verbs that run nothing."""
        from twin.studies.backends import NAMES

        self.share()
        if self.backend not in NAMES:
            raise InputError(f"no backend {self.backend!r}", attribute="--backend", allowed=NAMES)


def _verb(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function of ``Flags``, whose fields, but for those named, become its options before its own."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        alike = [p for p in inspect.signature(Flags, eval_str=True).parameters.values() if p.name not in without]
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def command(**given: Any) -> None:
            flags = Flags(**{p.name: given.pop(p.name) for p in alike})
            function(flags, **given)

        command.__doc__ = function.__doc__
        command.__annotations__ = {p.name: p.annotation for p in (*alike, *own)}
        command.__signature__ = inspect.Signature([p.replace(kind=p.KEYWORD_ONLY) for p in (*alike, *own)])  # type: ignore[attr-defined]
        app.command(function.__name__)(command)
        return function

    return register


@_verb()
def plan(flags: Flags) -> None:
    """List the points, which replications are finished already, and which overrides dangle."""
    from twin.studies.plan import plan_study
    from twin.studies.run import shard_spans, stored_warmup
    from twin.studies.start import resolve_start
    from twin.studies.store import Store

    flags.check_where()
    study, folder = flags.study(), flags.folder()
    study, found = resolve_start(study, folder, flags.source)
    made = plan_study(study, found=found)
    warmup = stored_warmup(made, folder) if made.baseline.model is not None else None
    store = Store(folder / "parts")
    spans = shard_spans(len(made.points), study.replications.low, flags.share())
    points = []
    for point, (first, end) in zip(made.points, spans, strict=True):
        cached = 0
        if point.model is not None and warmup is not None:
            finished = store.finished(made.key(point, warmup.seconds))
            cached = int((finished < study.replications.high).sum())
        points.append(
            {
                "scenario": point.scenario,
                "parameters": point.parameters,
                "replications": study.replications.low,
                "most": study.replications.high,
                "share": end - first,
                "cached": cached,
                "error": point.error,
            }
        )
    document = {
        "study": study.name,
        "stage": str(study.stage),
        "fidelity": study.fidelity,
        "horizon_s": study.run.horizon_s,
        "warmup_s": None if warmup is None else warmup.seconds,
        "points": points,
        "warnings": made.warnings,
    }
    if flags.json:
        print(json_module.dumps(document, indent=1))
    else:
        from twin.studies.text import print_plan

        print_plan(document)
    made.require_runnable()


@app.command()
def names(
    file: Annotated[Path, typer.Argument(metavar="STAGE", help="A stage, or a study file, of which the stage is taken.")],
    pattern: Annotated[str, typer.Argument(metavar="[WORD]", help="Only names with this in them; * stands for anything.")] = "",
    unset: Annotated[bool, typer.Option("--all", help="Also attributes without a value, and powers.")] = False,
    json: Json = False,
) -> None:
    """List what a study of a stage may set and which figures it has, by the names that a study file takes."""
    from twin.model.kpis import kpi_names, kpi_unit
    from twin.scene import compile_factory, list_settable, open_stage

    if file.suffix.lower() in (".yaml", ".yml"):
        file = Flags(file).study().stage
    stage = open_stage(file)
    match = f"*{pattern.lower()}*"
    settable = [s for s in list_settable(stage) if unset or (s.value is not None and ":power:" not in s.path)]
    settable = [s for s in settable if fnmatch.fnmatchcase(s.path.lower(), match)]
    figures = [name for name in kpi_names(compile_factory(stage)) if fnmatch.fnmatchcase(name.lower(), match)]
    if not settable and not figures:
        raise InputError(f"no name of the stage has {pattern!r} in it", file=file)
    if json:
        document = {
            "stage": str(file),
            "attributes": [dataclasses.asdict(s) for s in settable],
            "kpis": [{"name": name, "unit": kpi_unit(name)} for name in figures],
        }
        print(json_module.dumps(document, indent=1))
        return
    from twin.studies.text import print_names

    print_names(settable, figures)


@_verb()
def run(flags: Flags, device: Device = "cpu") -> None:
    """Run what is missing; finished work is found by its content and kept."""
    from twin.studies.run import Options, run_study
    from twin.studies.text import Bar

    study, folder = flags.study(), flags.folder()
    options = Options(jobs=flags.jobs, shard=flags.share(), backend=flags.backend, device=device, stop=_stop_on_signals())
    with Bar(study.name) as bar:
        results = run_study(study, folder, options=options, progress=bar, source=flags.source)
    document = _write(results, folder)
    _print(document, folder, flags.json)
    _judge(results, flags.file)


@_verb("shard")
def optimise(
    flags: Flags,
    device: Device = "cpu",
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", min=1, help="Points to try, all in all.")] = None,
) -> None:
    """Search the swept values for the best (needs the extra optimise); goes on where it was, results in DIR/optimisation."""
    from twin.studies.optimise import optimise_study
    from twin.studies.run import Options
    from twin.studies.text import Bar

    study, folder = flags.study(), flags.folder()
    if trials is not None and study.optimise is not None:
        study = dataclasses.replace(study, optimise=dataclasses.replace(study.optimise, trials=trials))
    options = Options(jobs=flags.jobs, backend=flags.backend, device=device, stop=_stop_on_signals())
    with Bar(study.name) as bar:
        results = optimise_study(study, folder, options=options, progress=bar, source=flags.source)
    _print(_write(results, folder / "optimisation"), folder / "optimisation", flags.json)
    _judge(results, flags.file)


@_verb()
def show(flags: Flags) -> None:
    """Show what is finished, from all shards together, and write the summary and the report anew."""
    flags.check_where()
    folder = flags.folder()
    _print(_write(_stored(flags, folder), folder), folder, flags.json)


@_verb()
def compare(
    flags: Flags,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="NAME", help="Compare with this scenario, or this one point, instead of the study's."),
    ] = None,
) -> None:
    """Compare every point with the baseline on the same random numbers."""
    from twin.studies.summary import summarise
    from twin.studies.text import print_comparisons

    flags.check_where()
    document = summarise(_stored(flags, flags.folder()), baseline)
    if flags.json:
        keep = ("study", "baseline", "crn", "kpis", "comparisons")
        print(json_module.dumps({name: document[name] for name in keep}, indent=1, allow_nan=False))
    else:
        print_comparisons(document)


def _stop_on_signals() -> threading.Event:
    """Set by the first Ctrl-C or SIGTERM; a second one ends at once."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: object) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask_to_stop)
    return stop


def _judge(results: Results, file: Path) -> None:
    if results.interrupted:
        raise WorkError("interrupted; what is finished is kept, and the same command goes on from there", file=file)
    if results.failed:
        texts = [f"{p.point.label}: {p.error}" for p in results.failed]
        raise WorkError(f"{len(texts)} of {len(results.points)} points failed: {'; '.join(texts)}", file=file)


def _stored(flags: Flags, folder: Path) -> Results:
    from twin.studies.run import read_study

    results = read_study(flags.study(), folder, beyond=flags.replications is None)
    if not any(len(p.replication) for p in results.points):
        raise InputError("nothing of this study is finished yet: use twin study run", file=folder)
    return results


def _write(results: Results, folder: Path) -> dict[str, Any]:
    from twin.studies.report import write_report
    from twin.studies.summary import write_summary

    document = write_summary(results, folder)
    write_report(results, folder)
    return document


def _print(document: dict[str, Any], folder: Path, json: bool) -> None:
    if json:
        print(json_module.dumps(document, indent=1, allow_nan=False))
        return
    from twin.studies.text import print_summary

    print_summary(document)
    print(f"report: {folder / 'report.html'}")
    sys.stdout.flush()
