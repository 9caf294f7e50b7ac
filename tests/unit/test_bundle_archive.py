"""A stranger's archive: what is altered, hostile or odd is refused, each with its own words, and nothing is written."""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.bundle.archive import SEAL_BYTES, check_seal, header
from lab.bundle.export import Wanted, export
from lab.bundle.layout import Limits
from lab.bundle.unpacked import opened
from lab.bundle.verify import verify_file
from lab.errors import BadBundle, BadInput
from tests.unit.exported import (
    compress,
    crooked,
    make_campaign,
    make_settings,
    member,
    pack,
    raw_header,
    seal,
    skippable,
    unpack,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small, whole bundle."""
    place = tmp_path_factory.mktemp("bundle")
    made = make_settings(place)
    make_campaign(made, experiments=1)
    return export(made, place / "b.tar.zst", Wanted(), print).file.read_bytes()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, and the only place that may be written to."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def refused(content: bytes, place: Path, *, limits: Limits | None = None) -> BadBundle:
    """The refusal of a file of this content."""
    file = place / "hostile.tar.zst"
    file.write_bytes(content)
    with pytest.raises(BadBundle) as caught, opened(file, limits=limits or Limits()):
        pass
    return caught.value


def test_a_bundle_is_read_by_the_tools_that_everybody_has(bundle: bytes, tmp_path: Path) -> None:
    """A receiver without the lab must be able to look inside."""
    tar = unpack(bundle)
    with tarfile.open(fileobj=BytesIO(tar)) as listed:
        assert all(entry.isfile() and entry.mtime == 0 == entry.uid for entry in listed)
    (tmp_path / "b.tar.zst").write_bytes(bundle)
    found = subprocess.run(
        ["zstd", "-dc", "b.tar.zst"], cwd=tmp_path, capture_output=True, check=True
    )
    assert found.stdout == tar


def test_every_byte_counts(bundle: bytes, tmp_path: Path) -> None:
    """Padding, frame headers and compressed blocks too: what nobody decodes could still carry something."""
    file = tmp_path / "b.tar.zst"
    file.write_bytes(bundle)
    with file.open("r+b", buffering=0) as open_file:
        assert check_seal(open_file) == len(bundle) - SEAL_BYTES
        for place, byte in enumerate(bundle):
            os.pwrite(open_file.fileno(), bytes([byte ^ 1 << place % 8]), place)
            with pytest.raises(BadBundle):
                check_seal(open_file)
            os.pwrite(open_file.fileno(), bytes([byte]), place)
        assert check_seal(open_file) == len(bundle) - SEAL_BYTES


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_change_of_a_byte_is_refused(
    bundle: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """The property of the whole reader, whatever the byte becomes."""
    place = data.draw(st.integers(0, len(bundle) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda new: new != bundle[place]))
    refused(bundle[:place] + bytes([byte]) + bundle[place + 1 :], tmp_path)


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_change_that_is_sealed_again_is_refused(
    bundle: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    """The seal can be made by anybody; headers, padding and the manifests must catch a change by themselves."""
    tar = unpack(bundle)
    place = data.draw(st.integers(0, len(tar) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda new: new != tar[place]))
    refused(seal(compress(tar[:place] + bytes([byte]) + tar[place + 1 :])), tmp_path)


@given(cut=st.integers(0, 10**9))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_that_was_cut_off_is_refused(bundle: bytes, tmp_path: Path, cut: int) -> None:
    """A download that broke must not become a shorter night."""
    assert refused(bundle[: cut % len(bundle)], tmp_path).check == "seal"


HOSTILE = {
    "symlink": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 0, b"2", "/etc/passwd"), b"")]), "a symbolic link"),
    "hard-link": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 0, b"1", "/etc/passwd"), b"")]), "a hard link"),
    "character-device": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 0, b"3"), b"")]), "a character device"),
    "block-device": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 0, b"4"), b"")]), "a block device"),
    "fifo": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 0, b"6"), b"")]), "a FIFO"),
    "folder": (lambda: pack([(raw_header("nightlab-nov23/data", 0, b"5"), b"")]), "a folder entry"),
    "sparse": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 1, b"S"), b"x")]), "a sparse file"),
    "pax": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 1, b"x"), b"x")]), "an extended header"),
    "gnu-long-name": (lambda: pack([(raw_header("././@LongLink", 1, b"L"), b"x")]), "an extended header"),
    "unknown-kind": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 1, b"Z"), b"x")]), "unknown kind"),
    "old-style-file": (lambda: pack([(raw_header("nightlab-nov23/data/program.md", 1, b"\0"), b"x")]), "unknown kind"),
    "absolute": (lambda: pack([(raw_header("/etc/cron.d/x"), b"x")]), "an absolute name"),
    "backslashes": (lambda: pack([(raw_header("nightlab-nov23\\data\\x"), b"x")]), "another system"),
    "parent": (lambda: pack([(raw_header("nightlab-nov23/../../x"), b"x")]), "leads elsewhere"),
    "dot": (lambda: pack([(raw_header("nightlab-nov23/./data/program.md"), b"x")]), "leads elsewhere"),
    "double-slash": (lambda: pack([(raw_header("nightlab-nov23//data/program.md"), b"x")]), "leads elsewhere"),
    "duplicate": (lambda: pack([member("data/program.md"), member("data/program.md")]), "two files with one name"),
    "duplicate-by-case": (lambda: pack([member("data/recipe/images/A"), member("data/recipe/images/a")]), "two files with one name"),
    "file-and-folder": (lambda: pack([member("data/recipe/images/a"), member("data/recipe/images/a/b")]), "two files with one name"),
    "folder-and-file-by-case": (lambda: pack([member("data/recipe/images/A/b"), member("data/recipe/images/a")]), "two files with one name"),
    "composed-characters": (lambda: pack([(raw_header("nightlab-nov23/data/\u00e9"), b"x")]), "not ASCII"),
    "other-name": (lambda: pack([member("data/events.jsonl")]), "no place in a bundle"),
    "pickle": (lambda: pack([member("data/best/model.pt")]), "no place in a bundle"),
    "hidden-recipe": (lambda: pack([member("data/recipe/harness/.pth")]), "no place in a bundle"),
    "two-tops": (lambda: pack([member("data/program.md", top="nightlab-a"), member("data/program.md", top="nightlab-b")]), "not in one folder"),
    "no-top": (lambda: pack([(header("campaign.json", 1), b"x")]), "not in one folder"),
    "unsorted": (lambda: pack([member("data/program.md"), member("bagit.txt")]), "names are sorted"),
    "other-mode": (lambda: pack([(crooked(member("data/program.md")[0], 100, b"0000777"), b"x")]), "not in the one form"),
    "setuid": (lambda: pack([(crooked(member("data/program.md")[0], 100, b"0004755"), b"x")]), "not in the one form"),
    "a-user": (lambda: pack([(crooked(member("data/program.md")[0], 265, b"alice"), b"x")]), "not in the one form"),
    "a-time": (lambda: pack([(crooked(member("data/program.md")[0], 136, b"00000000001"), b"x")]), "not in the one form"),
    "checksum": (lambda: pack([(member("data/program.md")[0][:148] + b"000000\0 " + member("data/program.md")[0][156:], b"x")]), "not in the one form"),
    "negative-size": (lambda: pack([(crooked(member("data/program.md")[0], 124, b"-0000000001"), b"x")]), "not in the one form"),
    "binary-size": (lambda: pack([(crooked(member("data/program.md")[0], 124, b"\x80" + b"\xff" * 11), b"x")]), "not in the one form"),
    "header-padding": (lambda: pack([(member("data/program.md")[0][:-1] + b"!", b"x")]), "not in the one form"),
    "file-padding": (lambda: seal(compress(member("data/program.md")[0] + b"x" + b"!" * 511 + bytes(1024))), "between two files"),
    "cut-in-a-file": (lambda: seal(compress(header("nightlab-nov23/data/program.md", 9000) + b"x" * 512)), "in the middle of a file"),
    "no-end": (lambda: pack([member("data/program.md")], end=b""), "in the middle of a file"),
    "behind-the-end": (lambda: pack([member("data/program.md")], end=bytes(1024) + b"more"), "behind the last file"),
    "one-empty-block": (lambda: pack([member("data/program.md")], end=bytes(512) + b"x" * 512), "behind the last file"),
    "empty": (lambda: pack([]), "holds no file"),
    "too-large": (lambda: pack([(header("nightlab-nov23/bagit.txt", 10**6), bytes(10**6))]), "larger than a bundle may have it"),
    "bomb": (lambda: seal(compress(bytes(200_000_000))), "more than a bundle may hold"),
    "lying-size": (lambda: seal(_lying_frame(5000)), "holds less than it says|cannot be unpacked"),
    "no-checksum": (lambda: seal(zstandard.ZstdCompressor().compress(bytes(1024))), "not one that `lab bundle` writes"),
    "no-size": (lambda: seal(_no_size(bytes(1024))), "not one that `lab bundle` writes"),
    "two-frames": (lambda: seal(compress(bytes(1024)) + compress(bytes(1024))), "between its content and its seal"),
    "hidden-frame": (lambda: seal(compress(bytes(1024)) + skippable(b"secret")), "between its content and its seal"),
    "frame-before": (lambda: seal(skippable(b"secret") + compress(bytes(1024))), "not one that `lab bundle` writes|is not zstd|goes on behind"),
    "gzip": (lambda: seal(b"\x1f\x8b" + bytes(100)), "is not zstd"),
    "wide-window": (lambda: seal(_wide_window()), "not one that `lab bundle` writes"),
    "unsealed": (lambda: compress(bytes(1024)), "cut off|too short"),
    "something-behind-the-seal": (lambda: pack([member("data/program.md")]) + b"\n", "does not end with the seal"),
    "no-campaign": (lambda: pack([member("data/program.md")]), "campaign.json is missing"),
    "nothing": (lambda: b"", "too short"),
}  # fmt: skip


def _lying_frame(size: int) -> bytes:
    """A frame that says that it holds more than it does."""
    frame = bytearray(compress(b"x" * 300))
    assert frame[4] >> 6 == 1, "the size has two bytes, and is stored less 256"
    frame[5:7] = struct.pack("<H", size - 256)
    return bytes(frame)


def _no_size(content: bytes) -> bytes:
    packer = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    return packer.compress(content)


def _wide_window() -> bytes:
    parameters = zstandard.ZstdCompressionParameters(
        window_log=27, write_checksum=True, write_content_size=True
    )
    packer = zstandard.ZstdCompressor(compression_params=parameters)
    stream = packer.compressobj(size=2**28)
    return stream.compress(bytes(2**28)) + stream.flush()


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_with_its_own_words(
    make: Callable[[], bytes], words: str, tmp_path: Path, scratch: Path
) -> None:
    """Whatever is wrong with it, the receiver reads what, and nothing is left on the disk."""
    import re

    error = refused(make(), tmp_path)
    assert re.search(words, error.words), error.words
    assert "nothing of it was kept" in str(error) and error.exit_code == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar.zst", "scratch"]
    assert not list(scratch.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": 3}, "more than 3 files"),
        ({"small_bytes": 5000}, "larger than"),
        ({"total_bytes": 5000}, "more than a bundle may hold"),
        ({"ratio": 2}, "more than a bundle may hold"),
    ],
)
def test_a_bundle_over_a_limit_is_refused(
    bundle: bytes, tmp_path: Path, change: dict[str, int], words: str
) -> None:
    """Each limit holds by itself; many small files fill a disk too."""
    limits = dataclasses.replace(Limits(), **change)
    if "ratio" in change:
        bundle = seal(compress(unpack(bundle) + bytes(5 * 2**20)))
    assert words in refused(bundle, tmp_path, limits=limits).words


def test_a_bomb_is_not_unpacked_to_see_that_it_is_one(tmp_path: Path, scratch: Path) -> None:
    """A gigabyte from some kilobytes: refused by what it declares, in the memory of one chunk."""
    import resource

    bomb = seal(compress(bytes(2**30)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refused(bomb, tmp_path).check == "size"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


def without(tar: bytes, name: str) -> bytes:
    """A tar that lacks one file."""
    with tarfile.open(fileobj=BytesIO(tar)) as listed:
        entry = listed.getmember(f"nightlab-nov23/{name}")
    end = entry.offset_data + -(-entry.size // 512) * 512
    return tar[: entry.offset] + tar[end:]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("manifest-sha256.txt", "manifest-sha256.txt is missing"),
        ("tagmanifest-sha256.txt", "tagmanifest-sha256.txt is missing"),
        ("bagit.txt", "bagit.txt is missing"),
        ("bag-info.txt", "bag-info.txt is missing"),
        ("statement.json", "statement.json is missing"),
        ("data/results.tsv", "in the manifest and not in the bundle"),
        ("data/ledger.jsonl", "ledger.jsonl is missing"),
        ("data/campaign.json", "campaign.json is missing"),
    ],
)
def test_a_bundle_that_lacks_a_file_is_refused(
    bundle: bytes, tmp_path: Path, name: str, words: str
) -> None:
    """What is not there cannot be checked, and must not pass for checked."""
    assert words in refused(seal(compress(without(unpack(bundle), name))), tmp_path).words


def test_a_file_that_no_manifest_lists_is_refused(bundle: bytes, tmp_path: Path) -> None:
    """Added on the way, with a good name and a good seal."""
    tar = unpack(bundle)
    with tarfile.open(fileobj=BytesIO(tar)) as listed:
        place = listed.getmember("nightlab-nov23/manifest-sha256.txt").offset
    head, content = member("data/transcripts/0001.jsonl")
    added = tar[:place] + head + content.ljust(512, b"\0") + tar[place:]
    assert "not in its manifest" in refused(seal(compress(added)), tmp_path).words


def test_a_file_that_was_changed_is_named(bundle: bytes, tmp_path: Path) -> None:
    """The receiver can say which file to ask for, and whether it matters."""
    changed = unpack(bundle).replace(b"LOSS = 1", b"LOSS = 2")
    words = refused(seal(compress(changed)), tmp_path).words
    assert words == "data/recipe/harness/judge.py is not what the manifest lists."


def test_what_is_no_file_is_bad_input(tmp_path: Path) -> None:
    """A typing error is not an altered bundle."""
    with pytest.raises(BadInput, match="no bundle"), opened(tmp_path / "absent.tar.zst"):
        pass


def test_a_refusal_is_shown_as_a_line_and_a_whole_bundle_leaves_nothing(
    bundle: bytes, tmp_path: Path, scratch: Path
) -> None:
    """One line a check, and the scratch folder is gone either way."""
    file = tmp_path / "b.tar.zst"
    file.write_bytes(bundle)
    lines: list[str] = []
    with opened(file) as whole:
        assert (whole.payload / "ledger.jsonl").exists() and list(scratch.iterdir())
    assert [check.passed for check in verify_file(file, signers=None, say=lines.append)] == [
        *[True] * 4,
        None,
    ]
    assert len(lines) == 5
    file.write_bytes(bundle[:-1])
    with pytest.raises(BadBundle):
        verify_file(file, signers=None, say=lines.append)
    assert lines[-1].startswith("0 FAILED seal")
    assert not list(scratch.iterdir())
