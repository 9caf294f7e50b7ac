"""The last look at what is about to be shipped: nothing private, or a refusal that names the file.

Owns    what happens when something private is found
Takes   the payload in its scratch folder, and what is private on this host
Gives   nothing, or an error
Never   changes a file that a sha256 in the records vouches for
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lab.bundle.layout import is_large
from lab.bundle.private import Finding, Private
from lab.errors import BundleError
from lab.host import Say
from lab.parquet import texts_of_parquet

# Weights are numbers; what stands before them is the format's own header, which ends long before this.
_HEAD_BYTES = 2**20


def without_private(text: str, private: Private, name: str, say: Say) -> str:
    """A text that may be changed, without what is private in it; said when there was something."""
    clean = private.without(text)
    if clean != text:
        say(f"{name}: something private was replaced by [redacted]")
    return clean


def refuse_private(payload: Path, private: Private, say: Say) -> None:
    """See that no file below `payload` holds something private.

    Raises:
        BundleError: one does; its name, the line and what it is are in the message.
    """
    for file in sorted(path for path in payload.rglob("*") if path.is_file()):
        name = file.relative_to(payload).as_posix()
        for text in _texts(file, name):
            for finding in private.find(text):
                if finding.text in private.allowed:
                    say(f"{name} is shipped with {finding.kind}, as you allowed: {finding.text}")
                    continue
                raise _refusal(name, text, finding)


def _texts(file: Path, name: str) -> Iterator[str]:
    if file.suffix == ".parquet":
        yield from texts_of_parquet(file)
    with file.open("rb") as opened:
        content = opened.read(_HEAD_BYTES) if is_large(f"data/{name}") else opened.read()
    yield content.decode("utf-8", "replace")


def _refusal(name: str, text: str, finding: Finding) -> BundleError:
    line = text.count("\n", 0, finding.place) + 1
    key = "key" in finding.kind
    shown = finding.text[:6] + "..." if key else finding.text
    remedy = (
        "make that key invalid where it came from: it was written down"
        if key
        else f"if it may be known, allow it: --allow {shown!r}"
    )
    return BundleError(
        f"nothing was written: {name} holds {finding.kind}.",
        why=f"line {line} says {shown!r}. The records' sha256s vouch for what it stands in, so it cannot be "
        "taken out.",
        do=f"{remedy}; or share results.tsv alone.",
    )
