"""Whatever comes over the wire, decoders take it or refuse it, and do nothing else. Seeded: every run tries the same."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from twin.protocol.frames import BODIES, GOODS, Poses, decode_frame, encode_frame
from twin.protocol.messages import ClientMessage, decode_client, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
TAGS = ["hello", "edit", "undo", "redo", "preview", "presence", "control", "welcome", "", "nothing"]
FIELDS = ["opid", "base_seq", "txn", "label", "protocol", "path", "matrix", "selection", "action", "value", "kind", "field"]
shaped = st.dictionaries(st.sampled_from(FIELDS), plain, max_size=6).flatmap(
    lambda body: st.sampled_from(TAGS).map(lambda tag: body | {"t": tag})
)


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=64) | (plain | shaped).map(msgspec.msgpack.encode))
@example(b"\x91" * 100_000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
@example(b"\xdf\xff\xff\xff\xff\xa1t\xa4edit")
def test_messages_are_understood_or_refused(data: bytes) -> None:
    try:
        message = decode_client(data)
    except (msgspec.DecodeError, RecursionError):
        return
    assert isinstance(message, ClientMessage)
    assert msgspec.to_builtins(decode_client(encode(message))) == pytest.approx(
        msgspec.to_builtins(message), nan_ok=True
    ) or encode(message) == encode(decode_client(encode(message)))


def frame(count: int) -> bytes:
    rng = np.random.default_rng(count)
    poses = [
        Poses(BODIES, np.arange(count), rng.normal(size=(count, 3)), np.tile([0.0, 0.0, 0.0, 1.0], (count, 1))),
        Poses(GOODS, np.arange(2), rng.normal(size=(2, 3)), np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)), np.arange(2), np.arange(2)),
    ]
    return encode_frame(tick=count, since=0, version=1, sim_time=1.0, alive=np.ones(5, bool), poses=poses)


FRAMES = [frame(count) for count in (0, 1, 3)]


@seed(1)
@settings(max_examples=300, deadline=None, database=None)
@given(
    st.sampled_from(FRAMES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    st.integers(0, 10_000),
)
def test_broken_frames_are_refused_and_cost_no_more_than_they_bring(good: bytes, changes: list, cut: int) -> None:
    data = bytearray(good)
    for at, value in changes:
        data[at % len(data)] = value
    data = data[: len(data) - cut % len(data)] if cut % 3 == 0 else data
    try:
        decoded = decode_frame(bytes(data))
    except ValueError:
        return
    assert len(decoded.alive) <= 8 * len(data)
    assert sum(len(block.id) for block in decoded.blocks) <= len(data)


@pytest.mark.parametrize("good", FRAMES)
def test_a_frame_cut_anywhere_is_refused(good: bytes) -> None:
    """Each part is padded to four bytes, so that only what is cut within the padding of the last can go unnoticed."""
    for length in range(len(good) - 4):
        with pytest.raises(ValueError, match=r"frame|buffer|reshape"):
            decode_frame(good[:length])
