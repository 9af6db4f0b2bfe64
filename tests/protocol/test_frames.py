"""State frames: what the browser decodes is where the engine said things are."""

import numpy as np
import pytest

from twin.protocol.frames import BODIES, CELL_M, GOODS, Poses, decode_frame, encode_frame, pack_rotation, unpack_rotation


def random_rotations(n: int, seed: int = 1) -> np.ndarray:
    q = np.random.default_rng(seed).normal(size=(n, 4))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def test_rotation_error_is_below_a_quarter_degree():
    q = random_rotations(20_000)
    dot = np.abs((q * unpack_rotation(pack_rotation(q))).sum(axis=1))
    assert np.degrees(2.0 * np.arccos(np.minimum(dot, 1.0))).max() < 0.25


def test_a_frame_survives_the_wire_across_cells_and_odd_counts():
    rng = np.random.default_rng(2)
    position = rng.uniform(-100.0, 100.0, (7, 3))
    goods = Poses(GOODS, np.arange(7), position, random_rotations(7), np.arange(7) % 3, np.arange(7) + 60)
    bodies = Poses(BODIES, np.array([4]), np.array([[1.0, 2.0, 3.0]]), random_rotations(1))
    alive = np.zeros(13, bool)
    alive[:7] = True
    frame = decode_frame(encode_frame(tick=9, since=3, version=2, sim_time=0.15, alive=alive, poses=[bodies, goods]))
    assert (frame.tick, frame.since, frame.version, frame.sim_time) == (9, 3, 2, 0.15)
    assert frame.alive[:13].tolist() == alive.tolist()
    seen = {int(i): p for b in frame.blocks if b.kind == GOODS for i, p in zip(b.id, b.position, strict=True)}
    assert max(np.abs(seen[i] - position[i]).max() for i in range(7)) <= 0.0005 + 1e-9
    generations = {int(i): int(g) for b in frame.blocks if b.kind == GOODS for i, g in zip(b.id, b.generation, strict=True)}
    assert generations == {i: (i + 60) % 64 for i in range(7)}


def test_a_cell_border_does_not_wrap():
    position = np.array([[CELL_M - 1e-7, -1e-7, 0.0]])
    frame = decode_frame(
        encode_frame(
            tick=1, since=0, version=1, sim_time=0.0, alive=np.zeros(0, bool),
            poses=[Poses(BODIES, np.array([0]), position, np.array([[0.0, 0.0, 0.0, 1.0]]))],
        )
    )  # fmt: skip
    assert np.abs(frame.blocks[0].position[0] - position[0]).max() <= 0.00101


@pytest.mark.parametrize("data", [b"", b"TWF0" + b"\0" * 40, b"TWF1", b"TWF1" + b"\xff" * 28])
def test_what_is_no_frame_is_refused(data):
    with pytest.raises(ValueError, match=r"frame|buffer"):
        decode_frame(data)
