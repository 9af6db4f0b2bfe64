"""All that the kernels see of a line: its tables, the state of its replications, and the key of their draws.

It is passed as an array of one record, because Warp copies a struct argument at every call that is not inlined, and these
hold a thousand bytes of array descriptors.
"""

from __future__ import annotations

from typing import Any

import warp as wp

from twin.flow.state import FlowState
from twin.flow.tables import FlowTables
from twin.process.tables import DistributionArrays


@wp.struct
class Random:
    """Distributions and the key of their draws."""

    table: DistributionArrays
    seed: wp.uint32
    first_replication: wp.uint32


@wp.struct
class LineRecord:
    """A line and R replications of it."""

    tables: FlowTables
    state: FlowState
    random: Random


Line = wp.array(dtype=LineRecord)


def line_of(tables: Any, state: Any, random: Any, device: wp.Device) -> Any:
    """The one argument of all kernels. The three must outlive it: it holds their addresses only."""
    record = LineRecord()
    record.tables, record.state, record.random = tables, state, random
    return wp.array([record], dtype=LineRecord, device=device)
