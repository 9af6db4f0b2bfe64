"""What the parts of the bench share."""

from __future__ import annotations

from typing import Any

T0 = 1_700_000_000 * 10**9
"""When recorded values begin [ns UTC]."""


def row(name: str, value: float, unit: str, note: str = "") -> dict[str, Any]:
    return {"name": name, "value": round(value, 4 if value < 100 else 0), "unit": unit, "note": note}
