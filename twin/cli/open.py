"""``python -m twin.cli.open``: ``twin serve`` for people: the ready line becomes a sentence with the address to open."""

from __future__ import annotations

import json
import signal
import subprocess
import sys


def main() -> int:
    """Start ``twin serve`` with the given arguments, say where it is, wait for its end; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-m", "twin.cli.main", "serve", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
    # Ctrl-C reaches the server too, which ends in order; a TERM is handed on
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    assert process.stdout is not None
    for line in process.stdout:
        ready = json.loads(line)
        print(f"\nTwin is running. Open:  {ready['open_url']}\nStop it with Ctrl-C.\n", flush=True)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
