"""Untrusted text of several lines, as it may be shown.

Owns    what is taken out of a log, a diff or a hypothesis, and what is made visible in it
"""

from __future__ import annotations

import re

from lab.training import clean

# They turn the direction of what follows, so that a line of code can look like another one.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\x85\u2028\u2029]")  # line breaks to some readers and not to others


def visible(text: str) -> str:
    """Text without terminal sequences and control characters; what turns the reading direction is spelt out."""
    text = clean(text)
    if text.isascii():
        return text
    return _TURNING.sub(lambda found: f"<U+{ord(found[0]):04X}>", _BREAKS.sub(" ", text))
