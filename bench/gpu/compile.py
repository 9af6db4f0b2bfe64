"""``python -m bench.gpu.compile [ARCH]``: compile every kernel for CUDA, which needs no GPU. ARCH: compute capability, say 90.

What a CPU takes may still be refused there: too much shared memory in a block, or code that takes the compiler minutes.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from pathlib import Path

import warp as wp

from twin.process.device import CUDA_BLOCK, resolve_device

MODULES = (
    "twin.flow.beginnings",
    "twin.flow.kernel",
    "twin.physics.kernels.launch",
    "twin.physics.kernels.launch_parts",
    "twin.process.draws",
    "twin.sim.kernels",
)


def main() -> None:
    """Compile one module after the other into a temporary folder; the first that cannot be compiled ends it with its error."""
    arch = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    resolve_device("cpu")
    for name in MODULES:
        importlib.import_module(name)
    for name in MODULES:
        module = wp.get_module(name)
        module.options["block_dim"] = CUDA_BLOCK
        begin = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            wp.compile_aot_module(module, arch=arch, module_dir=folder, use_ptx=False)
            size = sum(path.stat().st_size for path in Path(folder).glob("*.cubin"))
        print(f"{name}: {size:,} bytes, {time.process_time() - begin:.0f} s of one core", flush=True)


if __name__ == "__main__":
    main()
