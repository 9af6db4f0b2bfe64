"""The line as events: weeks of production in milliseconds, thousands of replications at once."""

from twin.flow.engine import flow_findings, simulate
from twin.flow.result import FlowResult
from twin.flow.tables import ENGINE_VERSION, tables_hash

__all__ = ["ENGINE_VERSION", "FlowResult", "flow_findings", "simulate", "tables_hash"]
