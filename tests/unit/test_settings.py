"""Settings: from the environment or the command line, and refused with a reason."""

from __future__ import annotations

from dataclasses import fields

import pytest

from lab.errors import BadInput
from lab.night import rule_of
from lab.settings import profile_of, read_settings
from lab.verdict import Rule


def test_the_command_line_is_stronger_than_the_environment() -> None:
    """What was typed last is what was meant."""
    environ = {"NIGHTLAB_HOURS": "3", "NIGHTLAB_TAG": "nov23", "HOURS": "99", "NIGHTLAB_SEED": ""}
    settings = read_settings(environ, hours=0.5, tag=None)
    assert (settings.hours, settings.tag, settings.seed) == (0.5, "nov23", 42)


@pytest.mark.parametrize(
    "tag", ["a b", "../up", "-x", "", "ümlaut", "a/b", "x" * 41, "A", "a\n", ".hidden", "$(id)"]
)
def test_a_tag_with_odd_characters_is_refused(tag: str) -> None:
    """It becomes a folder, a branch and a container's name."""
    if tag == "":
        assert read_settings({}, tag=tag).tag is None
        return
    with pytest.raises(BadInput) as caught:
        read_settings({}, tag=tag)
    assert "TAG" in caught.value.what
    assert "a-z" in caught.value.why


@pytest.mark.parametrize(
    ("name", "value"),
    [("hours", "-1"), ("hours", "soon"), ("profile", "tpu"), ("seed", "-3"), ("noise_runs", "1")],
)
def test_a_value_that_cannot_be_is_refused_by_its_name(name: str, value: str) -> None:
    """An error that does not name the setting sends people through the whole documentation."""
    with pytest.raises(BadInput) as caught:
        read_settings({f"NIGHTLAB_{name.upper()}": value})
    assert name.upper() in caught.value.what
    assert caught.value.do


def test_the_profile_follows_the_hardware() -> None:
    """With nothing configured it still works, and uses the GPU where there is one."""
    assert profile_of(read_settings({}), has_gpu=True).name == "gpu"
    assert profile_of(read_settings({}), has_gpu=False).name == "cpu"
    assert profile_of(read_settings({}, profile="smoke"), has_gpu=True).name == "smoke"


def test_the_rule_of_a_night_is_the_one_that_was_measured() -> None:
    """The defaults stand in two places; the benchmark of the rule speaks of one of them."""
    assert rule_of(read_settings({})) == Rule()


def test_every_part_of_the_rule_can_be_set() -> None:
    """A number of the rule that no setting reaches is a number that nobody can question."""
    rule = Rule()
    now = {field.name: getattr(rule, field.name) for field in fields(Rule)}
    given = {name: old + 1 if isinstance(old, int) else old / 2 for name, old in now.items()}
    assert rule_of(read_settings({}, **given)) == Rule(**given)
