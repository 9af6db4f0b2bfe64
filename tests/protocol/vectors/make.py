"""Write frames.json: frames as the server sends them, what a decoder must read from each, and what it must refuse.

Run from the repository root: ``.venv/bin/python tests/protocol/vectors/make.py``. Data is base64.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from twin.model.frame import StateFrame
from twin.protocol.frames import GOODS, decode_frame, encode_block, frame_header, pack_rotation, quantise
from twin.server.stream import Follower, FrameEncoder

FILE = Path(__file__).with_name("frames.json")
WALL = 1_700_000_000.25


def _moments() -> list[tuple[str, StateFrame]]:
    """A line that lives: three bodies, six slots."""
    draw = np.random.default_rng(7)
    q = draw.normal(size=(9, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    none = np.zeros(0, int)
    bodies = np.array([[0, 0, 0], [-0.0002, 32.7675, 1.5], [200, -3, 0.25]])
    items = draw.uniform(-40, 40, (6, 3))
    start = StateFrame(
        sim_time=1.0, tick=60, body_position=bodies, body_rotation=q[:3],
        item_alive=np.array([1, 1, 0, 1, 0, 1], bool), item_id=np.array([58, 63, 0, 64, 0, 130]),
        item_prototype=np.array([0, 1, 0, 2, 0, 1]), item_position=items, item_rotation=q[3:], item_pieces=np.ones(6, int),
        node_state=none, node_level=none, node_in=none, node_out=none,
    )  # fmt: skip
    shifted = replace(start, tick=62, sim_time=1.05, item_position=items + np.array([0.025, 0, 0]))
    turned = replace(shifted, tick=64, sim_time=1.1, body_rotation=np.roll(start.body_rotation, 1, axis=0))
    alive = np.array([1, 0, 1, 1, 0, 1], bool)
    changed = replace(turned, tick=66, sim_time=1.15, item_alive=alive, item_id=np.array([58, 63, 131, 132, 0, 130]))
    crossed = replace(changed, tick=68, sim_time=1.2, item_position=shifted.item_position + np.array([32.768, 0, 0]))
    rested = replace(crossed, tick=70, sim_time=1.25)
    return [
        ("whole", start),
        ("goods that slide", shifted),
        ("bodies that turn", turned),
        ("goods that go, come and take a slot anew", changed),
        ("goods in the next cell", crossed),
        ("everything at rest", rested),
    ]


def frames() -> list[tuple[str, bytes]]:
    """Names and bytes."""
    encoder, follower = FrameEncoder(), Follower()
    encoder.reset(3)
    out = []
    for i, (name, moment) in enumerate(_moments()):
        encoder.push(moment, WALL + i / 20.0)
        data = follower.frame(encoder)
        assert data is not None
        out.append((name, data))
    ids = np.array([7, 8, 500, 66_000, 66_001, 200_000])
    _, steps = quantise(np.full((6, 3), 1.25))
    upright = pack_rotation(np.tile([0.0, 0.0, 0.0, 1.0], (6, 1)))
    blocks = encode_block(
        GOODS, ids, cell=(-1, 0, 32766), span=70_000, steps=steps, packed=upright, meta=np.arange(6, dtype="u2")
    )
    header = frame_header(number=2**32 - 1, base=9, version=4, sim_time=0.0, wall_time=WALL, tick=2**32 - 1, blocks=len(blocks))
    return [*out, ("ids far apart", header + b"".join(blocks))]


def _expected(data: bytes) -> dict[str, Any]:
    frame = decode_frame(data)
    blocks = [
        {
            "kind": b.kind,
            "id": b.id.tolist(),
            "position": np.round(b.position.ravel(), 7).tolist(),
            "rotation": [] if b.rotation is None else np.round(b.rotation.ravel(), 7).tolist(),
            "prototype": [] if b.prototype is None else b.prototype.tolist(),
            "generation": [] if b.generation is None else b.generation.tolist(),
            "span": b.span,
        }
        for b in frame.blocks
    ]
    return {
        "number": frame.number, "base": frame.base, "version": frame.version, "simTime": frame.sim_time,
        "wallTime": frame.wall_time, "tick": frame.tick, "blocks": blocks,
    }  # fmt: skip


def vectors() -> dict[str, Any]:
    """Everything in the file."""
    made = frames()
    whole = made[0][1]
    refused = {
        "nothing": b"",
        "another magic": b"TWF1" + whole[4:],
        "half a header": whole[:20],
        "cut short by four bytes": whole[:-4],
        "a block short": whole[: len(whole) // 2 & ~3],
        "unknown kind": whole[:40] + b"\x09" + whole[41:],
        "unknown flag": whole[:41] + b"\x80" + whole[42:],
    }
    return {
        "frames": [{"name": n, "data": base64.b64encode(d).decode(), "frame": _expected(d)} for n, d in made],
        "refused": [{"name": n, "data": base64.b64encode(d).decode()} for n, d in refused.items()],
    }


def text() -> str:
    """The file as it is written: a line a frame."""
    both = vectors()
    rows = [f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in both[key]) + "\n]" for key in both]
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
