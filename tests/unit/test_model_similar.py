"""What was tried is found again, however it is laid out; and quickly, after a thousand experiments."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lab.agents.similar import code_digest, edit_digest, facts_of, find_earlier
from lab.prompt import Past, no_text
from tests.unit.recorded_model import BEST, past_of

SEED_FILE = (Path(__file__).parents[2] / "workspace" / "train.py").read_text()
WIDER = BEST.replace("WIDTH = 64", "WIDTH = 96")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param("WIDTH = 96", "WIDTH = 96  # wider", True, id="comment"),
        pytest.param("WIDTH = 96", "WIDTH = (96)", True, id="parentheses"),
        pytest.param('"""The best so far."""', '"""Now wider."""', True, id="docstring"),
        pytest.param('"""The best so far."""', "", True, id="no-docstring"),
        pytest.param("    return None", "\n    return None\n\n", True, id="blank-lines"),
        pytest.param(
            "    return None", '    """Why."""\n    return None', True, id="new-docstring"
        ),
        pytest.param("WIDTH = 96", "WIDTH = 97", False, id="another-value"),
        pytest.param("RATE = 0.04", "RATES = 0.04", False, id="another-name"),
        pytest.param("return None", "return 'None'", False, id="a-text-is-no-docstring"),
    ],
)
def test_two_files_are_the_same_when_python_reads_them_the_same(
    old: str, new: str, same: bool
) -> None:
    """Another comment does not make another experiment; another number does."""
    assert old in WIDER
    assert (code_digest(WIDER.replace(old, new)) == code_digest(WIDER)) is same


def test_an_edit_is_the_same_on_a_file_that_has_moved_on() -> None:
    """After a keep the whole file differs, and the same failed idea comes back."""
    moved = BEST.replace("DEPTH = 2", "DEPTH = 4").replace("None, {}", "None, {'depth': 4}")
    again = moved.replace("WIDTH = 64", "WIDTH = 96  # once more")
    assert edit_digest(BEST, WIDER) == edit_digest(moved, again)
    assert edit_digest(BEST, WIDER) != edit_digest(BEST, BEST.replace("= 64", "= 97"))
    assert edit_digest(BEST, BEST + "# nothing\n") is None


def test_the_same_file_is_found_before_the_same_edit() -> None:
    """The nearer of two answers is the one that helps."""
    same_edit = past_of(5, facts={"edit_sha256": facts_of(BEST, WIDER)["edit_sha256"]})
    same_file = past_of(3, facts=facts_of(BEST, WIDER))
    found = find_earlier(
        WIDER, base=BEST, history=[same_file, same_edit], code_of=no_text, digests={}
    )
    assert found is not None
    assert (found.earlier.number, found.whole_file) == (3, True)
    found = find_earlier(WIDER, base=BEST, history=[same_edit], code_of=no_text, digests={})
    assert found is not None
    assert (found.earlier.number, found.whole_file) == (5, False)


def test_what_another_agent_tried_is_read_once() -> None:
    """The offline agent's proposals carry no digest; its files are there, and a file never changes."""
    read: list[int] = []

    def code_of(number: int) -> str | None:
        read.append(number)
        return {1: BEST, 2: WIDER + "# same\n"}.get(number)

    history, digests = [past_of(n) for n in (1, 2, 3)], {}
    for _ in range(2):
        found = find_earlier(WIDER, base=BEST, history=history, code_of=code_of, digests=digests)
        assert found is not None
        assert found.earlier.number == 2
    assert sorted(read) == sorted(set(read))


@pytest.mark.parametrize("text", ["def (", "x = " + "(" * 500, "\0", "a" * 10 + "\ud800"])
def test_what_is_not_python_is_new(text: str) -> None:
    """The contract refuses it with a reason; here it must only not raise."""
    assert code_digest(text) is None
    assert facts_of(BEST, text) == {}
    assert find_earlier(text, base=BEST, history=[past_of(1)], code_of=no_text, digests={}) is None


def test_an_expression_too_deep_to_print_is_still_compared() -> None:
    """Python runs a sum of a thousand terms; unparsing it recurses."""
    deep = BEST + "total = " + " + ".join(["1"] * 2000) + "\n"
    assert facts_of(BEST, deep).keys() == {"code_sha256"}
    assert code_digest(deep) == code_digest(deep + "# the same\n")
    assert code_digest(deep) != code_digest(deep.replace("1 + 1\n", "1 + 2\n"))


def test_a_number_too_long_to_print_is_still_compared() -> None:
    """Python reads a long number in hexadecimal and refuses to write it in decimal."""
    long = BEST + f"MASK = 0x{'f' * 5000}\n"
    assert code_digest(long) == code_digest(long + "# the same\n")
    assert code_digest(long) != code_digest(long.replace("0xff", "0xef"))
    assert facts_of(BEST, long).keys() == {"code_sha256"}


def test_a_thousand_experiments_are_compared_in_no_time() -> None:
    """The comparison stands between a submission and a device that waits."""
    history: list[Past] = [
        past_of(n, facts={"code_sha256": f"{n:064x}", "edit_sha256": f"{n:064x}"})
        for n in range(1, 1001)
    ]
    changed = SEED_FILE.replace("WINDOW_PATTERN = ", "WINDOW_PATTERN = '' + ")
    assert changed != SEED_FILE
    began = time.perf_counter()
    assert (
        find_earlier(changed, base=SEED_FILE, history=history, code_of=no_text, digests={}) is None
    )
    assert time.perf_counter() - began < 2.0  # 0.06 s alone; the rest is a busy machine
