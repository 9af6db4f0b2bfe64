"""How the threads of a CPU share one launch: they take the next piece of work, and meet before the next stage.

A GPU never runs these: there a stage is a launch.
"""

# no postponed annotations: Warp reads the types of native functions

import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)


@wp.func_native("""
#if defined(__CUDA_ARCH__)
    return atomicAdd(&a.data[i], 1);
#else
    return __atomic_fetch_add(&a.data[i], 1, __ATOMIC_RELAXED);
#endif
""")
def take(a: wp.array(dtype=wp.int32), i: int) -> int:  # type: ignore[valid-type,empty-body]
    """Raise ``a[i]`` by one; returns what it was. Warp's own atomics are none on a CPU."""


@wp.func_native("""
#if !defined(__CUDA_ARCH__)
    __atomic_fetch_add(&a.data[i], 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&a.data[i], __ATOMIC_ACQUIRE) < everybody) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
#endif
""")
def meet(a: wp.array(dtype=wp.int32), i: int, everybody: int):  # type: ignore[valid-type]
    """Raise ``a[i]`` by one and wait until it is ``everybody``: what the others wrote before that can be read after it."""
