"""Philox4x32-10: counter-based random numbers (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

A draw is a pure function of key and counter, so that replications, nodes and purposes never disturb one another:
key (seed, replication), counter (stream low, stream high, ordinal, purpose).
"""

from __future__ import annotations

import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)

M0 = wp.constant(wp.uint32(0xD2511F53))
M1 = wp.constant(wp.uint32(0xCD9E8D57))
W0 = wp.constant(wp.uint32(0x9E3779B9))
W1 = wp.constant(wp.uint32(0xBB67AE85))

vec4u = wp.types.vector(length=4, dtype=wp.uint32)


@wp.func
def mul_hi(a: wp.uint32, b: wp.uint32) -> wp.uint32:
    return wp.uint32((wp.uint64(a) * wp.uint64(b)) >> wp.uint64(32))


@wp.func
def philox(counter: vec4u, key0: wp.uint32, key1: wp.uint32) -> vec4u:
    """Ten rounds; four 32-bit words out."""
    c0 = counter[0]
    c1 = counter[1]
    c2 = counter[2]
    c3 = counter[3]
    k0 = key0
    k1 = key1
    for _ in range(10):
        hi0 = mul_hi(M0, c0)
        lo0 = M0 * c0
        hi1 = mul_hi(M1, c2)
        lo1 = M1 * c2
        c0 = hi1 ^ c1 ^ k0
        c1 = lo1
        c2 = hi0 ^ c3 ^ k1
        c3 = lo0
        k0 = k0 + W0
        k1 = k1 + W1
    return vec4u(c0, c1, c2, c3)
