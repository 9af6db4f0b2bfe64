"""The historian: append samples, ask for the latest at a moment, a range, a downsampled range; retention."""

from twin.history.columns import Columns
from twin.history.export import export_parquet
from twin.history.historian import Historian, HistoryLosses
from twin.history.moments import Change, diff, state_at
from twin.history.query import query
from twin.history.reader import Recording, SignalSummary

__all__ = [
    "Change",
    "Columns",
    "Historian",
    "HistoryLosses",
    "Recording",
    "SignalSummary",
    "diff",
    "export_parquet",
    "query",
    "state_at",
]
