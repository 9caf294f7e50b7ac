"""An image's id as a function of what is in it.

A builder writes the time, its version and the ids of its containers into an image's config, and the image's id is
the sha256 of that. So the config is written again with what an image is run by, and the layers as they are; the
engine has those already, and the rewriting costs a fraction of a second.

Owns    which fields a config of ours has
Takes   an image as a builder left it
Gives   the same image under its canonical id
Never   changes a layer
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lab.container import Engine
from lab.image.base import SOURCE_DATE_EPOCH
from lab.image.found import ENGINE_ERRORS, engine_failed
from lab.image.loading import load

RUN_BY = ("Cmd", "Entrypoint", "Env", "User", "WorkingDir")


def canonical_config(inspected: Mapping[str, Any], labels: Mapping[str, str]) -> bytes:
    """The config of an image that the engine describes: the same bytes for the same content, whoever built it."""
    time = datetime.fromtimestamp(SOURCE_DATE_EPOCH, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    diff_ids = inspected["RootFS"]["Layers"]
    built = inspected["Config"]
    config = {
        "architecture": inspected["Architecture"],
        "config": {name: built[name] for name in RUN_BY if built.get(name)}
        | {"Labels": dict(labels)},
        "created": time,
        # Builders word their steps differently; the recipe is named by its sha256, in the labels.
        "history": [{"created": time, "created_by": "nightlab"} for _ in diff_ids],
        "os": inspected["Os"],
        "rootfs": {"diff_ids": diff_ids, "type": "layers"},
    }
    if inspected.get("Variant"):
        config["variant"] = inspected["Variant"]  # of the architecture: arm64 has several
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def make_canonical(engine: Engine, built: str, labels: Mapping[str, str], tag: str) -> str | None:
    """Give what was built its canonical id, labels and tag; None where the engine cannot.

    An engine that keeps images by their manifest (containerd's store) refuses a config without its layers.

    Raises:
        ImageError: the engine does not answer.
    """
    try:
        inspected = engine.client.api.inspect_image(built)  # type: ignore[no-untyped-call]
    except ENGINE_ERRORS as error:
        raise engine_failed("describe what it built", error) from error
    config = canonical_config(inspected, labels)
    return load(engine, config, tag, inspected["RootFS"]["Layers"], ())
