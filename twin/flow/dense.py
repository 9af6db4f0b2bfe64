"""Arrays as the compiler likes them: elements side by side, at a distance that is known when the kernel is compiled.

Warp finds an element by a distance that it reads from the array, and takes a negative index to count from the end. An array
that a kernel makes from a bare address has neither: one instruction finds an element. That is a fifth to a quarter of the
engine's time (docs/benchmarks.md, "Line engine").
"""

# no postponed annotations: Warp reads types that only their function knows

from typing import Any

import warp as wp

from twin.process import device as _device  # noqa: F401  (sets Warp up)


def make_dense(dtype: Any, columns: int = 0) -> Any:
    """A Warp function that gives a contiguous array of ``dtype`` without its length: its indices must not be negative.

    Args:
        columns: 0 for one dimension, else the second one's length, which must be the array's own.
    """
    of: Any = wp.array(dtype=dtype, ndim=2 if columns else 1)
    snippet = f"return decltype(a)(a.data, 0, {columns});" if columns else "return decltype(a)(a.data, 0);"

    @wp.func_native(snippet)
    def dense(a: of) -> of: ...  # type: ignore[valid-type]

    return dense
