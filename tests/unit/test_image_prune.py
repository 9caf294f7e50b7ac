"""Which images are superseded, and what decides an image's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.image.canonical import canonical_config
from lab.image.found import inputs_of
from lab.image.prune import ids_named_below, superseded
from tests.unit.test_image import an_image

ID = "sha256:" + "a" * 64


def an_entry(*tags: str, **labels: str) -> dict[str, Any]:
    """An image as the engine lists it."""
    return {"Id": ID, "RepoTags": list(tags) or None, "Labels": labels, "Size": 1}


def labels(inputs: str) -> dict[str, str]:
    """What a frozen image says of itself."""
    names = {"variant": "cpu", "target": "frozen", "kernels": "none", "base": "mmdebstrap:1"}
    return {"nightlab": "image", "nightlab.lock": "cpu.lock", "nightlab.inputs": inputs} | {
        f"nightlab.{name}": value for name, value in names.items()
    }


@pytest.mark.parametrize(
    ("entry", "gone"),
    [
        pytest.param(an_entry(**labels("another checkout's")), True, id="superseded"),
        pytest.param(an_entry("nightlab:cpu-frozen", **labels("x")), True, id="superseded-named"),
        pytest.param(an_entry(**labels(inputs_of(an_image()))), False, id="this-checkouts"),
        pytest.param(an_entry(nightlab="build"), True, id="left-by-a-build"),
        pytest.param(an_entry("nightlab-build:x", nightlab="build"), False, id="the-last-build"),
        pytest.param(an_entry(nightlab="gate"), False, id="another-part-of-the-lab"),
        pytest.param(an_entry("debian:bookworm"), False, id="not-ours"),
    ],
)
def test_only_what_nothing_names_is_superseded(entry: dict[str, Any], gone: bool) -> None:
    """An image that is gone takes with it every campaign that ran in it: none could go on."""
    assert superseded([entry], named=set()) == ([entry] if gone else [])
    assert superseded([entry], named={ID}) == []


def test_every_campaign_names_its_image_even_one_that_cannot_be_read(tmp_path: Path) -> None:
    """Pruning must not need to understand what older versions wrote."""
    for tag, text in (
        ("new", f'{{"image_id": "{ID}"}}'),
        ("torn", '{"image": "sha256:' + "b" * 64),
    ):
        (tmp_path / tag).mkdir()
        (tmp_path / tag / "campaign.json").write_text(text)
    assert ids_named_below(tmp_path) == {ID, "sha256:" + "b" * 64}


def test_an_id_depends_on_content_and_on_nothing_of_the_build() -> None:
    """Two people who built the same thing can say so by comparing one line."""
    described: dict[str, Any] = {
        "Architecture": "amd64",
        "Os": "linux",
        "Created": "2026-11-23T18:29:16Z",
        "Container": "10b0154343fa",
        "DockerVersion": "20.10",
        "Config": {"Hostname": "a", "User": "nightlab", "Env": ["A=1"], "Image": "sha256:1"},
        "RootFS": {"Type": "layers", "Layers": [ID]},
    }
    first = canonical_config(described, {"nightlab": "image"})
    again = described | {"Created": "2027", "Container": "x", "DockerVersion": "29"}
    again["Config"] = described["Config"] | {"Hostname": "b", "Image": "sha256:2"}
    assert canonical_config(again, {"nightlab": "image"}) == first
    assert b"10b0154343fa" not in first and b"2026-11" not in first
    other = described | {"Config": described["Config"] | {"User": "root"}}
    assert canonical_config(other, {"nightlab": "image"}) != first
