"""The line as events: weeks of production in milliseconds, thousands of replications at once."""

from twin.flow.engine import simulate
from twin.flow.findings import flow_findings
from twin.flow.result import FlowResult
from twin.flow.run import LineRun, Plan, memory_per_replication
from twin.flow.start import LineState, Snapshot, Standing
from twin.flow.tables import ENGINE_VERSION, flow_paths, tables_hash
from twin.flow.trace import Trace, trace

__all__ = [
    "ENGINE_VERSION",
    "FlowResult",
    "LineRun",
    "LineState",
    "Plan",
    "Snapshot",
    "Standing",
    "Trace",
    "flow_findings",
    "flow_paths",
    "memory_per_replication",
    "simulate",
    "tables_hash",
    "trace",
]
