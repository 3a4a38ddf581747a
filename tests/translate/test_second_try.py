from __future__ import annotations

from typing import Any

import pytest

from anyturn.errors import Kind, TurnError
from anyturn.translate.adaptations import Adaptations
from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.translate.responses_to_responses import ForwardedRequest
from anyturn.translate.second_try import second_try
from anyturn.translate.tool_map import ToolMap
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

PROFILE = Profile(name="acme")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
NO_IMAGES = TurnError(Kind.PROVIDER_REFUSED, "This model does not support images.")
TOO_LONG = TurnError(Kind.CONTEXT_OVERFLOW, "maximum context length is 100 tokens")


def chat(*contents: Any) -> ChatRequest:
    messages = [{"role": "user", "content": content} for content in contents]
    return ChatRequest({"model": "m", "messages": messages}, ToolMap(), Adaptations())


@pytest.mark.parametrize(
    ("request_", "refusal", "may_truncate", "rule"),
    [
        pytest.param(chat([IMAGE]), NO_IMAGES, False, "content.image_left_out", id="images"),
        pytest.param(chat("a"), NO_IMAGES, True, None, id="no images there"),
        pytest.param(chat("a", "b"), TOO_LONG, True, "history.truncated", id="too long"),
        pytest.param(chat("a", "b"), TOO_LONG, False, None, id="too long, and must fail"),
        pytest.param(chat("a"), TOO_LONG, True, None, id="too long, and short"),
        pytest.param(chat("a", [IMAGE]), TOO_LONG, True, "history.truncated", id="not for images"),
    ],
)
def test_less_is_asked_only_where_that_may_help(
    request_: ChatRequest, refusal: TurnError, may_truncate: bool, rule: str | None
) -> None:
    again = second_try(request_, refusal, PROFILE, may_truncate=may_truncate)
    assert (again is None) is (rule is None)
    assert [adaptation.rule for adaptation in request_.adaptations] == ([rule] if rule else [])
    if again is not None:
        assert again.adaptations is request_.adaptations
        assert again.body != request_.body


@pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind is not Kind.CONTEXT_OVERFLOW], ids=lambda kind: kind.name
)
def test_another_failure_is_no_reason_to_ask_for_less(kind: Kind) -> None:
    failure = TurnError(kind, "maximum context length is 100 tokens")
    request = chat("a", "b", [IMAGE])
    assert second_try(request, failure, PROFILE, may_truncate=True) is None
    assert request.adaptations == []


def test_asking_for_less_comes_to_an_end_whatever_is_refused() -> None:
    request: ChatRequest | None = chat(*"abcdefg", [IMAGE])
    asked = 0
    refusals = [NO_IMAGES, TOO_LONG]
    while request is not None:
        request = second_try(request, refusals[min(asked, 1)], PROFILE, may_truncate=True)
        asked += 1
    assert asked == 5


def test_a_type_of_tool_that_is_refused_is_asked_for_as_a_function() -> None:
    """F21."""
    refusal = TurnError(Kind.PROVIDER_REFUSED, "Unsupported tool type: custom")
    tools = [{"type": "custom", "name": "patch"}]
    request = ForwardedRequest({"input": [], "tools": tools}, Adaptations())
    again = second_try(request, refusal, PROFILE, may_truncate=False)
    assert again is not None and again.body["tools"][0]["type"] == "function"
    assert second_try(again, refusal, PROFILE, may_truncate=False) is None
