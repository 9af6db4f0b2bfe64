"""Benchmarks against peers. Each ``bench.<name>`` has ``run() -> list[dict]``: one row a measurement."""
