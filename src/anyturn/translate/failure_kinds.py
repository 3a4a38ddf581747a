"""Which kind of failure a provider's report is: the phrases, and the order they are asked in.

Phrases are asked before the status where providers disagree about the status: the same context
overflow is a 400, a 413, a 422, a 500 and an error inside a 200 (chat-providers.md section 4).
Words that also stand in harmless sentences count only beside a status that fits them.
"""

from __future__ import annotations

import re

from anyturn.errors import Kind
from anyturn.translate.error_bodies import Report

# The texts of section 4.1, as providers write them.
CONTEXT_OVERFLOW = (
    r"context[_ ]length[_ ]exceeded",
    r"context_window_exceeded",
    r"exceed_context_size_error",
    r"maximum context length is",
    r"model's maximum context limit",
    r"maximum prompt length is \d+",
    r"exceeds the context window",
    r"context window exceeds limit",
    r"exceeds? (the )?context limit",
    r"exceeds the available context size",
    r"Context size has been exceeded",
    r"tokens to keep from the initial prompt is greater than the context length",
    r"is longer than the model's context length",
    r"input token count.{0,200}exceeds the maximum",
    r"exceeds the maximum number of tokens allowed",
    r"exceeded model token limit",
    r"Current length is \d+ while limit is \d+",
    r"reduce the length of the messages",
    r"too large for model with \d+ maximum context length",
    r"prompt is too long",
    r"input length exceeds",
    r"maximum input length is",
    r"Range of input length should be",
    r"`inputs` tokens \+ `max_new_tokens` must be",
)
NOT_CONTEXT_OVERFLOW = (
    r"string_above_max_length",
    r"array_above_max_length",
    r"tokens per minute",
    r"\bTPM\b",
    r"rate limit",
)


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


_OVERFLOW = _any_of(*CONTEXT_OVERFLOW)
_NOT_OVERFLOW = _any_of(*NOT_CONTEXT_OVERFLOW)
_QUOTA = _any_of(
    r"insufficient[_ ]quota",
    r"exceeded_current_quota",
    r"insufficient[_ ]balance",
    r"payment_required",
    r"credit_balance_exhausted",
    r"credit balance is too low",
    # The ChatGPT backend's, with 429 and with 404 (clients.md section 3.3).
    r"\busage_limit_reached\b",
    r"\busage_not_included\b",
)
# These words speak of money only beside a status that may mean money, and not beside a rate:
# Groq's rate limits and Gemini's advertise billing.
_MONEY = _any_of(r"\bcredits?\b", r"\bmembership\b", r"\bbalance\b", r"exceeded your current quota")
_RATE = _any_of(
    r"rate[_ -]?limit",
    r"\b(?:tokens|requests)[_ ]per[_ ]",
    r"\b[TR]P[MDS]\b",
    r"\bper[ -](?:second|minute|hour|day)\b",
    r"too[_ ]many[_ ]requests",
    r"\b(?:try again|retry) (?:in|after) (?:about )?\d",
    r"service tier capacity exceeded",
)
# One request above the allowance of a whole minute (Groq 413, OpenAI 429): waiting cannot help.
_TOO_LARGE = _any_of(r"request too large")
_TOOL_GENERATION = _any_of(
    r"tool_use_failed",
    r"failed to generate tool[_ ]calls",
    r"tool is not present in the tools list",
    r"attempted to call tool .{1,200} which was not in request\.tools",
    r"error parsing tool call",
    r"\bHarmonyError\b",
)
_POLICY = _any_of(
    r"content_filter",
    r"content_policy_violation",
    r"ResponsibleAIPolicyViolation",
    r"content management policy",
    r"data_?inspection_?failed",
    r"inappropriate content",
    r"content exists risk",
    r"\busage polic(?:y|ies)\b",
    r"\b(?:was|were|been) flagged\b",
    r"rejected as a result of our safety system",
    r"\bPROHIBITED_CONTENT\b",
)
_MODEL = _any_of(
    r"\bmodel_(?:not_found|not_available|not_supported|decommissioned)\b",
    r"\b(?:unknown|invalid)_model\b",
    r"\bDeploymentNotFound\b",
    r"\bmodel not exist",
    r"\b(?:unknown|no such|invalid) model\b",
    r"is not a valid model",
    r"\bthe (?:requested )?model .{1,200} does not exist",
    r"^1211$",  # Z.ai, as a code
)
# Wider, for answers that say "not found" already by their status.
_MODEL_GONE = _any_of(
    r"\bmodels?\b.{0,200}(?:not exist|not found|not available|no longer|deprecated|retired)",
    r"not found the model",
    r"unable to access model",
    r"no endpoints found for",
    r"\bfunction\b.{0,200}not found for account",
    r"^not_found_error$",
)
_KEY = _any_of(
    r"invalid_api_key|api_key_invalid",
    r"authentication_error",
    r"\bunauthenticated\b",
    r"\b(?:invalid|incorrect|missing|no|wrong|expired) api[ _-]?key\b",
    r"\bapi[ _-]?key (?:is )?(?:not valid|invalid|missing|not found|expired)\b",
    r"\blogin fail",
)

# What a body means that gives a type and no status, as errors inside a stream do.
_STATUS_OF_NAME = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "bad_request": 400,
    "validation_error": 400,
    "wrong_api_format": 400,
    "invalid_argument": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "notfounderror": 404,
    "not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "resource_exhausted": 429,
    "too_many_requests_error": 429,
}

_LIMIT_STATUSES = frozenset({429, 498, 529})
_TIMEOUT_STATUSES = frozenset({408, 504, 522, 524})
_TRANSIENT_STATUSES = frozenset({409, 425})


def judge(report: Report, status: int) -> Kind:
    """Return the kind of a failure. `status` is 0 for an error inside a 200 that states none."""
    status = status or next(
        (_STATUS_OF_NAME[n.lower()] for n in report.names if n.lower() in _STATUS_OF_NAME), 0
    )
    said = report.said
    if _overflows(report, said, status):
        return Kind.CONTEXT_OVERFLOW
    if _lacks_money(said, status):
        return Kind.QUOTA_EXHAUSTED
    if bad_tool_call(report):
        # The model wrote a bad call; the next sample is likely to be good (section 4.2).
        return Kind.PROVIDER_BROKEN
    if status in _LIMIT_STATUSES:
        return Kind.PROVIDER_REFUSED if _TOO_LARGE.search(said) else Kind.RATE_LIMITED
    if status in _TIMEOUT_STATUSES:
        return Kind.PROVIDER_TIMEOUT
    if status in _TRANSIENT_STATUSES or status >= 500:
        return Kind.PROVIDER_BROKEN
    return _judge_refusal(report, said, status)


def _overflows(report: Report, said: str, status: int) -> bool:
    if _OVERFLOW.search(said):
        return _NOT_OVERFLOW.search(said) is None
    # Cerebras and the proxies before others say no more than "content too large".
    return status == 413 and (report.page or not report.words)


def _lacks_money(said: str, status: int) -> bool:
    if status == 402 or _QUOTA.search(said):
        return True
    if status == 429:
        return _MONEY.search(said) is not None and _RATE.search(said) is None
    return status == 403 and _MONEY.search(said) is not None


def _judge_refusal(report: Report, said: str, status: int) -> Kind:
    """The kind of a 3xx or 4xx, or of an error inside a 200 without a status."""
    if status == 401:
        return Kind.PROVIDER_CREDENTIALS
    if _POLICY.search(said):
        return Kind.CONTENT_POLICY
    if _lacks_model(report, status):
        return Kind.MODEL_NOT_FOUND
    if _KEY.search(said) or (status == 403 and not report.page):
        return Kind.PROVIDER_CREDENTIALS
    if _TOO_LARGE.search(said):
        return Kind.PROVIDER_REFUSED
    if any(map(_RATE.search, report.names)) or (status == 0 and _RATE.search(said)):
        return Kind.RATE_LIMITED
    return Kind.PROVIDER_REFUSED if 300 <= status < 500 else Kind.PROVIDER_BROKEN


def _lacks_model(report: Report, status: int) -> bool:
    if status == 410 or any(map(_MODEL.search, (report.words, *report.names))):
        return True
    return status == 404 and any(map(_MODEL_GONE.search, (report.words, *report.names)))


def bad_tool_call(report: Report) -> bool:
    """Tell whether the provider gave up because the model wrote a call that cannot be read."""
    return _TOOL_GENERATION.search(report.said) is not None
