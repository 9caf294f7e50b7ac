"""What stops the frozen side: one line of what happened, why, and what to do about it.

    HarnessError
    ├── DataError       text, shards or the prepared folder: absent, cut short, altered, too little
    └── ContractError   train.py used `harness.prepare` in a way that it does not allow

The standard library alone: `harness.corpus` runs before anything is installed.
"""

from __future__ import annotations


class HarnessError(Exception):
    """The frozen side cannot go on: what happened, why, and what to do about it."""

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.do = do

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(f"  why: {self.why}")
        if self.do:
            lines.append(f"  do:  {self.do}")
        return "\n".join(lines)


class DataError(HarnessError):
    """Text or prepared data is absent, incomplete or altered."""


class ContractError(HarnessError):
    """train.py asked `harness.prepare` for something out of order or out of bounds."""
