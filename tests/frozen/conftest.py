"""What the tests inside the frozen image share: made-up books, a tiny profile, and the checkout's path."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

# harness.prepare reads it when it is imported.
os.environ.setdefault("NIGHTLAB_PROFILE", "cpu")

# For `benchmarks`. Last, so that `harness` is the one the image froze.
sys.path.append(str(Path(__file__).parents[2]))

from harness.corpus import FILES
from harness.profiles import PROFILES, Profile


@pytest.fixture(scope="session")
def tiny() -> Profile:
    """A profile whose data is made in a tenth of a second."""
    return replace(
        PROFILES["cpu"],
        sequence_len=32,
        vocab_size=300,
        document_chars=120,
        val_rows=20,
        holdout_rows=20,
    )


def made_up_text(seed: int, words: int) -> str:
    """Sentences and paragraphs of invented words; another seed gives other words."""
    chance = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = [
        "".join(chance.choices(letters, weights=range(26, 0, -1), k=chance.randint(3, 9)))
        for _ in range(400)
    ]
    parts = []
    for number in range(words):
        parts.append(chance.choice(vocabulary))
        if number % 11 == 10:
            parts[-1] += "."
        if number % 67 == 66:
            parts[-1] += "\n\n"
    return " ".join(parts)


def write_made_up_corpus(
    folder: Path, *, sections: int = 40, words: int = 150, files: tuple[str, ...] = FILES
) -> Path:
    """A corpus folder in the form that harness.corpus writes, no two sections alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for book, file in enumerate(files):
        text = "".join(
            f"\f{file[:4]} {number}\n{made_up_text(1000 * book + number, words)}\n"
            for number in range(sections)
        )
        (folder / file).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 120 made-up sections."""
    return write_made_up_corpus(tmp_path_factory.mktemp("corpus"))
