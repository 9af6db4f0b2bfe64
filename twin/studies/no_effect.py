"""What a study sets or sweeps to no effect: a confident figure for a change that the line never saw is worse than none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from twin.core.errors import InputError
from twin.studies.design import Range
from twin.studies.labels import few, short_name
from twin.studies.spec import Scenario, Study

if TYPE_CHECKING:
    from twin.studies.plan import Plan, Point

NOT_READ = ("unused-parameter", "not-read", "no-parameters")
"""Findings of the compiler that say why a value is not read."""
ALTERNATIVES = 3
"""Values of a swept attribute that are tried before it is said to do nothing."""

Content = Callable[[Scenario, Mapping[str, object]], str]
"""Identity of the line of a scenario with some swept values."""


def no_effect(plan: Plan, content: Content) -> list[str]:
    """A sentence for each value that changes nothing, with the reason where the compiler knows it."""
    study = plan.study
    runnable = [p for p in plan.points if p.model is not None]
    places: dict[str, dict[str, None]] = {}
    explained: set[str] = set()
    for point in runnable:
        scenario = study.scenarios[point.scenario]
        named = scenario.values.keys() | point.parameters.keys()
        for finding in (*point.runnable.unread, *point.runnable.findings):
            if finding.code in NOT_READ and finding.path in named:
                explained.add(finding.path)
                text = f"{short_name(finding.path)} has no effect: {finding.message}"
                places.setdefault(text, {})[point.scenario] = None
    out = [text if len(study.scenarios) == 1 else f"{_scenarios(list(names))}: {text}" for text, names in places.items()]
    firsts = {s: next((p for p in runnable if p.scenario == s), None) for s in study.scenarios}
    base = firsts[study.baseline]
    if base is None:
        return out
    for name, first in firsts.items():
        if first is not None and first is not base and (first.content, first.parameters) == (base.content, base.parameters):
            out.append(f"scenario {name!r} is the same line as {study.baseline!r}: what it changes has no effect on it")
    for attribute in study.sweep:
        if attribute not in explained and _idle_sweep(study, runnable, base, attribute, content):
            out.append(f"{short_name(attribute)} is swept to no effect: the line is the same whatever its value")
    return out


def _scenarios(names: list[str]) -> str:
    return f"scenario{'' if len(names) == 1 else 's'} {few([repr(n) for n in names])}"


def _idle_sweep(study: Study, runnable: list[Point], base: Point, attribute: str, content: Content) -> bool:
    seen: dict[str, str] = {}
    for point in runnable:
        others = repr((point.scenario, [(n, v) for n, v in point.parameters.items() if n != attribute]))
        if seen.setdefault(others, point.content) != point.content:
            return False
    values = study.sweep[attribute]
    ends = [values.at(0.0), values.at(1.0 - 1e-12)] if isinstance(values, Range) else list(values)[:ALTERNATIVES]
    contents = set()
    for value in ends:
        try:
            contents.add(content(study.scenarios[base.scenario], {**base.parameters, attribute: value}))
        except InputError:
            return False  # what makes the line impossible has an effect
    return len(contents) == 1 and len(ends) > 1
