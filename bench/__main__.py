"""``python -m bench [NAME ...] [--json FILE]``: run benchmarks, print a table of each, and write all rows as JSON.

A benchmark is a package in this folder; without names all of them run, one after another, on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def names() -> list[str]:
    """The benchmarks there are."""
    return sorted(p.parent.name for p in Path(__file__).parent.glob("*/__init__.py"))


def show(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows as a table; a column for every key that any of them has."""
    table = Table(title=name, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right", overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    Console().print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 2 when a name is unknown."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(names())} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows here")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(names()))
    if unknown:
        print(f"error: no benchmark {', '.join(unknown)} (there are: {', '.join(names())})", file=sys.stderr)
        return 2
    results: dict[str, Any] = {"machine": f"{platform.system()} {platform.machine()}", "python": platform.python_version()}
    for name in options.names or names():
        results[name] = importlib.import_module(f"bench.{name}").run()
        show(name, results[name])
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
