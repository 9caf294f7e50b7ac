"""One line of a verification."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, and what was seen."""

    level: int  # 0 the archive, 1 the records, 2 the weights
    name: str  # two or three words: "hash chain"
    passed: bool | None  # None: it could not be looked at, and `words` says why
    words: str  # one sentence, with its numbers
