"""``python -m twin.cli.warm``: compile every Warp kernel into the cache, side by side, before tests or a first start."""

from __future__ import annotations

import subprocess
import sys
import time

_TARGETS = {
    "rigid bodies and process logic": "from twin.sim.warm import compile_kernels; compile_kernels()",
    "line engine": "from twin.flow.warm import compile_kernels; compile_kernels()",
}


def main() -> None:
    """Compile in one process an engine, so that two cores are used. Exits 1 when one fails."""
    begin = time.perf_counter()
    print("warming the kernel cache ...", file=sys.stderr)
    running = {name: subprocess.Popen([sys.executable, "-c", code]) for name, code in _TARGETS.items()}
    failed = [name for name, process in running.items() if process.wait(timeout=600) != 0]
    if failed:
        print(f"error: could not compile: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)
    print(f"kernel cache warm after {time.perf_counter() - begin:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
