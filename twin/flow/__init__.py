"""The line as events: weeks of production in milliseconds, thousands of replications at once."""

from twin.flow.engine import flow_findings, simulate
from twin.flow.result import FlowResult
from twin.flow.tables import ENGINE_VERSION, flow_paths, tables_hash
from twin.flow.trace import Trace, trace

__all__ = ["ENGINE_VERSION", "FlowResult", "Trace", "flow_findings", "flow_paths", "simulate", "tables_hash", "trace"]
