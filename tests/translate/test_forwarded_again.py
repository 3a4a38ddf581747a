from __future__ import annotations

from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.forwarded_again import (
    refuses_seals,
    refuses_tool_types,
    shortened_input,
    with_functions_only,
    without_forwarded_images,
    without_sealed_reasoning,
)
from anyturn.translate.responses_to_responses import ForwardedRequest
from anyturn.wire.profile import Profile

JSON = dict[str, Any]
PROFILE = Profile(name="acme", wire="responses")
IMAGE: JSON = {"type": "input_image", "image_url": "data:,"}
SEALED: JSON = {"type": "reasoning", "summary": [], "encrypted_content": "x"}


def asked(*items: JSON) -> ForwardedRequest:
    return ForwardedRequest({"input": [*items]}, Adaptations())


def user(content: Any) -> JSON:
    return {"type": "message", "role": "user", "content": content}


def step(number: int) -> list[JSON]:
    call_id = f"c{number}"
    return [
        {"type": "function_call", "call_id": call_id},
        {"type": "function_call_output", "call_id": call_id, "output": "x"},
    ]


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (Kind.PROVIDER_REFUSED, "Acme refused (HTTP 400, invalid_encrypted_content): x", True),
        (Kind.PROVIDER_REFUSED, "The encrypted content for item rs_1 could not be verified.", True),
        (Kind.PROVIDER_REFUSED, "encrypted_content is fine, the model is not", False),
        (Kind.PROVIDER_BROKEN, "invalid_encrypted_content", False),
    ],
    ids=["code", "words", "other", "kind"],
)
def test_a_seal_that_cannot_be_opened_is_recognised(
    kind: Kind, message: str, expected: bool
) -> None:
    """F17."""
    assert refuses_seals(TurnError(kind, message)) is expected


def test_what_cannot_be_opened_is_left_out_once() -> None:
    compaction = {"type": "compaction", "encrypted_content": "x"}
    first = asked(user("Hi"), SEALED, compaction, {"type": "reasoning", "summary": []})
    second = without_sealed_reasoning(first, PROFILE)
    assert second is not None
    assert second.body["input"] == [user("Hi"), {"type": "reasoning", "summary": []}]
    assert second.adaptations[0].lossy
    assert without_sealed_reasoning(second, PROFILE) is None


# As servers have been seen to say it.
TOOL_REFUSALS = [
    "Unsupported Responses tool type: 'custom'",
    "'type' of tool must be 'function'",
    'Only `type:"function"` tools are supported on this endpoint.',
    "`custom` tools are not supported on this endpoint",
    "tools[0]: unknown variant `custom`, expected one of `function`, `web_search`",
    "Invalid value: 'custom'. Supported values are: 'function' and 'web_search'.",
    "tools.8.type: Input should be 'function'",
]
OTHER_REFUSALS = [
    "Unsupported parameter: tools",
    "Invalid value: 'minimal' for reasoning.effort",
    "No tool call found for function call output with call_id call_1.",
    "Invalid schema for function 'shell': 'type' is missing",
    "tools[3].name: string too long",
    "This model does not support tools.",
]


@pytest.mark.parametrize("message", TOOL_REFUSALS)
def test_a_type_of_tool_that_is_refused_is_recognised(message: str) -> None:
    """F21."""
    assert refuses_tool_types(TurnError(Kind.PROVIDER_REFUSED, f"Acme refused: {message}"))
    assert not refuses_tool_types(TurnError(Kind.RATE_LIMITED, message))


@pytest.mark.parametrize("message", OTHER_REFUSALS)
def test_another_refusal_is_none_of_a_type_of_tool(message: str) -> None:
    assert not refuses_tool_types(TurnError(Kind.PROVIDER_REFUSED, message))


def test_refused_tools_become_functions_once() -> None:
    called = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"}
    first = asked(user("Hi"), called)
    first.body["tools"] = [{"type": "custom", "name": "patch"}, {"type": "web_search"}]
    second = with_functions_only(first, PROFILE)
    assert second is not None
    assert [tool["type"] for tool in second.body["tools"]] == ["function"]
    kinds = [item["type"] for item in second.body["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]
    assert [tool.name for tool in second.tools] == ["patch"]
    assert "tools.refused" in {change.rule for change in second.adaptations}
    assert with_functions_only(second, PROFILE) is None


def test_functions_that_are_refused_cannot_become_any() -> None:
    first = asked(user("Hi"))
    first.body["tools"] = [{"type": "function", "name": "look"}]
    assert with_functions_only(first, PROFILE) is None
    first.body["tools"] = [{"type": "web_search"}]
    second = with_functions_only(first, PROFILE)
    assert second is not None and "tools" not in second.body
    assert with_functions_only(second, PROFILE) is None


def test_images_become_a_sentence_in_messages_and_in_outputs() -> None:
    """F11."""
    shot = {"type": "function_call_output", "call_id": "c", "output": [IMAGE]}
    second = without_forwarded_images(asked(user([IMAGE]), shot, user("Hi")), PROFILE)
    assert second is not None
    assert "input_image" not in str(second.body)
    assert without_forwarded_images(second, PROFILE) is None


def test_the_older_half_of_the_rounds_goes_and_then_of_the_steps_until_nothing_can() -> None:
    system = {"role": "developer", "content": "Be brief."}
    late = {"role": "developer", "content": "Late."}
    items = [system, user("1"), late, *step(1), user("2"), *step(2), *step(3), *step(4)]
    request: ForwardedRequest | None = asked(*items)
    sizes = []
    while request is not None:
        kept = request.body["input"]
        sizes.append(len(kept))
        assert kept[0] == system
        calls = [i["call_id"] for i in kept if i.get("type") == "function_call"]
        outputs = [i["call_id"] for i in kept if i.get("type") == "function_call_output"]
        assert calls == outputs and calls[-1] == "c4"
        last, request = request, shortened_input(request)
    assert late in last.body["input"] and user("2") in last.body["input"]
    assert len(sizes) == 4 and sizes[-1] < sizes[0]
    assert str(last.body).count("was left out") == 1
