"""One reading after the other. What cannot be taken is None, and why stands beside it.

Owns    what absence looks like
Takes   functions that read
Gives   Facts, and the reasons for what is missing
Never   raises what a reading raised
"""

from __future__ import annotations

from collections.abc import Callable

Value = str | int | float | bool | None
Facts = dict[str, Value]


class Unreadable(Exception):
    """Who was asked gave no answer; the text says why."""


class Readings:
    """Facts by name, taken one at a time."""

    def __init__(self) -> None:
        self.facts: Facts = {}
        self.missing: dict[str, str] = {}  # the reason, by the name of the reading

    def take(self, name: str, read: Callable[[], Value]) -> None:
        """Note what `read` gives; where it gives nothing, why."""
        value: Value = None
        reason = "the host does not say"
        try:
            value = read()
        except Unreadable as error:
            reason = str(error)
        except (OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
        self.facts[name] = value
        self.missing.pop(name, None)
        if value is None:
            self.missing[name] = reason

    def give_up(self, names: tuple[str, ...], reason: str) -> None:
        """Note that none of these readings can be taken."""
        for name in names:
            self.facts[name] = None
            self.missing[name] = reason
