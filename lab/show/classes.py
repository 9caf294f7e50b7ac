"""Two comparability classes in words: what differs between two hosts, for people.

Owns    the words
Takes   the comparable facts of two fingerprints
Gives   one short phrase a difference
Never   decides whether scores compare; the class id does
"""

from __future__ import annotations

from collections.abc import Mapping

from lab.show.results import GIB
from lab.show.words import one_line

LONGEST = 48
SHORT_DIGEST = 19  # "sha256:" and twelve digits

Facts = Mapping[str, str | int | float | bool | None]


def differences(first: Facts, second: Facts) -> list[str]:
    """What differs, as "cores 2 against 1"; in the order of the names."""
    return [
        f"{one_line(_bare(name).replace('_', ' '), LONGEST)} "
        f"{_value(name, first.get(name))} against {_value(name, second.get(name))}"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    ]


def _bare(name: str) -> str:
    """A name without its unit, which the values carry."""
    return name.removesuffix("_bytes").removesuffix("_w")


def _value(name: str, value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        if name.endswith("_bytes"):
            return f"{value / GIB:.1f} GiB"
        return f"{value:g} W" if name.endswith("_w") else f"{value:g}"
    text = one_line(str(value), 200)
    return text[:SHORT_DIGEST] if text.startswith("sha256:") else one_line(text, LONGEST)
