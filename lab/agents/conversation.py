"""One proposal, talked over with a model until it submits.

Owns    the turns, what counts as getting nowhere, and what is forgotten when it grows too long
Takes   a provider, a desk, and what limits them
Gives   a Submission, or Fruitless with the reason
Never   spends before `Spending` allows it, and never waits without `Patience`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lab.agents.arguments import list_tools
from lab.agents.asking import Patience
from lab.agents.desk import Desk, Submission
from lab.agents.providers import (
    Exchange,
    Provider,
    Reply,
    Request,
    ToolCall,
    TooLong,
    ToolResult,
    Usage,
)
from lab.agents.spending import ProposalSpent, Spending, total
from lab.agents.transcript import Transcript

STUB_CHARS = 200
KEPT_EXCHANGES = 2  # that are never shortened before all others are
FEW_TURNS_LEFT = 3

CARRY_ON = (
    "Nobody reads this and nobody answers: there is no one to ask and no need to. Go on with a call. When the "
    "draft is ready, call submit."
)
CUT_OFF = (
    "Your reply was cut off at {tokens:,} tokens, so its last call was not done. Make it in smaller steps: "
    "search/replace blocks instead of a whole file."
)
NOT_DONE = "not done: the reply was cut off here."


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one proposal may take."""

    turns: int = 24
    prompt_tokens: int = 100_000  # the whole prompt, the conversation included
    answer_tokens: int = 24_000  # one answer, thought included; the seed train.py is 8,000
    idle_turns: int = 6  # in a row, that led nowhere
    calls: int = 16  # of one answer


class Fruitless(Exception):
    """The conversation ended without a submission; the text says why, after "it"."""


class Conversation:
    """Open from the brief to the submission."""

    def __init__(
        self,
        provider: Provider,
        *,
        system: str,
        write_brief: Callable[[Callable[[str], int], int], str],
        desk: Desk,
        spending: Spending,
        patience: Patience,
        transcript: Transcript,
        limits: Limits,
    ) -> None:
        """Begin.

        `write_brief(count, most)` gives the brief's text in at most that many tokens, by that count.
        """
        self._provider = provider
        self._system = system
        self._write_brief = write_brief
        self._desk = desk
        self._spending = spending
        self._patience = patience
        self._transcript = transcript
        self._limits = limits
        self.prompt_tokens = limits.prompt_tokens  # less, once the provider has said so
        self._tools = list_tools()
        self._exchanges: tuple[Exchange, ...] = ()
        self._forgot = False  # whether whole turns were dropped
        self._idle = 0
        self._brief = ""
        self._brief_tokens = limits.prompt_tokens // 2  # the other half is for the conversation

    def run(self) -> Submission:
        """Talk until a proposal is submitted.

        Raises:
            Fruitless: a limit of this proposal was reached, or the model leads nowhere.
            NightEnds: a limit of the campaign was reached, or a person wants to stop.
            AgentError: the provider refuses until a person acts.
        """
        self._fit_brief()
        self._transcript.write("begins", {"system": self._system, "brief": self._brief})
        try:
            for turn in range(1, self._limits.turns + 1):
                reply = self._next_reply()
                self._hear(reply, turns_left=self._limits.turns - turn)
                if self._desk.submission is not None:
                    return self._desk.submission
                if self._idle >= self._limits.idle_turns:
                    raise Fruitless(f"led nowhere for {self._idle} turns in a row")
        except ProposalSpent as spent:
            raise Fruitless(f"submitted nothing before {spent}") from spent
        raise Fruitless(f"submitted nothing in {self._limits.turns} turns")

    # ---- asking ----

    def _next_reply(self) -> Reply:
        """The answer to the conversation so far, made as short as it takes."""
        while True:
            request, tokens = self._fitting_request()
            try:
                reply = self._ask(lambda: self._provider.ask(request))  # noqa: B023, asked at once
            except TooLong:
                self.prompt_tokens = tokens * 3 // 4
                continue
            usd = self._spending.book(reply.usage)
            self._transcript.write("answer", _answer_facts(reply, usd))
            return reply

    def _fitting_request(self) -> tuple[Request, int]:
        """What to ask next, and its tokens: short enough, and not dearer than what is left."""
        while True:
            request = self._request(self._limits.answer_tokens)
            tokens = self._count(request)
            if tokens <= self.prompt_tokens:
                break
            self._shorten(f"the prompt takes {tokens:,} tokens of {self.prompt_tokens:,}")
        answer = self._spending.longest_answer(tokens, self._limits.answer_tokens)
        return replace(request, max_output_tokens=answer), tokens

    def _request(self, answer_tokens: int) -> Request:
        brief = self._brief
        if self._forgot:
            changed = self._desk.diff() or "nothing yet."
            brief += f"\n\nEarlier turns were left out for length. Your draft changes:\n{changed}"
        return Request(
            system=self._system,
            brief=brief,
            exchanges=self._exchanges,
            tools=self._tools,
            max_output_tokens=answer_tokens,
        )

    def _count(self, request: Request) -> int:
        return self._ask_count(lambda: self._provider.count_tokens(request))

    def _ask(self, question: Callable[[], Reply]) -> Reply:
        return self._patience.ask(question, on_failure=self._book_failure)

    def _ask_count(self, question: Callable[[], int]) -> int:
        return self._patience.ask(question, on_failure=self._book_failure)

    def _book_failure(self, usage: Usage) -> None:
        usd = self._spending.book(usage)
        self._transcript.write("broke off", {"usd": usd, "tokens": total(usage)})

    # ---- hearing ----

    def _hear(self, reply: Reply, *, turns_left: int) -> None:
        if reply.ending == "refused" or not (reply.calls or reply.text.strip()):
            # What is empty or refused is not sent back: some providers take neither.
            self._idle += 1
            self._say(CARRY_ON)
            self._transcript.write("told", {"text": CARRY_ON, "results": []})
            return
        results = self._answer(reply)
        led_somewhere = any(not result.is_error for result in results)
        self._idle = 0 if led_somewhere else self._idle + 1
        text = "" if reply.calls else CARRY_ON
        if reply.ending == "length":
            text = CUT_OFF.format(tokens=reply.usage.output_tokens)
        if 0 < turns_left < FEW_TURNS_LEFT:
            text = f"{text} {turns_left} turns are left: submit now.".strip()
        exchange = Exchange(reply=reply, results=results, text=text)
        self._exchanges = (*self._exchanges, exchange)
        self._transcript.write("told", _told_facts(exchange))

    def _answer(self, reply: Reply) -> tuple[ToolResult, ...]:
        """A result for every call, in their order; nothing is done after a submission."""
        results: list[ToolResult] = []
        for position, call in enumerate(reply.calls, start=1):
            if self._desk.submission is not None:
                results.append(_undone(call, "not done: the draft was submitted before."))
            elif position > self._limits.calls:
                results.append(_undone(call, f"not done: at most {self._limits.calls} at once."))
            elif reply.ending == "length" and position == len(reply.calls):
                results.append(_undone(call, NOT_DONE))
            else:
                results.append(self._desk.use(call))
        return tuple(results)

    def _say(self, text: str) -> None:
        """Add a sentence to the last turn; without one, the same question is simply asked again."""
        if self._exchanges:
            last = self._exchanges[-1]
            if text not in last.text:
                text = f"{last.text} {text}".strip()
                self._exchanges = (*self._exchanges[:-1], replace(last, text=text))

    # ---- shortening ----

    def _fit_brief(self) -> None:
        """Write the brief in the tokens it may take, together with the system text and the tools."""

        def count(text: str) -> int:
            request = replace(self._request(self._limits.answer_tokens), brief=text, exchanges=())
            return self._count(request)

        self._brief = self._write_brief(count, self._brief_tokens)

    def _shorten(self, why: str) -> None:
        """Make the next request shorter, by what is missed least.

        Raises:
            Fruitless: there is nothing left that could be shortened.
        """
        old, new = self._exchanges[:-KEPT_EXCHANGES], self._exchanges[-KEPT_EXCHANGES:]
        stubbed = tuple(_stub(exchange) for exchange in old)
        if stubbed != old:
            self._exchanges = (*stubbed, *new)
        elif old:
            self._exchanges, self._forgot = new, True
        elif not self._shorten_brief():
            if not self._exchanges:
                raise Fruitless(f"could not be asked: {why}, and nothing is left to shorten")
            self._exchanges, self._forgot = self._exchanges[1:], True
        self._desk.forget_answers()
        self._transcript.write("shortened", {"why": why})

    def _shorten_brief(self) -> bool:
        """Write the brief anew in half the tokens; whether that made it shorter."""
        before = len(self._brief)
        self._brief_tokens //= 2
        self._fit_brief()
        return len(self._brief) < before


def _undone(call: ToolCall, why: str) -> ToolResult:
    return ToolResult(call_id=call.id, name=call.name, content=why, is_error=True)


def _stub(exchange: Exchange) -> Exchange:
    """The turn with the beginnings of its long results."""
    return replace(
        exchange,
        results=tuple(
            result
            if len(result.content) <= STUB_CHARS
            else replace(result, content="[left out for length; call it again if you need it]")
            for result in exchange.results
        ),
    )


def _answer_facts(reply: Reply, usd: float | None) -> Mapping[str, object]:
    return {
        "usd": usd,
        "tokens": total(reply.usage),
        "usage": {
            "input": reply.usage.input_tokens,
            "cache_read": reply.usage.cache_read_tokens,
            "cache_write": reply.usage.cache_write_tokens,
            "output": reply.usage.output_tokens,
        },
        "ending": reply.ending,
        "text": reply.text,
        "calls": [{"name": call.name, "written": call.written} for call in reply.calls],
    }


def _told_facts(exchange: Exchange) -> Mapping[str, object]:
    return {
        "text": exchange.text,
        "results": [
            {"name": result.name, "is_error": result.is_error, "content": result.content}
            for result in exchange.results
        ],
    }
