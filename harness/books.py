"""The books as documents, split into train, val and holdout.

A whole section (a chapter, an act, a psalm) goes into one split, by a hash of its book and title, so no
text of val or holdout stands in train, and a section stays where it is when others come or go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpus import FILES, Section, read_sections
from harness.datafolder import sha256_of
from harness.profiles import Profile

# The smallest profile reads one author, so that its text and its vocabulary are small too.
SMOKE_FILES = ("austen.txt",)

SPLITS = ("train", "val", "holdout")

# Of 20 parts by hash, val and holdout get three each: what their rows need, and a fifth more.
_PARTS = 20
_VAL_PARTS = (0, 1, 2)
_HOLDOUT_PARTS = (3, 4, 5)

_SENTENCE_END = re.compile(r"[.!?][\"')\]]*\s+")
_SPACE = re.compile(r"\s+")
_PARAGRAPH_END = re.compile(r"\n\s*\n")

# Documents are shuffled once, so that neighbouring rows come from different places in different books.
_SHUFFLE_SEED = 20_231


def corpus_files(profile: Profile) -> tuple[str, ...]:
    """Which text files a profile reads."""
    return SMOKE_FILES if profile.name == "smoke" else FILES


class Books:
    """The text of a profile out of the corpus folder: one shard a split."""

    def __init__(self, corpus: Path, profile: Profile) -> None:
        self._paths = [corpus / file for file in corpus_files(profile)]
        self._splits = read_books(corpus, profile)

    def identity(self) -> dict[str, Any]:
        """What decides the text: the files and their sha256."""
        return {"dataset": "books", "files": {path.name: sha256_of(path) for path in self._paths}}

    def tokenizer_text(self) -> Iterator[str]:
        """What the tokenizer learns from: train, and nothing else."""
        return iter(self._splits["train"])

    def shards(self, split: str, say: Callable[[str], None]) -> Iterator[Iterator[Sequence[str]]]:
        """The shards of a split, each as batches of documents."""
        yield iter([self._splits[split]])


def read_books(corpus: Path, profile: Profile) -> dict[str, list[str]]:
    """Documents of each split, in a fixed shuffled order.

    Raises:
        DataError: a text is missing or empty.
    """
    assert profile.document_chars is not None
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    for file in corpus_files(profile):
        for section in read_sections(corpus / file):
            splits[split_of(file, section)] += cut(section.text, profile.document_chars)
    for documents in splits.values():
        order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(documents))
        documents[:] = [documents[index] for index in order]
    return splits


def split_of(file: str, section: Section) -> str:
    """The split that a section belongs to, for ever."""
    digest = hashlib.sha256(f"{file} {section.title}".encode()).digest()
    part = int.from_bytes(digest[:8], "big") % _PARTS
    return "val" if part in _VAL_PARTS else "holdout" if part in _HOLDOUT_PARTS else "train"


def cut(text: str, chars: int) -> list[str]:
    """Cut text into documents of `chars` characters or a little more, and lose nothing but space.

    A document ends with the first paragraph that reaches `chars`; if that is half as long again, with the
    first sentence that does; and if there is none either, with a word.
    """
    documents = []
    start = 0
    while len(text) - start > chars:
        end = _end_of_document(text, start + chars, start + chars + chars // 2)
        documents.append(text[start:end].strip())
        start = end
    documents.append(text[start:].strip())
    return [document for document in documents if document]


def _end_of_document(text: str, earliest: int, latest: int) -> int:
    for pattern in (_PARAGRAPH_END, _SENTENCE_END, _SPACE):
        if found := pattern.search(text, earliest, latest):
            return found.end()
    return latest
