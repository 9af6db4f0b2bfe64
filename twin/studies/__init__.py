"""What-if studies: a study file in, replications on the engines, figures with intervals and a report out."""

from twin.studies.plan import Plan, Point, StageCompiler, plan_study
from twin.studies.report import write_report
from twin.studies.results import PointResult, Results, WarmUp
from twin.studies.run import Options, read_study, run_study
from twin.studies.spec import Study, load_study, parse_study
from twin.studies.summary import summarise, write_summary

__all__ = [
    "Options",
    "Plan",
    "Point",
    "PointResult",
    "Results",
    "StageCompiler",
    "Study",
    "WarmUp",
    "load_study",
    "parse_study",
    "plan_study",
    "read_study",
    "run_study",
    "summarise",
    "write_report",
    "write_summary",
]
