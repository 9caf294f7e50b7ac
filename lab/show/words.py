"""What is said everywhere in the same words: an ending, a gain, a title made harmless.

Owns    the words, and what of a stranger's text may reach a terminal
Takes   Records and numbers
Gives   short texts for people
Never   reads a file
"""

from __future__ import annotations

import re
import unicodedata
from typing import Protocol

from lab.ledger import AUDIT, BASELINE, CONFIRM, REPLAY, Record
from lab.outcome import Status

_WORDS = {
    "keep": "kept",
    "discard": "discarded",
    "confirm": "to confirm",
    "audit": "audited",
    "replay": "replayed",
}
_TERMINAL_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL
)


def signed(value: float, decimals: int = 4) -> str:
    """A difference with its sign as people see it everywhere, with a true minus sign."""
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def gain_in_words(gain_bpb: float, baseline_bpb: float) -> str:
    """A gain, positive is better, for people: 0.0123 better (0.7 %)."""
    side = "better" if gain_bpb >= 0 else "worse"
    return f"{abs(gain_bpb):.4f} {side} ({100 * abs(gain_bpb) / baseline_bpb:.1f} %)"


class Replayed(Protocol):
    """What is said of a replay: a Tally, or a Standing of its Story."""

    @property
    def replays(self) -> int: ...
    @property
    def replay_bpb(self) -> float | None: ...
    @property
    def baseline_bpb(self) -> float | None: ...


def replays_in_words(counted: Replayed) -> str:
    """What another lab's code scored here: 3 replays average 1.8420 bits per byte. Empty where none was run.

    What follows from it is for lab/replay.py to say, which knows the claim.
    """
    if counted.replay_bpb is None:
        return ""
    many = counted.replays != 1
    words = f"{counted.replays} replay{'s average' if many else ' has'} {counted.replay_bpb:.4f} bits per byte"
    baseline = counted.baseline_bpb
    return words if baseline is None else f"{words}, the baseline {baseline:.4f}"


def one_line(text: str, width: int | None = None) -> str:
    """Text from an agent or a container, made harmless for a terminal, a table or a chart.

    Terminal sequences, control and direction-changing characters go; every run of white space
    becomes one; what is no character becomes U+FFFD. With `width`, longer text ends in an ellipsis.
    """
    if not (
        text.isascii() and text.isprintable()
    ):  # most text is, and thousands of titles are asked
        text = _TERMINAL_SEQUENCE.sub("", text)
        text = "".join(_harmless(character) for character in text)
    text = " ".join(text.split())
    if width is not None and len(text) > width:
        text = text[: max(width - 1, 0)].rstrip() + "…"
    return text


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    if category == "Cf":
        return ""
    return "\ufffd" if category == "Cs" else character


def ending(record: Record) -> str:
    """How an experiment ended, in one word.

    A measured one is "baseline", "audit", "replay", "keep", "confirm" (not decided before another run) or "discard";
    any other is named by its Status.
    """
    if record.trial.status != Status.MEASURED:
        return record.trial.status.value
    if record.kind in (BASELINE, AUDIT, REPLAY):
        return record.kind
    if record.verdict.confirm:
        return "confirm"
    return "keep" if record.verdict.keep else "discard"


def ending_in_words(ending: str) -> str:
    """An ending as a person reads it."""
    return _WORDS.get(ending, ending.replace("_", " "))


def name_of(record: Record) -> str:
    """What an experiment is called: its title, after what it runs again."""
    again = {CONFIRM: "re-run", AUDIT: "audit"}.get(record.kind)
    return f"{again} of {record.original}: {record.title}" if again else record.title


def kept_bpb(record: Record) -> float | None:
    """What a kept candidate became the best with: the mean of its re-runs."""
    verdict = record.verdict
    if not verdict.keep or verdict.best_bpb is None or verdict.gain_bpb is None:
        return None
    return verdict.best_bpb - verdict.gain_bpb
