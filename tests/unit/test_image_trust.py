"""An image that is there already is looked at as one that came from elsewhere is: it may have."""

from __future__ import annotations

from typing import Any

import pytest

from lab.errors import ImageError
from lab.image import Image, build
from lab.settings import read_settings
from tests.unit.test_image import an_image

PULLED = an_image(id="sha256:" + "1" * 64)
BUILT = an_image(id="sha256:" + "2" * 64)


def test_an_image_that_is_not_what_its_labels_say_is_built_again_and_not_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anyone can put our labels on an image; a night in it would be scored by another judge."""
    found = iter([PULLED, BUILT])
    built: list[str] = []
    said: list[str] = []

    def verify(_: Any, image: Image) -> None:
        if image == PULLED:
            raise ImageError("it is not what this checkout froze.", why="judge.py differs")

    monkeypatch.setattr(build, "find_image", lambda *_: next(found))
    monkeypatch.setattr(build, "verify_image", verify)
    monkeypatch.setattr(build, "ensure_base_image", lambda *_: ("base", "mmdebstrap:1"))
    monkeypatch.setattr(build, "build_image", lambda *given: built.append(given[5]))
    engine: Any = None
    image = build.ensure_image(engine, read_settings({}), "cpu", "frozen", said.append)
    assert image == BUILT
    assert built == ["nightlab:cpu-frozen"]
    assert "judge.py differs" in said[0]


def test_an_image_that_is_what_its_labels_say_is_not_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The control, and what nearly every start does."""
    monkeypatch.setattr(build, "find_image", lambda *_: BUILT)
    monkeypatch.setattr(build, "verify_image", lambda *_: None)
    engine: Any = None
    assert build.ensure_image(engine, read_settings({}), "cpu", "frozen", pytest.fail) == BUILT
