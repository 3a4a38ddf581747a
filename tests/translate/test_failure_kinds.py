"""Every text that chat-providers.md section 4 quotes, with the status it comes with."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from anyturn.errors import Kind
from anyturn.translate.error_bodies import Report
from anyturn.translate.failure_kinds import CONTEXT_OVERFLOW, NOT_CONTEXT_OVERFLOW, judge

SHARED_TABLE = Path(__file__).parents[3] / "shared" / "protocol" / "providers.toml"

OVERFLOWS = [
    (400, "Your input exceeds the context window of this model. Please adjust it.", "openai"),
    (
        400,
        "Please reduce the length of the messages or completion. Current length is 140000 while "
        "limit is 131072",
        "cerebras",
    ),
    (413, "Please reduce the length of the messages or completion", "groq"),
    (400, "This model's maximum context length is 32768 tokens", "vllm"),
    (400, "the request exceeds the available context size (4096 tokens), try it", "llama-cpp"),
    (500, "Context size has been exceeded.", "llama-cpp-generation"),
    (
        0,
        "The number of tokens to keep from the initial prompt is greater than the context length",
        "lm-studio",
    ),
    (
        400,
        "This endpoint's maximum context length is 65536 tokens. However, you requested about "
        "70000 tokens",
        "openrouter",
    ),
    (
        400,
        "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
        "together",
    ),
    (
        400,
        "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens",
        "deepseek",
    ),
    (
        400,
        "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)",
        "kimi",
    ),
    (400, "invalid params, context window exceeds limit (2013)", "minimax"),
    (
        400,
        "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum "
        "context length",
        "mistral",
    ),
    (
        400,
        "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        "xai",
    ),
    (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "gemini",
    ),
    (400, "<400> InternalError: Range of input length should be [1, 30720]", "dashscope"),
    (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000", "tgi"),
]


@pytest.mark.parametrize(
    ("status", "words"), [case[:2] for case in OVERFLOWS], ids=[case[2] for case in OVERFLOWS]
)
def test_a_context_overflow_is_known_by_its_words(status: int, words: str) -> None:
    assert judge(Report(words), status) is Kind.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    "name", ["context_length_exceeded", "context_window_exceeded", "exceed_context_size_error"]
)
@pytest.mark.parametrize("status", [0, 400, 413, 500])
def test_a_context_overflow_is_known_by_its_code(status: int, name: str) -> None:
    assert judge(Report("too long", (name,)), status) is Kind.CONTEXT_OVERFLOW


@pytest.mark.parametrize(
    ("status", "report", "kind"),
    [
        pytest.param(
            400,
            Report("Invalid 'x': maximum context length is 5", ("string_above_max_length",)),
            Kind.PROVIDER_REFUSED,
            id="string-above-max-length",
        ),
        pytest.param(
            400,
            Report("prompt is too long: expected at most 128 items", ("array_above_max_length",)),
            Kind.PROVIDER_REFUSED,
            id="array-above-max-length",
        ),
        pytest.param(
            429,
            Report("Please reduce the length of the messages: 9000 tokens per minute"),
            Kind.RATE_LIMITED,
            id="tokens-per-minute",
        ),
        pytest.param(
            429,
            Report("prompt is too long for your TPM of 6000"),
            Kind.RATE_LIMITED,
            id="tpm",
        ),
        pytest.param(
            429,
            Report("rate limit: input length exceeds 1000"),
            Kind.RATE_LIMITED,
            id="rate-limit",
        ),
        pytest.param(
            413,
            Report(
                "Request too large for model `m` on tokens per minute (TPM): Limit 6000, "
                "Requested 9000, please reduce your message size and try again.",
                ("rate_limit_exceeded", "tokens"),
            ),
            Kind.PROVIDER_REFUSED,
            id="one-request-above-the-minute",
        ),
    ],
)
def test_what_is_no_context_overflow(status: int, report: Report, kind: Kind) -> None:
    assert judge(report, status) is kind


def test_a_413_without_words_is_a_context_overflow() -> None:
    assert judge(Report(), 413) is Kind.CONTEXT_OVERFLOW
    assert judge(Report("413 Request Entity Too Large", page=True), 413) is Kind.CONTEXT_OVERFLOW
    assert judge(Report("the image is larger than 5 MB"), 413) is Kind.PROVIDER_REFUSED


OTHERS = [
    # Quota and balance.
    (402, "Payment required", (), Kind.QUOTA_EXHAUSTED, "402"),
    (402, "Insufficient Balance", ("invalid_request_error",), Kind.QUOTA_EXHAUSTED, "deepseek"),
    (
        402,
        "This request requires more credits, or fewer max_tokens",
        (),
        Kind.QUOTA_EXHAUSTED,
        "or",
    ),
    (
        429,
        "You exceeded your current quota, please check your plan and billing details.",
        ("insufficient_quota",),
        Kind.QUOTA_EXHAUSTED,
        "openai-quota",
    ),
    (
        429,
        "Insufficient balance or no resource package. Please recharge.",
        ("1113",),
        Kind.QUOTA_EXHAUSTED,
        "zai-balance",
    ),
    (
        429,
        "Your account is suspended, please check your plan",
        ("exceeded_current_quota_error",),
        Kind.QUOTA_EXHAUSTED,
        "kimi-quota",
    ),
    (403, "your account balance is too low", (), Kind.QUOTA_EXHAUSTED, "kimi-403"),
    (402, "a membership is needed", (), Kind.QUOTA_EXHAUSTED, "kimi-membership"),
    (0, "insufficient balance", ("1008",), Kind.QUOTA_EXHAUSTED, "minimax-balance"),
    (
        400,
        "Invalid schema for function 'add_credit': balance must be a number",
        (),
        Kind.PROVIDER_REFUSED,
        "money-in-a-tool-is-no-quota",
    ),
    # Rate limits.
    (
        429,
        "Rate limit reached for model `m` on tokens per minute (TPM): Limit 6000, Used 5900. "
        "Please try again in 5.289s. Need more tokens? Visit https://console.example/billing",
        ("rate_limit_exceeded", "tokens"),
        Kind.RATE_LIMITED,
        "groq-tpm",
    ),
    (
        429,
        "You exceeded your current quota, please check your plan. Please retry in 34.07s.",
        ("RESOURCE_EXHAUSTED",),
        Kind.RATE_LIMITED,
        "gemini-minute-quota",
    ),
    (
        429,
        "Tokens per minute limit exceeded - too many tokens processed.",
        ("token_quota_exceeded", "too_many_tokens_error"),
        Kind.RATE_LIMITED,
        "cerebras-tpm",
    ),
    (429, "The engine is currently overloaded", (), Kind.RATE_LIMITED, "kimi-overloaded"),
    (429, "service tier capacity exceeded for this model", (), Kind.RATE_LIMITED, "mistral"),
    (429, "", (), Kind.RATE_LIMITED, "429-without-words"),
    (498, "flex tier capacity exceeded", (), Kind.RATE_LIMITED, "groq-498"),
    (529, "overloaded", (), Kind.RATE_LIMITED, "529"),
    (0, "too many requests", (), Kind.RATE_LIMITED, "in-band-words"),
    (0, "slow", ("rate_limit_exceeded",), Kind.RATE_LIMITED, "in-band-code"),
    # Models.
    (
        404,
        "The model `m` does not exist or you do not have access to it.",
        ("model_not_found", "invalid_request_error"),
        Kind.MODEL_NOT_FOUND,
        "openai-model",
    ),
    (400, "The requested model 'm' does not exist.", (), Kind.MODEL_NOT_FOUND, "openai-400"),
    (404, "Model m does not exist", ("not_found_error",), Kind.MODEL_NOT_FOUND, "cerebras-model"),
    (
        404,
        "Function '1-2': Not found for account 'a'",
        (),
        Kind.MODEL_NOT_FOUND,
        "nim-function",
    ),
    (400, "unknown", ("1211",), Kind.MODEL_NOT_FOUND, "zai-1211"),
    (410, "gone", (), Kind.MODEL_NOT_FOUND, "sambanova-410"),
    (404, 'model "x" not found, try pulling it first', (), Kind.MODEL_NOT_FOUND, "ollama"),
    (400, "Model Not Exist", (), Kind.MODEL_NOT_FOUND, "deepseek-model"),
    (404, "No endpoints found for a/b.", (), Kind.MODEL_NOT_FOUND, "openrouter-model"),
    (404, "No endpoints found that support tool use.", (), Kind.PROVIDER_REFUSED, "or-tools"),
    (404, "Not Found", (), Kind.PROVIDER_REFUSED, "wrong-path"),
    (404, "404 page not found", (), Kind.PROVIDER_REFUSED, "wrong-path-go"),
    # Keys.
    (401, "Wrong API Key", ("wrong_api_key",), Kind.PROVIDER_CREDENTIALS, "401"),
    (401, "", (), Kind.PROVIDER_CREDENTIALS, "401-without-words"),
    (403, "Forbidden", (), Kind.PROVIDER_CREDENTIALS, "403"),
    (
        400,
        "API key not valid. Please pass a valid API key.",
        ("INVALID_ARGUMENT",),
        Kind.PROVIDER_CREDENTIALS,
        "gemini-key",
    ),
    (400, "Incorrect API key provided: ***", (), Kind.PROVIDER_CREDENTIALS, "xai-key"),
    # Unsupported parameters and other refusals.
    (
        400,
        "property 'body.store' is unsupported",
        ("wrong_api_format", "invalid_request_error"),
        Kind.PROVIDER_REFUSED,
        "cerebras-property",
    ),
    (422, "body.store: Extra inputs are not permitted", (), Kind.PROVIDER_REFUSED, "extra"),
    (400, "Model m does not support parameter stop", (), Kind.PROVIDER_REFUSED, "xai-param"),
    (400, "Unsupported parameter(s): store", (), Kind.PROVIDER_REFUSED, "nim-param"),
    (400, 'Invalid JSON payload received. Unknown name "x"', (), Kind.PROVIDER_REFUSED, "gemini"),
    (0, "bad", ("validation_error",), Kind.PROVIDER_REFUSED, "in-band-refusal"),
    (400, "invalid tool call arguments", (), Kind.PROVIDER_REFUSED, "ollama-replay"),
    (302, "", (), Kind.PROVIDER_REFUSED, "redirect"),
    # Tool calls that the model got wrong.
    (400, "Tool call validation failed", ("tool_use_failed",), Kind.PROVIDER_BROKEN, "groq-tool"),
    (
        400,
        "Failed to generate tool_calls. Tool is not present in the tools list.",
        (),
        Kind.PROVIDER_BROKEN,
        "cerebras-tool",
    ),
    (500, "error parsing tool call: raw='x'", (), Kind.PROVIDER_BROKEN, "ollama-tool"),
    (500, "unexpected tokens", ("HarmonyError",), Kind.PROVIDER_BROKEN, "vllm-harmony"),
    (
        400,
        "attempted to call tool 'repo_browser.exec' which was not in request.tools",
        (),
        Kind.PROVIDER_BROKEN,
        "groq-unknown-tool",
    ),
    # Content.
    (
        400,
        "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy.",
        ("content_filter",),
        Kind.CONTENT_POLICY,
        "azure-filter",
    ),
    (
        403,
        "Your chosen model requires moderation and your input was flagged",
        (),
        Kind.CONTENT_POLICY,
        "openrouter-moderation",
    ),
    (400, "Content Exists Risk", (), Kind.CONTENT_POLICY, "deepseek-risk"),
    # Statuses alone.
    (408, "", (), Kind.PROVIDER_TIMEOUT, "408"),
    (504, "", (), Kind.PROVIDER_TIMEOUT, "504"),
    (409, "", (), Kind.PROVIDER_BROKEN, "409"),
    (425, "", (), Kind.PROVIDER_BROKEN, "425"),
    (500, "", (), Kind.PROVIDER_BROKEN, "500"),
    (502, "", (), Kind.PROVIDER_BROKEN, "502"),
    (503, "the queue is full", (), Kind.PROVIDER_BROKEN, "503"),
    (520, "", (), Kind.PROVIDER_BROKEN, "520"),
    (0, "", (), Kind.PROVIDER_BROKEN, "in-band-nothing"),
]


@pytest.mark.parametrize(
    ("status", "words", "names", "kind"),
    [case[:4] for case in OTHERS],
    ids=[case[4] for case in OTHERS],
)
def test_every_other_class(status: int, words: str, names: tuple[str, ...], kind: Kind) -> None:
    assert judge(Report(words, names), status) is kind


def test_a_403_page_comes_from_a_firewall_and_is_no_bad_key() -> None:
    assert judge(Report("Request blocked", page=True), 403) is Kind.PROVIDER_REFUSED


def test_the_phrases_are_those_of_the_shared_table() -> None:
    if not SHARED_TABLE.exists():
        pytest.skip("the shared table is not here")
    table = tomllib.loads(SHARED_TABLE.read_text())["classify"]

    # `.*` is bounded here, so that no answer can make the search slow.
    known = {phrase.replace(".{0,200}", ".*") for phrase in CONTEXT_OVERFLOW}
    assert set(table["context_overflow"]) <= known
    assert set(table["not_context_overflow"]) <= set(NOT_CONTEXT_OVERFLOW)


@pytest.mark.parametrize(
    "status", [408, 409, 425, 429, 498, 500, 502, 503, 504, 520, 522, 524, 529]
)
def test_every_retryable_status_is_transient(status: int) -> None:
    assert judge(Report(), status).transient
