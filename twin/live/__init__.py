"""The running twin: the real-time loop, live values, recording and key figures."""

from twin.live.runtime import Event, Failure, Runtime

__all__ = ["Event", "Failure", "Runtime"]
