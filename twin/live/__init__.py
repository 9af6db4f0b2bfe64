"""The running twin: the real-time loop, live values, recording and key figures."""

from twin.live.runtime import Event, Failure, Runtime
from twin.live.shadow import ShadowFeed, ShadowLine

__all__ = ["Event", "Failure", "Runtime", "ShadowFeed", "ShadowLine"]
