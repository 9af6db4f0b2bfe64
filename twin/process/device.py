"""Warp, set up once for every engine: device choice, quiet start, kernel cache."""

from __future__ import annotations

import functools
import os
import tempfile
from typing import Any

import warp as wp

from twin.core.errors import InputError

# Before wp.init(): Warp prints its banner on stdout, which belongs to results; nothing here is differentiated,
# and adjoints double the compile time.
wp.config.log_level = wp.LOG_ERROR
wp.config.enable_backward = False

CUDA_BLOCK = 32
"""Threads of a block on a GPU; a CPU has one. A thread is a world, a replication or a body, with much to do and many registers:
small blocks put few of them on many multiprocessors. And each thread of a block that looks into a tree has a stack in shared
memory: the broad phase and meshes in Warp's blocks of 256 would take 65 KiB, of the 48 that there are."""

_NO_DRIVER = b"Could not find or load the NVIDIA CUDA driver"


@functools.cache
def _init() -> None:
    """``wp.init()``, less the line that its native part prints past every log level where there is no CUDA driver: a laptop
    without a GPU is not a fault."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed by whoever started the process: nothing can be printed
        wp.init()
        return
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            wp.init()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            printed.seek(0)
            rest = b"".join(line for line in printed if _NO_DRIVER not in line)
            if rest:
                os.write(2, rest)


def resolve_device(name: str) -> wp.Device:
    """The Warp device called ``name`` (``cpu``, ``cuda:0``).

    Raises:
        InputError: No such device on this machine.
    """
    _init()
    try:
        return wp.get_device(name)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"no device {name!r} on this machine", attribute="--device", allowed=[str(d) for d in wp.get_devices()]
        ) from error


def load_modules(names: list[str], device: wp.Device) -> None:
    """Load kernel modules by name, compiling what the cache lacks: side by side, since each takes many seconds on one core."""
    wp.force_load(device, [wp.get_module(name) for name in names], CUDA_BLOCK, max_workers=len(names))


def describe() -> dict[str, Any]:
    """What ``twin doctor`` says about Warp: its devices and where compiled kernels are kept."""
    _init()
    devices = [{"name": str(d), "description": d.name} for d in wp.get_devices()]
    return {"devices": devices, "kernel_cache": str(wp.config.kernel_cache_dir)}
