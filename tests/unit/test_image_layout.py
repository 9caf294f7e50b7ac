"""Image layouts from strangers: what is accepted, and everything that is not."""

from __future__ import annotations

import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ImageError
from lab.image.layout import (
    BLOBS,
    CONFIG_TYPE,
    LAYER_TYPE,
    files_of_folder,
    files_of_tar,
    read_layout,
)
from tests.unit.layouts import (
    a_config,
    a_layer,
    a_layout,
    as_json,
    descriptor,
    sha256,
    write_folder,
    write_tar,
)

LAYER = BLOBS + sha256(a_layer())
ANY = "sha256:" + "0" * 64


def test_a_whole_layout_is_read_from_a_folder_and_from_a_tar(tmp_path: Path) -> None:
    """The control: what is refused below is refused for its difference alone."""
    files = a_layout()
    folder = write_folder(tmp_path / "layout", files)
    tar = write_tar(tmp_path / "layout.tar", list(files.items()))
    for found in (files_of_folder(folder), files_of_tar(tar)):
        contents = read_layout(found)
        assert contents.id == f"sha256:{sha256(as_json(a_config()))}"
        assert contents.labels == {"nightlab": "image"}
        with contents.layers[0].open() as opened:
            assert opened.read() == a_layer()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(
            {LAYER: a_layer()[:-1] + b"x"}, "not what its digest says", id="layer-altered"
        ),
        pytest.param({LAYER: a_layer() + b"x"}, "bytes, not", id="layer-longer"),
        pytest.param({LAYER: None}, "is missing", id="layer-missing"),
        pytest.param({"index.json": None}, "index.json is missing", id="no-index"),
        pytest.param({"index.json": b" " * (2 << 20)}, "bytes", id="huge-index"),
        pytest.param({"index.json": b"[" * 100_000}, "index.json", id="deep-index"),
        pytest.param({"index.json": b"\xff{}"}, "index.json", id="no-text"),
        pytest.param({"oci-layout": b'{"imageLayoutVersion":"9"}'}, "version", id="other-version"),
        pytest.param({BLOBS + "1" * 64: b"stowaway"}, "belongs to nothing", id="extra-blob"),
    ],
)
def test_a_layout_with_one_file_changed_is_refused(
    tmp_path: Path, spoil: dict[str, bytes | None], why: str
) -> None:
    """Whoever sends an image can send anything."""
    files = {name: content for name, content in (a_layout() | spoil).items() if content is not None}
    for found in (
        files_of_folder(write_folder(tmp_path / "layout", files)),
        files_of_tar(write_tar(tmp_path / "layout.tar", list(files.items()))),
    ):
        with pytest.raises(ImageError) as caught:
            read_layout(found)
        assert why in caught.value.why
        assert "nothing was loaded" in caught.value.do


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param(
            {"config": a_config(rootfs={"type": "layers", "diff_ids": [ANY]})},
            "other layers",
            id="config-names-another-layer",
        ),
        pytest.param(
            {"config": a_config(config={"Volumes": {"/data": {}}})}, "Volumes", id="volumes"
        ),
        pytest.param({"config": a_config(config={"OnBuild": ["RUN x"]})}, "OnBuild", id="on-build"),
        pytest.param({"manifest": {"layers": []}}, "layers", id="no-layers"),
        pytest.param(
            {"manifest": {"layers": [descriptor(LAYER_TYPE, a_layer())] * 200}},
            "layers",
            id="too-many-layers",
        ),
        pytest.param(
            {"manifest": {"layers": [descriptor(LAYER_TYPE + "+gzip", a_layer())]}},
            "gzip",
            id="compressed-layer",
        ),
        pytest.param(
            {"manifest": {"layers": [descriptor(LAYER_TYPE, a_layer()) | {"size": -1}]}},
            "size",
            id="negative-size",
        ),
        pytest.param(
            {"manifest": {"layers": [descriptor(LAYER_TYPE, a_layer()) | {"size": 1 << 60}]}},
            "size",
            id="endless-size",
        ),
        pytest.param(
            {"manifest": {"config": {"mediaType": CONFIG_TYPE, "digest": ANY, "size": 1}}},
            "is missing",
            id="config-missing",
        ),
        pytest.param(
            {
                "manifest": {
                    "config": {"mediaType": CONFIG_TYPE, "digest": "sha256:../../x", "size": 1}
                }
            },
            "digest",
            id="digest-is-a-path",
        ),
        pytest.param({"index": {"manifests": []}}, "manifests", id="no-manifest"),
        pytest.param({"index": {"schemaVersion": 1}}, "schemaVersion", id="old-schema"),
    ],
)
def test_a_document_that_says_something_else_is_refused(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    """Every digest is right here; what the documents say is not."""
    with pytest.raises(ImageError) as caught:
        read_layout(files_of_folder(write_folder(tmp_path, a_layout(**changes))))
    assert why in caught.value.why


def an_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(an_entry("../../etc/cron.d/x"), id="escape"),
        pytest.param(an_entry("/etc/passwd"), id="absolute"),
        pytest.param(an_entry(BLOBS + "../x"), id="escape-below"),
        pytest.param(an_entry(BLOBS + "2" * 64, tarfile.SYMTYPE, "/etc/shadow"), id="symlink"),
        pytest.param(an_entry(BLOBS + "2" * 64, tarfile.LNKTYPE, "oci-layout"), id="hard-link"),
        pytest.param(an_entry(BLOBS + "2" * 64, tarfile.CHRTYPE), id="device"),
        pytest.param(an_entry(BLOBS + "2" * 64, tarfile.FIFOTYPE), id="fifo"),
        pytest.param(an_entry(BLOBS + "2" * 64, tarfile.GNUTYPE_SPARSE), id="sparse"),
        pytest.param(an_entry("blobs", tarfile.DIRTYPE), id="folder"),
        pytest.param(an_entry("x" * 300), id="long-name"),
        pytest.param(an_entry("oci-layout"), id="twice"),
        pytest.param(an_entry(BLOBS + "A" * 64), id="capitals"),
    ],
)
def test_a_tar_holds_plain_files_of_a_layout_each_once(
    tmp_path: Path, entry: tarfile.TarInfo
) -> None:
    """What unpacks such a tar somewhere later would be led astray; and nothing of ours ever wrote one."""
    files = [*a_layout().items(), (entry, b"")]
    with pytest.raises(ImageError) as caught:
        files_of_tar(write_tar(tmp_path / "image.tar", list(files)))
    assert "nothing was loaded" in caught.value.do


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda raw: raw[:-1024], id="no-end"),
        pytest.param(lambda raw: raw[:-513], id="half-an-end"),
        pytest.param(lambda raw: raw[:700], id="cut"),
        pytest.param(lambda raw: raw + b"more", id="more-after-the-end"),
        pytest.param(lambda raw: b"\x1f\x8b" + raw, id="no-tar"),
        pytest.param(lambda raw: raw[:124] + b"\xff" * 12 + raw[136:], id="negative-size"),
        pytest.param(
            lambda raw: raw[:124] + b"77777777777\0" + raw[136:], id="larger-than-the-file"
        ),
        pytest.param(lambda raw: b"", id="empty"),
    ],
)
def test_a_tar_that_is_not_whole_is_refused(tmp_path: Path, spoil: Any) -> None:
    """Sizes in a header are claims; the parser must end, and read nothing twice."""
    file = write_tar(tmp_path / "image.tar", list(a_layout().items()))
    raw = bytearray(spoil(file.read_bytes()))
    if len(raw) > 512 and raw[257:262] == b"ustar":
        raw[148:156] = b" " * 8  # the header's own checksum must not be what saves us
        raw[148:156] = b"%06o\0 " % sum(raw[:512])
    file.write_bytes(raw)
    with pytest.raises(ImageError):
        read_layout(files_of_tar(file))


def test_every_changed_byte_of_a_tar_is_noticed(tmp_path: Path) -> None:
    """An archive in which something can be changed unseen has two meanings, and only one was checked."""
    file = write_tar(tmp_path / "image.tar", list(a_layout().items()))
    raw = file.read_bytes()
    at_will = random.Random(1)
    spoilt = tmp_path / "spoilt.tar"
    for place in {*range(0, 1024, 3), *at_will.sample(range(len(raw)), 500)}:
        changed = bytearray(raw)
        changed[place] ^= 1 << at_will.randrange(8)
        spoilt.write_bytes(changed)
        with pytest.raises(ImageError):
            read_layout(files_of_tar(spoilt))


def test_a_folder_with_a_link_in_it_is_refused(tmp_path: Path) -> None:
    """A bundle's folder came from a stranger too; a link would hand out a file of this host."""
    for number, (name, target) in enumerate(
        [(LAYER, "/etc/hostname"), ("blobs", "/tmp"), ("index.json", "nowhere")]
    ):
        folder = write_folder(tmp_path / str(number), a_layout())
        place = folder / name
        if place.is_dir():
            place.rename(folder.with_suffix(".blobs"))
        else:
            place.unlink()
        place.symlink_to(target)
        with pytest.raises(ImageError, match="not an image"):
            read_layout(files_of_folder(folder))
