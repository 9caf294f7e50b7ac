"""Every exception of both SDKs means something to a night."""

from __future__ import annotations

import importlib
import ssl
import time
from typing import Any

import anthropic
import anthropic._error_classes
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.agents.providers import (
    AnswerTooLong,
    NotUnderstood,
    ProviderError,
    Stop,
    TooLong,
    TryAgain,
    Wait,
)
from lab.agents.providers import anthropic as ours_anthropic
from lab.agents.providers import openai as ours_openai
from lab.agents.providers.failures import Declined, Failure, asked_wait_s, clean, judge, of_line

# What each class of either SDK means. A class that is new there and not here fails the test below, and with it
# the day of whoever raises the version, instead of a user's night.
MEANS: dict[str, type[Exception]] = {
    "APIConnectionError": TryAgain,
    "APITimeoutError": TryAgain,
    "APIResponseValidationError": TryAgain,
    "APIError": TryAgain,
    "BadRequestError": NotUnderstood,
    "AuthenticationError": Stop,
    "OAuthError": Stop,
    "PaymentRequiredError": Stop,
    "PermissionDeniedError": Stop,
    "NotFoundError": Stop,
    "RequestTimeoutError": TryAgain,
    "ConflictError": TryAgain,
    "PreconditionFailedError": Stop,
    "ContentTooLargeError": TooLong,
    "UnprocessableEntityError": NotUnderstood,
    "RateLimitError": Wait,
    "RequestHeaderFieldsTooLargeError": Stop,
    "ClientClosedRequestError": TryAgain,
    "InternalServerError": TryAgain,
    "HTTPNotImplementedError": TryAgain,
    "ServiceUnavailableError": Wait,
    "GatewayTimeoutError": TryAgain,
    "OverloadedError": Wait,
    "ContractSpendLimitReachedError": Stop,
    "EnforcedSpendLimitReachedError": Stop,
    "RampLimitExceededError": Wait,
    "CMEKContextUnavailableError": Wait,  # 503: back in minutes
    "CMEKKeyUnreachableError": Wait,
    "LinkedOrganizationBillingUnavailableError": Stop,
    "LinkedOrganizationSpendLimitReachedError": Stop,
    "CMEKKeyDisabledError": NotUnderstood,
    "CMEKKeyNetworkBlockedError": NotUnderstood,
    "ClaudeCodeKeyCreatorNotMemberError": NotUnderstood,
    "ClaudeCodeVersionTooOldError": NotUnderstood,
    "OrganizationOnHoldError": NotUnderstood,
    "OrganizationTypeNotSupportedError": NotUnderstood,
    "ParentOrganizationRequiredError": NotUnderstood,
    "SandboxEgressRestrictedError": Stop,
    "RequestBodyEncodingInvalidError": NotUnderstood,
    "RequestBodyEncodingUnsupportedError": NotUnderstood,
    "RequestBodyTooLargeAfterDecodingError": TooLong,
    "RetryableError": TryAgain,
    "CredentialsError": Stop,
    "IdentityTokenFileError": Stop,
    "WorkloadIdentityError": Stop,
    "LengthFinishReasonError": TryAgain,
    "ContentFilterFinishReasonError": Declined,
    "SubjectTokenProviderError": Stop,
    # Never raised by what is called here; mapped, so that nothing is left to chance.
    "AnthropicError": TryAgain,
    "OpenAIError": Stop,
    "APIStatusError": Stop,
    "APIWebhookValidationError": TryAgain,
    "InvalidWebhookSignatureError": TryAgain,
    "WebSocketConnectionClosedError": TryAgain,
    "WebSocketQueueFullError": Stop,
    "_AmbiguousModuleClientUsageError": Stop,
    "APIRemovedInV1": Stop,
    "StreamAlreadyConsumed": Stop,
    "MutuallyExclusiveAuthError": Stop,
    "MissingDependencyError": TryAgain,
    "ToolsetUsageError": TryAgain,
    "ToolsetClosedError": TryAgain,
    "ToolsetConfigError": TryAgain,
    "ToolsetContractError": TryAgain,
    "ToolsetsFixedError": TryAgain,
}
# Where the two SDKs use one name and mean different things by it.
MEANS_ANTHROPIC: dict[str, type[Exception]] = {
    "StreamAlreadyConsumed": TryAgain,
    "MutuallyExclusiveAuthError": TryAgain,
}


def all_under(root: type[BaseException]) -> list[type[BaseException]]:
    found = [root]
    for child in root.__subclasses__():
        found += all_under(child)
    return found


def exported(module: Any) -> set[type[BaseException]]:
    return {
        thing
        for thing in list(vars(module).values())
        if isinstance(thing, type) and issubclass(thing, Exception)
    }


for name in ("openai.lib._old_api", "openai.lib.azure", "anthropic.lib.foundry"):
    importlib.import_module(name)
OF_ANTHROPIC = sorted(
    {*all_under(anthropic.AnthropicError), *exported(anthropic)}, key=lambda found: found.__name__
)
OF_OPENAI = sorted(
    {*all_under(openai.OpenAIError), *exported(openai)}, key=lambda found: found.__name__
)


def made(error: type[BaseException]) -> BaseException:
    """One of a class, as the SDK would raise it, without its constructor's many forms."""
    it = error.__new__(error)
    it.args = ("no reason given",)
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        status = (
            500
            if issubclass(error, (anthropic.InternalServerError, openai.InternalServerError))
            else 418
        )
    code = next(
        (
            code
            for (_, code), found in anthropic._error_classes.ERROR_CLASSES.items()
            if found is error and code
        ),
        None,
    )
    ask = httpx2.Request("POST", "http://127.0.0.1/")
    facts = {
        "message": "no reason given",
        "api_message": None,
        "type": None,
        "code": None,
        "error_code": code,
        "request_id": None,
        "body": None,
        "request": ask,
    }
    vars(it).update(facts)
    if issubclass(error, (anthropic.APIStatusError, openai.APIStatusError)):
        vars(it).update(status_code=status, response=httpx2.Response(status, request=ask))
    return it


def meaning(error: type[BaseException], own: dict[str, type[Exception]]) -> type[Exception]:
    """What the table says of a class.

    One of an endpoint that is not used here (files, organisations, betas) means what its status does; the SDK
    shows those of every endpoint at its top, and each of them has to be in the table.
    """
    table = MEANS | own
    if error.__name__ in table:
        return table[error.__name__]
    elsewhere = issubclass(error, anthropic.APIStatusError) and error not in exported(anthropic)
    assert elsewhere, f"{error.__name__} is not mapped"
    above = error.__mro__[1]
    assert above is not anthropic.APIStatusError, f"{error.__name__} is not mapped"
    return meaning(above, own)


@pytest.mark.parametrize("error", OF_ANTHROPIC, ids=lambda found: found.__name__)
def test_every_exception_of_anthropics_sdk_is_mapped(error: type[BaseException]) -> None:
    told = ours_anthropic.translate(made(error), None)
    assert type(told) is meaning(error, MEANS_ANTHROPIC)
    assert isinstance(made(error), ours_anthropic.FAILURES)


@pytest.mark.parametrize("error", OF_OPENAI, ids=lambda found: found.__name__)
def test_every_exception_of_openais_sdk_is_mapped(error: type[BaseException]) -> None:
    told = ours_openai.translate(made(error), provider="openai", key=None)
    assert type(told) is meaning(error, {})
    assert isinstance(made(error), ours_openai.FAILURES)


@pytest.mark.parametrize(
    "error",
    [*all_under(httpx2.HTTPError), *all_under(httpx2.StreamError)],
    ids=lambda e: e.__name__,
)
def test_every_error_of_the_line_is_worth_another_try(error: type[BaseException]) -> None:
    """Both SDKs let them out of a stream that is being read."""
    it = error.__new__(error)
    assert isinstance(it, ours_anthropic.FAILURES) and isinstance(it, ours_openai.FAILURES)
    assert type(of_line("anthropic", it, None)) is TryAgain


def test_a_certificate_that_is_not_accepted_stops() -> None:
    """It is as wrong at four in the morning as it was at ten."""
    error = httpx2.ConnectError("no")
    error.__cause__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    error.__cause__.verify_message = "self-signed certificate"
    told = of_line("compatible", error, None)
    assert isinstance(told, Stop) and "self-signed" in str(told)


@pytest.mark.parametrize(
    ("status", "code", "message", "means"),
    [
        (429, "insufficient_quota", "You exceeded your current quota", Stop),
        (429, "", "You exceeded your current quota, please check your plan. Please retry in 34.5s.", Wait),
        (429, "rate_limit_exceeded", "Request too large for gpt on tokens per min: Limit 30, Requested 40", TooLong),
        (400, "", "The input token count (2000000) exceeds the maximum number of tokens allowed", TooLong),
        (400, "", "the request exceeds the available context size (8192 tokens)", TooLong),
        (400, "", "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000", TooLong),
        (400, "", "You have reached your specified API usage limits. You will regain access on 2026-12-01", Stop),
        (400, "invalid_prompt", "Your prompt was flagged", Declined),
        (400, "", "Output blocked by content filtering policy", Declined),
        (400, "", "temperature: unsupported", NotUnderstood),
        (400, "", "messages.1.content.0: Invalid `signature` in `thinking` block", NotUnderstood),
        (400, "", "max_tokens must be at least 1, got 0", NotUnderstood),
        (400, "", "'max_tokens' is too large: 24000. This model's maximum context length is 8192 tokens", TooLong),
        (503, "", "Loading model", Wait),
        (502, "", "<html>Bad gateway</html>", TryAgain),
        (520, "", "", TryAgain),
        (None, "502", "Provider returned error", TryAgain),
        (200, "rate_limit_exceeded", "slow down", Wait),
        (200, "context_length_exceeded", "too long", TooLong),
    ],
)  # fmt: skip
def test_one_status_means_several_things(
    status: int | None, code: str, message: str, means: type[Exception]
) -> None:
    told = judge(Failure(provider="p", status=status, code=code, message=message))
    assert type(told) is means


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("max_tokens: 24000 > 8192, which is the maximum allowed number of output tokens for m", 8192),
        ("max_tokens is too large: 24000. This model supports at most 16384 completion tokens", 16384),
        ("Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 16384", 16384),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("The maximum tokens you requested exceeds the model limit of 4096", 4096),
        ("maxOutputTokens value of 24000 but the supported range is from 1 (inclusive)", None),
    ],
)  # fmt: skip
def test_an_answer_that_no_model_gives_is_not_a_wrong_setting(
    message: str, most: int | None
) -> None:
    """A shorter one works, and each server says in its own words how short."""
    told = judge(Failure(provider="p", status=400, message=message))
    assert isinstance(told, AnswerTooLong) and told.most_tokens == most


@given(st.text(max_size=2000), st.sampled_from([None, 200, 400, 402, 404, 413, 429, 500, 529]))
def test_no_message_upsets_the_judgement(message: str, status: int | None) -> None:
    """What a proxy in between writes is anybody's guess."""
    told = judge(Failure(provider="p", status=status, message=message, key="sk-secret-secret-1"))
    assert isinstance(told, ProviderError | Declined)
    assert "\n" not in str(told) and len(str(told)) <= 500


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert asked_wait_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert asked_wait_s({}, "Please try again in 250ms.") == 0.25
    assert asked_wait_s({"retry-after": "1e400"}) is None


@pytest.mark.parametrize(
    "quoted",
    [
        "Incorrect API key provided: sk-proj-abcdefgh12345678.",
        "Incorrect API key provided: sk-tes****************cdef.",
        "Authorization: Bearer abcdefghijklmnop was not accepted",
        "key=AIzaSyA1234567890abcdefg is not valid",
        "you sent my-own-odd-key",
    ],
)
def test_keys_are_taken_out_of_messages(quoted: str) -> None:
    """Records are shared with strangers, and some servers quote the key they refuse."""
    said = clean(quoted, "my-own-odd-key")
    assert "…" in said
    for secret in ("abcdefgh", "sk-tes", "cdef.", "AIza", "my-own"):
        assert secret not in said


def test_judging_a_long_page_takes_no_time() -> None:
    """A pattern that backtracks would hold the night on one error page."""
    begun = time.monotonic()
    for text in ("exceeds " * 20_000, "credit" * 20_000, "tool " * 20_000, "max tokens " * 9_000):
        judge(Failure(provider="p", status=400, message=text))
    assert time.monotonic() - begun < 2
