"""Edits: operations of people, applied to a layer above the stage's own files."""

from twin.scene.edits.apply import apply_txn
from twin.scene.edits.context import UNLIMITED, Applied
from twin.scene.edits.difference import Opinion, brought_back, difference, is_within
from twin.scene.edits.layer import layer_from_text, layer_to_text, make_edit_layer, save_layer
from twin.scene.edits.namespace import with_moves

__all__ = [
    "UNLIMITED",
    "Applied",
    "Opinion",
    "apply_txn",
    "brought_back",
    "difference",
    "is_within",
    "layer_from_text",
    "layer_to_text",
    "make_edit_layer",
    "save_layer",
    "with_moves",
]
