"""What one person may take of a server that many share. The project's own token, an admin's for scripts, is not limited."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from twin.collab import Identity
from twin.server.limits import Bucket

OWN = "project"
"""Key of the project's own token."""
BURST_S = 5.0
"""Seconds' worth of edits that may come at once."""
KEPT = 2000
"""People whose rates are remembered."""


@dataclass(frozen=True)
class Quota:
    """Of one person, on all of their connections together.

    Attributes:
        connections: Websockets at a time. edits_per_s: edits, commands and other changes. upload_bytes: kept of their uploads.
    """

    connections: int = 40
    edits_per_s: float = 150.0
    upload_bytes: int = 2 << 30


def person(who: Identity) -> str:
    """Who counts as one: a name that came with the token, or else the token."""
    return who.user or who.key


class Quotas:
    """Rates of people; belongs to the event loop."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._edits: OrderedDict[str, Bucket] = OrderedDict()

    def edit(self, who: Identity) -> str:
        """Count one change; why it must wait, or empty."""
        if who.key == OWN:
            return ""
        rate = self.quota.edits_per_s
        bucket = self._edits.setdefault(person(who), Bucket(rate, rate * BURST_S))
        self._edits.move_to_end(person(who))
        if len(self._edits) > KEPT:
            self._edits.popitem(last=False)
        return "" if bucket.take() else f"one person may make {rate:g} changes a second, on all connections together"

    def connect(self, who: Identity, others: list[Identity]) -> str:
        """Why somebody may not connect beside ``others`` that are connected, or empty."""
        most = self.quota.connections
        if who.key == OWN or sum(person(each) == person(who) for each in others) < most:
            return ""
        return f"{person(who) if who.user else 'this link'} has {most} connections open already"

    def upload(self, who: Identity, kept: int, size: int) -> str:
        """Why a file of ``size`` bytes may not come beside ``kept`` bytes of the same person, or empty."""
        most = self.quota.upload_bytes
        if who.key == OWN or kept + size <= most:
            return ""
        return f"uploads of one person may take {most / 2**20:,.0f} MiB together; yours take {kept / 2**20:,.1f} MiB"
