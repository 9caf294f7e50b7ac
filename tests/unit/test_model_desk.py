"""The tools of a model: what they give, how they refuse, and what their schemas promise."""

from __future__ import annotations

from typing import Any

import pytest

from lab.agents.arguments import ARGUMENTS, list_tools
from lab.agents.desk import MAX_NOTES, Desk
from lab.agents.fence import Fence
from lab.agents.providers import ToolResult
from lab.agents.shelf import MAX_RESULT_CHARS
from lab.prompt import Brief
from tests.unit.recorded_model import BEST, brief_of, call, edit, past_of, submit

HISTORY = (
    past_of(1, kind="baseline", title="baseline, run 1 of 3", val_bpb=1.81, gain_bpb=None),
    past_of(2, title="wider", kept=True, val_bpb=1.80, gain_bpb=0.01),
    past_of(3, title="half the rate", val_bpb=1.799, gain_bpb=0.001),
    past_of(4, title="no rotary", val_bpb=1.95, gain_bpb=-0.15, hypothesis="positions are dear"),
    past_of(
        5, title="ten layers", status="crashed", val_bpb=None, gain_bpb=None, reason="crashed: boom"
    ),
)


def desk_of(brief: Brief | None = None) -> Desk:
    return Desk(brief or brief_of(HISTORY), Fence("feedfacefeedface"), {})


def use(desk: Desk, name: str, **arguments: Any) -> ToolResult:
    return desk.use(call(name, **arguments))


def history(desk: Desk, **arguments: Any) -> list[int]:
    said = use(desk, "history", **arguments)
    assert not said.is_error, said.content
    rows = [line.split(" | ") for line in said.content.splitlines() if " | " in line]
    return [int(row[0]) for row in rows[1:]]


def all_schemas(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [
        *schema.get("properties", {}).values(),
        *([schema["items"]] if "items" in schema else []),
    ]
    return [schema, *(found for part in inner for found in all_schemas(part))]


@pytest.mark.parametrize("tool", list_tools(), ids=lambda tool: tool.name)
def test_a_schema_is_as_strict_as_the_strictest_provider_wants(tool: Any) -> None:
    """All properties required, none besides, no default, no reference, no bound, no null."""
    for schema in all_schemas(tool.parameters):
        assert set(schema) <= {
            *("type", "description", "enum", "items"),
            *("properties", "required", "additionalProperties"),
        }
        assert isinstance(schema["type"], str)
        if schema["type"] == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False
    assert tool.description
    assert tool.name in ARGUMENTS


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        pytest.param({"which": "all", "order": "oldest"}, [1, 2, 3, 4, 5], id="all"),
        pytest.param({"which": "all"}, [5, 4, 3, 2, 1], id="newest-first"),
        pytest.param({"which": "kept"}, [2], id="kept"),
        pytest.param({"which": "near"}, [3], id="near"),
        pytest.param({"which": "worse"}, [4], id="worse"),
        pytest.param({"which": "failed"}, [5], id="failed"),
        pytest.param({"contains": "RATE"}, [3], id="title"),
        pytest.param({"contains": "positions"}, [4], id="hypothesis"),
        pytest.param({"contains": "boom"}, [5], id="reason"),
        pytest.param({"order": "best score"}, [3, 2, 1, 4, 5], id="best-score"),
        pytest.param({"order": "largest gain", "most": 2}, [2, 3], id="largest-gain"),
    ],
)
def test_the_history_can_be_searched(arguments: dict[str, Any], shown: list[int]) -> None:
    """What has no score or gain never wins a sorting: absence is not zero."""
    assert history(desk_of(), **arguments) == shown


def test_an_experiment_is_shown_with_what_came_of_it() -> None:
    """Change, outcome, curve and the end of the log; what a program printed stands in fences."""
    log = "".join(
        f"step {n} | loss {9 - n / 200:.4f} | 12,345 tok/s | {n // 10}%\n"
        for n in range(0, 1000, 5)
    )
    brief = brief_of(
        HISTORY,
        diff_of=lambda number: "-WIDTH = 64\n+WIDTH = 96" if number == 2 else None,
        log_of=lambda number: log + "the very end" if number == 2 else None,
    )
    said = use(desk_of(brief), "experiment", number=2).content
    assert "2 | kept | 1.8000 | +0.0100 | wider" in said
    assert "+WIDTH = 96" in said
    assert "step 0, loss 9.0000, 12,345 tok/s" in said and "step 995, loss 4.0250" in said
    assert "the very end" in said
    assert said.count("[data feedfacefeedface: ") == said.count("[end of data") == 4
    assert "its run:" not in said
    assert "crashed: boom" in use(desk_of(brief), "experiment", number=5).content


def test_an_experiment_is_shown_with_what_it_took_of_the_device() -> None:
    """What ran out of memory, or let the GPU wait, says so here and nowhere else."""
    brief = brief_of([past_of(1, vitals="peak GPU memory 71.0 GiB, GPU busy 43 %")])
    said = use(desk_of(brief), "experiment", number=1).content
    assert "\nits run: peak GPU memory 71.0 GiB, GPU busy 43 %\n" in said


@pytest.mark.parametrize("number", [0, 6, -1, 10**9])
def test_an_experiment_that_cannot_be_seen_is_named(number: int) -> None:
    """Re-runs take numbers too, so there are gaps; the model is told the range."""
    said = use(desk_of(), "experiment", number=number)
    assert said.is_error
    assert "There are 1 to 5" in said.content


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("train.py", "WIDTH = 64"),
        ("best train.py", "WIDTH = 64"),
        ("program.md", "Lower val_bpb."),
        ("contract", "build_model(config) gives the model."),
        ("prepare.py", "SEQUENCE_LEN = 256"),
    ],
)
def test_the_files_of_a_campaign_can_be_read(file: str, text: str) -> None:
    """Nobody has to guess what `prepare` offers."""
    said = use(desk_of(), "read_file", file=file)
    assert text in said.content and not said.is_error


def test_some_lines_of_the_draft_are_read_as_they_stand() -> None:
    """What is copied into an edit must match, so there is nothing before a line."""
    desk = desk_of()
    desk.use(edit("WIDTH = 64", "WIDTH = 96"))
    said = use(desk, "read_file", file="train.py", number=0, first_line=5, last_line=6)
    assert said.content.splitlines()[1:] == ["WIDTH = 96", "DEPTH = 2"]
    assert "WIDTH = 64" in use(desk, "read_file", file="best train.py").content
    assert use(desk, "read_file", file="train.py", first_line=900).is_error


def test_an_earlier_candidate_can_be_read() -> None:
    """A near miss is worth another look."""
    brief = brief_of(HISTORY, code_of=lambda number: "OLD = 1\n" if number == 3 else None)
    assert "OLD = 1" in use(desk_of(brief), "read_file", file="experiment", number=3).content
    said = use(desk_of(brief), "read_file", file="experiment", number=5)
    assert said.is_error and "left no train.py" in said.content


def test_a_result_is_bounded_and_says_what_it_leaves_out() -> None:
    """One call must not fill the context."""
    brief = brief_of(HISTORY, code_of=lambda number: "x = 1\n" * 50_000)
    said = use(desk_of(brief), "read_file", file="experiment", number=3).content
    assert len(said) < MAX_RESULT_CHARS + 100
    assert "characters left out]" in said


def test_no_fence_is_cut_however_long_its_contents_are() -> None:
    """A fence without an end would swallow what the laboratory says after it."""
    long = tuple(
        past_of(n, title="t" * 400, reason="r" * 9000, val_bpb=None) for n in range(1, 301)
    )
    brief = brief_of(long, diff_of=lambda n: "+d\n" * 50_000, log_of=lambda n: "l\n" * 50_000)
    for said in (
        use(desk_of(brief), "history", most=200).content,
        use(desk_of(brief), "experiment", number=7).content,
    ):
        assert said.count("[data feedface") == said.count("[end of data feedface") > 0
        assert "characters left out]\n[end" not in said


def test_blocks_that_do_not_all_fit_change_nothing() -> None:
    """Half an edit is a file that nobody meant."""
    desk = desk_of()
    blocks = [{"find": "WIDTH = 64", "replace": "WIDTH = 1"}, {"find": "nowhere", "replace": ""}]
    said = use(desk, "edit_train", edits=blocks, whole_file="")
    assert said.is_error and "block 2" in said.content
    assert desk.draft == BEST


def test_an_edit_shows_what_it_did_and_whether_the_contract_holds() -> None:
    """A mistake is cheapest before the submission."""
    desk = desk_of()
    assert "It keeps the contract." in desk.use(edit("WIDTH = 64", "WIDTH = 96")).content
    said = desk.use(edit("def build_model", "def make_model"))
    assert not said.is_error
    assert "breaks the contract: there is no build_model" in said.content
    assert "-def build_model(config):" in said.content


def test_a_whole_file_takes_the_place_of_the_draft() -> None:
    """For what no block can say."""
    desk = desk_of()
    whole = BEST.replace("RATE = 0.04", "RATE = 0.02")
    assert not use(desk, "edit_train", edits=[], whole_file=whole).is_error
    assert desk.draft == whole


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("edit_train", {"edits": [], "whole_file": ""}, "give either"),
        (
            "edit_train",
            {"edits": [{"find": "a", "replace": "b"}], "whole_file": "x"},
            "give either",
        ),
        ("edit_train", {"edits": [{"old": "a", "new": "b"}]}, "edits.0.find"),
        ("edit_train", {"whole_file": BEST}, "the same as before"),
        ("history", {"most": 10_000}, "`most`"),
        ("history", {"which": "lost"}, "`which`"),
        ("read_file", {"file": "/etc/passwd"}, "`file`"),
        ("read_file", {"file": "../ledger.jsonl"}, "`file`"),
        ("experiment", {"number": "the best"}, "`number`"),
        ("submit", {"hypothesis": "h"}, "`title`"),
        ("submit", {"title": "", "hypothesis": "h"}, "`title`"),
        ("shell", {"command": "ls"}, "there is no tool 'shell'. There are: read_file"),
    ],
)
def test_a_wrong_call_is_told_what_to_do(name: str, arguments: dict[str, Any], told: str) -> None:
    """Every one of these was a whole turn, paid for; the next should be right."""
    said = use(desk_of(), name, **arguments)
    assert said.is_error
    assert told in said.content
    assert len(said.content) < 1_000


def test_a_comment_is_no_experiment() -> None:
    """It would measure the noise, for the price of a run."""
    desk = desk_of()
    desk.use(edit("WIDTH = 64", "WIDTH = 64  # the width"))
    said = desk.use(submit())
    assert said.is_error and "nothing to measure" in said.content
    assert desk.submission is None


def test_notes_are_bounded() -> None:
    """A notebook that grows by a page at every turn is read by nobody, and paid for by everybody."""
    kept: list[str] = []
    desk = desk_of(brief_of(remember=kept.append))
    results = [use(desk, "note", text=f"{n} " + "x" * 5000) for n in range(MAX_NOTES + 3)]
    assert sum(result.is_error for result in results) == 3
    assert len(kept) == MAX_NOTES
    assert all(len(note) <= 1000 for note in kept)


def test_a_question_may_be_asked_again_when_something_changed() -> None:
    """After an edit the same call has another answer; before it, twice is enough."""
    desk = desk_of()
    asked = {"file": "train.py", "number": 0, "first_line": 1, "last_line": 0}
    assert [use(desk, "read_file", **asked).is_error for _ in range(3)] == [False, False, True]
    desk.use(edit("WIDTH = 64", "WIDTH = 96"))
    assert "WIDTH = 96" in use(desk, "read_file", **asked).content
