"""TypeScript types of the wire, made from :mod:`twin.protocol.messages` and :mod:`twin.protocol.documents`.

``python -m twin.protocol.typescript > web_viewer/src/protocol/messages.gen.ts``; a test asserts that the committed file is
what this makes. Structs become interfaces, ``array_like`` ones labelled tuples. A field may be missing where the sender omits
defaults, and in what clients send, where the server fills in the default.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, get_args

import msgspec
from msgspec import inspect as mi

from twin.protocol import documents, messages

_PLAIN: dict[type, str] = {
    mi.AnyType: "unknown",
    mi.NoneType: "null",
    mi.BoolType: "boolean",
    mi.IntType: "number",
    mi.FloatType: "number",
    mi.StrType: "string",
    mi.BytesType: "Uint8Array",
}


def _structs() -> list[type[msgspec.Struct]]:
    """Every message, document and record, in the order of the files."""
    found = [(module, v) for module in (messages, documents) for v in vars(module).values()]
    return [v for m, v in found if inspect.isclass(v) and issubclass(v, msgspec.Struct) and v.__module__ == m.__name__]


def _type(node: mi.Type) -> str:
    """The TypeScript of one msgspec type.

    Raises:
        TypeError: A type that has no counterpart here.
    """
    plain = _PLAIN.get(type(node))
    if plain is not None:
        return plain
    if isinstance(node, mi.StructType):
        return node.cls.__name__
    if isinstance(node, mi.ListType | mi.VarTupleType):
        item = _type(node.item_type)
        return f"({item})[]" if "|" in item else f"{item}[]"
    if isinstance(node, mi.DictType):
        return f"Record<{_type(node.key_type)}, {_type(node.value_type)}>"
    if isinstance(node, mi.UnionType):
        return " | ".join(_type(t) for t in node.types)
    raise TypeError(f"{node!r} has no TypeScript counterpart in the protocol")


def _comment(cls: type) -> list[str]:
    text = cls.__dict__.get("__doc__")
    if not text:
        return []
    lines = inspect.cleandoc(text).splitlines()
    if len(lines) == 1:
        return [f"/** {lines[0]} */"]
    return ["/**", *(f" * {line}".rstrip() for line in lines), " */"]


def _declaration(cls: type[msgspec.Struct], sent_by_client: set[type]) -> list[str]:
    info = mi.type_info(cls)
    if not isinstance(info, mi.StructType):
        raise TypeError(f"{cls.__name__} is no struct")
    out = _comment(cls)
    if info.array_like:
        members = ", ".join(f"{f.encode_name}: {_type(f.type)}" for f in info.fields)
        return [*out, f"export type {cls.__name__} = [{members}];", ""]
    out.append(f"export interface {cls.__name__} {{")
    if info.tag is not None:
        out.append(f'  {info.tag_field}: "{info.tag}";')
    may_omit = cls in sent_by_client or cls.__struct_config__.omit_defaults
    for field in info.fields:
        mark = "?" if may_omit and not field.required else ""
        out.append(f"  {field.encode_name}{mark}: {_type(field.type)};")
    return [*out, "}", ""]


def _union(name: str, union: Any) -> list[str]:
    return [f"export type {name} =", *(f"  | {cls.__name__}" for cls in get_args(union))]


def generate() -> str:
    """The whole file."""
    sent_by_client = set(get_args(messages.ClientMessage))
    lines = [
        "// Made by twin.protocol.typescript from twin/protocol/messages.py; change it there, then run `make types`.",
        "",
        f"export const PROTOCOL_VERSION = {messages.PROTOCOL_VERSION};",
        "",
    ]
    for cls in _structs():
        lines += _declaration(cls, sent_by_client)
    lines += [*_union("ClientMessage", messages.ClientMessage), ";", ""]
    lines += [*_union("ServerMessage", messages.ServerMessage), ";", ""]
    return "\n".join(lines).replace("\n;\n", ";\n")


if __name__ == "__main__":
    sys.stdout.write(generate())
