"""``python -m bench [NAME ...] [--json FILE]``: run benchmarks, all of them without a name."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

NAMES = sorted(p.name for p in Path(__file__).parent.iterdir() if (p / "__init__.py").is_file())


def _shown(name: str, value: Any) -> str:
    """A cell for people: names and notes as they are, figures with what they are."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,.6g}" if name == "value" else f"{name} {value:,.6g}"
    return str(value)


def main() -> int:
    """Run what was asked for, print a table, write JSON; 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"no benchmark {name!r} (there are {', '.join(NAMES)})")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    results, failed = {}, False
    for name in options.names or NAMES:
        print(f"\n{name}", flush=True)
        try:
            rows = importlib.import_module(f"bench.{name}").run()
        except Exception as error:  # noqa: BLE001  (one benchmark that fails must not lose the others)
            print(f"  failed: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
            continue
        results[name] = rows
        for row in rows:
            print("  " + "; ".join(_shown(*cell) for cell in row.items() if cell[1] not in ("", None)), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
