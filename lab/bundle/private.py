"""What must not leave this host: keys, its own paths and name, the ids of its hardware.

Owns    what is looked for, and in which bytes
Takes   the settings, and files that are about to be shipped
Gives   Findings; and text without them, where a text may be changed
Never   lets something pass silently: what a user allows is said
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.redaction import REDACTED, without_secrets
from lab.settings import CHECKOUT, Settings

# Names that say nothing of anybody.
_COMMON_HOMES = {"/", "/root", "/home", "/nonexistent"}
_COMMON_HOSTS = {"localhost", "debian", "ubuntu", "docker", "buildkitsandbox"}
SHORTEST_NAME = 4  # a shorter host name is a syllable of every other word

_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]+"
)
_HARDWARE = re.compile(
    r"\b(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE
)

# Where Linux keeps numbers that name this one machine.
_MACHINE_FILES = (
    "/etc/machine-id",
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/board_serial",
    "/sys/class/dmi/id/chassis_serial",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something private in a file."""

    kind: str  # "a key", "a path of this host"
    text: str
    place: int  # where it begins


@dataclass(frozen=True, slots=True)
class Private:
    """All that is looked for on this host."""

    words: tuple[tuple[str, str], ...]  # (kind, text)
    keys: tuple[str, ...]
    allowed: tuple[str, ...] = ()

    def find(self, text: str) -> Iterator[Finding]:
        """Everything private in a text, what is allowed included."""
        for key in self.keys:
            if (place := text.find(key)) >= 0:
                yield Finding("a key", key, place)
        if without_secrets(text) != text:
            yield from _what_redaction_takes(text)
        for pattern, kind in ((_KEYS, "a key"), (_HARDWARE, "an id of a GPU")):
            for match in pattern.finditer(text):
                yield Finding(kind, match[0], match.start())
        lowered = text.lower()  # a plain search first: it is fifty times as fast as the pattern
        for kind, word in self.words:
            if word.lower() in lowered:
                for match in _as_word(word).finditer(text):
                    yield Finding(kind, match[0], match.start())

    def without(self, text: str) -> str:
        """The text with everything private replaced, but for what is allowed."""
        for key in self.keys:
            text = text.replace(key, REDACTED)
        text = without_secrets(text)
        for pattern in (_KEYS, _HARDWARE):
            text = pattern.sub(REDACTED, text)
        lowered = text.lower()
        for _, word in self.words:
            if word not in self.allowed and word.lower() in lowered:
                text = _as_word(word).sub(REDACTED, text)
        return text


def what_is_private(settings: Settings, allowed: Sequence[str] = ()) -> Private:
    """This host's own names, paths, numbers and keys."""
    homes = {str(Path.home()), str(Path.home().resolve())} - _COMMON_HOMES
    places = {
        str(place.resolve()) for place in (CHECKOUT, settings.runs, settings.data, settings.state)
    }
    host = socket.gethostname()
    hosts = {host, host.partition(".")[0]} - _COMMON_HOSTS
    words = [("a path of this host", path) for path in sorted(homes | places, reverse=True)]
    words += [("the name of this host", name) for name in hosts if len(name) >= SHORTEST_NAME]
    words += [("a number of this machine", number) for number in sorted(_machine_numbers())]
    return Private(tuple(words), tuple(sorted(_known_keys(settings))), tuple(allowed))


def _known_keys(settings: Settings) -> set[str]:
    keys = {key.strip() for key in settings.keys.values()}
    if settings.key_file is not None:
        keys.add(_content(settings.key_file))
    return {key for key in keys if len(key) >= 8}


def _machine_numbers() -> set[str]:
    numbers = {_content(Path(name)) for name in _MACHINE_FILES}
    numbers |= {_content(path) for path in Path("/sys/class/net").glob("*/address")}
    return {number for number in numbers if len(set(number)) > 4 and len(number) >= 8}


def _content(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _as_word(word: str) -> re.Pattern[str]:
    """The word by itself: a host named `node` is not in `nodes`."""
    return re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])", re.IGNORECASE)


def _what_redaction_takes(text: str) -> Iterator[Finding]:
    place = 0
    for line in text.splitlines(keepends=True):
        if without_secrets(line) != line:
            for word in line.split():
                if without_secrets(word) != word:
                    yield Finding("what looks like a key", word.strip("\"',;()[]{}"), place)
                    break
            else:
                yield Finding("what looks like a key", line.strip()[:60], place)
        place += len(line)
