"""What a server's refusal means to a night. Every provider's errors end here.

Owns    the rule from status, code and words to TryAgain, Wait, TooLong, Stop or a refusal
Takes   a Failure: what came over the line, of no particular SDK
Gives   the exception to raise
Never   raises, retries or sleeps

The status decides where it is unmistakable. Where a provider says two things with one status (a 429 is
"slower" or "no credit left", a 400 is "too long" or "no such setting"), its code decides, then its words.
"""

from __future__ import annotations

import math
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from lab.agents.providers import (
    AnswerTooLong,
    NotUnderstood,
    ProviderError,
    Stop,
    TooLong,
    TryAgain,
    Wait,
)

LONGEST_MESSAGE = 500  # characters; a proxy's error page does not belong into a record


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One answer that was none."""

    provider: str
    status: int | None  # None where the connection itself failed
    kind: str = ""  # the provider's class of error, such as `overloaded_error`
    code: str = ""  # the provider's code, such as `insufficient_quota`
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    key: str | None = None  # taken out of what is said


class Declined(Exception):
    """The provider would not take this request for what it says: an answer, not an error."""


TOO_LONG = re.compile(
    r"prompt is too long|context[ _-]?(length|window|size)|context limit|input token count"
    r"|maximum (input|prompt|context)|request too large|too many (input |prompt )?tokens"
    r"|exceeds? .{0,60}\btokens? (allowed|limit)|reduce the length",
    re.IGNORECASE,
)
# Of the answer asked for, by any of its names; and the limit, where it is said.
ANSWER_TOO_LONG = re.compile(
    r"(max(imum)?[_ ]?((completion|output|new)[_ ]?)?tokens|maxOutputTokens).{0,100}"
    r"(too (large|high|long|big)|at most|no more than|maximum|less than|exceed|above|range|>|<=)",
    re.IGNORECASE | re.DOTALL,
)
ANSWER_LIMIT = re.compile(
    r"(> ?|<= ?|≤ ?|at most |no more than |less than or equal to \W?|limit of |\[\d+, ?)(\d{4,7})\b",
    re.IGNORECASE,
)
NO_CREDIT = re.compile(
    r"credit balance|insufficient.{0,3}(quota|credits?|funds|balance)|exceeded your current quota, please check"
    r"|billing|spend(ing)?[ _]limit|usage limits?\b|payment|hard[ _]limit|credits? .{0,20}(exhausted|required)",
    re.IGNORECASE,
)
WRONG_KEY = re.compile(r"api key (not valid|expired|not found|missing)", re.IGNORECASE)
DECLINED_CODES = {
    "invalid_prompt",
    "content_filter",
    "content_policy_violation",
    "bio_policy",
    "misalignment_policy_violation",
}
DECLINED = re.compile(
    r"content (filter|management|policy)|filtering policy|usage policy", re.IGNORECASE
)
SPENT_CODES = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "enforced_spend_limit_reached",
    "contract_spend_limit_reached",
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
}
PACE = {"rate_limit_exceeded", "rate_limit_error", "ramp_limit_exceeded"}
# An error inside a stream came with status 200; what it says of itself takes the status's place.
STATUS_OF_KIND = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
}
SECRET = re.compile(
    r"\b(sk|rk|pk|xai|gsk|AIza)[-_A-Za-z0-9*.…]{8,}|(?<=[Bb]earer )\S{8,}"
)  # as the SDKs' messages quote them, stars included


def judge(failure: Failure) -> ProviderError | Declined:
    """What a failed request means.

    Order matters: no credit before rate limit (both are 429), too long before bad request (both are 400), and a
    window that is full before an answer's own limit (either may name the answer).
    """
    status = _status(failure)
    words = f"{failure.kind} {failure.code} {failure.message}"
    said = _said(failure)
    if status in (400, 402, 403, 413, 422, 429) and _is_too_long(status, failure, words):
        return TooLong(said)
    if status in (400, 422) and ANSWER_TOO_LONG.search(failure.message):
        named = ANSWER_LIMIT.search(failure.message)
        return AnswerTooLong(said, most_tokens=int(named[2]) if named else None)
    if failure.code in SPENT_CODES or failure.kind in SPENT_CODES or status == 402:
        return Stop(said, do=_pay(failure))
    if status in (400, 403, 429) and NO_CREDIT.search(failure.message) and not _is_pace(failure):
        return Stop(said, do=_pay(failure))
    if status in (429, 503, 529):
        return Wait(said, after_s=asked_wait_s(failure.headers, failure.message))
    if status in (400, 403, 422) and (
        failure.code in DECLINED_CODES or DECLINED.search(failure.message)
    ):
        return Declined(said)
    if status == 401 or (status == 400 and WRONG_KEY.search(failure.message)):
        return Stop(
            said, do=f"give {failure.provider} a valid key, in the environment or as KEY_FILE."
        )
    if status == 403:
        return Stop(
            said, do="give the key's project access to this model, or choose another MODEL."
        )
    if status == 404:
        return Stop(
            said, do="check MODEL and BASE_URL; the provider's page of models has the names."
        )
    if status in (408, 409, 425, 499) or status is None or status >= 500 or status < 400:
        return TryAgain(said)
    kind = NotUnderstood if status in (400, 422) else Stop
    return kind(said, do="the request was not understood: check MODEL, EFFORT and BASE_URL.")


def of_line(provider: str, error: BaseException, key: str | None) -> ProviderError:
    """A connection or an answer that broke: worth another try, unless the certificate is what failed."""
    cause: BaseException | None = error
    words = type(error).__name__
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Stop(
                f"{provider}: the server's certificate was not accepted: {cause.verify_message}",
                do="check BASE_URL and the host's certificates; nothing was sent.",
            )
        words = f"{type(cause).__name__}: {cause}"
        cause = cause.__cause__ or cause.__context__
    return TryAgain(clean(f"{provider}: the connection or the answer broke: {words}", key))


def asked_wait_s(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds that a server asked to wait, in any of the ways they are written; None when it did not say.

    `retry-after-ms`, `retry-after` as seconds or as an HTTP date, and Gemini's "retry in 12.3s" of the message.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    seconds = _number(asked)
    if seconds is not None:
        return seconds
    if asked:
        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pass
    worded = re.search(r"(?:retry|again) in (\d+(?:\.\d+)?) ?(ms|s)", message, re.IGNORECASE)
    if worded is None:
        return None
    return float(worded[1]) / (1000 if worded[2] == "ms" else 1)


def clean(text: str, key: str | None) -> str:
    """A message without keys, on one line, not longer than a reader wants."""
    if key:
        text = text.replace(key, "…")
    text = " ".join(SECRET.sub("…", text).split())
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 1] + "…"


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _status(failure: Failure) -> int | None:
    if failure.status is not None and failure.status >= 400:
        return failure.status
    for said in (failure.code, failure.kind):
        if said in STATUS_OF_KIND:
            return STATUS_OF_KIND[said]
        if (
            said.isdecimal() and 400 <= int(said) < 600
        ):  # OpenRouter and Gemini write the status there
            return int(said)
        if said in SPENT_CODES:
            return 402
        if said in DECLINED_CODES or said == "context_length_exceeded":
            return 400
    return failure.status


def _is_too_long(status: int, failure: Failure, words: str) -> bool:
    if status == 413 or "context_length_exceeded" in words or "exceed_context_size" in words:
        return True
    if status == 429:
        # OpenAI answers so when one request is above a minute's whole allowance: no wait would help.
        return "request too large" in failure.message.lower()
    return status != 403 and TOO_LONG.search(failure.message) is not None


def _is_pace(failure: Failure) -> bool:
    """Whether a refusal is about speed, though its words advertise the billing page, as they do."""
    return (
        failure.code in PACE
        or failure.kind in PACE
        or (_status(failure) == 429 and asked_wait_s(failure.headers, failure.message) is not None)
    )


def _said(failure: Failure) -> str:
    status = "" if failure.status is None or failure.status < 400 else f" {failure.status}"
    kind = failure.code or failure.kind
    text = f"{failure.provider}{status}{f' {kind}' if kind else ''}: {failure.message or 'no reason given'}"
    return clean(text, failure.key)


def _pay(failure: Failure) -> str:
    return f"add credit, or raise the spend limit, on {failure.provider}'s billing page; then resume the night."
