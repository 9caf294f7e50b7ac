"""One proposal, talked over with a model until it submits.

Owns    the turns, what counts as getting nowhere, and what is forgotten when it grows too long
Takes   a provider, a desk, and what limits them
Gives   a Submission, or Fruitless with the reason
Never   spends before `Spending` allows it, and never waits without `Patience`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lab.agents.arguments import list_tools
from lab.agents.asking import Patience
from lab.agents.desk import Desk, Submission
from lab.agents.providers import (
    Exchange,
    NotUnderstood,
    Provider,
    Reply,
    Request,
    ToolCall,
    TooLong,
    ToolResult,
    Usage,
)
from lab.agents.room import Limits, Room
from lab.agents.spending import ProposalSpent, Spending, total
from lab.agents.transcript import Transcript, answer_facts, told_facts

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
        steady: str,
        desk: Desk,
        spending: Spending,
        patience: Patience,
        transcript: Transcript,
        limits: Limits,
        room: Room,
    ) -> None:
        """Begin.

        `write_brief(count, most)` gives the brief's text in at most that many tokens, by that count. Up to the
        end of `steady`, which it quotes, it is likely to be the same at the next proposal. What the provider turns
        out to take is left in `room`.
        """
        self._provider = provider
        self._system = system
        self._write_brief = write_brief
        self._steady = steady
        self._steady_chars = 0
        self._desk = desk
        self._spending = spending
        self._patience = patience
        self._transcript = transcript
        self._limits = limits
        self._room = room
        self._tools = list_tools()
        self._exchanges: tuple[Exchange, ...] = ()
        self._forgotten = ""  # what the brief says of turns that were dropped
        self._answered = False
        self._idle = 0
        self._brief = ""
        self._brief_tokens = room.prompt_tokens // 2  # the other half is for the conversation

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
        thought_tokens = 0  # of an answer that held nothing else
        while True:
            request, tokens = self._fitting_request()
            if request.max_output_tokens <= thought_tokens:  # it would only cost the same again
                raise Fruitless(
                    f"thought for {thought_tokens:,} tokens, said nothing, and may not answer longer"
                )
            try:
                reply = self._ask(request)
            except TooLong as refusal:
                self._give_way(refusal, request, tokens)
                continue
            usd = self._spending.book(reply.usage)
            self._transcript.write("answer", answer_facts(reply, usd))
            self._answered = True
            if reply.ending == "length" and _is_empty(reply):
                thought_tokens = request.max_output_tokens
                self._room.grow(thought_tokens)
                continue
            return reply

    def _fitting_request(self) -> tuple[Request, int]:
        """What to ask next, and its tokens: short enough, and not dearer than what is left."""
        while True:
            request = self._request()
            tokens = self._count(request)
            if tokens <= self._room.prompt_tokens:
                break
            self._shorten(f"the prompt takes {tokens:,} tokens of {self._room.prompt_tokens:,}")
        answer = self._spending.longest_answer(tokens, self._room.answer_tokens)
        return replace(request, max_output_tokens=answer), tokens

    def _request(self) -> Request:
        return Request(
            system=self._system,
            brief=self._brief + self._forgotten,
            exchanges=self._exchanges,
            tools=self._tools,
            max_output_tokens=self._room.answer_tokens,
            steady_chars=self._steady_chars,
        )

    def _count(self, request: Request) -> int:
        return self._patience.ask(
            lambda: self._provider.count_tokens(request), on_failure=self._book_failure
        )

    def _ask(self, request: Request) -> Reply:
        def question() -> Reply:
            try:
                return self._provider.ask(request)
            except NotUnderstood as refusal:
                if not self._answered:  # the settings are wrong
                    raise
                # Key, model and settings have just worked: it is this conversation that is not taken.
                raise Fruitless(f"could not go on: {refusal}") from refusal

        return self._patience.ask(question, on_failure=self._book_failure)

    def _give_way(self, refusal: TooLong, request: Request, tokens: int) -> None:
        """Make room for the next try.

        Raises:
            Fruitless: there is none to make.
        """
        if not self._room.give_way(
            refusal,
            prompt_tokens=tokens,
            answer_tokens=request.max_output_tokens,
            begun=bool(self._exchanges),
        ):
            raise Fruitless(f"could not be asked: {refusal}") from refusal

    def _book_failure(self, usage: Usage) -> None:
        usd = self._spending.book(usage)
        self._transcript.write("broke off", {"usd": usd, "tokens": total(usage)})

    # ---- hearing ----

    def _hear(self, reply: Reply, *, turns_left: int) -> None:
        if reply.ending == "refused" or _is_empty(reply):
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
        self._transcript.write("told", told_facts(exchange))

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
            return self._count(replace(self._request(), brief=text, exchanges=()))

        self._brief = self._write_brief(count, self._brief_tokens)
        start = self._brief.find(self._steady)
        self._steady_chars = 0 if start < 0 else start + len(self._steady)

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
            self._forget(len(old))
        elif not self._shorten_brief():
            if not self._exchanges:
                raise Fruitless(f"could not be asked: {why}, and nothing is left to shorten")
            self._forget(1)
        self._exchanges = tuple(replace(exchange, uprooted=True) for exchange in self._exchanges)
        self._desk.forget_answers()
        self._transcript.write("shortened", {"why": why})

    def _forget(self, turns: int) -> None:
        """Drop the first turns. What is said of them stays as it is, for what follows is bound to it."""
        self._exchanges = self._exchanges[turns:]
        changed = self._desk.diff() or "nothing yet."
        self._forgotten = (
            f"\n\nEarlier turns were left out for length. By then your draft changed:\n{changed}"
        )

    def _shorten_brief(self) -> bool:
        """Write the brief anew in half the tokens; whether that made it shorter."""
        before = len(self._brief)
        self._brief_tokens //= 2
        self._fit_brief()
        return len(self._brief) < before


def _is_empty(reply: Reply) -> bool:
    return not (reply.calls or reply.text.strip())


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
