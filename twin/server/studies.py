"""What-if studies from the browser: written to the project as study files, run one at a time beside the twin.

A study is the served stage with the edits of the moment; its folder ``<project>/studies/<id>/`` holds ``study.yaml``,
the edits as ``edits.usda``, and the results, so that ``twin study run`` can repeat or extend it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from twin.core import log
from twin.core.clock import now_ns
from twin.core.errors import StudyError
from twin.scene.edits import save_layer
from twin.server.context import named, need
from twin.server.host import Host
from twin.studies.spec import Study as SpecStudy
from twin.studies.spec import load_study
from twin.studies.start import Found, keep_start

MAX_STUDIES = 500
MAX_POINTS = 400
"""Points of one study from the browser; more belong on the command line."""
REPORT_CSP = "sandbox allow-scripts"
STOP_S = 8.0
USUAL_RUN = {"empty": {"horizon": "8 h", "warmup": "1 h"}, "now": {"horizon": "2 h"}}
_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


class ScenarioRequest(BaseModel):
    """What a scenario changes. Layers are the server's: a browser names no files."""

    model_config = ConfigDict(extra="forbid")

    set: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, dict[str, str]] = Field(default_factory=dict)


class StudyRequest(BaseModel):
    """Body of ``POST /api/studies``; the fields mean what they mean in a study file.

    ``start: now`` begins with the line as it stands at the moment of the request.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="What-if", min_length=1, max_length=80)
    sweep: dict[str, Any] = Field(default_factory=dict)
    scenarios: dict[str, ScenarioRequest] = Field(default_factory=dict)
    start: Literal["empty", "now"] = "empty"
    fidelity: Literal["flow"] = "flow"
    """Studies from the browser run on the line engine; physics is for ``twin study run``."""
    run: dict[str, Any] | None = None
    """None: ``USUAL_RUN`` of the start."""
    replications: int = Field(default=32, ge=2, le=4096)
    kpis: list[str] = Field(default_factory=lambda: ["throughput", "wip", "lead_time"])
    design: str = "grid"


@dataclass
class Entry:
    """A study as it is listed; kept in ``study.json``. ``state``: queued, running, done, cancelled or failed."""

    id: str
    name: str
    created_ns: int
    state: str = "queued"
    error: str = ""
    expected: int = 0
    done: float = 0.0
    label: str = ""
    points: int = 0
    seq: int = 0
    """Edit that the stage stood at."""
    start: Literal["empty", "now"] = "empty"
    """Whether it begins with an empty line, or with the line as it stood when it was asked for."""


@dataclass
class Study:
    entry: Entry
    folder: Path
    process: asyncio.subprocess.Process | None = None
    cancelled: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class StudyRunner:
    """Studies of a project. Everything here belongs to the event loop.

    Args:
        host: The running twin that is varied.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._folder = host.settings.project.resolve() / "studies"
        self._studies: dict[str, Study] = {}
        self._one = asyncio.Semaphore(1)
        self._log = log.get("studies")
        self._read()

    def _read(self) -> None:
        for file in sorted(self._folder.glob("*/study.json")):
            try:
                entry = Entry(**json.loads(file.read_text()))
            except (ValueError, TypeError) as error:
                self._log.warning("a damaged study is left out", file=str(file), reason=str(error))
                continue
            if entry.state in ("queued", "running"):
                entry.state, entry.error = "cancelled", "the server stopped; run it again to go on from there"
            self._studies[entry.id] = Study(entry, file.parent)

    # ---- questions

    def all(self) -> list[Entry]:
        """Newest first."""
        return sorted((s.entry for s in self._studies.values()), key=lambda e: -e.created_ns)

    def find(self, study_id: str) -> Study:
        study = self._studies.get(study_id) if _ID.fullmatch(study_id) else None
        if study is None:
            raise HTTPException(404, "no such study")
        return study

    def document(self, study: Study) -> dict[str, Any]:
        """Entry, the study file's settings, and the summary once there is one."""
        summary = study.folder / "results" / "summary.json"
        return {
            **asdict(study.entry),
            "study": yaml.safe_load((study.folder / "study.yaml").read_text()),
            "summary": json.loads(summary.read_text()) if summary.is_file() else None,
            "report": (study.folder / "results" / "report.html").is_file(),
        }

    # ---- actions

    async def add(self, body: StudyRequest, user: str) -> Study:
        """Write the study and queue it; the edits that it is about are kept as a version, in the name of ``user``.

        Raises:
            StudyError: It cannot be a study.
        """
        if len(self._studies) >= MAX_STUDIES:
            raise StudyError(f"there are {MAX_STUDIES} studies in this project: remove some first")
        stamp = time.strftime("%Y%m%d-%H%M%S")
        study_id = f"{stamp}-{secrets.token_hex(2)}"
        folder = self._folder / study_id
        folder.mkdir(parents=True)
        try:
            now = body.start == "now"
            layer, seq, found, text = await asyncio.wrap_future(self._host.on_owner(lambda: self._take(folder, now)))
            if found is not None:
                (folder / "results").mkdir()
                keep_start(folder / "results", found)
            document = self._document(body, folder, layer)
            file = folder / "study.yaml"
            file.write_text(f"# {body.name}\n" + yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
            points = _count_points(load_study(file))
            if points > MAX_POINTS:
                raise StudyError(f"{points} points are more than the {MAX_POINTS} that a study from the browser may have")
            if layer is not None:
                keep = self._host.document.keep_version
                await asyncio.wrap_future(self._host.on_owner(lambda: keep(f"study {body.name}", user, seq, text)))
        except BaseException:
            shutil.rmtree(folder)
            raise
        study = Study(Entry(study_id, body.name, time.time_ns(), points=points, seq=seq, start=body.start), folder)
        self._studies[study_id] = study
        self.start(study)
        return study

    def start(self, study: Study) -> None:
        """Queue a study; one that was interrupted goes on from there."""
        if study.task is not None and not study.task.done():
            return
        entry = study.entry
        entry.state, entry.error, entry.expected, entry.done, entry.label = "queued", "", 0, 0.0, ""
        study.cancelled = False
        self._keep(study)
        study.task = asyncio.get_running_loop().create_task(self._run(study))

    def cancel(self, study: Study) -> None:
        """End a study soon; what is finished is kept."""
        study.cancelled = True
        if study.process is not None and study.process.returncode is None:
            study.process.send_signal(signal.SIGTERM)

    async def remove(self, study: Study) -> None:
        """Take a study that does not run off the list and the disk."""
        del self._studies[study.entry.id]
        await asyncio.to_thread(shutil.rmtree, study.folder)

    async def close(self) -> None:
        """End what runs."""
        tasks = [s.task for s in self._studies.values() if s.task is not None and not s.task.done()]
        for study in self._studies.values():
            self.cancel(study)
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)
        for study in self._studies.values():
            if study.process is not None and study.process.returncode is None:
                study.process.kill()

    # ---- inside

    def _take(self, folder: Path, now: bool) -> tuple[Path | None, int, Found | None, str]:
        """Owner: the edits, the edit that the stage stands at, the line of the same moment, and the edits as text."""
        layer, seq = self._save_edits(folder)
        return layer, seq, self._found() if now else None, self._host.document.text()

    def _found(self) -> Found:
        """Owner: the line as it stands."""
        runtime, settings = self._host.runtime, self._host.settings
        simulation, line = runtime.simulation, runtime.line()
        paths = [node.path for node in simulation.model.nodes]
        source = settings.stage_name or settings.project.name
        frame = simulation.frame()
        states = frame.node_state.tolist()
        if line is None:
            return Found("live", now_ns(), source, paths, states, frame.node_level.tolist())
        count = Counter(item.node for item in line.items)
        levels = [count[path] for path in paths]
        return Found("live", now_ns(), source, paths, states, levels, line.as_dict(), simulation.time)

    def _save_edits(self, folder: Path) -> tuple[Path | None, int]:
        """Owner: the edits as a layer that the stage may use: it must lie in the asset root."""
        document = self._host.document
        root = document.asset_root
        home = folder if folder.is_relative_to(root) else root / ".twin" / "studies" / folder.name
        path = home / "edits.usda"
        return (path if save_layer(document.layer, path) else None), document.seq

    def _document(self, body: StudyRequest, folder: Path, layer: Path | None) -> dict[str, Any]:
        scenarios: dict[str, dict[str, Any]] = {
            name: parts.model_dump(exclude_defaults=True) for name, parts in body.scenarios.items()
        } or {"as-is": {}}
        if layer is not None:
            for parts in scenarios.values():
                parts["layers"] = [os.path.relpath(layer, folder)]
        document: dict[str, Any] = {
            "stage": os.path.relpath(self._host.document.path, folder),
            "fidelity": body.fidelity,
            "scenarios": scenarios,
            "baseline": next(iter(scenarios)),
        }
        if body.start == "now":
            document["start"] = "live"
        if body.sweep:
            document |= {"sweep": body.sweep, "design": body.design}
        run = USUAL_RUN[body.start] if body.run is None else body.run
        return document | {"run": run, "replications": body.replications, "kpis": body.kpis, "compare": "paired-t"}

    async def _run(self, study: Study) -> None:
        async with self._one:
            entry = study.entry
            if not study.cancelled:
                entry.state = "running"
                self._keep(study)
                try:
                    await self._work(study)
                except OSError as error:
                    entry.state, entry.error = "failed", f"the study could not be started: {error}"
            else:
                entry.state = "cancelled"
            self._keep(study)

    async def _work(self, study: Study) -> None:
        entry = study.entry
        command = [
            sys.executable,
            "-m",
            "twin.server.study_worker",
            str(study.folder / "study.yaml"),
            str(study.folder / "results"),
        ]
        with (study.folder / "log.txt").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=errors)
        study.process = process
        if study.cancelled:
            process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        said: dict[str, Any] = {}
        async for line in process.stdout:
            with contextlib.suppress(ValueError):  # a library's own words on stdout
                said = json.loads(line)
                if "expected" in said:
                    entry.expected, entry.done, entry.label = said["expected"], said["done"], said["label"] or entry.label
        code = await process.wait()
        study.process = None
        if "state" in said:
            entry.state, entry.error = said["state"], said["error"]
        elif study.cancelled:
            entry.state = "cancelled"
        else:
            entry.state, entry.error = "failed", f"the study's process ended with {code}; see {study.folder / 'log.txt'}"
        if entry.state == "done":
            entry.done = entry.expected

    def _keep(self, study: Study) -> None:
        file = study.folder / "study.json"
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(study.entry), indent=1))
        temporary.replace(file)


def _count_points(study: SpecStudy) -> int:
    """Points of a study, without laying them out."""
    sizes = [len(v) if isinstance(v, list) else 1 for v in study.sweep.values()]
    combinations = study.design.n or (max(sizes, default=1) if study.design.kind == "zip" else math.prod(sizes))
    return len(study.scenarios) * combinations


def studies_router(host: Host) -> APIRouter:
    """Routes under ``/api/studies``; looking is for everybody who is let in, running for editors."""
    runner = StudyRunner(host)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        yield
        await runner.close()

    router = APIRouter(prefix="/api/studies", lifespan=lifespan)

    @router.get("")
    async def list_studies() -> JSONResponse:
        return JSONResponse([asdict(entry) for entry in runner.all()])

    @router.post("")
    async def add_study(body: StudyRequest, request: Request) -> JSONResponse:
        who = need(request, "edit")
        try:
            study = await runner.add(body, named(who))
        except StudyError as error:
            raise HTTPException(422, _without_file(error)) from error
        return JSONResponse({"id": study.entry.id}, status_code=201)

    @router.get("/{study_id}")
    async def show_study(study_id: str) -> JSONResponse:
        return JSONResponse(runner.document(runner.find(study_id)))

    @router.post("/{study_id}/run")
    async def run_again(study_id: str, request: Request) -> JSONResponse:
        need(request, "edit")
        study = runner.find(study_id)
        runner.start(study)
        return JSONResponse({"id": study_id, "state": study.entry.state}, status_code=202)

    @router.delete("/{study_id}")
    async def stop_study(study_id: str, request: Request) -> JSONResponse:
        need(request, "edit")
        study = runner.find(study_id)
        if study.task is not None and not study.task.done():
            runner.cancel(study)
            return JSONResponse({"id": study_id, "state": "stopping"}, status_code=202)
        await runner.remove(study)
        return JSONResponse({"id": study_id, "state": "removed"})

    @router.get("/{study_id}/report")
    async def report(study_id: str) -> Response:
        file = runner.find(study_id).folder / "results" / "report.html"
        if not file.is_file():
            raise HTTPException(404, "there is no report yet")
        headers = {"Content-Security-Policy": REPORT_CSP, "Cache-Control": "no-store"}
        return FileResponse(file, media_type="text/html", headers=headers)

    return router


def _without_file(error: StudyError) -> str:
    """What is wrong, for a person who never saw the file."""
    where = f"{error.attribute}: " if error.attribute else ""
    allowed = f" (allowed: {', '.join(error.allowed)})" if error.allowed else ""
    return f"{where}{error.message}{allowed}"
