"""Tests of this folder share a line built in Python and a study of it."""

import importlib.util
from pathlib import Path

import pytest

from twin.core.errors import StudyError
from twin.studies import parse_study

_spec = importlib.util.spec_from_file_location("study_lines", Path(__file__).parent / "lines.py")
lines = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lines)

CAPACITY = "/Line/B1.twin:buffer:capacity"
MEAN_2 = "/Line/M2.twin:station:cycleTime:mean"
NAMES = {CAPACITY: "capacity", MEAN_2: "mean_2"}


@pytest.fixture
def two_machines():
    return lines.two_machines


@pytest.fixture
def compile_line():
    """What ``twin.scene`` does for a stage, for the line of ``lines.py``: values by attribute, and dangling ones refused."""

    def compile(study, scenario, parameters):
        values = {**scenario.values, **parameters}
        for name in values:
            if name not in NAMES:
                prim, _, attribute = name.partition(".")
                raise StudyError("the base has no such attribute", prim=prim, attribute=attribute)
        return lines.two_machines(**{NAMES[name]: value for name, value in values.items()})

    return compile


@pytest.fixture
def make_study(tmp_path):
    """A study document with the given keys laid over a short default."""

    def make(**changes):
        document = {"stage": "line.usda", "run": {"horizon": "20 min", "warmup": "2 min", "seed": 3}, "replications": 40}
        return parse_study(document | changes, tmp_path / "study.yaml")

    return make
