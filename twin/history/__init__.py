"""The historian: append samples, ask for the latest at a moment, a range, a downsampled range; retention."""

from twin.history.columns import Columns
from twin.history.historian import Historian, HistoryLosses
from twin.history.store import SignalSummary

__all__ = ["Columns", "Historian", "HistoryLosses", "SignalSummary"]
