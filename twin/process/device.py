"""Warp, set up once for every engine: device choice, quiet start, kernel cache."""

from __future__ import annotations

from typing import Any

import warp as wp

from twin.core.errors import InputError

# Before wp.init(): Warp prints its banner on stdout, which belongs to results; nothing here is differentiated,
# and adjoints double the compile time.
wp.config.log_level = wp.LOG_ERROR
wp.config.enable_backward = False


def resolve_device(name: str) -> wp.Device:
    """The Warp device called ``name`` (``cpu``, ``cuda:0``).

    Raises:
        InputError: No such device on this machine.
    """
    wp.init()
    try:
        return wp.get_device(name)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"no device {name!r} on this machine", attribute="--device", allowed=[str(d) for d in wp.get_devices()]
        ) from error


def load_modules(names: list[str], device: wp.Device) -> None:
    """Load kernel modules by name, compiling what the cache lacks: side by side, since each takes many seconds on one core."""
    wp.force_load(device, [wp.get_module(name) for name in names], max_workers=len(names))


def describe() -> dict[str, Any]:
    """What ``twin doctor`` says about Warp: its devices and where compiled kernels are kept."""
    wp.init()
    devices = [{"name": str(d), "description": d.name} for d in wp.get_devices()]
    return {"devices": devices, "kernel_cache": str(wp.config.kernel_cache_dir)}
