"""Which provider, which model, and where its key is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.agents.providers.open import KINDS, first_with_key, open_provider, read_key_file
from lab.agents.providers.prices import price_of
from lab.errors import BadInput

KEYS = {kind.key_name: "sk-test-0123456789" for kind in KINDS.values() if kind.key_name}


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.model])
def test_a_key_is_all_that_is_needed(name: str) -> None:
    """`export ANTHROPIC_API_KEY=...; make overnight` works, and its cost is known."""
    provider = open_provider(name, keys=KEYS)
    assert provider.model == KINDS[name].model
    assert price_of(provider.model) is not None
    assert "sk-test" not in repr(provider)


@pytest.mark.parametrize(
    ("name", "model", "effort", "taken"),
    [
        ("openai", None, "low", True),
        ("openai", None, "none", False),
        ("openai", "gpt-6.2-astra", "minimal", False),
        ("openai", "gpt-6-astra", "none", True),
        ("anthropic", None, "max", True),
        ("anthropic", "claude-opus-4-6", "high", True),
        ("anthropic", "claude-haiku-4-5", "low", False),
        ("anthropic", "claude-opus-4-5-20251101", "high", False),
        ("anthropic", "claude-opus-4-5-20251101", None, True),
    ],
)
def test_an_effort_that_a_model_is_known_to_refuse_is_refused_at_once(
    name: str, model: str | None, effort: str | None, taken: bool
) -> None:
    """Its provider would say so only when the baseline has been measured."""
    if taken:
        open_provider(name, keys=KEYS, model=model, effort=effort)
        return
    with pytest.raises(BadInput, match="has no reasoning effort") as refused:
        open_provider(name, keys=KEYS, model=model, effort=effort)
    assert f"{effort!r}" in str(refused.value)
    assert effort not in refused.value.do
    assert "EFFORT" in refused.value.do


def test_auto_takes_the_first_with_a_key() -> None:
    assert first_with_key(KEYS) == "anthropic"
    assert first_with_key({"OPENAI_API_KEY": "k", "GEMINI_API_KEY": "k"}) == "openai"
    assert first_with_key({"OPENAI_API_KEY": ""}) is None


def test_a_file_wins_over_the_environment(tmp_path: Path) -> None:
    """Whoever names a file means that key."""
    file = tmp_path / "key"
    file.write_text(" sk-of-the-file \n")
    file.chmod(0o600)
    assert read_key_file(file) == "sk-of-the-file"
    assert open_provider("openai", keys=KEYS, key_file=file)._key == "sk-of-the-file"  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """On a rented machine the others are strangers."""
    file = tmp_path / "key"
    file.write_text("sk-secret-secret")
    file.chmod(mode)
    with pytest.raises(BadInput) as caught:
        read_key_file(file)
    assert "chmod 600" in caught.value.do and "sk-secret" not in str(caught.value)


def test_what_is_no_key_file_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (tmp_path / "absent", tmp_path, empty, pipe):
        with pytest.raises(BadInput):
            read_key_file(path)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "nobody"},
        {"name": "anthropic", "keys": {}},
        {"name": "anthropic", "keys": {"ANTHROPIC_API_KEY": "two words"}},
        {"name": "anthropic", "keys": {"ANTHROPIC_API_KEY": "sk-tést"}},
        {"name": "anthropic", "effort": "none"},
        {"name": "openai", "effort": "extreme"},
        {"name": "openai", "base_url": "ftp://example.org"},
        {"name": "openai", "base_url": "https://user:word@example.org/v1"},
        {"name": "openai", "base_url": "http://example.org:99999/v1"},
        {"name": "openai", "base_url": "http://[::1/v1"},
        {"name": "anthropic", "base_url": "http://example.org"},
        {"name": "openai", "base_url": "http://192.168.1.7:8000/v1"},
        {"name": "gemini", "base_url": "http://127.0.0.1.example.org/v1"},
        {"name": "compatible"},
        {"name": "compatible", "base_url": "http://127.0.0.1:1/v1"},
        {"name": "compatible", "model": "m"},
    ],
    ids=str,
)
def test_what_cannot_work_is_said_before_the_night(arguments: dict[str, str]) -> None:
    """Each says what to do, and none says the key."""
    arguments = {"keys": KEYS, **arguments}  # type: ignore[dict-item]
    with pytest.raises(BadInput) as caught:
        open_provider(**arguments)  # type: ignore[arg-type]
    assert caught.value.do
    assert "two words" not in str(caught.value) and "tést" not in str(caught.value)


@pytest.mark.parametrize("name", ["anthropic", "openai", "gemini"])
@pytest.mark.parametrize(
    "base_url", ["https://proxy.example.org/v1", "http://127.0.0.1:4000/v1", "http://[::1]:4000"]
)
def test_a_proxy_that_was_asked_for_gets_the_key(name: str, base_url: str) -> None:
    """A gateway of one's own is why somebody names both; the way there has to be private."""
    assert open_provider(name, keys=KEYS, base_url=base_url).name == name


def test_a_server_of_ones_own_may_stand_in_the_next_room() -> None:
    """Its key, where it has one, opens that server and nothing else."""
    url = "http://192.168.1.7:8000/v1"
    assert open_provider("compatible", keys=KEYS, model="m", base_url=url).name == "compatible"


def test_a_local_server_needs_no_key() -> None:
    provider = open_provider("compatible", keys={}, model="m", base_url="http://127.0.0.1:1/v1")
    assert (provider.name, provider.model) == ("compatible", "m")


def test_no_sdk_is_loaded_before_its_provider_is_opened() -> None:
    """They cost up to a second and 65 MiB, which an offline night does not owe."""
    code = (
        "import sys, lab.agents.providers.open, lab.agents.providers.prices as p;"
        "assert not {'anthropic', 'openai', 'httpx2'} & set(sys.modules);"
        "o = lab.agents.providers.open.open_provider('anthropic', keys={'ANTHROPIC_API_KEY': 'k'});"
        "assert 'anthropic' in sys.modules and 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
