"""What must never be written down: keys, passwords, and whatever looks like one.

Owns    what counts as a secret
Takes   values that are to be written into a file
Gives   the same as plain JSON values, without their secrets
Never   changes a number: `tokens_per_s` is no token
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

REDACTED = "[redacted]"

# A key names a secret when one of its words does.
_SECRET_WORDS = frozenset(
    {
        *("key", "keys", "apikey", "token", "secret", "secrets", "password", "passwd"),
        *("passphrase", "authorization", "auth", "credential", "credentials", "cookie", "bearer"),
    }
)
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
# What the providers' keys look like, wherever they stand: an error message may quote one.
_SECRET_TEXT = re.compile(
    r"\b(?:sk|pk|rk|hf|xai|gsk|ghp|gho|github_pat)[-_][A-Za-z0-9_-]{16,}|\bAIza[A-Za-z0-9_-]{30,}"
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}|://[^/\s:@]+:[^/\s@]+(?=@)"
)


def is_secret(key: str) -> bool:
    """Whether a value under this key must not be written down."""
    return any(word.lower() in _SECRET_WORDS for word in _WORD.findall(key))


def without_secrets(text: str, known: Sequence[str] = ()) -> str:
    """Text with every known secret, and everything that looks like one, replaced."""
    for secret in known:
        if secret:
            text = text.replace(secret, REDACTED)
    return _SECRET_TEXT.sub(REDACTED, text)


def plain(
    value: object, *, key: str = "", known: Sequence[str] = (), longest: int = 20_000
) -> object:
    """A value as JSON can hold it, its texts cut at `longest` characters and without secrets."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):  # JSON has no infinity and no NaN
        return value if math.isfinite(value) else str(value)
    if is_secret(key):
        return REDACTED
    if isinstance(value, Mapping):
        return {
            without_secrets(str(name), known): plain(
                inner, key=str(name), known=known, longest=longest
            )
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, key=key, known=known, longest=longest) for inner in value]
    return without_secrets(str(value), known)[:longest]
