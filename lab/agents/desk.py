"""The researcher's desk: the draft of one proposal, and the few things that can be done with it.

Owns    the tools of a model, and what may be submitted
Takes   a Brief, and calls of tools as a model wrote them
Gives   results, bounded, with what to do where a call was wrong; at last a Submission
Never   runs anything, asks a model, or shows more of a campaign than the Brief holds
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lab.agents.arguments import (
    ARGUMENTS,
    EditTrain,
    Experiment,
    History,
    Note,
    ReadFile,
    Submit,
)
from lab.agents.edits import EditDoesNotFit, apply_blocks
from lab.agents.fence import Fence, one_line, visible
from lab.agents.providers import ToolCall, ToolResult
from lab.agents.shelf import (
    MAX_DIFF_CHARS,
    MAX_RESULT_CHARS,
    Wrong,
    bounded,
    diff_of,
    list_history,
    read_file,
    show_experiment,
)
from lab.agents.similar import Match, code_digest, find_earlier
from lab.agents.table import outcome_of, row
from lab.contract import ContractBroken, check
from lab.prompt import Brief, UnderWay

MAX_NOTE_CHARS = 1_000
MAX_NOTES = 8  # of one proposal

# A file that breaks the contract comes back this often, with the reason; then the lab writes it down as rejected.
CONTRACT_REFUSALS = 2
# The same edit of another file comes back this often; who asks once more has a reason that a digest cannot see.
# The same file always comes back.
REPEAT_REFUSALS = 2
# The same question about the same draft is answered this often.
SAME_ANSWERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What a model settled on."""

    title: str
    hypothesis: str
    expected_effect: str
    train_py: str


class Desk:
    """One proposal in the making."""

    def __init__(self, brief: Brief, fence: Fence, digests: dict[int, str | None]) -> None:
        """Begin with the best file as the draft; `digests` is what `find_earlier` keeps."""
        self._brief = brief
        self._digests = digests
        self._fence = fence
        self._seen: Counter[str] = Counter()
        self._contract_refusals = 0
        self._repeat_refusals = 0
        self._notes = 0
        self.draft = brief.train_py
        self.submission: Submission | None = None
        self._uses: dict[type, Callable[[Any], str]] = {
            ReadFile: lambda asked: read_file(brief, self.draft, asked),
            History: lambda asked: list_history(brief, fence, asked),
            Experiment: lambda asked: show_experiment(brief, fence, asked),
            EditTrain: self._edit_train,
            Submit: self._submit,
            Note: self._note,
        }

    def use(self, call: ToolCall) -> ToolResult:
        """Do what a model asked for; whatever is wrong with it becomes a result that says so."""
        try:
            said, is_error = self._do(call), False
        except Wrong as wrong:
            said, is_error = str(wrong), True
        return ToolResult(
            call_id=call.id,
            name=call.name,
            content=bounded(visible(said), MAX_RESULT_CHARS),
            is_error=is_error,
        )

    def forget_answers(self) -> None:
        """What was answered is no longer before the model's eyes, so it may ask again."""
        self._seen.clear()

    def changed(self) -> bool:
        """Whether the draft means something else than the best file."""
        if self.draft == self._brief.train_py:
            return False
        digest = code_digest(self.draft)
        return digest is None or digest != code_digest(self._brief.train_py)

    def diff(self) -> str:
        """What the draft changes, bounded; empty when nothing."""
        return diff_of(self._brief.train_py, self.draft)

    def salvage(self) -> Submission | None:
        """The draft of a model that never submitted, where it could be an experiment; else None.

        It was paid for, and a run says more than throwing it away.
        """
        if not self.changed() or self._broken() is not None or self._earlier() is not None:
            return None
        return Submission(
            title="a draft that was never submitted",
            hypothesis="The model stopped before it said what it expects.",
            expected_effect="",
            train_py=self.draft,
        )

    def _do(self, call: ToolCall) -> str:
        kind = ARGUMENTS.get(call.name)
        if kind is None:
            raise Wrong(
                f"there is no tool {one_line(call.name, 60)!r}. There are: {', '.join(ARGUMENTS)}."
            )
        if call.arguments is None:
            raise Wrong(
                "the arguments were no JSON object: they may have been cut off, or a quote or a line break in a "
                f"text was not escaped. They began: {one_line(call.written, 120)!r}. Call it again."
            )
        try:
            arguments = kind.model_validate(call.arguments)
        except ValidationError as error:
            raise Wrong(f"{call.name}: {_faults(error)} Call it again.") from error
        self._refuse_endless(call)
        return self._uses[kind](arguments)

    def _refuse_endless(self, call: ToolCall) -> None:
        """Answering the same question for ever is how a night is spent on nothing."""
        if call.name == "submit":  # which counts for itself
            return
        key = json.dumps([call.name, call.arguments], sort_keys=True)
        self._seen[key] += 1
        if self._seen[key] > SAME_ANSWERS:
            raise Wrong(
                f"you have made this call {SAME_ANSWERS} times and nothing has changed since. Use what it "
                "gave: change the draft, or submit it."
            )

    def _edit_train(self, asked: EditTrain) -> str:
        if bool(asked.edits) == bool(asked.whole_file):
            raise Wrong(
                'give either `edits` with `whole_file` "", or `whole_file` with `edits` [].'
            )
        try:
            draft = asked.whole_file or apply_blocks(self.draft, asked.edits)
        except EditDoesNotFit as misfit:
            raise Wrong(f"nothing was changed: {misfit}") from misfit
        if draft == self.draft:
            raise Wrong("nothing was changed: the draft is the same as before.")
        done = diff_of(self.draft, draft)
        self.draft = draft
        self._seen.clear()  # another draft, other answers
        broken = self._broken()
        standing = f"But it breaks the contract: {broken}" if broken else "It keeps the contract."
        return f"The draft is changed. {standing}\n{bounded(done, MAX_DIFF_CHARS)}"

    def _submit(self, asked: Submit) -> str:
        if not self.changed():
            raise Wrong(
                "the draft is the best file as it is, so there would be nothing to measure. "
                "Change it with edit_train first."
            )
        broken = self._broken()
        if broken is not None and self._contract_refusals < CONTRACT_REFUSALS:
            self._contract_refusals += 1
            raise Wrong(f"not accepted, the file breaks the contract: {broken} Correct it.")
        earlier = self._earlier()
        if earlier is not None and earlier.whole_file:
            raise Wrong(f"{self._repeats(earlier)}Change something else.")
        if earlier is not None and self._repeat_refusals < REPEAT_REFUSALS:
            self._repeat_refusals += 1
            left = REPEAT_REFUSALS - self._repeat_refusals
            again = "submit it again" if left == 0 else f"submit it {left + 1} more times"
            raise Wrong(
                f"{self._repeats(earlier)}Change something else, or, if you know why it would come out "
                f"otherwise now, {again}."
            )
        self.submission = Submission(
            title=one_line(asked.title, 200),
            hypothesis=visible(asked.hypothesis)[:4_000],
            expected_effect=visible(asked.expected_effect)[:1_000],
            train_py=self.draft,
        )
        return "Submitted."

    def _note(self, asked: Note) -> str:
        if self._notes >= MAX_NOTES:
            raise Wrong(f"{MAX_NOTES} notes are enough for one proposal; submit it.")
        self._notes += 1
        self._brief.remember(one_line(asked.text, MAX_NOTE_CHARS))
        return "Noted; you will see it before every later proposal."

    def _broken(self) -> str | None:
        try:
            check(self.draft)
        except ContractBroken as broken:
            return broken.reason
        return None

    def _earlier(self) -> Match | None:
        return find_earlier(
            self.draft,
            base=self._brief.train_py,
            history=self._brief.history,
            ahead=self._brief.ahead,
            code_of=self._brief.code_of,
            digests=self._digests,
        )

    def _repeats(self, match: Match) -> str:
        """That it was tried, where, and what came of it."""
        earlier = match.earlier
        if isinstance(earlier, UnderWay):
            title = self._fence.around("that experiment", one_line(earlier.title, 200))
            return f"not accepted: {match}.\n{title}\n"
        kept = [p.number for p in self._brief.history if p.kept and p.number > earlier.number]
        moved = f" Since then {_numbers(kept)} became part of the best file." if kept else ""
        return (
            f"not accepted: {match}.{moved}\n"
            f"{self._fence.around('that experiment', row(earlier))}\n({outcome_of(earlier)}.) "
        )


def _numbers(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[-8:])
    return f"experiments {shown}" if len(numbers) > 1 else f"experiment {shown}"


def _faults(error: ValidationError) -> str:
    """What is wrong with arguments, without quoting them at length."""
    faults = [
        f"`{'.'.join(str(part) for part in fault['loc'])}`: {fault['msg']}."
        for fault in error.errors(include_url=False, include_input=False)[:4]
    ]
    return " ".join(faults)
