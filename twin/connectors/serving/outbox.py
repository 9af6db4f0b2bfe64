"""Store and forward: what a listener has not heard yet, in order, bounded, and counted where it does not fit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from twin.core.samples import Sample, SignalKey


class _Noted(NamedTuple):
    number: int
    """In the order in which samples were noted."""
    sample: Sample


class Outbox:
    """Changes of signals on their way to a listener that may be away.

    Each change is noted once. While nobody listens it is kept, and is *past* when somebody does again. What was sent shortly
    before a loss is kept again, since without acknowledgements nobody can say whether it arrived: everything is sent at least
    once, each signal's samples in their order.

    Args:
        capacity: Samples that are kept; the oldest make room.
        resend_s: What was sent within this time before a loss is sent again [s].

    Attributes:
        dropped: Samples that made room for others while they waited: lost, if they had not arrived before a loss.
    """

    def __init__(self, keys: Collection[SignalKey], *, capacity: int, resend_s: float) -> None:
        self._keys, self._capacity, self._resend_s = keys, capacity, resend_s
        self._newest: dict[SignalKey, _Noted] = {}
        self._count = 0
        self._past: deque[_Noted] = deque()
        self._news: deque[_Noted] = deque()
        self._sent: deque[tuple[float, _Noted]] = deque()
        self._listening = False
        self.dropped = 0

    def note(self, state: Mapping[SignalKey, Sample]) -> bool:
        """Take what has changed since the last call; whether anything waits."""
        waiting = self._news if self._listening else self._past
        for key in self._keys:
            sample, known = state.get(key), self._newest.get(key)
            if sample is not None and (known is None or known.sample is not sample):
                self._count += 1
                self._newest[key] = _Noted(self._count, sample)
                waiting.append(self._newest[key])
        self._make_room()
        return self.waiting() > 0

    def rename(self, new: Mapping[SignalKey, SignalKey]) -> None:
        """Signals have other keys now: what waits for them is told under those, and what was told counts as told."""

        def noted(each: _Noted) -> _Noted:
            key = new.get(each.sample.key)
            return each if key is None else each._replace(sample=replace(each.sample, key=key))

        self._newest = {each.sample.key: each for each in map(noted, self._newest.values())}
        newest = {each.number: each for each in self._newest.values()}
        self._past, self._news = (deque(newest.get(e.number) or noted(e) for e in q) for q in (self._past, self._news))
        self._sent = deque((at, newest.get(e.number) or noted(e)) for at, e in self._sent)

    def waiting(self) -> int:
        """Samples that are still to be sent."""
        return len(self._past) + len(self._news)

    def begin(self) -> dict[SignalKey, Sample]:
        """Somebody listens, and is told the newest sample of each signal, which is what this returns; what waits is past."""
        waiting = [*self._past, *self._news]
        self._news.clear()
        self._past = deque(n for n in waiting if self._newest[n.sample.key] is not n)
        self._listening = True
        self._remember([n for n in waiting if self._newest[n.sample.key] is n])
        return {key: noted.sample for key, noted in self._newest.items()}

    def lost(self) -> None:
        """Nobody listens any more."""
        if not self._listening:
            return
        self._listening = False
        self._forget()
        # by number: the newest ones were told first, in the birth
        self._past = deque(sorted([*(noted for _, noted in self._sent), *self._past, *self._news]))
        self._news.clear()
        self._sent.clear()
        self._make_room()

    def past(self, most: int) -> list[Sample]:
        """The oldest samples from while nobody listened, at most so many; they count as sent."""
        taken = [self._past.popleft() for _ in range(min(most, len(self._past)))]
        self._remember(taken)
        return [noted.sample for noted in taken]

    def news(self, fits: Callable[[Sample], bool]) -> list[Sample]:
        """Samples since somebody listens, up to the first that does not fit; they count as sent."""
        taken = []
        while self._news and fits(self._news[0].sample):
            taken.append(self._news.popleft())
        self._remember(taken)
        return [noted.sample for noted in taken]

    def _remember(self, noted: list[_Noted]) -> None:
        now = time.monotonic()
        self._sent.extend((now, n) for n in noted)
        self._forget()
        self._make_room()

    def _forget(self) -> None:
        limit = time.monotonic() - self._resend_s
        while self._sent and self._sent[0][0] < limit:
            self._sent.popleft()

    def _make_room(self) -> None:
        for _ in range(min(len(self._sent) + self.waiting() - self._capacity, len(self._sent))):
            self._sent.popleft()  # these were sent once
        for _ in range(self.waiting() - self._capacity):
            (self._past or self._news).popleft()
            self.dropped += 1
