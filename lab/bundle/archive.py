"""One .tar.zst: written the same way every time, and read without trust.

Owns    the bytes of the file: tar headers, the zstd frame, and the seal behind it
Takes   files by name, in a folder; or a file from a stranger
Gives   the file; or its members, one by one, each no longer than it may be
Never   believes a header: each is made again from what it says, and must be the same byte for byte

The seal is a zstd skippable frame with the sha256 of every byte before it, so `zstd -d | tar x` works, and a
byte that changes nothing of the content (a frame header, padding) is missed no more than any other. It says
that a file is whole, not who made it: whoever alters a bundle can seal it again. What then still shows it are
the manifests, the signature, and the records themselves.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, cast

import zstandard

from lab.bundle.layout import Limits, folded, is_large, most_bytes, tag_of
from lab.errors import BadBundle

BLOCK = 512
CHUNK = 2**20
LEVEL = 12
WINDOW_LOG = 23  # 8 MiB, what `zstd -d` takes without being asked

SEAL_MAGIC = 0x184D2A5E  # one of the sixteen that every zstd decoder skips
SEAL_HEAD = struct.pack("<II", SEAL_MAGIC, 48) + b"nightlab-seal-01"
SEAL_BYTES = len(SEAL_HEAD) + 32

_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder entry",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"x": "an extended header",
    b"g": "an extended header",
    b"L": "an extended header",
    b"K": "an extended header",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a bundle."""

    name: str  # below the top folder
    size: int


def header(name: str, size: int) -> bytes:
    """The tar header of a plain file: ustar, mode 644, root's, made in 1970. The only kind there is here.

    Raises:
        ValueError: the name or the size does not fit.
    """
    prefix, short = "", name
    if len(name) > 100:
        cut = name.find("/", len(name) - 101)
        prefix, short = name[:cut], name[cut + 1 :]
        if cut < 1 or len(prefix) > 155:
            raise ValueError(f"{name} is too long")
    fields = (
        short.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,  # where the checksum goes
        b"0".ljust(101, b"\0"),
        b"ustar\x0000".ljust(88, b"\0"),  # no names of users, no devices
        prefix.encode("ascii").ljust(155, b"\0"),
    )
    block = b"".join(fields).ljust(BLOCK, b"\0")
    if len(block) != BLOCK:
        raise ValueError(f"{name}: {size} bytes do not fit a header")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def write_archive(output: BinaryIO, folder: Path, top: str, names: Sequence[str]) -> str:
    """Write the named files of `folder` as one bundle; the sha256 of the whole. `output` is at its start."""
    ordered = sorted(names)
    total = 2 * BLOCK
    for name in ordered:
        total += BLOCK + _padded((folder / name).stat().st_size)
    whole = _Hashing(output)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, window_log=WINDOW_LOG, threads=0, write_checksum=True, write_content_size=True
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    with packer.stream_writer(
        cast("IO[bytes]", whole), size=total, write_size=CHUNK, closefd=False
    ) as packed:
        for name in ordered:
            _write_member(packed.write, folder / name, f"{top}/{name}")
        packed.write(bytes(2 * BLOCK))
    whole.write(SEAL_HEAD + whole.digest.digest())
    return whole.digest.hexdigest()


def _write_member(write: Callable[[bytes], int], file: Path, name: str) -> None:
    size = file.stat().st_size
    write(header(name, size))
    written = 0
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            write(chunk)
            written += len(chunk)
    if written != size:
        raise OSError(f"{file} changed while it was read")
    write(bytes(_padded(size) - size))


def check_seal(file: BinaryIO) -> int:
    """See that a bundle is the bytes that were sealed; where its zstd frame ends.

    Raises:
        BadBundle: it is not.
    """
    size = os.fstat(file.fileno()).st_size
    if size <= SEAL_BYTES:
        raise BadBundle("seal", "it is too short to be a bundle, or was cut off.")
    file.seek(size - SEAL_BYTES)
    seal = file.read(SEAL_BYTES)
    if not seal.startswith(SEAL_HEAD):
        raise BadBundle("seal", "it does not end with the seal of a bundle: cut off, or no bundle.")
    digest = hashlib.sha256()
    file.seek(0)
    left = size - SEAL_BYTES
    while left:
        chunk = file.read(min(CHUNK, left))
        if not chunk:
            raise BadBundle("seal", "it became shorter while it was read.")
        digest.update(chunk)
        left -= len(chunk)
    if digest.digest() != seal[len(SEAL_HEAD) :]:
        raise BadBundle("seal", "a byte of it is not what was sealed.")
    return size - SEAL_BYTES


def read_members(
    file: BinaryIO, end: int, limits: Limits
) -> Iterator[tuple[str, Member, Iterator[bytes]]]:
    """The top folder, each member and its content, which must be read before the next one is asked for.

    Nothing is in memory but a megabyte; what is too large is refused by what its header says, and cannot be
    larger than that.

    Raises:
        BadBundle: it is no archive of ours; the message says what is wrong with it.
    """
    declared = _check_frame(file, end)
    if declared > limits.total_bytes or declared > limits.ratio * end + CHUNK:
        raise BadBundle(
            "size",
            f"{end} bytes would unpack to {declared}, more than a bundle may hold or fits here.",
        )
    file.seek(0)
    unpacker = zstandard.ZstdDecompressor(max_window_size=2**WINDOW_LOG)
    stream = unpacker.stream_reader(
        cast("IO[bytes]", _Part(file, end)), read_size=CHUNK, closefd=False
    )
    tar = _Tar(stream, declared)
    top, before, seen, small = "", "", set[str](), 0
    while (block := tar.take(BLOCK)) != bytes(BLOCK):
        full, size = _read_header(block)
        here, _, name = full.partition("/")
        most = _check_name(full, here, name, top, seen)
        small += 0 if is_large(name) else size
        if size > most or small > limits.small_bytes:
            raise BadBundle("size", f"{name} is larger than a bundle may have it: {size} bytes.")
        if full < before:
            raise BadBundle("archive", f"{name} is not in its place: names are sorted.")
        if len(seen) > limits.files:
            raise BadBundle("size", f"it holds more than {limits.files} files.")
        top, before = here, full
        yield top, Member(name=name, size=size), tar.content(size)
        tar.skip_padding(size)
    if not top:
        raise BadBundle("archive", "it holds no file.")
    tar.finish()


def _check_name(full: str, here: str, name: str, top: str, seen: set[str]) -> int:
    """How many bytes the member may have; `seen` grows by it."""
    parts = full.split("/")
    if full.startswith("/") or "\\" in full:
        raise BadBundle("names", f"an absolute name or one of another system: {_shown(full)}.")
    if any(part in ("", ".", "..") for part in parts):
        raise BadBundle("names", f"a name that leads elsewhere: {_shown(full)}.")
    one = folded(full)
    above = ["/".join(one.split("/")[:depth]) for depth in range(1, len(parts))]
    if seen & {one, f"{one}/", *above}:
        raise BadBundle("names", f"two files with one name: {_shown(full)}.")
    seen |= {one, *(f"{folder}/" for folder in above)}
    if tag_of(here) is None or (top and here != top):
        raise BadBundle("names", f"not in one folder named nightlab-TAG: {_shown(full)}.")
    most = most_bytes(name)
    if most is None:
        raise BadBundle("names", f"a file that has no place in a bundle: {_shown(name)}.")
    return most


def _read_header(block: bytes) -> tuple[str, int]:
    """Name and size, of a header that is exactly the one that we would write."""
    kind = block[156:157]
    if kind != b"0":
        raise BadBundle("archive", f"it holds {_KINDS.get(kind, 'an entry of unknown kind')}.")
    short, prefix = (part.partition(b"\0")[0] for part in (block[:100], block[345:500]))
    raw = prefix + b"/" + short if prefix else short
    name = raw.decode("utf-8", "replace")
    if not name.isascii():
        raise BadBundle("names", f"a name that is not ASCII: {_shown(name)}.")
    try:
        size = int(block[124:135], 8)
        canonical = size >= 0 and header(name, size) == block
    except ValueError:  # UnicodeEncodeError is one
        canonical = False
    if not canonical:
        # What is wrong with the name is said first.
        _check_name(name, *name.partition("/")[::2], "", set())
        raise BadBundle("archive", f"the header of {_shown(name)} is not in the one form allowed.")
    return name, size


def _check_frame(file: BinaryIO, end: int) -> int:
    """See that one zstd frame with size and checksum ends exactly at `end`; how much it says it holds."""
    file.seek(0)
    try:
        head = file.read(18)
        frame = zstandard.get_frame_parameters(head)
        place = zstandard.frame_header_size(head)
    except zstandard.ZstdError as error:
        raise BadBundle("archive", "it is not zstd.") from error
    declared = int(frame.content_size)
    if frame.dict_id or not frame.has_checksum or declared >= 2**63 or frame.window_size > 2**24:
        raise BadBundle("archive", "its zstd frame is not one that `lab bundle` writes.")
    last = False
    while not last:
        file.seek(place)
        word = int.from_bytes(file.read(3), "little")
        last, kind, size = bool(word & 1), (word >> 1) & 3, word >> 3
        place += 3 + (1 if kind == 1 else size)
        if kind == 3 or place > end:
            raise BadBundle("archive", "its zstd frame is broken or goes on behind its end.")
    if place + 4 != end:
        raise BadBundle("archive", "there is something between its content and its seal.")
    return declared


class _Tar:
    """The unpacked bytes, taken in order."""

    def __init__(self, stream: zstandard.ZstdDecompressionReader, declared: int) -> None:
        self._stream = stream
        self._left = declared

    def take(self, size: int) -> bytes:
        if size > self._left:
            raise BadBundle("archive", "it ends in the middle of a file.")
        parts, missing = [], size
        while missing:
            try:
                part = self._stream.read(missing)
            except zstandard.ZstdError as error:
                raise BadBundle("archive", f"it cannot be unpacked: {error}.") from error
            if not part:
                raise BadBundle("archive", "it holds less than it says.")
            parts.append(part)
            missing -= len(part)
        self._left -= size
        return b"".join(parts)

    def content(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self.take(min(CHUNK, size))
            size -= len(chunk)
            yield chunk

    def skip_padding(self, size: int) -> None:
        if any(self.take(_padded(size) - size)):
            raise BadBundle("archive", "there is something between two files.")

    def finish(self) -> None:
        """The end: one more empty block, and nothing after it."""
        if any(self.take(BLOCK)) or self._left:
            raise BadBundle("archive", "there is something behind the last file.")
        try:
            more = self._stream.read(1)
        except zstandard.ZstdError as error:  # the checksum is read at the end
            raise BadBundle("archive", f"it cannot be unpacked: {error}.") from error
        if more:
            raise BadBundle("archive", "it holds more than it says.")


class _Part(io.RawIOBase):
    """A file up to a place."""

    def __init__(self, file: BinaryIO, end: int) -> None:
        self._file = file
        self._left = end

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(chunk)
        return chunk


class _Hashing(io.RawIOBase):
    """What is written, hashed on its way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self._file.write(chunk)
        self.digest.update(chunk)
        return len(chunk)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _shown(name: str) -> str:
    """A stranger's name, harmless in a terminal."""
    return ascii(name[:120])
