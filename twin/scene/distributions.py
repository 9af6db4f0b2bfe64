"""Groups of properties ``<p>:distribution :mean ...`` to rows of a distribution table."""

from __future__ import annotations

import math

from pxr import Usd

from twin.core.findings import Findings
from twin.model.distributions import Distribution, DistributionRow
from twin.scene.schema import DISTRIBUTION_KINDS

PARAMETERS = ("mean", "cv", "k", "min", "mode", "max", "shape", "values", "weights")
_OPTIONAL = {"weights"}


def read_distribution(prim: Usd.Prim, prefix: str, findings: Findings) -> DistributionRow | None:
    """The distribution authored at ``prefix``; None where no parameter is authored, or where it is wrong (an error finding)."""
    where = f"{prim.GetPath()}.{prefix}"
    given = {name: _value(prim, f"{prefix}:{name}", where, findings) for name in PARAMETERS}
    given = {name: value for name, value in given.items() if value is not None}
    kind = str(prim.GetAttribute(f"{prefix}:distribution").Get() or "constant")
    if kind not in DISTRIBUTION_KINDS:
        allowed = ", ".join(DISTRIBUTION_KINDS)
        findings.error(f"{where}:distribution", "unknown-distribution", f"{kind!r} is not a distribution (allowed: {allowed})")
        return None
    if not given:
        if prim.GetAttribute(f"{prefix}:distribution").HasAuthoredValue():
            findings.warning(where, "no-parameters", f"a {kind} distribution without parameters counts as absent")
        return None
    takes = DISTRIBUTION_KINDS[kind]
    missing = [name for name in takes if name not in given and name not in _OPTIONAL]
    for name in given:
        if name not in takes and name not in ("min", "max"):
            findings.warning(f"{where}:{name}", "unused-parameter", f"{kind} does not take {name} (it takes {', '.join(takes)})")
    for name in missing:
        findings.error(f"{where}:{name}", "missing-parameter", f"{kind} needs {name}")
    wrong = [] if missing else _wrong(kind, given)
    for name, text in wrong:
        findings.error(f"{where}:{name}", "bad-parameter", text)
    if missing or wrong:
        return None
    row = DistributionRow(Distribution[kind.upper()])
    for field, name in (("mean", "mean"), ("cv", "cv"), ("low", "min"), ("high", "max"), ("mode", "mode"), ("shape", "shape")):
        if name in given and (name in takes or name in ("min", "max")):
            setattr(row, field, float(given[name]))  # type: ignore[arg-type]
    if "k" in given and "k" in takes:
        row.k = int(given["k"])  # type: ignore[call-overload]
    if "values" in takes:
        row.values = tuple(given.get("values", ()))  # type: ignore[arg-type]
        row.weights = tuple(given.get("weights", ()))  # type: ignore[arg-type]
    return row


def _value(prim: Usd.Prim, name: str, where: str, findings: Findings) -> object | None:
    """Plain value of an authored parameter: float, int or list of floats."""
    attribute = prim.GetAttribute(name)
    value = attribute.Get() if attribute and attribute.HasAuthoredValue() else None
    if value is None:
        return None
    wants_list = name.endswith((":values", ":weights"))
    try:
        plain: object = [float(v) for v in value] if wants_list else float(value)
    except TypeError:
        findings.error(
            f"{prim.GetPath()}.{name}", "bad-parameter", f"{value!r} is not {'a list of numbers' if wants_list else 'a number'}"
        )
        return None
    return plain


def _wrong(kind: str, given: dict[str, object]) -> list[tuple[str, str]]:
    """Parameters that make no sense, with the reason."""
    wrong: list[tuple[str, str]] = []
    number = {name: float(value) for name, value in given.items() if isinstance(value, float)}
    for name, value in number.items():
        if not math.isfinite(value):
            wrong.append((name, f"{name} is {value}"))
    if wrong:
        return wrong
    takes = DISTRIBUTION_KINDS[kind]
    if "mean" in takes and (number["mean"] < 0.0 or (number["mean"] == 0.0 and kind != "constant")):
        wrong.append(("mean", f"mean is {number['mean']:g}, a duration must be {'>= 0' if kind == 'constant' else '> 0'}"))
    if "cv" in takes and number["cv"] < 0.0:
        wrong.append(("cv", f"cv is {number['cv']:g}, it must be >= 0"))
    if "k" in takes and (number["k"] < 1 or number["k"] != int(number["k"])):
        wrong.append(("k", f"k is {number['k']:g}, it must be a whole number >= 1"))
    if "shape" in takes and number["shape"] <= 0.0:
        wrong.append(("shape", f"shape is {number['shape']:g}, it must be > 0"))
    low, high = number.get("min", -math.inf), number.get("max", math.inf)
    if low > high or (low == high and "min" not in takes):
        wrong.append(("min", f"min {low:g} is not below max {high:g}"))
    if "mode" in takes and not low <= number["mode"] <= high:
        wrong.append(("mode", f"mode {number['mode']:g} lies outside min {low:g} and max {high:g}"))
    if high < 0.0:
        wrong.append(("max", f"max is {high:g}, durations end at 0"))
    if kind == "empirical":
        wrong += _wrong_values(given, max(low, 0.0), high)
    if kind == "constant" and not low <= number["mean"] <= high:
        text = (
            f"mean {number['mean']:g} lies outside min {low:g} and max {high:g}, which limit every distribution: set them as well"
        )
        wrong.append(("mean", text))
    return wrong


def _wrong_values(given: dict[str, object], low: float, high: float) -> list[tuple[str, str]]:
    values, weights = list(given["values"]), list(given.get("weights", []))  # type: ignore[call-overload]
    if not values or not all(math.isfinite(v) for v in values):
        return [("values", "empirical needs at least one value, all finite")]
    if weights and len(weights) != len(values):
        return [("weights", f"{len(weights)} weights for {len(values)} values")]
    if weights and (min(weights) < 0.0 or not 0.0 < sum(weights) < math.inf):
        return [("weights", "weights must be >= 0 and not all 0")]
    if not any(low <= v <= high and w > 0.0 for v, w in zip(values, weights or [1.0] * len(values), strict=True)):
        return [("values", f"no value with a weight lies between {low:g} and {high:g}")]
    return []
