"""What the real Codex CLI sends, as it was recorded, to every kind of provider."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.translate.responses_to_chat import ChatRequest
from anyturn.wire.profile import Profile
from support.chat_requests import outcome
from support.strict_providers import provider_refusal

JSON = dict[str, Any]

CAPTURES = Path(__file__).parents[3] / "shared" / "protocol" / "codex-captures"


def captured() -> list[Any]:
    found = []
    for path in sorted(CAPTURES.glob("*.json")):
        recorded = msgspec.json.decode(path.read_bytes())
        sent = recorded.get("body") if isinstance(recorded, dict) else None
        if isinstance(sent, dict) and "input" in sent:
            found.append(pytest.param(sent, id=path.stem))
    return found or [pytest.param(None, marks=pytest.mark.skip("there are no captures here"))]


# What a Chat provider cannot be given of what Codex sends. Everything else must arrive.
EXPECTED_LOSSES = {
    "tools.left_out": {"web_search"},
    "compaction.unreadable": {"compaction"},
    "content.image_left_out": {"input_image"},
    "parameters.left_out": {"parallel_tool_calls"},
}


def at(request: JSON, where: str) -> Any:
    """What stands at a place like `input[3].content[1]`."""
    found: Any = request
    for step in where.replace("]", "").replace("[", ".").split("."):
        found = found[int(step) if step.isdigit() else step]
    return found


def declared_names(tools: list[JSON], namespace: str = "") -> Iterator[tuple[str, str]]:
    for tool in tools:
        if tool["type"] == "namespace":
            own = "" if tool["name"] == "functions" else tool["name"]
            yield from declared_names(tool["tools"], own)
        elif tool["type"] in ("function", "custom"):
            yield namespace, tool["name"]
        elif tool["type"] == "tool_search":
            yield "", "tool_search"


def is_trigger(request: JSON) -> bool:
    return any(item["type"] == "compaction_trigger" for item in request["input"])


@pytest.mark.parametrize("request_", captured())
def test_what_codex_sends_is_valid_for_every_provider(request_: JSON, profile: Profile) -> None:
    result = outcome(request_, profile)
    assert isinstance(result, ChatRequest)
    assert provider_refusal(msgspec.json.decode(result.encode()), profile) is None
    assert result.compacts is is_trigger(request_)
    if result.compacts:
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & result.body.keys()
        return
    tools = list(request_.get("tools", ()))
    for item in request_["input"]:
        tools += item.get("tools", ())
    assert {(tool.namespace, tool.name) for tool in result.tools} == set(declared_names(tools))
    assert len(result.body.get("tools", ())) == len(result.tools)


@pytest.mark.parametrize("request_", captured())
def test_every_call_of_codex_keeps_its_output(request_: JSON, profile: Profile) -> None:
    result = outcome(request_, profile)
    if not isinstance(result, ChatRequest):
        return
    calls = [item for item in request_["input"] if item["type"].endswith("_call")]
    sent = [call for m in result.body["messages"] for call in m.get("tool_calls", ())]
    answers = {m["tool_call_id"]: m for m in result.body["messages"] if m["role"] == "tool"}
    assert len(sent) == len(calls) == len(answers)
    for item, call in zip(calls, sent, strict=True):
        (given,) = (
            other
            for other in request_["input"]
            if other["type"].endswith("_output") and other["call_id"] == item["call_id"]
        )
        if isinstance(given.get("output"), str):
            assert answers[call["id"]]["content"] == given["output"]
        name = item.get("name", "tool_search")
        assert call["function"]["name"].endswith(name)


@pytest.mark.parametrize("request_", captured())
def test_nothing_of_what_codex_sends_is_lost_but_what_is_expected_a3(
    request_: JSON, profile: Profile
) -> None:
    result = outcome(request_, profile)
    if not isinstance(result, ChatRequest):
        return
    for loss in (a for a in result.adaptations if a.lossy):
        found = at(request_, loss.where)
        kind = found["type"] if isinstance(found, dict) else loss.where
        assert kind in EXPECTED_LOSSES[loss.rule], loss


@pytest.mark.parametrize("request_", captured())
def test_the_texts_of_codex_arrive_whole(request_: JSON, profile: Profile) -> None:
    result = outcome(request_, profile)
    if not isinstance(result, ChatRequest):
        return
    said = "\n".join(
        part["text"]
        for m in result.body["messages"]
        for part in (
            m["content"]
            if isinstance(m.get("content"), list)
            else [{"text": m.get("content") or ""}]
        )
        if "text" in part
    )
    for item in request_["input"]:
        for part in item.get("content") or () if item["type"] == "message" else ():
            if "text" in part:
                assert part["text"] in said
