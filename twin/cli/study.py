"""``twin study names|plan|run|show|compare|optimise``: what-if studies."""

from __future__ import annotations

import dataclasses
import json as json_module
import re
import signal
import sys
import threading
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


@app.command()
def plan(
    file: StudyFile,
    out: Out = None,
    jobs: Jobs = None,
    shard: Shard = None,
    backend: Where = "local",
    replications: Count = None,
    seed: Seed = None,
    source: From = None,
    json: Json = False,
) -> None:
    """List the points, which replications are finished already, and which overrides dangle."""
    from twin.studies.plan import plan_study
    from twin.studies.run import shard_spans, stored_warmup
    from twin.studies.start import resolve_start
    from twin.studies.store import Store

    _check_where(shard, backend)
    study, folder = _study(file, replications, seed), _folder(file, out)
    study, found = resolve_start(study, folder, source)
    made = plan_study(study, found=found)
    warmup = stored_warmup(made, folder) if made.baseline.model is not None else None
    store = Store(folder / "parts")
    spans = shard_spans(len(made.points), study.replications.low, _shard(shard))
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
    if json:
        print(json_module.dumps(document, indent=1))
    else:
        from twin.studies.text import print_plan

        print_plan(document)
    made.require_runnable()


@app.command()
def names(
    file: Annotated[Path, typer.Argument(metavar="STAGE", help="A stage, or a study file, of which the stage is taken.")],
    unset: Annotated[bool, typer.Option("--all", help="Also attributes without a value.")] = False,
    json: Json = False,
) -> None:
    """List what a study of a stage may set and which figures it has, by the names that a study file takes."""
    from twin.model.kpis import kpi_names, kpi_unit
    from twin.scene import compile_factory, list_settable, open_stage

    if file.suffix.lower() in (".yaml", ".yml"):
        file = _study(file, None, None).stage
    stage = open_stage(file)
    settable = [s for s in list_settable(stage) if unset or s.value is not None]
    figures = kpi_names(compile_factory(stage))
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


@app.command()
def run(
    file: StudyFile,
    out: Out = None,
    jobs: Jobs = None,
    shard: Shard = None,
    backend: Where = "local",
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda:0", help="Warp device.")] = "cpu",
    replications: Count = None,
    seed: Seed = None,
    source: From = None,
    json: Json = False,
) -> None:
    """Run what is missing; finished work is found by its content and kept."""
    from twin.studies.run import Options, run_study
    from twin.studies.text import Bar

    study, folder = _study(file, replications, seed), _folder(file, out)
    options = Options(jobs=jobs, shard=_shard(shard), backend=backend, device=device, stop=_stop_on_signals())
    with Bar(study.name) as bar:
        results = run_study(study, folder, options=options, progress=bar, source=source)
    document = _write(results, folder)
    _print(document, folder, json)
    _judge(results, file)


@app.command()
def optimise(
    file: StudyFile,
    out: Out = None,
    jobs: Jobs = None,
    backend: Where = "local",
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda:0", help="Warp device.")] = "cpu",
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", min=1, help="Points to try, all in all.")] = None,
    replications: Count = None,
    seed: Seed = None,
    source: From = None,
    json: Json = False,
) -> None:
    """Search the swept values for the best (needs twin[optimise]); goes on where it was, results in DIR/optimisation."""
    from twin.studies.optimise import optimise_study
    from twin.studies.run import Options
    from twin.studies.text import Bar

    study, folder = _study(file, replications, seed), _folder(file, out)
    if trials is not None and study.optimise is not None:
        study = dataclasses.replace(study, optimise=dataclasses.replace(study.optimise, trials=trials))
    options = Options(jobs=jobs, backend=backend, device=device, stop=_stop_on_signals())
    with Bar(study.name) as bar:
        results = optimise_study(study, folder, options=options, progress=bar, source=source)
    _print(_write(results, folder / "optimisation"), folder / "optimisation", json)
    _judge(results, file)


@app.command()
def show(
    file: StudyFile,
    out: Out = None,
    jobs: Jobs = None,
    shard: Shard = None,
    backend: Where = "local",
    replications: Count = None,
    seed: Seed = None,
    source: From = None,
    json: Json = False,
) -> None:
    """Show what is finished, from all shards together, and write the summary and the report anew."""
    _check_where(shard, backend)
    study, folder = _study(file, replications, seed), _folder(file, out)
    results = _stored(study, folder, beyond=replications is None)
    _print(_write(results, folder), folder, json)


@app.command()
def compare(
    file: StudyFile,
    out: Out = None,
    jobs: Jobs = None,
    shard: Shard = None,
    backend: Where = "local",
    replications: Count = None,
    seed: Seed = None,
    source: From = None,
    json: Json = False,
) -> None:
    """Compare every point with the baseline on the same random numbers."""
    from twin.studies.summary import summarise
    from twin.studies.text import print_comparisons

    _check_where(shard, backend)
    study, folder = _study(file, replications, seed), _folder(file, out)
    document = summarise(_stored(study, folder, beyond=replications is None))
    if json:
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


def _study(file: Path, replications: int | None, seed: int | None) -> Study:
    from twin.studies.spec import Replications, load_study

    study = load_study(file)
    if replications is not None:
        study = dataclasses.replace(study, replications=Replications(replications, replications))
    if seed is not None:
        study = dataclasses.replace(study, run=dataclasses.replace(study.run, seed=seed))
    return study


def _folder(file: Path, out: Path | None) -> Path:
    folder = file.with_suffix(".results") if out is None else out
    if folder.exists() and not folder.is_dir():
        raise InputError("is not a folder", file=folder, attribute="--out")
    return folder


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or int(match[2]) < 1 or int(match[1]) > int(match[2]):
        raise InputError(f"{text!r} is not a shard", attribute="--shard", allowed=["I/N with I from 0 to N-1, or from 1 to N"])
    return int(match[1]), int(match[2])


def _check_where(shard: str | None, backend: str) -> None:
    """Verbs that run nothing take the flags of a run, so that a script can pass the same ones; a mistake in them is one."""
    from twin.studies.backends import NAMES

    _shard(shard)
    if backend not in NAMES:
        raise InputError(f"no backend {backend!r}", attribute="--backend", allowed=NAMES)


def _stored(study: Study, folder: Path, *, beyond: bool) -> Results:
    from twin.studies.run import read_study

    results = read_study(study, folder, beyond=beyond)
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
