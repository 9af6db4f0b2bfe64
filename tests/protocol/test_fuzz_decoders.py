"""Whatever comes over the wire, decoders take it or refuse it, and do nothing else. Seeded: every run tries the same."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from twin.protocol.frames import decode_frame
from twin.protocol.messages import ClientMessage, decode_client, encode

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
TAGS = ["hello", "edit", "undo", "redo", "preview", "presence", "control", "seen", "welcome", "", "nothing"]
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


VECTORS = json.loads((Path(__file__).parent / "vectors" / "frames.json").read_text())
FRAMES = [base64.b64decode(vector["data"]) for vector in VECTORS["frames"]]


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
    assert sum(len(block.id) for block in decoded.blocks) <= len(data)


@pytest.mark.parametrize("good", FRAMES)
def test_a_frame_cut_anywhere_is_refused(good: bytes) -> None:
    """Parts are padded to four bytes, so that only what is cut within the padding of the last can go unnoticed."""
    for length in range(len(good) - 4):
        with pytest.raises(ValueError, match=r"frame|buffer|reshape|block"):
            decode_frame(good[:length])
