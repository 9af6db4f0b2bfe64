"""Transactions: all of their operations, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from pxr import Sdf, Tf, Usd

from twin.core.errors import Rejected
from twin.protocol.messages import Op
from twin.scene.edits import fields, prims, specs
from twin.scene.edits.context import UNLIMITED, Applied, Context
from twin.scene.edits.heirs import heirs_noted
from twin.scene.stage import asset_root_of, tf_message

_VALUES: dict[str, Callable[[Context, Op], fields.Step]] = {
    "set_field": fields.set_field,
    "block": fields.block,
    "clear": fields.clear,
    "set_relationship": fields.set_relationship,
    "list_edit": fields.list_edit,
    "set_metadata": fields.set_metadata,
}
"""Checked together against the stage as it is, then written in one change block."""

_STRUCTURE: dict[str, Callable[[Context, Sequence[Op]], None]] = {
    "add_prim": prims.add_prims,
    "remove_prim": prims.remove_prims,
    "move_prim": prims.move_prims,
    "restore_spec": specs.restore_specs,
}
"""Several of a kind that follow one another: the stage is composed once for all of them, not once for each."""

_SINGLE: dict[str, Callable[[Context, Op], None]] = {
    "set_variant": fields.set_variant,
    "apply_api": fields.apply_api,
}
"""One at a time, since what follows in the transaction may be about what they make."""


def apply_txn(
    stage: Usd.Stage,
    layer: Sdf.Layer,
    txn: Sequence[Op],
    *,
    asset_root: Path | None = None,
    internal: bool = False,
    room: int = UNLIMITED,
) -> Applied:
    """Apply a transaction to the edit layer of a stage.

    Args:
        stage: The composed stage. layer: Its edit layer (``make_edit_layer``).
        txn: Operations in order. asset_root: Where assets must lie; by default that of the stage's file.
        internal: The operations come from an ``Applied.inverse`` or the journal, and not from a client: ``restore_spec`` is
            allowed.
        room: How many prims may be added.

    Raises:
        Rejected: With code ``path``, ``gone``, ``type``, ``lossy``, ``asset``, ``base`` or ``limit``; the layer is as it was.
    """
    root = _real(asset_root) if asset_root is not None else asset_root_of(stage)
    context = Context(stage, layer, root, room)
    if not internal and any(op.kind == "restore_spec" for op in txn):
        raise Rejected("type", "restore_spec is not for clients")
    try:
        with heirs_noted(context):
            _run(context, txn)
    except (Rejected, Tf.ErrorException) as error:
        _roll_back(context)
        if isinstance(error, Rejected):
            raise
        raise Rejected("path", tf_message(error)) from error
    context.done.inverse.reverse()
    return context.done


def _batch(op: Op) -> str:
    """What goes together: empty for values, else the kind. What follows on ``active`` may be about what that switches on."""
    if op.kind == "set_metadata" and op.field == "active":
        return f"active {op.path}"
    return "" if op.kind in _VALUES else op.kind


@lru_cache(64)
def _real(folder: Path) -> Path:
    return Path(folder).resolve()


def _run(context: Context, txn: Sequence[Op]) -> None:
    for op in txn:
        if op.kind not in _VALUES and op.kind not in _STRUCTURE and op.kind not in _SINGLE:
            kinds = ", ".join([*_VALUES, *_STRUCTURE, *_SINGLE])
            raise Rejected("type", f"no operation {op.kind!r} (allowed: {kinds})", prim=op.path)
    for kind, group in groupby(txn, _batch):
        if kind in _STRUCTURE:
            _STRUCTURE[kind](context, list(group))
        elif kind in _SINGLE:
            for op in group:
                _SINGLE[kind](context, op)
        else:
            steps = [_VALUES[op.kind](context, op) for op in group]
            with Sdf.ChangeBlock():
                for step in steps:
                    step()


def _roll_back(context: Context) -> None:
    undo = Context(context.stage, context.layer, context.root)
    for kind, group in groupby(reversed(context.done.inverse), lambda op: op.kind):
        ops = list(group)
        if kind == "remove_prim":
            with Sdf.ChangeBlock():
                for op in ops:
                    specs.remove(context.layer, Sdf.Path(op.path))  # what was half added need not compose
        elif kind in _STRUCTURE:
            _run(undo, ops)
        else:
            for op in ops:  # one may switch on what the next is about
                _run(undo, [op])
