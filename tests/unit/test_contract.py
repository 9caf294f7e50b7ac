"""The static contract: honest files pass, honest mistakes come back with what to change."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.contract import MAX_BYTES, ContractBroken, check

GOOD = """\
import torch
from harness import prepare


def build_model(config: dict) -> torch.nn.Module:
    return torch.nn.Linear(config["width"], 1)


if __name__ == "__main__":
    clock = prepare.start()
    prepare.save(build_model({"width": 4}), {"width": 4})
"""


def reason_of(train_py: str) -> str:
    with pytest.raises(ContractBroken) as broken:
        check(train_py)
    return broken.value.reason


def test_a_file_that_keeps_the_contract_passes() -> None:
    """A check that refuses everything would pass every test below."""
    check(GOOD)


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param(
            GOOD.replace("from harness import prepare", "from harness import prepare as p").replace(
                "prepare.", "p."
            ),
            id="aliased-import",
        ),
        pytest.param(
            GOOD.replace("from harness import prepare", "import harness.prepare").replace(
                "prepare.s", "harness.prepare.s"
            ),
            id="full-path",
        ),
        pytest.param(
            GOOD.replace("from harness import prepare", "from harness.prepare import save, start")
            .replace("prepare.save", "save")
            .replace("prepare.start", "start"),
            id="functions-imported",
        ),
        pytest.param(GOOD.replace('__name__ == "__main__"', "'__main__' == __name__"), id="turned"),
        pytest.param(
            GOOD.replace("clock = prepare.start()", "main()").replace(
                "def build_model", "def main():\n    prepare.start()\n\n\ndef build_model"
            ),
            id="started-in-a-function",
        ),
        pytest.param(GOOD + "print(torch.initial_seed())\n", id="reads-the-seed"),
        pytest.param(GOOD + "args.seed = 3\n", id="an-attribute-called-seed"),
        pytest.param(GOOD + "x = torch.nn.init.normal_(torch.empty(2))\n", id="draws"),
        pytest.param(GOOD + "import random\nr = random.Random()\n", id="unseeded-generator"),
        pytest.param(GOOD + "def f(g: torch.Generator) -> None: ...\n", id="annotation"),
        pytest.param(GOOD + "s = '\\d'\n", id="odd-escape"),
    ],
)
def test_what_the_contract_does_not_forbid_is_allowed(edited: str) -> None:
    """A wrong refusal costs an agent an idea that might have been the night's best."""
    check(edited)


@pytest.mark.parametrize(
    "line",
    [
        "torch.manual_seed(1)",
        "torch.cuda.manual_seed(1)",
        "torch.cuda.manual_seed_all(1)",
        "torch.random.manual_seed(1)",
        "torch.seed()",
        "torch.set_rng_state(state)",
        "torch.cuda.set_rng_state(state)",
        "torch.Generator().manual_seed(1)",
        "torch.Generator(device='cuda')",
        "import random; random.seed(1)",
        "import random as dice; dice.seed(1)",
        "from random import seed as sow; sow(1)",
        "import random; r = random.Random(1)",
        "import numpy as np; np.random.seed(1)",
        "import numpy as np; g = np.random.default_rng(1)",
        "import numpy as np; g = np.random.default_rng(seed=1)",
        "from numpy.random import default_rng as rng; g = rng(7)",
        "from torch import manual_seed as s",
        "from torch import manual_seed as s; s(3)",
        "import torch as t; t.manual_seed(3)",
        "sow = torch.manual_seed",
        "r = torch.random; r.manual_seed(5)",
        "getattr(torch, 'manual_seed')(1)",
        "model.generator.seed()",
    ],
)
def test_seeding_a_generator_is_refused_and_the_line_is_named(line: str) -> None:
    """A lucky seed would be kept as a discovery, and would never reproduce."""
    reason = reason_of(GOOD + line + "\n")
    assert "seed" in reason
    assert f"line {GOOD.count(chr(10)) + 1}" in reason


@pytest.mark.parametrize(
    ("train_py", "says"),
    [
        pytest.param(GOOD + "def f(:\n", "line 12", id="syntax-error"),
        pytest.param(GOOD + "return 1\n", "outside function", id="compile-time-error"),
        pytest.param(
            GOOD.replace("def build_model", "def make"), "build_model", id="no-build-model"
        ),
        pytest.param(
            GOOD.replace("def build_model(config: dict)", "def build_model(config, width)"),
            "one argument",
            id="build-model-wants-more",
        ),
        pytest.param(
            GOOD.replace("def build_model(config: dict)", "def build_model()"),
            "one argument",
            id="build-model-takes-nothing",
        ),
        pytest.param(
            GOOD.replace('__name__ == "__main__"', "True"), "__main__", id="no-main-block"
        ),
        pytest.param(GOOD.replace("prepare.start()", "None"), "prepare.start", id="never-starts"),
        pytest.param(GOOD.replace("prepare.save(", "print("), "prepare.save", id="never-saves"),
        pytest.param(GOOD + "prepare.start()\n", "on import", id="starts-on-import"),
        pytest.param("", "empty", id="empty"),
        pytest.param("\n\n", "empty", id="blank"),
        pytest.param(GOOD + "x = '\0'\n", "NUL", id="nul-byte"),
        pytest.param(GOOD + "x = '\udc80'\n", "UTF-8", id="surrogate"),
        pytest.param(GOOD + "# " + "x" * MAX_BYTES, "cap", id="over-the-cap"),
    ],
)
def test_each_broken_part_has_a_reason_that_names_it(train_py: str, says: str) -> None:
    """The reason is all an agent gets; it must be enough to correct the file."""
    assert says in reason_of(train_py)


@pytest.mark.parametrize(
    "deep",
    [
        pytest.param("x = " + "(" * 5_000 + ")" * 5_000, id="parentheses"),
        pytest.param("x = " + "-" * 100_000 + "1", id="signs"),
        pytest.param("x = 1" + " + 1" * 40_000, id="sums"),
        pytest.param("x = a" + ".b" * 60_000, id="attributes"),
        pytest.param("if " + "not " * 50_000 + "1: pass", id="nots"),
        pytest.param("x = " + "9" * 10_000, id="digits"),
        pytest.param("".join("\n" + " " * i + "if 1:" for i in range(200)) + " pass", id="blocks"),
    ],
)
def test_source_nested_past_the_parser_is_refused_not_a_crash(deep: str) -> None:
    """One odd reply must cost one experiment, never the controller."""
    assert reason_of(GOOD + deep + "\n")


def test_the_cap_counts_bytes_and_its_edge_is_allowed() -> None:
    """A limit that is off by one, or counts characters, is another limit than the documented one."""
    room = MAX_BYTES - len(GOOD.encode()) - 1
    check(GOOD + "#" + "x" * room)
    assert "cap" in reason_of(GOOD + "#" + "x" * (room + 1))
    assert "cap" in reason_of(GOOD + "#" + "é" * (room // 2 + 1))


@given(st.text(max_size=400))
def test_any_text_is_an_answer_and_never_an_error(text: str) -> None:
    """Replies of models are arbitrary text."""
    for train_py in (text, GOOD + text):
        with contextlib.suppress(ContractBroken):
            check(train_py)
