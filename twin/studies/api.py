"""Studies for scripts and notebooks: ``twin.Study``, results as Arrow, pandas and polars tables.

study = twin.Study("buffers.study.yaml")
results = study.run()
results.points.to_pandas()
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from twin.core.errors import InputError, StudyError
from twin.model.kpis import kpi_unit
from twin.studies import spec
from twin.studies.compare import compare_points
from twin.studies.labels import short_name
from twin.studies.plan import plan_study
from twin.studies.ranking import rank_points
from twin.studies.report import write_report
from twin.studies.results import PointResult, Results
from twin.studies.run import Options, Progress, read_study, run_study
from twin.studies.spec import Replications
from twin.studies.statistics import estimate
from twin.studies.summary import summarise, write_summary
from twin.studies.words import in_readable_units, interval, unit_of


class Study:
    """A what-if study.

    Args:
        source: A study file, or a mapping with the keys of one, whose paths are relative to ``base``.
        folder: Where results are kept; by default ``<study>.results`` beside the file. base: by default the working folder.
        name: Of a study that is given as a mapping.

    Raises:
        StudyError: The study says something that a study cannot say.
    """

    def __init__(
        self,
        source: str | Path | Mapping[str, Any],
        *,
        folder: str | Path | None = None,
        base: str | Path = ".",
        name: str = "study",
    ) -> None:
        if isinstance(source, Mapping):
            self.settings = spec.parse_study(dict(source), Path(base) / f"{name}.yaml")
        else:
            self.settings = spec.load_study(source)
        self.folder = self.settings.file.with_suffix(".results") if folder is None else Path(folder)

    def plan(self) -> Table:
        """The points: scenario, swept values, and what keeps a point from being run (``error``, else null)."""
        points = plan_study(self.settings).points
        return Table.of([{"scenario": p.scenario, **p.parameters, "error": p.error} for p in points])

    def run(
        self,
        *,
        replications: int | None = None,
        seed: int | None = None,
        jobs: int | None = None,
        backend: str = "local",
        device: str = "cpu",
        source: str | None = None,
        progress: bool | Progress = True,
    ) -> StudyResults:
        """Run what is missing; keep it, with summary and report, in ``folder``.

        Args:
            replications: A plain number instead of the study's. seed: instead of the study's.
            jobs: CPU threads, by default all cores. backend: ``local`` or ``ray``. device: Warp device.
            source: Where ``start: live`` or ``history@`` finds the line: a running twin's address, or a project's folder.
            progress: A bar on stderr, none, or whom to tell.

        Raises:
            StudyError: It cannot be planned; nothing was run.
            WorkError: It failed; what is finished is kept.
        """
        settings = self._settings(replications, seed)
        options = Options(jobs=jobs, backend=backend, device=device)
        with _told(settings.name, progress) as told:
            results = run_study(settings, self.folder, options=options, progress=told, source=source)
        return _kept(results, self.folder)

    def optimise(
        self,
        *,
        trials: int | None = None,
        replications: int | None = None,
        seed: int | None = None,
        jobs: int | None = None,
        backend: str = "local",
        progress: bool | Progress = True,
    ) -> StudyResults:
        """Search the swept values for the best with Optuna; results in ``folder/optimisation``. Arguments as ``run``.

        Args:
            trials: Instead of the study's.

        Raises:
            InputError: Optuna is not installed.
        """
        from twin.studies.optimise import optimise_study

        settings = self._settings(replications, seed)
        if trials is not None and settings.optimise is not None:
            settings = dataclasses.replace(settings, optimise=dataclasses.replace(settings.optimise, trials=trials))
        with _told(settings.name, progress) as told:
            results = optimise_study(settings, self.folder, options=Options(jobs=jobs, backend=backend), progress=told)
        return _kept(results, self.folder / "optimisation")

    def results(self, *, replications: int | None = None, seed: int | None = None) -> StudyResults:
        """What is finished, from all shards together. Nothing is run."""
        return StudyResults(read_study(self._settings(replications, seed), self.folder), self.folder)

    def _settings(self, replications: int | None, seed: int | None) -> spec.Study:
        settings = self.settings
        if replications is not None:
            if replications < 1:
                raise StudyError(f"{replications} replications", attribute="replications", allowed=["1 or more"])
            settings = dataclasses.replace(settings, replications=Replications(replications, replications))
        if seed is not None:
            settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, seed=seed))
        return settings

    def __repr__(self) -> str:
        s = self.settings
        swept = f", sweep of {', '.join(short_name(n) for n in s.sweep)} ({s.design})" if s.sweep else ""
        return f"<twin.Study {s.name!r}: {', '.join(s.scenarios)}{swept}>"


class StudyResults:
    """What is known of a study. Tables are Arrow, with ``to_pandas()`` and ``to_polars()``.

    Attributes:
        raw: The results with their arrays. folder: where they are kept.
    """

    def __init__(self, raw: Results, folder: Path) -> None:
        self.raw, self.folder = raw, folder

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The document of ``summary.json``."""
        return summarise(self.raw)

    @cached_property
    def points(self) -> Table:
        """A row a point and figure: ``scenario``, swept values, ``kpi``, ``mean``, ``half_width`` (95 %), ``std``, ``unit``,
        ``replications``; null where undefined."""
        rows = []
        for p in self.raw.points:
            for kpi, values in p.kpis.items():
                e = estimate(values)
                figures = {"mean": e.mean, "half_width": e.half_width, "std": e.std, "unit": kpi_unit(kpi)}
                rows.append({**_labels(p), "kpi": kpi, **figures, "replications": len(p.replication)})
        return Table.of(rows)

    @cached_property
    def replications(self) -> Table:
        """A row a point and replication: ``scenario``, swept values, ``replication``, ``deadlocked``, and a column a figure."""
        tables = []
        for p in self.raw.points:
            n = len(p.replication)
            if n:
                columns: dict[str, Any] = {name: [value] * n for name, value in _labels(p).items()}
                columns |= {"replication": p.replication, "deadlocked": np.isin(p.replication, p.deadlocked)}
                columns |= {kpi: pa.array(values, from_pandas=True) for kpi, values in p.kpis.items()}
                tables.append(pa.table(columns))
        return Table(pa.concat_tables(tables, promote_options="permissive")) if tables else Table.of([])

    @cached_property
    def differences(self) -> Table:
        """A row a comparison and figure: paired difference to the reference with its interval, alone and for the family."""
        rows = []
        for c in compare_points(self.raw):
            for kpi, d in c.differences.items():
                figures = {"difference": d.mean, "half_width": d.half_width, "half_width_family": d.half_width_family}
                told = {"p_value": d.p_value, "significant": d.significant}
                rows.append({**_labels(c.point), "against": c.reference.point.label, "kpi": kpi, **figures, **told})
        return Table.of(rows)

    def ranking(self, kpi: str | None = None) -> Table:
        """Points by a figure, the best first; ``may_be_best``: the runs cannot exclude it, at 95 % for all together."""
        name = kpi or self.raw.plan.study.kpis[0]
        ranks = rank_points(self.raw.points, name)
        if not ranks and not any(name in p.kpis for p in self.raw.points):
            raise InputError(f"no figure {name!r} in these results", attribute="kpi")
        return Table.of(
            [
                {"place": r.place, **_labels(r.point), "mean": r.estimate.mean, "half_width": r.estimate.half_width,
                 "may_be_best": r.may_be_best}
                for r in ranks
            ]
        )  # fmt: skip

    @property
    def report(self) -> Path:
        """The report, written anew."""
        return write_report(self.raw, self.folder)

    def __repr__(self) -> str:
        done = sum(len(p.replication) for p in self.raw.points)
        return f"<twin.StudyResults of {self.raw.plan.study.name!r}: {len(self.raw.points)} points, {done:,} replications>"

    def _repr_html_(self) -> str:
        """The key figures of every point, as a notebook shows them."""
        kpis, points = self.raw.plan.study.kpis, in_readable_units(self.raw).points
        leaders = {r.point.point.index for r in rank_points(points, kpis[0]) if r.may_be_best}
        names = {k: escape(short_name(k) if "/" in k else k.replace("_", " ")) for k in kpis}
        head = "".join(f"<th>{names[k]}<br>{escape(unit_of(k, points[0]))}</th>" for k in kpis)
        body = []
        for p in points:
            cells = ""
            for k in kpis:
                e = estimate(p.kpis.get(k, np.zeros(0)))
                cells += f"<td>{interval(e.mean, e.half_width)}</td>"
            weight = ' style="font-weight:600"' if p.point.index in leaders else ""
            body.append(f"<tr{weight}><td>{escape(p.point.label)}</td><td>{len(p.replication):,}</td>{cells}</tr>")
        note = f"bold: may be the best in {escape(kpis[0].replace('_', ' '))}; ± is the 95 % interval"
        return (
            f"<table><caption>{escape(self.raw.plan.study.name)}</caption><thead><tr><th>point</th><th>replications</th>{head}</tr>"
            f"</thead><tbody>{''.join(body)}</tbody></table><p>{note}</p>"
        )


class Table:
    """An Arrow table with ways out of it.

    Attributes:
        arrow: The ``pyarrow.Table``; other libraries read this object as one too (Arrow PyCapsule interface).
    """

    def __init__(self, arrow: pa.Table) -> None:
        self.arrow = arrow

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> Table:
        """Rows as a table; a swept value that is a number in one row and text in another becomes text."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = {}
        for name in names:
            values = [row.get(name) for row in rows]
            try:
                columns[name] = pa.array(values)
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                columns[name] = pa.array([None if v is None else str(v) for v in values])
        return cls(pa.table(columns))

    def to_arrow(self) -> pa.Table:
        """The ``pyarrow.Table``."""
        return self.arrow

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``. Raises InputError where pandas is not installed."""
        _need("pandas")
        return self.arrow.to_pandas()

    def to_polars(self) -> Any:
        """A ``polars.DataFrame``. Raises InputError where polars is not installed."""
        return _need("polars").from_arrow(self.arrow)

    def __len__(self) -> int:
        return int(self.arrow.num_rows)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.arrow.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return f"<twin table, {self.arrow.num_rows:,} rows: {', '.join(self.arrow.column_names)}>"

    def _repr_html_(self) -> str:
        shown = self.arrow.slice(0, 50).to_pylist()
        head = "".join(f"<th>{escape(n)}</th>" for n in self.arrow.column_names)
        body = "".join(f"<tr>{''.join(f'<td>{escape(_shown(v))}</td>' for v in row.values())}</tr>" for row in shown)
        more = f"<p>… {self.arrow.num_rows - 50:,} more rows</p>" if self.arrow.num_rows > 50 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


@contextlib.contextmanager
def _told(title: str, progress: bool | Progress) -> Iterator[Progress | None]:
    if isinstance(progress, bool):
        if not progress:
            yield None
            return
        from twin.studies.text import Bar

        with Bar(title) as bar:
            yield bar
    else:
        yield progress


def _kept(results: Results, folder: Path) -> StudyResults:
    write_summary(results, folder)
    write_report(results, folder)
    return StudyResults(results, folder)


def _labels(p: PointResult) -> dict[str, Any]:
    return {"scenario": p.point.scenario, **p.point.parameters}


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)


def _need(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise InputError(
            f"this needs the package {library}, which is not installed", allowed=[f"pip install {library}"]
        ) from error
