"""Kernels of the rigid-body engine, one phenomenon a file; ``launch`` holds what the host starts, so that one module compiles."""
