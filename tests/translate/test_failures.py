from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.translate.failures import failure_from_body, failure_from_chunk, failure_from_http
from anyturn.wire.chat import Choice, Chunk, decode_chunk
from anyturn.wire.profile import Profile
from anyturn.wire.sse import Decoder

CEREBRAS = Profile(
    name="cerebras",
    title="Cerebras",
    base_url="https://api.cerebras.ai/v1",
    key_env=("CEREBRAS_API_KEY",),
    reset_headers=("x-ratelimit-reset-tokens-minute",),
)
STREAMS = Path(__file__).parents[3] / "shared" / "streams"
ERRORS = sorted((STREAMS / "errors").glob("*.json"))
KEYS = ["sk-proj-4fRmz0Xk2q7TfVb1", "csk-8xk4tyvw2m9hj5rd3n6p", "gsk_Zx81Kq0LmPq72nVbT4Ww"]

# How Codex reads the pause of a rate limit (codex-cli.md section 8).
CODEX_PAUSE = re.compile(r"(?i)try again in\s*(\d+(?:\.\d+)?)\s*(s|ms|seconds?)")


def from_http(status: int, value: Any, **headers: str) -> TurnError:
    return failure_from_http(
        status,
        value if isinstance(value, bytes) else msgspec.json.encode(value),
        {name.replace("_", "-"): text for name, text in headers.items()},
        CEREBRAS,
    )


def from_chunk(value: Any, event: str = "") -> TurnError | None:
    return failure_from_chunk(decode_chunk(msgspec.json.encode(value)), event, CEREBRAS)


def error_in(value: Any, event: str = "") -> TurnError:
    error = from_chunk(value, event)
    assert error is not None
    return error


def test_the_sentence_names_the_provider_the_status_and_its_words() -> None:
    error = from_http(
        400,
        {
            "message": "property 'body.store' is unsupported",
            "type": "invalid_request_error",
            "param": "",
            "code": "wrong_api_format",
        },
    )

    assert error.kind is Kind.PROVIDER_REFUSED
    assert error.message == (
        "Cerebras refused the request (HTTP 400, wrong_api_format): "
        "property 'body.store' is unsupported."
    )
    assert (error.provider, error.provider_status) == ("cerebras", 400)


def test_a_refused_key_names_the_variable_and_not_the_key() -> None:
    error = from_http(401, {"message": "Wrong API Key: abc123def456ghi789", "code": "x"})

    assert error.kind is Kind.PROVIDER_CREDENTIALS
    assert "CEREBRAS_API_KEY" in error.message
    assert "abc123" not in error.message


def test_a_refused_key_without_a_variable_still_says_what_to_do() -> None:
    error = failure_from_http(401, b"", {}, Profile(name="box"))

    assert error.message == (
        "box refused access (HTTP 401): it gave no reason. "
        "Check the API key that it is called with."
    )


@pytest.mark.parametrize(
    ("auth", "words"), [("chatgpt", "see anyturn status"), ("client", "only the client can renew")]
)
def test_a_refused_login_is_no_key_to_be_checked(auth: str, words: str) -> None:
    error = failure_from_http(401, b"", {}, Profile(name="box").replacing(auth=auth))

    assert words in error.message
    assert "API key" not in error.message


def test_an_unknown_model_says_how_to_choose_another() -> None:
    error = from_http(404, {"error": {"code": "model_not_found", "message": "no `m`"}})

    assert error.kind is Kind.MODEL_NOT_FOUND
    for hint in ("GET /v1/models", "--model", "CEREBRAS_MODEL", "no `m`"):
        assert hint in error.message


def test_a_provider_that_lists_no_models_is_not_asked_to() -> None:
    profile = Profile(name="box", models_path="")
    error = failure_from_http(404, b'{"code":"model_not_found","message":"no"}', {}, profile)

    assert "/v1/models" not in error.message
    assert "BOX_MODEL" in error.message


def test_a_used_up_quota_points_to_the_billing() -> None:
    error = from_http(402, {"error": "pay first"})

    assert error.kind is Kind.QUOTA_EXHAUSTED
    assert "billing" in error.message
    assert error.retry_after is None


def test_a_path_that_is_not_found_asks_for_the_base_url() -> None:
    error = from_http(404, {"detail": "Not Found"})

    assert error.kind is Kind.PROVIDER_REFUSED
    assert "https://api.cerebras.ai/v1/chat/completions" in error.message


def test_a_400_without_words_tells_what_it_may_mean() -> None:
    error = from_http(400, b"")

    assert error.kind is Kind.PROVIDER_REFUSED
    assert "prompt is too long" in error.message


def test_a_page_is_reduced_to_its_title() -> None:
    error = from_http(502, b"<html><head><title>502 Bad Gateway</title></head>" + b"<p>x</p>" * 999)

    assert error.kind is Kind.PROVIDER_BROKEN
    assert error.message == (
        'Cerebras failed (HTTP 502): it answered with an HTML page, "502 Bad Gateway".'
    )


def test_a_tool_call_that_the_model_got_wrong_may_be_tried_again() -> None:
    error = from_http(400, {"error": {"code": "tool_use_failed", "message": "did not match"}})

    assert error.kind.transient
    assert "another try" in error.message


def test_long_words_are_cut() -> None:
    error = from_http(400, {"error": "long " * 5000})

    assert error.message.endswith("long …")
    assert len(error.message) < 2200


@pytest.mark.parametrize(
    ("headers", "words", "seconds"),
    [
        pytest.param({"retry_after": "30"}, "Please try again in 0.5s", 30.0, id="header-first"),
        pytest.param(
            {"x_ratelimit_reset_tokens_minute": "12.75"}, "slow down", 12.75, id="reset-header"
        ),
        pytest.param({}, "try again in 1m30s", 90.0, id="words"),
        pytest.param({}, "slow down", 5.0, id="default"),
        pytest.param({"retry_after": "0.0004"}, "slow down", 0.0004, id="tiny"),
    ],
)
def test_a_rate_limit_names_the_pause_as_codex_reads_it(
    headers: dict[str, str], words: str, seconds: float
) -> None:
    error = from_http(429, {"message": words, "code": "too_many_requests"}, **headers)

    assert error.kind is Kind.RATE_LIMITED
    assert error.retry_after == seconds
    found = CODEX_PAUSE.search(error.message)
    assert found is not None
    assert found[2] == "s"
    assert float(found[1]) == pytest.approx(seconds, abs=0.001)


def test_an_overloaded_provider_may_ask_for_a_pause() -> None:
    assert from_http(503, b"", retry_after="7").retry_after == 7.0
    assert from_http(503, b"", x_ratelimit_reset_tokens_minute="7").retry_after is None


def test_an_answer_that_looks_fine_may_hold_the_true_status() -> None:
    assert from_http(202, {"error": {"code": 401, "message": "no"}}).kind is (
        Kind.PROVIDER_CREDENTIALS
    )


@pytest.mark.parametrize("wrap", [lambda e: {"error": e}, lambda e: e, lambda e: [{"error": e}]])
def test_what_the_model_wrote_is_kept_and_not_shown(wrap: Any) -> None:
    """Q29."""
    body = wrap({"code": "tool_use_failed", "message": "No.", "failed_generation": "to=x {}"})
    error = from_http(400, body)
    assert error.failed_generation == "to=x {}"
    assert "to=x" not in f"{error}{error.envelope()}"
    assert from_http(400, {"error": {"failed_generation": {"name": 1}}}).failed_generation == ""


# Errors inside a 200.


@pytest.mark.parametrize(
    ("event", "value", "kind", "status"),
    [
        pytest.param(
            "error",
            {"error": {"code": "tool_use_failed", "failed_generation": "{}", "status_code": 400}},
            Kind.PROVIDER_BROKEN,
            400,
            id="Q3",
        ),
        pytest.param(
            "", {"error": {"message": "x", "code": 500}}, Kind.PROVIDER_BROKEN, 500, id="Q4"
        ),
        pytest.param(
            "",
            {"object": "error", "message": "x", "code": 400},
            Kind.PROVIDER_REFUSED,
            400,
            id="Q5",
        ),
        pytest.param(
            "", {"error": {"message": "x"}, "status_code": 429}, Kind.RATE_LIMITED, 429, id="Q6"
        ),
        pytest.param(
            "",
            {"error": {"code": 502, "message": "x"}, "choices": [{"finish_reason": "error"}]},
            Kind.PROVIDER_BROKEN,
            502,
            id="Q7",
        ),
        pytest.param(
            "",
            {"choices": [{"delta": {}, "error": {"code": 429, "message": "x"}}]},
            Kind.RATE_LIMITED,
            429,
            id="Q7-in-the-choice",
        ),
        pytest.param(
            "",
            {"choices": [{"delta": {"content": "x"}, "finish_reason": "error"}]},
            Kind.PROVIDER_BROKEN,
            200,
            id="finish-reason",
        ),
        pytest.param("", {"success": False}, Kind.PROVIDER_BROKEN, 200, id="Q12-success"),
        pytest.param(
            "",
            {"success": False, "code": 401, "message": "x"},
            Kind.PROVIDER_CREDENTIALS,
            401,
            id="Q12-code",
        ),
        pytest.param(
            "", {"data": {"error": {"code": 503}}}, Kind.PROVIDER_BROKEN, 503, id="Q12-data"
        ),
        pytest.param(
            "",
            {"code": 500, "message": "x", "data": {}},
            Kind.PROVIDER_BROKEN,
            500,
            id="empty-data",
        ),
        pytest.param("", {"error": "boom"}, Kind.PROVIDER_BROKEN, 200, id="text"),
        pytest.param("", {"detail": "boom"}, Kind.PROVIDER_BROKEN, 200, id="detail"),
        pytest.param(
            "",
            {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
            Kind.QUOTA_EXHAUSTED,
            200,
            id="base-resp",
        ),
        pytest.param(
            "",
            {
                "choices": [{"delta": {}}],
                "base_resp": {"status_code": 1002, "status_msg": "rate limit"},
            },
            Kind.RATE_LIMITED,
            200,
            id="base-resp-beside-choices",
        ),
        pytest.param(
            "",
            {"object": "error", "message": "x", "code": 500, "choices": [{"delta": {}}]},
            Kind.PROVIDER_BROKEN,
            500,
            id="object-beside-choices",
        ),
        pytest.param("", {"status_code": 503}, Kind.PROVIDER_BROKEN, 503, id="status-code"),
        pytest.param(
            "",
            {"message": "x", "type": "t", "param": None, "code": "wrong_api_format"},
            Kind.PROVIDER_REFUSED,
            200,
            id="cerebras-flat",
        ),
        pytest.param(
            "", {"code": "1211", "message": "x"}, Kind.MODEL_NOT_FOUND, 200, id="zai-bare"
        ),
        pytest.param(
            "",
            {"error": {"code": "context_length_exceeded", "message": "x"}},
            Kind.CONTEXT_OVERFLOW,
            200,
            id="overflow",
        ),
        pytest.param("error", {}, Kind.PROVIDER_BROKEN, 200, id="event-without-words"),
        pytest.param(
            "error", {"message": "boom"}, Kind.PROVIDER_BROKEN, 200, id="event-with-words"
        ),
    ],
)
def test_an_error_inside_a_200_is_found(event: str, value: Any, kind: Kind, status: int) -> None:
    error = error_in(value, event)

    assert error.kind is kind
    assert (error.provider, error.provider_status) == ("cerebras", status)
    assert (error.retry_after is not None) == (kind is Kind.RATE_LIMITED)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"choices": [{"delta": {"content": "x"}}]}, id="text"),
        pytest.param({"choices": [{"delta": {}, "finish_reason": "stop"}]}, id="finish"),
        pytest.param({"choices": [], "usage": {"total_tokens": 1}}, id="usage"),
        pytest.param({"choices": [], "prompt_filter_results": [{}]}, id="azure-first"),
        pytest.param({"choices": [{"delta": None}]}, id="null-delta"),
        pytest.param({"data": {"choices": [{"delta": {}}]}}, id="wrapped"),
        pytest.param(
            {"code": 200, "message": "success", "data": {"choices": [{}]}}, id="wrapped-with-code"
        ),
        pytest.param({"code": 0, "message": "ok", "data": None}, id="code-zero"),
        pytest.param({"choices": [{"delta": {}}], "error": None}, id="null-error"),
        pytest.param({"choices": [{"delta": {}}], "error": ""}, id="empty-error"),
        pytest.param(
            {"choices": [{"delta": {}}], "base_resp": {"status_code": 0, "status_msg": ""}},
            id="minimax-success",
        ),
        pytest.param({"choices": None, "base_resp": {"status_code": 0}}, id="minimax-end"),
        pytest.param({"choices": [{"delta": {}}], "success": True, "status_code": 200}, id="fine"),
        pytest.param({"message": {"role": "assistant", "content": "x"}}, id="ollama-native"),
        pytest.param({}, id="empty"),
    ],
)
@pytest.mark.parametrize("event", ["", "message", "chunk"])
def test_a_normal_chunk_is_no_error(event: str, value: Any) -> None:
    assert from_chunk(value, event) is None


def test_the_sentence_of_an_error_inside_a_200_says_where_it_stood() -> None:
    error = error_in({"error": {"message": "the queue is full", "code": 503}})

    assert error.message == "Cerebras failed (error 503 in its answer): the queue is full."


# A 200 that is no answer.


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"<html><title>Sign in</title></html>", 'HTML page, "Sign in"', id="page"),
        pytest.param(b"Ollama is running", "Ollama is running.", id="text"),
        pytest.param(b"", "nothing came at all", id="nothing"),
        pytest.param(b'{"hello":1}', '{"hello":1}', id="other-json"),
    ],
)
def test_a_200_without_an_answer_asks_for_the_base_url(body: bytes, words: str) -> None:
    error = failure_from_body(body, CEREBRAS)

    assert error.kind is Kind.PROVIDER_BROKEN
    assert words in error.message
    assert "https://api.cerebras.ai/v1/chat/completions" in error.message
    assert (error.provider, error.provider_status) == ("cerebras", 200)


def test_a_200_with_the_words_of_an_overflow_is_one() -> None:
    body = b"Trying to keep: the number of tokens to keep from the initial prompt is greater than"
    error = failure_from_body(body + b" the context length", CEREBRAS)

    assert error.kind is Kind.CONTEXT_OVERFLOW


def test_a_200_page_is_not_judged_by_its_title() -> None:
    body = b"<html><title>Too many requests per minute</title></html>"

    assert failure_from_body(body, CEREBRAS).kind is Kind.PROVIDER_BROKEN


# Recordings.

RECORDED_KINDS = {
    "api.deepseek.com-400-2": Kind.CONTEXT_OVERFLOW,
    "api.deepseek.com-401-1": Kind.PROVIDER_CREDENTIALS,
    "api.groq.com-400-1": Kind.PROVIDER_BROKEN,
    "api.groq.com-404-1": Kind.MODEL_NOT_FOUND,
    "api.mistral.ai-401-1": Kind.PROVIDER_CREDENTIALS,
    "api.openai.com-400-1": Kind.MODEL_NOT_FOUND,
    "api.openai.com-400-11": Kind.MODEL_NOT_FOUND,
    "api.openai.com-400-8": Kind.CONTEXT_OVERFLOW,
    "api.openai.com-401-1": Kind.PROVIDER_CREDENTIALS,
    "api.openai.com-404-1": Kind.MODEL_NOT_FOUND,
    "api.openai.com-404-2": Kind.MODEL_NOT_FOUND,
    "api.openai.com-404-3": Kind.MODEL_NOT_FOUND,
    "traceloop-stg.openai.azure.com-404-1": Kind.MODEL_NOT_FOUND,
}


@pytest.mark.skipif(not ERRORS, reason="the recorded errors are not here")
@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_recorded_errors(path: Path) -> None:
    recorded = msgspec.json.decode(path.read_bytes())
    error = from_http(recorded["status"], recorded["body"])

    assert error.kind is RECORDED_KINDS.get(path.stem, Kind.PROVIDER_REFUSED)
    assert error.provider_status == recorded["status"]
    # What stands before a key is in the sentence word for word.
    words = recorded["body"].get("error", {}).get("message") or recorded["body"]["detail"]
    assert re.split(r"provided:|key:", words)[0] in error.message
    assert "-key is" not in error.message
    assert "invalid-key" not in error.message


def messages(path: Path) -> Iterator[tuple[str, Chunk]]:
    for message in Decoder().feed(path.read_bytes()):
        if message.data != b"[DONE]":
            yield message.event, decode_chunk(message.data)


@pytest.mark.parametrize(
    ("name", "kind", "status", "words"),
    [
        ("groq/chat-gptoss-inband-error", Kind.PROVIDER_BROKEN, 400, "did not match schema"),
        ("groq/chat-gptoss-text-then-error", Kind.PROVIDER_BROKEN, 400, "Tool choice is required"),
        ("openrouter/chat-error-length-reasoning", Kind.PROVIDER_REFUSED, 400, "Token limit"),
    ],
)
def test_recorded_errors_inside_a_200(name: str, kind: Kind, status: int, words: str) -> None:
    path = STREAMS / f"{name}.sse"
    if not path.exists():
        pytest.skip("the recorded streams are not here")
    found = [failure_from_chunk(chunk, event, CEREBRAS) for event, chunk in messages(path)]

    (error,) = filter(None, found)
    assert (error.kind, error.provider_status) == (kind, status)
    assert words in error.message


@pytest.mark.skipif(not STREAMS.exists(), reason="the recorded streams are not here")
def test_no_recorded_stream_that_went_well_holds_an_error() -> None:
    paths = [path for path in STREAMS.glob("*/chat-*.sse") if "error" not in path.stem]

    assert paths
    for path in paths:
        for event, chunk in messages(path):
            assert failure_from_chunk(chunk, event, CEREBRAS) is None, path.stem


# Anything at all.

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from(["error", "message", "code", "detail", "data"]), st.text()),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=3000),
    st.text(max_size=3000).map(lambda text: text.encode()),
    JSON.map(msgspec.json.encode),
)
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "retry-after-ms", "date"]), st.text())


def check(error: TurnError) -> None:
    assert error.message.strip()
    assert len(error.message.encode()) < 4096
    assert error.provider == "cerebras"
    assert error.provider_status is not None
    assert (error.kind is not Kind.RATE_LIMITED) or error.retry_after is not None


@given(st.integers(), BODIES, HEADERS)
@example(400, "é".encode() * 6000, {})
@example(429, "\U0001f600".encode() * 6000, {})
@example(404, b"[" * 10_000, {})
def test_any_answer_becomes_an_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = failure_from_http(status, body, headers, CEREBRAS)

    check(error)
    assert error.provider_status == status


@given(BODIES)
def test_any_body_becomes_an_error(body: bytes) -> None:
    check(failure_from_body(body, CEREBRAS))


CHUNKS = st.builds(
    Chunk,
    choices=st.one_of(
        st.none(),
        st.lists(st.builds(Choice, finish_reason=JSON, error=JSON), max_size=2),
    ),
    error=JSON,
    object=JSON,
    message=JSON,
    detail=JSON,
    code=JSON,
    status_code=JSON,
    base_resp=JSON,
    success=JSON,
    data=JSON,
)


@given(CHUNKS, st.sampled_from(["", "error", "message"]))
def test_any_chunk_is_judged(chunk: Chunk, event: str) -> None:
    error = failure_from_chunk(chunk, event, CEREBRAS)

    assert (event != "error") or error is not None
    if error is not None:
        check(error)


PLACES = [
    '{"error":{"message":"PLANT"}}',
    '{"error":{"message":"x","code":"PLANT","type":"PLANT"}}',
    '{"error":"PLANT"}',
    '{"message":"x","code":"PLANT"}',
    '{"detail":[{"loc":["PLANT"],"msg":"PLANT"}]}',
    '{"title":"PLANT","status":400}',
    '{"error":{"message":"x","metadata":{"raw":"PLANT"}}}',
    '{"nobody":{"knows":"PLANT"}}',
    '[{"error":{"message":"PLANT"}}]',
    "<html><title>PLANT</title></html>",
    "PLANT",
]


@given(
    st.sampled_from([200, 400, 401, 403, 404, 429, 500]),
    st.sampled_from(PLACES),
    st.sampled_from(KEYS),
    st.from_regex(r"[A-Za-z .,:'=]{0,40}", fullmatch=True),
    st.integers(0, 2500),
)
@example(400, PLACES[0], KEYS[0], "x", 16_000 - 20)
@example(400, "PLANT", KEYS[0], "x", 16_000 - 20)
def test_a_planted_key_never_comes_out(
    status: int, place: str, key: str, around: str, distance: int
) -> None:
    body = place.replace("PLANT", f"{' a' * (distance // 2)}{around}{key}{around}").encode()
    errors = [
        failure_from_http(status, body, {}, CEREBRAS),
        failure_from_body(body, CEREBRAS),
    ]
    if body.startswith(b"{"):
        errors += filter(None, [failure_from_chunk(decode_chunk(body), "error", CEREBRAS)])

    for error in errors:
        assert key[:10] not in error.message
        assert key[-8:] not in error.message
