"""Designs: which combinations of swept values become points."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.core.errors import StudyError

KINDS = ("grid", "zip", "lhs(N)", "sobol(N)")
MAX_POINTS = 100_000


@dataclass(frozen=True)
class Range:
    """An interval to sample from; both ends are included when ``integer``."""

    low: float
    high: float
    integer: bool = False

    def at(self, u: float) -> float | int:
        """The value at share ``u`` of [0, 1)."""
        if self.integer:
            return int(self.low) + min(int(u * (self.high - self.low + 1.0)), int(self.high - self.low))
        return self.low + u * (self.high - self.low)


@dataclass(frozen=True)
class Design:
    """``kind`` is ``grid``, ``zip``, ``lhs`` or ``sobol``; ``n`` the points of the last two (0 otherwise)."""

    kind: str = "grid"
    n: int = 0

    def __str__(self) -> str:
        return f"{self.kind}({self.n})" if self.n else self.kind


Sweep = Mapping[str, Sequence[object] | Range]


def parse_design(text: object, *, file: object = None) -> Design:
    """A design from ``grid``, ``zip``, ``lhs(64)`` or ``sobol(64)``.

    Raises:
        StudyError: Anything else.
    """
    match = re.fullmatch(r"(grid|zip)|(lhs|sobol)\(\s*(\d+)\s*\)", str(text).strip())
    if match is None:
        raise StudyError(f"{text!r} is not a design", file=file, attribute="design", allowed=KINDS)
    if match[1]:
        return Design(match[1])
    n = int(match[3])
    if not 1 <= n <= MAX_POINTS:
        raise StudyError(f"a design of {n} points", file=file, attribute="design", allowed=[f"1 to {MAX_POINTS} points"])
    return Design(match[2], n)


def design_points(sweep: Sweep, design: Design, *, seed: int = 1, file: object = None) -> list[dict[str, object]]:
    """The combinations of swept values, in a fixed order; one empty combination without a sweep.

    Raises:
        StudyError: A range in a grid or zip, lists of different lengths in a zip, too many points.
    """
    if not sweep:
        return [{}]
    names = list(sweep)
    if design.kind in ("lhs", "sobol"):
        return [
            {name: _pick(sweep[name], float(u)) for name, u in zip(names, row, strict=True)}
            for row in _samples(design, len(names), seed)
        ]
    lists: list[Sequence[object]] = []
    for name in names:
        values = sweep[name]
        if isinstance(values, Range):
            raise StudyError(
                f"a {design.kind} design takes a list of values, not a range",
                file=file,
                attribute=f"sweep.{name}",
                allowed=["[value, value, ...]", "design: lhs(N)", "design: sobol(N)"],
            )
        lists.append(values)
    if design.kind == "zip":
        lengths = {name: len(values) for name, values in zip(names, lists, strict=True)}
        if len(set(lengths.values())) > 1:
            text = ", ".join(f"{name} has {n}" for name, n in lengths.items())
            raise StudyError(f"a zip design takes lists of one length: {text}", file=file, attribute="sweep")
        return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
    count = 1
    for values in lists:
        count *= len(values)
    if count > MAX_POINTS:
        raise StudyError(f"the grid has {count} points", file=file, attribute="sweep", allowed=[f"up to {MAX_POINTS} points"])
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*lists)]


def _samples(design: Design, dimensions: int, seed: int) -> list[list[float]]:
    from scipy.stats import qmc  # imports for most of a second, and a plain grid does without

    if design.kind == "lhs":
        return qmc.LatinHypercube(dimensions, rng=seed).random(design.n).tolist()
    # a Sobol sequence is balanced at powers of two only: draw the next one and keep its beginning
    return qmc.Sobol(dimensions, scramble=True, rng=seed).random_base2((design.n - 1).bit_length()).tolist()[: design.n]


def _pick(values: Sequence[object] | Range, u: float) -> object:
    if isinstance(values, Range):
        return values.at(u)
    return values[min(int(u * len(values)), len(values) - 1)]
