"""Whatever an edit holds, it is applied or refused; nothing half done, nothing unreadable. Seeded."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from twin.collab import Document
from twin.protocol.messages import Op
from twin.scene.edits import layer_from_text, layer_to_text
from twin.scene.edits.apply import _STRUCTURE, _VALUES

PATHS = ["/World", "/World/A", "/World/B", "/World/Group", "/World/Group/Ball", "/World/New", "/New", "/", "", "World"]
PATHS += ["/World/A.size", "/World/A/", "//A", "/World/../A", "/World/A{v=x}B", "/World/\u00e4", "/World/a b", "/World/\x00"]
PATHS += ["/" + "a/" * 400 + "a"]
FIELDS = [
    "size",
    "xformOp:translate",
    "xformOp:rotateXYZ",
    "xformOpOrder",
    "visibility",
    "twin:next",
    "proxyPrim",
    "",
    "a b",
    "\x00",
]
FIELDS += ["active", "kind", "documentation", "displayName", "instanceable", "hidden", "comment", "references", "look", "x" * 300]
FIELDS += ["TwinPowerAPI", "TwinSignalAPI:a", "TwinSignalAPI:a:b", "primvars:x", "userProperties:x", "twin:signal:a:value"]
TYPES = ["double", "float", "int", "uint64", "string", "token", "asset", "double3", "quatf", "matrix4d", "token[]", "asset[]"]
TYPES += ["bool", "half", "color3f", "timecode", "opaque", "pathExpression", "nothing", ""]
TEXTS = ["\x00", "</World>", '"""', "\n)\n", "inherited", "component", "../../x", "part.usda"]
numbers = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
scalar = st.none() | numbers | st.text(max_size=6) | st.sampled_from(TEXTS) | st.binary(max_size=4)
deep = st.recursive(scalar, lambda inner: st.lists(inner, max_size=4), max_leaves=20)
typed = st.tuples(st.sampled_from(TYPES) | scalar, deep).map(list)
made = st.dictionaries(
    st.sampled_from(["type", "reference", "name", "copy", "prepend", "append", "delete", "text", "x"]),
    st.sampled_from(["Cube", "Xform", "", "/World/A", "/World", "Material"])
    | st.lists(st.sampled_from(PATHS), max_size=3)
    | deep,
    max_size=3,
)
op = st.builds(
    Op,
    st.sampled_from([*_VALUES, *_STRUCTURE, "", "explode"]),
    st.sampled_from(PATHS) | st.text(max_size=5),
    st.sampled_from(FIELDS) | st.text(max_size=5),
    typed | made | deep | st.sampled_from(PATHS),
)


@seed(1)
@settings(max_examples=6, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(op, min_size=1, max_size=3), min_size=20, max_size=40))
def test_edits_of_any_shape_are_applied_or_refused(stage, tmp_path_factory, transactions: list[list[Op]]) -> None:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    document = Document(stage, folder / "project")
    try:
        for opid, txn in enumerate(transactions):
            # as it would come over the wire
            txn = msgspec.msgpack.decode(msgspec.msgpack.encode(txn), type=list[Op])
            before = layer_to_text(document.layer)
            outcome = document.submit("s", opid, "Ann", txn)
            after = layer_to_text(document.layer)
            if outcome.entry is None:
                assert outcome.refusal is not None
                assert after == before, txn
                assert len(outcome.refusal.reason) <= 1000
            else:
                layer_from_text(document.layer, after)  # what is written can be read
                assert layer_to_text(document.layer) == after, txn
        text, seq = layer_to_text(document.layer), document.seq
        document.journal.write("delete from checkpoints")
        document.journal.close()
        document = Document(stage, folder / "project")
        assert (layer_to_text(document.layer), document.seq, list(document.findings)) == (text, seq, [])
        while (undone := document.undo("s", 10_000 + document.seq, "Ann")).entry is not None:
            pass
        assert undone.refusal is not None
        assert undone.refusal.code == "nothing", undone
        assert document.layer.empty, layer_to_text(document.layer)
    finally:
        document.journal.close()
