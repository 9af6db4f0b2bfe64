"""Arrays as the compiler likes them: elements side by side, at a distance that is known when the kernel is compiled.

Warp finds an element by a distance that it reads from the array, and takes a negative index to count from the end. An array
that a kernel makes from a bare address has neither: one instruction finds an element. That is a fifth to a quarter of the
engines' time (docs/benchmarks.md, "Line engine" and "Physics").
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


def make_row(dtype: Any, ndim: int = 2) -> Any:
    """A Warp function ``(a, row)``: a contiguous array of ``ndim`` dimensions that begins at that row, whatever its first index
    then says. Indices must not be negative."""
    of: Any = wp.array(dtype=dtype, ndim=ndim)
    snippet = "auto* data = decltype(a.data)((char*)a.data + (size_t)row * a.strides[0]);"
    if ndim == 2:
        snippet += "return decltype(a)(data, 0, 0);"
    else:
        snippet += "auto r = decltype(a)(data, 0, 0, 0); r.strides[1] = a.strides[1]; return r;"

    @wp.func_native(snippet)
    def row_of(a: of, row: int) -> of: ...  # type: ignore[valid-type]

    return row_of
