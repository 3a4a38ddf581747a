from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from anyturn.openai_sdk.responses_reader import ResponsesReader, WholeCall
from anyturn.translate.signals import Call, Failure, Finish, Outcome, Reasoning, Text, UsageSeen


def event(type: str, **members: Any) -> SimpleNamespace:
    return SimpleNamespace(type=type, **members)


def item(type: str = "function_call", **members: Any) -> SimpleNamespace:
    return SimpleNamespace(type=type, **members)


def response(status: str, **members: Any) -> SimpleNamespace:
    return SimpleNamespace(status=status, **members)


FUNCTION = item(call_id="call_1", name="add_task", arguments='{"title":"x"}')


def test_a_function_call_is_told_from_its_beginning_to_its_end() -> None:
    reader = ResponsesReader()
    begun = item(call_id="call_1", name="add_task", arguments="")
    assert reader.read(event("response.output_item.added", output_index=2, item=begun)) == [
        Call(0, "call_1", "add_task", "")
    ]
    more = event("response.function_call_arguments.delta", output_index=2, delta='{"t')
    assert reader.read(more) == [Call(0, "", "", '{"t')]
    done = reader.read(event("response.output_item.done", output_index=2, item=FUNCTION))
    assert done[1] == WholeCall(0, "call_1", "add_task", '{"title":"x"}', is_json=True)


def test_calls_are_numbered_from_zero_whatever_stands_between_them() -> None:
    reader = ResponsesReader()
    keys = [
        reader.read(event("response.output_item.added", output_index=place, item=FUNCTION))[0].key
        for place in (1, 4, 5)
    ]
    assert keys == [0, 1, 2]


def test_freeform_input_is_no_json() -> None:
    patch = item("custom_tool_call", call_id="call_1", name="patch", input="*** Begin")
    done = event("response.output_item.done", output_index=0, item=patch)
    assert ResponsesReader().read(done)[1] == WholeCall(0, "call_1", "patch", "*** Begin", False)


def test_a_shell_is_a_call_by_the_name_of_its_type() -> None:
    shell = item("local_shell_call", call_id="call_1", action=None)
    done = event("response.output_item.done", output_index=0, item=shell)
    assert ResponsesReader().read(done)[0].name == "local_shell_call"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(event("response.output_text.delta", delta="Hi"), [Text("Hi")], id="text"),
        pytest.param(
            event("response.reasoning_summary_text.delta", delta="hm"), [Reasoning("hm")], id="sum"
        ),
        pytest.param(
            event("response.output_item.added", output_index=0, item=item("reasoning")),
            [Reasoning("")],
            id="reasoning without words",
        ),
        pytest.param(event("response.created"), [], id="created"),
        pytest.param(event("response.never.heard.of"), [], id="unknown"),
        pytest.param(
            event("response.output_item.added", output_index=0, item=item("web_search_call")),
            [],
            id="hosted tool",
        ),
    ],
)
def test_events_are_read(given: Any, expected: list[Any]) -> None:
    assert ResponsesReader().read(given) == expected


@pytest.mark.parametrize(
    ("type", "status", "reason", "outcome", "raw"),
    [
        ("response.completed", "completed", None, Outcome.COMPLETE, "completed"),
        (
            "response.incomplete",
            "incomplete",
            "max_output_tokens",
            Outcome.LENGTH,
            "max_output_tokens",
        ),
        ("response.incomplete", "incomplete", "content_filter", Outcome.FILTERED, "content_filter"),
    ],
)
def test_the_end_is_told(
    type: str, status: str, reason: str | None, outcome: Outcome, raw: str
) -> None:
    details = SimpleNamespace(reason=reason) if reason else None
    end = event(type, response=response(status, incomplete_details=details))
    assert ResponsesReader().read(end) == [Finish(outcome, raw)]


@pytest.mark.parametrize(
    "failed",
    [
        event(
            "response.failed",
            response=response(
                "failed", error=SimpleNamespace(code="server_error", message="It broke")
            ),
        ),
        event("error", code="server_error", message="It broke"),
    ],
    ids=["response.failed", "error"],
)
def test_a_failure_keeps_the_words(failed: Any) -> None:
    [failure] = ResponsesReader().read(failed)
    assert isinstance(failure, Failure)
    assert str(failure.error) == "server_error: It broke"


def test_a_whole_response_is_read() -> None:
    message = item("message", content=[SimpleNamespace(type="output_text", text="Hi")])
    usage = SimpleNamespace(model_dump=lambda **_: {"input_tokens": 3, "output_tokens": 4})
    whole = response("completed", output=[item("reasoning"), message, FUNCTION], usage=usage)
    said = ResponsesReader().read_whole(whole)
    kinds = [type(one) for one in said]
    assert kinds == [Reasoning, Text, Call, WholeCall, UsageSeen, Finish]
