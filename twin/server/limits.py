"""How often somebody may do something."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Hashable

from fastapi import Request

KEPT = 10_000
"""Of so many accounts and addresses it is known how often they have failed; the one that has been quiet longest is forgotten."""


def address_of(request: Request) -> str:
    """Where a request comes from; behind a proxy on this machine, what that says."""
    return request.client.host if request.client else ""


class Bucket:
    """Lets ``rate`` things a second through, and a burst of ``size``."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size, self._level, self._at = rate, size, size, time.monotonic()

    def take(self) -> bool:
        """Whether one more may pass now."""
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def give_back(self) -> None:
        """What was taken last does not count."""
        self._level = min(self._size, self._level + 1.0)


class Buckets:
    """A bucket for each of many; of those beyond ``KEPT`` the one that was used longest ago begins anew."""

    def __init__(self, rate: float, size: float) -> None:
        self._rate, self._size = rate, size
        self._of: OrderedDict[Hashable, Bucket] = OrderedDict()

    def of(self, key: Hashable) -> Bucket:
        """The bucket of one of them."""
        bucket = self._of.get(key)
        if bucket is None:
            bucket = self._of[key] = Bucket(self._rate, self._size)
            if len(self._of) > KEPT:
                self._of.popitem(last=False)
        self._of.move_to_end(key)
        return bucket

    def __len__(self) -> int:
        return len(self._of)


class Tries:
    """How often passwords and tokens may be wrong, so that who guesses is slowed and nobody else is.

    Counted are the tries from an address at all, those from it at one account, and those at one account from everywhere, which
    addresses from which somebody has signed in there do not share: whoever guesses from many cannot lock its owner out.
    Belongs to the event loop.
    """

    def __init__(self) -> None:
        self._address = Buckets(rate=2.0, size=20.0)
        self._pair = Buckets(rate=0.2, size=10.0)
        self._account = Buckets(rate=1.0, size=100.0)
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, address: str, account: str = "") -> bool:
        """Whether one more try may be made now; it counts as failed until ``succeeded``. ``account``: empty for a token."""
        return all(bucket.take() for bucket in self._concerned(_network(address), account))

    def succeeded(self, address: str, account: str = "") -> None:
        """The try that was begun last was right."""
        network = _network(address)
        for bucket in self._concerned(network, account):
            bucket.give_back()
        if account:
            self._at_home[(network, account)] = None
            self._at_home.move_to_end((network, account))
            if len(self._at_home) > KEPT:
                self._at_home.popitem(last=False)

    def _concerned(self, network: str, account: str) -> list[Bucket]:
        buckets = []
        if account:
            buckets.append(self._pair.of((network, account)))
            if (network, account) not in self._at_home:
                buckets.append(self._account.of(account))
        # last: who is stopped at one account leaves the others of their office what they have
        return [*buckets, self._address.of(network)]


def _network(address: str) -> str:
    """What one person has of addresses: one of version 4, 64 bits of version 6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
