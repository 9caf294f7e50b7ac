"""What the Makefile and the documents tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from lab.cli import app

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TARGETS = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
assert TARGETS is not None
PHONY = set(TARGETS[1].replace("\\", " ").split())


def test_every_target_of_the_makefile_is_a_command() -> None:
    """A target whose command is gone fails only when somebody needs it."""
    assert PHONY - {"help"} - COMMANDS == set()
    assert {"report", "dashboard", "team", "overnight"} <= PHONY


@pytest.mark.parametrize(
    "document", ["README.md", "DESIGN.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md"]
)
def test_what_a_document_names_is_there(document: str) -> None:
    """`lab x` and `make x`, between backquotes or alone before a comment."""
    text = (ROOT / document).read_text()

    def named(program: str) -> set[str]:
        word = rf"{program} ([a-z]+)(?![a-z-])"
        return set(re.findall(rf"`{word}", text)) | set(re.findall(rf"(?m)^{word} +#", text))

    assert named("lab") <= COMMANDS
    assert named("make") <= PHONY
    assert document != "README.md" or (named("lab") and "overnight" in named("make"))
