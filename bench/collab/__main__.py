"""``python -m bench.collab kills COUNT | memory MINUTES``: the campaigns that ``python -m bench collab`` is too short for."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.collab.campaigns import kill_servers, memory


def main(arguments: list[str]) -> int:
    """``kills COUNT`` or ``memory MINUTES``"""
    with tempfile.TemporaryDirectory() as folder:
        if arguments[:1] == ["kills"] and len(arguments) == 2:
            rows = kill_servers(Path(folder), int(arguments[1]))
        elif arguments[:1] == ["memory"] and len(arguments) == 2:
            rows = memory(Path(folder), float(arguments[1]))
        else:
            print("usage: python -m bench.collab kills COUNT | memory MINUTES", file=sys.stderr)
            return 2
    for each in rows:
        print(json.dumps(each))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
