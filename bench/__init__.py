"""Benchmarks: each package here has ``run()``, which returns rows with ``name``, ``value``, ``unit`` and ``note``."""
