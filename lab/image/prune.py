"""`lab image prune`: remove images of ours that nothing names any more.

Owns    which image is superseded
Takes   the campaigns' folder, and what this checkout names
Gives   what was removed, one line each
Never   removes an image that a campaign names or a container uses, or one that is not ours
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lab.container import LABEL, Engine
from lab.image.found import ENGINE_ERRORS, engine_failed, image_of, inputs_of

_ID = re.compile(r"sha256:[0-9a-f]{64}")


def prune_images(engine: Engine, runs: Path) -> list[str]:
    """Remove the images that no campaign and not this checkout names; a line for each that is gone.

    Raises:
        ImageError: the engine does not answer.
    """
    try:
        ours = [
            entry
            for role in ("image", "build")
            for entry in engine.client.api.images(filters={"label": f"{LABEL}={role}"})
        ]
    except ENGINE_ERRORS as error:
        raise engine_failed("list its images", error) from error
    return remove_images(engine, superseded(ours, ids_named_below(runs)))


def superseded(listed: Iterable[dict[str, Any]], named: set[str]) -> list[dict[str, Any]]:
    """Of the engine's entries, those of images of ours that neither a campaign nor this checkout names.

    What builds left behind is superseded as soon as it has no name: the latest build's memory has one.
    """
    found = []
    for entry in listed:
        labels = entry["Labels"] or {}
        if labels.get(LABEL) == "build":
            is_old = not _tags(entry)
        else:
            image = image_of(str(entry["Id"]), labels)
            is_old = labels.get(LABEL) == "image" and (
                image is None or image.inputs != inputs_of(image)
            )
        if is_old and entry["Id"] not in named:
            found.append(entry)
    return found


def remove_images(engine: Engine, entries: Iterable[dict[str, Any]]) -> list[str]:
    """Remove images that nothing uses; the engine itself refuses the others."""
    removed = []
    for entry in entries:
        names = _tags(entry) or [str(entry["Id"])]
        try:
            for name in names:
                engine.client.api.remove_image(name)
        except ENGINE_ERRORS:
            continue  # a container was made from it, or an image was built on it
        removed.append(
            f"{entry['Id'][7:19]}  {entry['Size'] / 1e9:.2f} GB  {' '.join(_tags(entry))}".strip()
        )
    return removed


def ids_named_below(runs: Path) -> set[str]:
    """Every image id that a campaign's facts hold, read as text: an old or broken campaign counts too."""
    named: set[str] = set()
    for file in runs.glob("*/campaign.json"):
        named |= set(_ID.findall(file.read_text(errors="replace")))
    return named


def _tags(entry: dict[str, Any]) -> list[str]:
    return [tag for tag in entry["RepoTags"] or [] if tag != "<none>:<none>"]
