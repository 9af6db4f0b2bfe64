"""What waits for a listener stays in order, is bounded, and is counted where it does not fit."""

from twin.connectors.serving.outbox import Outbox
from twin.core.samples import GOOD, Sample, SignalKey

A, B = SignalKey("/W", "a"), SignalKey("/W", "b")


def sample(key: SignalKey, value: float) -> Sample:
    return Sample(key, value, GOOD, int(value), None, int(value))


def noted(outbox: Outbox, key: SignalKey, *values: float) -> list[Sample]:
    samples = [sample(key, v) for v in values]
    for s in samples:
        outbox.note({key: s})
        outbox.note({key: s})  # the same one again is no news
    return samples


def anything(sample: Sample) -> bool:
    return True


def test_what_was_noted_while_nobody_listened_follows_the_newest_in_order() -> None:
    outbox = Outbox([A, B], capacity=100, resend_s=100.0)
    a = noted(outbox, A, 1, 2, 3)
    (b,) = noted(outbox, B, 4)
    a += noted(outbox, A, 5)
    assert outbox.begin() == {A: a[-1], B: b}
    assert outbox.past(2) == a[:2]
    news = noted(outbox, A, 6)
    assert outbox.past(100) == [a[2]]
    assert outbox.news(anything) == news
    assert outbox.waiting() == 0
    assert outbox.news(anything) == []


def test_what_was_sent_shortly_before_a_loss_is_sent_again_in_its_order() -> None:
    outbox = Outbox([A], capacity=100, resend_s=100.0)
    old = noted(outbox, A, 1, 2, 3, 4)
    outbox.begin()
    assert outbox.past(1) == old[:1]
    news = noted(outbox, A, 5)
    outbox.lost()
    outbox.lost()  # again, it changes nothing
    news += noted(outbox, A, 6)
    assert outbox.begin() == {A: news[-1]}
    assert outbox.past(100) == [*old, news[0]]

    forgetful = Outbox([A], capacity=100, resend_s=0.0)
    noted(forgetful, A, 1, 2)
    forgetful.begin()
    forgetful.past(100)
    forgetful.lost()
    assert forgetful.waiting() == 0


def test_what_does_not_fit_holds_back_what_is_behind_it() -> None:
    outbox = Outbox([A], capacity=100, resend_s=100.0)
    outbox.begin()
    samples = noted(outbox, A, 1, 2, 3)
    assert outbox.news(lambda s: s.value != 2) == samples[:1]
    assert outbox.news(lambda s: s.value != 2) == []
    assert outbox.begin() == {A: samples[2]}  # told anew: what is older is past
    assert outbox.past(100) == [samples[1]]


def test_the_oldest_make_room_and_are_counted_unless_they_were_sent() -> None:
    outbox = Outbox([A], capacity=4, resend_s=100.0)
    outbox.begin()
    noted(outbox, A, 1, 2, 3)
    assert len(outbox.news(anything)) == 3
    noted(outbox, A, 4, 5, 6)  # pushes out what was sent
    assert outbox.dropped == 0
    kept = noted(outbox, A, 7, 8, 9)
    assert outbox.dropped == 2
    outbox.lost()
    assert outbox.begin() == {A: kept[-1]}
    assert [s.value for s in outbox.past(100)] == [6, 7, 8]
