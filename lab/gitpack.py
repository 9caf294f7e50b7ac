"""A git pack that is the same bytes wherever the same objects are: what git itself writes depends on much else.

Owns    pack version 2, of whole objects that are not compressed
Takes   objects as (type, content), in the order that they are to have
Gives   a pack that any git reads
Never   compresses: what carries the pack does it once, and better, over all the objects
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence

_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_BLOCK_BYTES = 65535  # the most that a block of stored bytes holds


def write_pack(objects: Sequence[tuple[str, bytes]]) -> bytes:
    parts = [struct.pack(">4sII", b"PACK", 2, len(objects))]
    for kind, content in objects:
        # Four bits of the size beside the type, then seven bits a byte.
        size, byte = len(content) >> 4, _KINDS[kind] << 4 | len(content) & 15
        while size:
            parts.append(bytes([byte | 128]))
            size, byte = size >> 7, size & 127
        parts += [bytes([byte]), _stored(content)]
    pack = b"".join(parts)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def _stored(content: bytes) -> bytes:
    """A zlib stream of stored blocks."""
    blocks = [content[at : at + _BLOCK_BYTES] for at in range(0, len(content), _BLOCK_BYTES)]
    parts = [b"\x78\x01"]
    for number, block in enumerate(blocks or [b""], start=1):
        size = len(block)
        parts += [struct.pack("<BHH", number >= len(blocks), size, size ^ 0xFFFF), block]
    return b"".join(parts) + struct.pack(">I", zlib.adler32(content))
