"""The distribution table on the device."""

from __future__ import annotations

import numpy as np
import warp as wp

from twin.model.distributions import DistributionTable
from twin.process import device as _device  # noqa: F401  (sets Warp up)


@wp.struct
class DistributionArrays:
    """Columns of ``DistributionTable.arrays()``; D rows, V empirical values."""

    kind: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    k: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    value_begin: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    value_end: wp.array(dtype=wp.int32)  # type: ignore[valid-type]
    mean: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    cv: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    low: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    high: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    mode: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    shape: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    values: wp.array(dtype=wp.float64)  # type: ignore[valid-type]
    cumulative: wp.array(dtype=wp.float64)  # type: ignore[valid-type]


def upload_distributions(table: DistributionTable, device: wp.Device | str) -> DistributionArrays:
    """The table's columns as device arrays (empty columns get one row of zeros)."""
    out = DistributionArrays()
    for name, column in table.arrays().items():
        values = column if len(column) else np.zeros(1, column.dtype)
        setattr(out, name, wp.array(values, dtype=wp.dtype_from_numpy(values.dtype), device=device))
    return out
