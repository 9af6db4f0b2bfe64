"""Benchmarks: each package here has ``run()``, which returns rows; a row is what was measured, and its figures by name."""
