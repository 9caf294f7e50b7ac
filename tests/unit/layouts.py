"""A small image layout for tests, to be written as it should be or spoilt in one place."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from lab.image import layout
from lab.image.layout import BLOBS, CONFIG_TYPE, LAYER_TYPE, VERSION, index_of


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{sha256(content)}", "size": len(content)}


def a_layer() -> bytes:
    """One file, as a layer."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    return layer.getvalue()


def a_config(**changes: Any) -> dict[str, Any]:
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Labels": {"nightlab": "image"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(a_layer())}"]},
    }
    return config | changes


def a_layout(config: Any = None, manifest: Any = None, index: Any = None) -> dict[str, bytes]:
    """The files of a layout by name; each document can be replaced, and what names it follows."""
    config_bytes = as_json(config or a_config())
    whole = {
        "schemaVersion": 2,
        "config": descriptor(CONFIG_TYPE, config_bytes),
        "layers": [descriptor(LAYER_TYPE, a_layer())],
    }
    manifest_bytes = as_json(whole | (manifest or {}))
    listed = json.loads(index_of(manifest_bytes))
    return {
        "oci-layout": VERSION,
        "index.json": layout.as_json(listed | (index or {})),
        BLOBS + sha256(a_layer()): a_layer(),
        BLOBS + sha256(config_bytes): config_bytes,
        BLOBS + sha256(manifest_bytes): manifest_bytes,
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(file: Path, files: list[tuple[tarfile.TarInfo | str, bytes]]) -> Path:
    """A tar of whatever entries; a plain name is a plain file."""
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as tar:
        for entry, content in files:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    raw = file.read_bytes().rstrip(b"\0")
    raw += bytes(-len(raw) % tarfile.BLOCKSIZE)
    file.write_bytes(raw + bytes(2 * tarfile.BLOCKSIZE))
    return file
