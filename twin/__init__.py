"""Twin: factory digital twins on OpenUSD, simulated with NVIDIA Warp, shared in the browser."""

__version__ = "0.1.0"
