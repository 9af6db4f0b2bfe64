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
#if defined(__CUDA_ARCH__)
    return 0;
#else
    if (__atomic_add_fetch(&met.data[i], 1, __ATOMIC_ACQ_REL) == round * team) {
        int alone = __atomic_load_n(&slow.data[i], __ATOMIC_RELAXED);
        __atomic_store_n(&go.data[i], 2 * round + alone, __ATOMIC_RELEASE);
        return alone;
    }
    for (int turns = 0;; ++turns) {
        int said = __atomic_load_n(&go.data[i], __ATOMIC_ACQUIRE);
        if (said >= 2 * round)
            return said & 1 ? 2 : 0;
        if (turns == patience)
            __atomic_store_n(&slow.data[i], 1, __ATOMIC_RELAXED);
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
#endif
""")
def meet(  # type: ignore[empty-body]
    met: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    go: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    slow: wp.array(dtype=wp.int32),  # type: ignore[valid-type]
    i: int,
    round: int,
    team: int,
    patience: int,
) -> int:
    """Wait until all of the ``team`` have come to the end of stage ``round`` (from 1 on): what the others wrote before that can
    be read after it. Who waits for longer than ``patience`` turns says so: then the last one to come goes on alone, since on a
    machine with other work each further stage could wait for a thread that does not run.

    Returns:
        0: go on together, 1: go on alone, 2: leave.
    """
