"""Messages over a pipe between two processes: a length (8 bytes, little endian) and as many bytes."""

from __future__ import annotations

import os
import struct
import sys
from typing import IO

_LENGTH = struct.Struct("<Q")


def own_output() -> IO[bytes]:
    """Standard output for messages alone: what libraries print goes to standard error and cannot come between them."""
    messages = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return messages


def write_message(stream: IO[bytes], data: bytes) -> None:
    """Send one message.

    Raises:
        OSError: The other side has gone.
    """
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes | None:
    """The next message; None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    data = stream.read(length := _LENGTH.unpack(head)[0])
    return data if len(data) == length else None
