"""Twin: factory digital twins on OpenUSD, simulated with NVIDIA Warp, shared in the browser.

``twin.Study`` runs what-if studies from scripts and notebooks (docs/studies.md).
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``twin.Study`` and ``twin.StudyResults`` load the engines when they are first asked for, and nothing before."""
    if name in ("Study", "StudyResults"):
        import importlib

        return getattr(importlib.import_module("twin.studies.api"), name)
    raise AttributeError(f"module 'twin' has no attribute {name!r}")
