"""Quantiles of histograms with logarithmic bins, as both engines and the running twin keep them."""

from __future__ import annotations

import numpy as np


def histogram_quantile(
    histogram: np.ndarray,
    edges: np.ndarray,
    q: float,
    least: np.ndarray | None = None,
    most: np.ndarray | None = None,
) -> np.ndarray:
    """Quantile ``q`` of each row of a histogram with logarithmic bins, interpolated geometrically inside the bin.

    Args:
        histogram: [R,L] counts. edges: [L+1].
        least, most: [R] bounds of what was counted, where they are known (NaN: not): a bin is wider than a constant.

    Returns:
        float64 [R]; nan where a row is empty.
    """
    total = histogram.sum(axis=1)
    cumulative = np.cumsum(histogram, axis=1)
    wanted = q * total
    bins = np.minimum((cumulative < wanted[:, None]).sum(axis=1), histogram.shape[1] - 1)
    rows = np.arange(len(histogram))
    inside = histogram[rows, bins]
    before = cumulative[rows, bins] - inside
    share = np.divide(wanted - before, inside, out=np.zeros(len(rows)), where=inside > 0)
    values = edges[bins] * (edges[bins + 1] / edges[bins]) ** np.clip(share, 0.0, 1.0)
    if least is not None:
        values = np.fmax(values, least)
    if most is not None:
        values = np.fmin(values, most)
    return np.where(total > 0, values, np.nan)
