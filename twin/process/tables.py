"""The distribution table on the device."""

from __future__ import annotations

import numpy as np
import warp as wp

from twin.model.distributions import DistributionTable
from twin.process import device as _device  # noqa: F401  (sets Warp up)


@wp.struct
class DistributionRecord:
    """One row of ``DistributionTable.arrays()``."""

    mean: wp.float64
    cv: wp.float64
    low: wp.float64
    high: wp.float64
    mode: wp.float64
    shape: wp.float64
    kind: wp.int32
    k: wp.int32
    value_begin: wp.int32
    value_end: wp.int32


@wp.struct
class DistributionArrays:
    """``DistributionTable`` as records [D], with the values and cumulative weights of its empirical rows [V]."""

    row: wp.array(dtype=DistributionRecord)  # type: ignore[valid-type]
    values: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    cumulative: wp.array(dtype=wp.float64)  # type: ignore[valid-type]


def upload_distributions(table: DistributionTable, device: wp.Device | str) -> DistributionArrays:
    """The table on a device (without empirical rows, one unused value)."""
    columns = table.arrays()
    rows = np.zeros(len(table), DistributionRecord.numpy_dtype())
    for name in rows.dtype.names or ():
        rows[name] = columns[name]
    out = DistributionArrays()
    out.row = wp.array(rows, dtype=DistributionRecord, device=device)
    for name in ("values", "cumulative"):
        column = columns[name] if len(columns[name]) else np.zeros(1)
        setattr(out, name, wp.array(column, dtype=wp.float64, device=device))
    return out
