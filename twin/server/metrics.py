"""What Prometheus reads (exposition format 0.0.4, prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.server.host import Host

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("idle", "connecting", "syncing", "live", "stale", "backoff", "fatal")
Labels = dict[str, str]


def exposition(host: Host, clients: int) -> str:
    """All metrics of a running twin; any thread."""
    lines: list[str] = []

    def family(name: str, kind: str, text: str, values: Iterable[tuple[Labels, float]]) -> None:
        lines.append(f"# HELP {name} {text}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{_labels(labels)} {value:.17g}" for labels, value in values)

    runtime = host.runtime
    clock = runtime.clock()
    family("twin_simulated_seconds", "gauge", "Simulated time of the run.", [({}, clock.sim_time)])
    family("twin_speed_ratio", "gauge", "Simulated seconds a second, as achieved.", [({}, clock.achieved)])
    family("twin_failed", "gauge", "1 once the simulation has stopped for good.", [({}, float(runtime.state == "failed"))])
    family("twin_clients", "gauge", "Open browser connections.", [({}, clients)])

    statuses = host.plant.statuses() if host.plant is not None else []
    late = host.plant.late() if host.plant is not None else {}
    states = [({"connection": s.name, "state": state}, float(s.state == state)) for s in statuses for state in STATES]
    family("twin_connection_state", "gauge", "1 for the state that a connection is in.", states)
    for name, attribute, text in (
        ("twin_connection_signals", "signals", "Signals of a connection."),
        ("twin_connection_signals_good", "good", "Signals with a fresh good value."),
        ("twin_connection_signals_stale", "stale", "Signals that are silent for too long."),
        ("twin_connection_rate", "rate", "Values a second."),
    ):
        family(name, "gauge", text, [({"connection": s.name}, float(getattr(s, attribute))) for s in statuses])
    family("twin_connection_lag_seconds", "gauge", "From source to twin, the longest of the newest values.",
           [({"connection": s.name}, s.lag) for s in statuses if s.lag is not None])  # fmt: skip
    family("twin_samples_late_total", "counter", "Samples older than one that came before.",
           [({"connection": name}, count) for name, count in late.items()])  # fmt: skip
    lost: Counter[tuple[str, str]] = Counter()
    for place, count in (host.plant.losses() if host.plant is not None else {}).items():
        name, reason, _ = place.split(": ", 2)
        lost[name, reason] += count
    family("twin_samples_lost_total", "counter", "What came and was not delivered, by reason.",
           [({"connection": name, "reason": reason}, count) for (name, reason), count in lost.items()])  # fmt: skip

    if (edge := host.connected.edge) is not None:
        family("twin_edge_connected", "gauge", "1 while the Sparkplug edge node has its broker and its primary host.",
               [({}, float(not edge.error and edge.births > 0))])  # fmt: skip
        family("twin_edge_stored", "gauge", "Samples that wait for them.", [({}, edge.stored)])
        family("twin_edge_forwarded_total", "counter", "Stored samples that were sent later.", [({}, edge.forwarded)])
        family("twin_edge_lost_total", "counter", "Stored samples that were lost: the store was full.", [({}, edge.dropped)])

    losses = host.history.losses()
    family(
        "twin_history_samples_total", "counter", "Samples committed to history by this process.", [({}, host.history.written())]
    )
    family("twin_history_lost_total", "counter", "Samples that history had no room for.", [({}, sum(losses.overflow.values()))])
    family("twin_history_failing", "gauge", "1 while history cannot be written.", [({}, float(bool(losses.error)))])
    family("twin_history_bytes", "gauge", "Size of the history.", [({}, host.history.used_bytes())])
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
