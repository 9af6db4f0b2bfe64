"""Probability distributions as rows of a table (semantics: docs/semantics.md, "Distributions")."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Distribution(IntEnum):
    CONSTANT = 0
    EXPONENTIAL = 1
    ERLANG = 2
    UNIFORM = 3
    TRIANGULAR = 4
    NORMAL = 5
    LOGNORMAL = 6
    GAMMA = 7
    WEIBULL = 8
    EMPIRICAL = 9


NEVER = -1
"""Row index that means "no such event", e.g. the time to failure of a machine that never fails."""
ZERO = 0
"""Row index of constant zero; every table starts with it."""


@dataclass
class DistributionRow:
    """One distribution with its parameters; seconds unless the use says otherwise.

    Which kind reads which parameter: constant, exponential ``mean``; erlang ``mean, k``; normal, lognormal, gamma
    ``mean, cv``; weibull ``mean, shape``; uniform ``low, high``; triangular ``low, mode, high``; empirical ``values,
    weights``. ``low`` and ``high`` on any other kind truncate it (conditional inverse CDF).
    """

    kind: Distribution
    mean: float = 0.0
    cv: float = 0.0
    k: int = 1
    low: float = -np.inf
    high: float = np.inf
    mode: float = 0.0
    shape: float = 1.0
    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def kept_values(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of an empirical row, those outside ``low`` and ``high`` and below 0 left out: float64 [V], [V]."""
        values = np.asarray(self.values, float)
        weights = np.asarray(self.weights or [1.0] * len(values), float)
        kept = (values >= max(self.low, 0.0)) & (values <= self.high)
        return values[kept], weights[kept]


@dataclass
class DistributionTable:
    """Rows appended by the compiler; ``arrays()`` gives the columns that kernels read."""

    rows: list[DistributionRow] = field(default_factory=lambda: [DistributionRow(Distribution.CONSTANT)])

    def add(self, row: DistributionRow) -> int:
        """Append and return the row's index."""
        self.rows.append(row)
        return len(self.rows) - 1

    def __len__(self) -> int:
        return len(self.rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """Columns: ``kind k value_begin value_end`` int32 [D]; ``mean cv low high mode shape`` float64 [D];
        ``values`` float64 [V] and ``cumulative`` float64 [V] (normalised cumulative weights of each empirical row)."""
        values: list[float] = []
        cumulative: list[float] = []
        begin, end = [], []
        for row in self.rows:
            begin.append(len(values))
            if row.kind == Distribution.EMPIRICAL:
                kept, weights = row.kept_values()
                values.extend(kept)
                cumulative.extend(np.cumsum(weights) / weights.sum())
            end.append(len(values))
        return {
            "kind": np.array([r.kind for r in self.rows], np.int32),
            "k": np.array([r.k for r in self.rows], np.int32),
            "value_begin": np.array(begin, np.int32),
            "value_end": np.array(end, np.int32),
            **{
                name: np.array([getattr(r, name) for r in self.rows], np.float64)
                for name in ("mean", "cv", "low", "high", "mode", "shape")
            },
            "values": np.array(values, np.float64),
            "cumulative": np.array(cumulative, np.float64),
        }
