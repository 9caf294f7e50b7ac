"""Opening a provider from a user's settings: which one, which model, and where its key is.

An SDK is imported when its provider is opened and not before: 0.5 to 1.1 s and 39 to 65 MiB, measured on two cores,
which the other agents save.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab.agents.providers import Provider
from lab.agents.providers.address import is_loopback
from lab.errors import BadInput

LARGEST_KEY_FILE = 4096  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is known of one provider before it is opened."""

    key_name: str | None  # the environment's name of its key
    model: str | None  # what it is asked for unless the user says otherwise; None: the user has to
    base_url: str | None = None
    efforts: tuple[str, ...]


OPENAI_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# In the order in which `auto` looks for a key. The models: as of PRICES_OF in prices.py, the ones that each
# provider recommends for long work on code at a price that a night of a hundred proposals can bear.
KINDS = {
    "anthropic": Kind(
        key_name="ANTHROPIC_API_KEY",
        model="claude-opus-5-5",
        efforts=("low", "medium", "high", "xhigh", "max"),
    ),
    "openai": Kind(key_name="OPENAI_API_KEY", model="gpt-6.2-sol", efforts=OPENAI_EFFORTS),
    "gemini": Kind(
        key_name="GEMINI_API_KEY",
        model="gemini-3.8-flash",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai/",
        efforts=OPENAI_EFFORTS,
    ),
    "compatible": Kind(key_name="COMPATIBLE_API_KEY", model=None, efforts=OPENAI_EFFORTS),
}
# What some models refuse although their provider has it, as was published by PRICES_OF: their names, the efforts,
# and why. The provider itself would say so at the first question, when the baseline has been measured.
REFUSED_EFFORTS = (
    (
        re.compile(r"gpt-6\.2-(astra|sol)"),
        ("none", "minimal"),
        "it always thinks, with effort low or more.",
    ),
    (
        re.compile(r"claude-(opus|sonnet|haiku)-4-5(-20\d{6})?"),
        ("low", "medium", "high", "xhigh", "max"),
        "with EFFORT a model decides for itself how long it thinks, which Claude 4.5 cannot.",
    ),
)
KEY_NAMES = tuple(kind.key_name for kind in KINDS.values() if kind.key_name)


def first_with_key(keys: Mapping[str, str]) -> str | None:
    """The provider that `auto` takes: the first that the environment has a key for, else None."""
    for name, kind in KINDS.items():
        if name != "compatible" and kind.key_name and keys.get(kind.key_name):
            return name
    return None


def open_provider(
    name: str,
    *,
    keys: Mapping[str, str],
    model: str | None = None,
    key_file: Path | None = None,
    base_url: str | None = None,
    effort: str | None = None,
    tools: bool = True,
) -> Provider:
    """One model, ready to be asked. Nothing is sent yet.

    `keys` holds what the environment has of KEY_NAMES; `key_file` wins over it. `tools` False asks a compatible
    server in plain text from the start, which it finds out by itself otherwise.

    Raises:
        BadInput: no such provider, no key, no model, or a setting that this provider does not have.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise BadInput(
            f"there is no model provider {name!r}.", do=f"choose one of {', '.join(KINDS)}."
        )
    base_url = base_url or kind.base_url
    _check_server(name, base_url)
    model = model or kind.model
    if not model:
        raise BadInput(
            f"{name} needs a model.",
            why="a compatible server has models of its own.",
            do=f"set MODEL; {str(base_url).rstrip('/')}/models lists what the server has.",
        )
    _check_effort(model, kind, effort)
    key = read_key_file(key_file) if key_file else keys.get(kind.key_name or "", "").strip()
    if key:
        _check_key(key, where=str(key_file) if key_file else str(kind.key_name))
    elif name != "compatible":
        raise BadInput(
            f"{name} needs a key.",
            do=f"set {kind.key_name}, or KEY_FILE to a file of mode 600 that holds it.",
        )
    return _open(name, model=model, key=key or None, base_url=base_url, effort=effort, tools=tools)


def _open(
    name: str,
    *,
    model: str,
    key: str | None,
    base_url: str | None,
    effort: str | None,
    tools: bool,
) -> Provider:
    if name == "anthropic":
        from lab.agents.providers.anthropic import AnthropicProvider

        return AnthropicProvider(model=model, key=key or "", base_url=base_url, effort=effort)
    if name == "openai":
        from lab.agents.providers.openai import OpenAIProvider

        return OpenAIProvider(model=model, key=key or "", base_url=base_url, effort=effort)
    from lab.agents.providers.compatible import CompatibleProvider

    provider = CompatibleProvider(
        model=model, key=key, base_url=base_url or "", effort=effort, tools=tools
    )
    provider.name = name  # gemini speaks as the compatible ones do, and records say who it was
    return provider


def read_key_file(path: Path) -> str:
    """The key that a file holds.

    Raises:
        BadInput: the file is absent, no plain file, readable by others, empty or no key.
    """
    try:
        # Opened first and looked at through the handle, so that what is checked is what is read.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(
            f"the key file {path} cannot be read.",
            why=str(error.strerror),
            do="set KEY_FILE to a file of mode 600 that holds the key and nothing else.",
        ) from error
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise BadInput(f"the key file {path} is not a plain file.", do="name a plain file.")
        if mode & 0o077:
            raise BadInput(
                f"the key file {path} is open to others (mode {stat.S_IMODE(mode):o}).",
                why="whoever reads it spends your money.",
                do=f"chmod 600 {path}",
            )
        key = os.read(handle, LARGEST_KEY_FILE).decode("utf-8", "replace").strip()
    finally:
        os.close(handle)
    if not key:
        raise BadInput(f"the key file {path} is empty.", do="write the key into it.")
    return key


def _check_key(key: str, *, where: str) -> None:
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise BadInput(
            f"what {where} holds is no key.",
            why="a key is one word of plain letters, digits and signs.",
            do="copy it again, alone and on one line.",
        )


def _check_effort(model: str, kind: Kind, effort: str | None) -> None:
    """Refuse what the provider has no word for, or what this model is known to refuse."""
    if effort is None:
        return
    can = kind.efforts
    why = "its provider has no such word."
    for models, refused, because in REFUSED_EFFORTS:
        if models.fullmatch(model):
            can = tuple(each for each in can if each not in refused)
            why = because if effort in kind.efforts else why
    if effort not in can:
        raise BadInput(
            f"{model} has no reasoning effort {effort!r}.",
            why=why,
            do=f"set EFFORT to one of {', '.join(can)}, or leave it out."
            if can
            else "leave EFFORT out.",
        )


def _check_server(name: str, base_url: str | None) -> None:
    if base_url is not None:
        check_address(base_url)
        _check_is_private(name, base_url)
    elif name == "compatible":
        raise BadInput(
            "a compatible server needs its address.",
            do="set BASE_URL, such as http://127.0.0.1:11434/v1 for Ollama.",
        )


def check_address(base_url: str) -> None:
    """Let an address pass that a server can have.

    Raises:
        BadInput: it is none, or holds a password.
    """
    try:
        parts = urlsplit(base_url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half of an IPv6 address
        is_one = False
    if not is_one:
        raise BadInput(
            f"the address {base_url!r} is no web address.",
            do="set BASE_URL to something like http://127.0.0.1:8000/v1.",
        )
    if parts.username or parts.password:
        raise BadInput(
            "the address of a server must not hold a password.",
            why="it is written into records.",
            do="put the key into KEY_FILE.",
        )


def _check_is_private(name: str, base_url: str) -> None:
    """A key of a provider opens an account: whoever sends it elsewhere, say by a proxy, does not send it in the clear."""
    if name == "compatible" or urlsplit(base_url).scheme == "https" or is_loopback(base_url):
        return
    raise BadInput(
        f"the key of {name} would go to {base_url} in the clear.",
        why="on plain http everybody on the way can read it.",
        do="set BASE_URL to an address with https or on this host, or AGENT=compatible for a server of your own.",
    )
