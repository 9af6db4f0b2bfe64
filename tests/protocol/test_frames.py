"""State frames: what the browser decodes is where the engine said things are."""

import base64
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from twin.protocol.frames import (
    BODIES,
    CELL_M,
    GOODS,
    STEP_M,
    decode_frame,
    encode_block,
    frame_header,
    pack_rotation,
    quantise,
    unpack_rotation,
)

VECTORS = Path(__file__).parent / "vectors"
FILE = json.loads((VECTORS / "frames.json").read_text())


def framed(*blocks: bytes) -> bytes:
    return frame_header(number=2, base=1, version=1, sim_time=0.5, wall_time=0.0, tick=3, blocks=len(blocks)) + b"".join(blocks)


def test_rotation_error_is_below_a_quarter_degree():
    q = np.random.default_rng(1).normal(size=(20_000, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    dot = np.abs((q * unpack_rotation(pack_rotation(q))).sum(axis=1))
    assert np.degrees(2.0 * np.arccos(np.minimum(dot, 1.0))).max() < 0.25


def test_positions_are_exact_to_half_a_step_in_every_cell():
    position = np.random.default_rng(2).uniform(-5000, 5000, (1000, 3))
    position[:4, 0] = [CELL_M - 1e-7, -1e-7, 0.0, -CELL_M]
    cell, steps = quantise(position)
    for row in range(1000):
        [data] = encode_block(BODIES, np.array([row]), cell=tuple(cell[row].tolist()), steps=steps[row : row + 1])
        [block] = decode_frame(framed(data)).blocks
        assert block.id.tolist() == [row]
        assert np.abs(block.position[0] - position[row]).max() <= STEP_M / 2 + 1e-9


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1.2e6])
def test_a_position_that_cannot_be_said_is_refused(bad):
    with pytest.raises(ValueError, match="no number or further"):
        quantise(np.array([[0.0, bad, 0.0]]))


@pytest.mark.parametrize("ids", [[0], [0, 255, 510], [0, 256], [3, 65_538], [3, 65_539], [5, 70_000, 70_001, 4_000_000]])
def test_ids_survive_however_far_apart(ids):
    n = len(ids)
    steps, meta = np.zeros((n, 3), np.uint16), np.arange(n, dtype=np.uint16) + (63 << 10)
    blocks = encode_block(GOODS, np.array(ids), steps=steps, meta=meta)
    read = decode_frame(framed(*blocks)).blocks
    assert [int(i) for b in read for i in b.id] == ids
    assert [int(p) for b in read for p in b.prototype] == list(range(n))
    assert {int(g) for b in read for g in b.generation} == {63}


def test_more_bodies_than_a_block_counts_are_several_blocks():
    n = 70_000
    blocks = encode_block(BODIES, np.arange(n), steps=np.zeros((n, 3), np.uint16))
    read = decode_frame(framed(*blocks)).blocks
    assert [len(b.id) for b in read] == [65_535, n - 65_535]
    assert np.concatenate([b.id for b in read]).tolist() == list(range(n))


@pytest.mark.parametrize("vector", FILE["frames"], ids=lambda v: v["name"])
def test_the_vectors_are_read_as_they_say(vector):
    frame = decode_frame(base64.b64decode(vector["data"]))
    want = vector["frame"]
    head = (frame.number, frame.base, frame.version, frame.sim_time, frame.wall_time, frame.tick)
    assert head == tuple(want[k] for k in ("number", "base", "version", "simTime", "wallTime", "tick"))
    assert len(frame.blocks) == len(want["blocks"])
    for block, told in zip(frame.blocks, want["blocks"], strict=True):
        assert (block.kind, block.id.tolist(), block.span) == (told["kind"], told["id"], told["span"])
        np.testing.assert_allclose(block.position.ravel(), told["position"], atol=1e-6)
        for name in ("rotation", "prototype", "generation"):
            value = getattr(block, name)
            np.testing.assert_allclose([] if value is None else np.ravel(value), told[name], atol=1e-6)


@pytest.mark.parametrize("vector", FILE["refused"], ids=lambda v: v["name"])
def test_what_is_no_frame_is_refused(vector):
    with pytest.raises(ValueError, match=r"frame|buffer|block"):
        decode_frame(base64.b64decode(vector["data"]))


def test_the_server_still_sends_what_the_vectors_hold():
    spec = importlib.util.spec_from_file_location("make_vectors", VECTORS / "make.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    assert json.loads(make.text()) == FILE, "run tests/protocol/vectors/make.py and look at what changed"
