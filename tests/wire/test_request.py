from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anyturn.errors import Kind, TurnError
from anyturn.wire.request import MAX_NESTING, parse_request

JSON = dict[str, Any]

# Every field with a type of its own, and a value that fits.
FIELDS: dict[str, Any] = {
    "model": "gpt-oss-120b",
    "input": [{"role": "user", "content": "Hi"}],
    "instructions": "Be brief.",
    "tools": [],
    "tool_choice": {"type": "function", "name": "f"},
    "parallel_tool_calls": False,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
    "store": False,
    "background": False,
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "high"},
    "text": {"verbosity": "low"},
    "max_output_tokens": 16,
    "max_tool_calls": 1,
    "temperature": 0.5,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": -1.5,
    "top_logprobs": 3,
    "seed": 7,
    "stop": ["\n"],
    "metadata": {"k": "v"},
    "user": "u",
    "safety_identifier": "s",
    "prompt_cache_key": "p",
    "service_tier": "flex",
    "truncation": "auto",
    "previous_response_id": "resp_1",
    "conversation": "conv_1",
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def encoded(value: Any) -> bytes:
    return msgspec.json.encode(value)


def refusal(body: bytes) -> TurnError:
    with pytest.raises(TurnError) as caught:
        parse_request(body)
    return caught.value


def test_a_request_with_every_field_comes_out_as_it_went_in() -> None:
    assert parse_request(encoded(FIELDS)) == FIELDS


def test_fields_that_nobody_knows_stay_as_data() -> None:
    request = {"input": "Hi", "client_metadata": {"a": [1, None]}, "tomorrow": {"x": 1.5}}
    assert parse_request(encoded(request)) == request


@pytest.mark.parametrize("name", FIELDS)
def test_null_stands_for_an_absent_field(name: str) -> None:
    assert parse_request(encoded({name: None})) == {name: None}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_the_wrong_type_is_refused_by_name(name: str) -> None:
    wrong: Any = 5 if isinstance(FIELDS[name], str | list | dict | bool) else "five"
    error = refusal(encoded({name: wrong}))
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, name)
    assert error.message.startswith(f"Invalid request: {name} must be ")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        pytest.param("input", 5, "input must be a string or a list, not an integer.", id="input"),
        pytest.param("stream", "yes", "stream must be true or false, not 'yes'.", id="a flag"),
        pytest.param("temperature", "hot", "temperature must be a number, not 'hot'.", id="number"),
        pytest.param("temperature", True, "temperature must be a number, not true.", id="a truth"),
        pytest.param(
            "max_output_tokens",
            1.5,
            "max_output_tokens must be an integer, not a number.",
            id="1.5",
        ),
        pytest.param("tools", {}, "tools must be a list, not an object.", id="tools"),
        pytest.param("model", "m" * 99, None, id="a long word is a word"),
        pytest.param("tools", "t" * 99, f"tools must be a list, not {'t' * 60!r}.", id="cut"),
    ],
)
def test_the_refusal_says_what_was_expected_and_what_came(
    field: str, value: Any, message: str | None
) -> None:
    if message is None:
        assert parse_request(encoded({field: value}))[field] == value
    else:
        assert refusal(encoded({field: value})).message == f"Invalid request: {message}"


@pytest.mark.parametrize("body", [b"[]", b'"Hi"', b"5", b"null"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    error = refusal(body)
    assert error.kind is Kind.INVALID_REQUEST
    assert error.message == "Invalid request: the body must be a JSON object."


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"input": "Hi"', id="cut off"),
        pytest.param(b'{"temperature": NaN}', id="no number"),
        pytest.param(b'{"seed": 1e999}', id="beyond every number"),
        pytest.param(b'{"input": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"input": "\\x"}', id="an escape that does not exist"),
        pytest.param(b'\xef\xbb\xbf{"input": "Hi"}', id="a byte order mark"),
        pytest.param(b"[" * 100_000, id="endless brackets"),
    ],
)
def test_what_is_not_json_is_refused_with_its_size(body: bytes) -> None:
    error = refusal(body)
    assert error.kind is Kind.INVALID_JSON
    assert f"{len(body)} bytes arrived" in error.message


def nested(levels: int) -> bytes:
    """A request of that many levels, the request itself being the first."""
    return b'{"tools": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_a_request_may_be_nested_to_the_limit() -> None:
    assert "tools" in parse_request(nested(MAX_NESTING))


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 900])
def test_a_request_that_is_nested_deeper_is_refused_by_name(levels: int) -> None:
    error = refusal(nested(levels))
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, "tools")
    assert "nested deeper than 128 levels" in error.message


@pytest.mark.parametrize(
    ("written", "text"),
    [
        pytest.param(r"\ud83d\ude00", "\U0001f600", id="a whole pair is kept"),
        pytest.param(r"\ud83d", "�", id="the first half alone"),
        pytest.param(r"a\ude00b", "a�b", id="the second half alone"),
        pytest.param(r"\ud83d\ud83d\ude00", "�\U0001f600", id="a half before a pair"),
        pytest.param(r"\\ud83d\ud83d", r"\ud83d" + "�", id="an escaped backslash is no escape"),
        pytest.param(r"\uD83D\n", "�\n", id="capitals, and another escape behind it"),
    ],
)
def test_half_a_surrogate_pair_does_not_break_the_request_q72(written: str, text: str) -> None:
    body = f'{{"input": "{written}"}}'.encode()
    assert parse_request(body) == {"input": text}


def outcome(body: bytes) -> JSON | TurnError:
    try:
        return parse_request(body)
    except TurnError as error:
        return error


@given(st.binary(max_size=200) | JSON_VALUES.map(encoded))
@example(b"{}")
def test_any_bytes_give_a_request_or_a_refusal(body: bytes) -> None:
    result = outcome(body)
    if isinstance(result, TurnError):
        assert result.kind in (Kind.INVALID_JSON, Kind.INVALID_REQUEST)
        assert "body" in result.message or result.param
    else:
        assert isinstance(result, dict)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON_VALUES)))
def test_any_values_give_the_same_request_or_a_refusal_by_name(request: JSON) -> None:
    result = outcome(encoded(request))
    if isinstance(result, TurnError):
        assert result.param in request
        assert result.param in result.message
    else:
        assert result == msgspec.json.decode(encoded(request))
