"""Profiles that differ in every rule about requests, and a strict provider for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from anyturn.testing import Rules, check_request
from anyturn.testing.history import REQUEST_FIELDS
from anyturn.wire.profile import Profile

JSON = dict[str, Any]

PROFILES = [
    Profile(name="generic"),
    Profile(
        name="cerebras-like",
        user_images=False,
        parallel_tool_calls="send",
        json_with_tools=False,
        max_tokens_field="max_completion_tokens",
        max_tokens_default=16384,
        reasoning_out="reasoning",
        reasoning_replay="tool_turns",
    ),
    Profile(
        name="mistral-like",
        call_id_exact=9,
        user_after_tool=False,
        merge_same_role=True,
        assistant_empty="empty",
        stream_usage="always",
        tool_choice=("auto", "none", "required"),
        tool_choice_required_as="any",
    ),
    Profile(
        name="openai-like",
        system_position="any",
        developer_role="developer",
        assistant_last="keep",
        tool_strict="keep",
        call_id_max=40,
        user_files=True,
        user_audio=True,
    ),
    Profile(
        name="deepseek-like",
        reasoning_out="reasoning_content",
        reasoning_replay="always",
        reasoning_missing="space",
        user_images=False,
        tool_choice=("auto", "none"),
        json_schema=False,
    ),
    Profile(name="groq-like", assistant_empty="omit", parallel_tool_calls="force_false"),
    Profile(
        name="openrouter-like",
        reasoning_out="reasoning_details",
        reasoning_text_out="reasoning",
        reasoning_replay="always",
        missing_signature="skip",
    ),
]


def provider_refusal(body: JSON, profile: Profile) -> str | None:
    """Say why the strict provider of a profile would refuse a body, or None (I8)."""
    return next(_refusals(body, profile), None)


def _refusals(body: JSON, profile: Profile) -> Iterator[str]:
    if found := check_request(_spelled_as_openai(body, profile), _rules(profile)):
        yield found
    for tool in body.get("tools", ()):
        known = {"name", "description", "parameters"}
        if unknown := tool["function"].keys() - known - {_strict_key(profile)}:
            yield f"unknown fields of a function: {unknown}"
    messages = body["messages"]
    yield from _order_refusals([message["role"] for message in messages], profile)
    for message in messages:
        yield from _form_refusals(message, profile)


def _rules(profile: Profile) -> Rules:
    optional = {"reasoning_effort", "verbosity", *profile.params}
    return Rules(
        roles=(profile.developer_role, "user", "assistant", "tool"),
        system_first=profile.system_position == "head",
        content_required=profile.assistant_empty != "omit",
        request_fields=REQUEST_FIELDS | optional | {profile.max_tokens_field},
        message_fields=frozenset(
            {"role", "content", "tool_calls", "tool_call_id", "extra_content"}
            | {profile.reasoning_out, profile.reasoning_text_out} - {""}
        ),
    )


def _spelled_as_openai(body: JSON, profile: Profile) -> JSON:
    """The checker knows OpenAI's words for what must be called, and no audio."""
    spelled = dict(body)
    if body.get("tool_choice") == profile.tool_choice_required_as:
        spelled["tool_choice"] = "required"
    if profile.user_audio:
        spelled["messages"] = [_without_audio(message) for message in body["messages"]]
    return spelled


def _without_audio(message: JSON) -> JSON:
    if not isinstance(message.get("content"), list):
        return message
    heard = {"type": "text", "text": "(audio)"}
    content = [heard if part["type"] == "input_audio" else part for part in message["content"]]
    return {**message, "content": content}


def _strict_key(profile: Profile) -> str:
    return "strict" if profile.tool_strict == "keep" else "name"


def _order_refusals(roles: list[str], profile: Profile) -> Iterator[str]:
    for before, after in pairwise(roles):
        if before == after == "assistant":
            yield "two assistant messages in a row"  # Q68
        if before == after == "user" and profile.merge_same_role:
            yield "two user messages in a row"  # Q65
        if (before, after) == ("tool", "user") and not profile.user_after_tool:
            yield "Unexpected role 'user' after role 'tool'"  # Q65
    if profile.assistant_last == "bridge" and roles[-1] not in ("user", "tool"):
        yield f"the last message is of role {roles[-1]}"


def _form_refusals(message: JSON, profile: Profile) -> Iterator[str]:
    content = message.get("content")
    if message["role"] != "tool" and "tool_calls" not in message and not content:
        yield f"an empty message: {message}"
    if "tool_calls" in message and "content" in message and not content:
        wanted = {"null": None, "empty": ""}.get(profile.assistant_empty, "left out")
        if content != wanted:
            yield f"content beside calls is {content!r}"  # Q71
    if message["role"] in ("tool", "assistant", profile.developer_role):
        if not isinstance(content, str | None):
            yield f"the content of a {message['role']} message is no string"
    elif isinstance(content, list):
        taken = {"text", *_media(profile)}
        if unknown := {part["type"] for part in content} - taken:
            yield f"unknown variant {unknown}"  # F11
    if {"reasoning", "reasoning_details"} <= message.keys():
        yield "the same reasoning twice"  # Q18
    calls = message.get("tool_calls", ())
    if profile.missing_signature and calls and not any("extra_content" in call for call in calls):
        yield "Function call is missing a thought_signature"  # Q24
    for call in calls:
        yield from _id_refusals(call["id"], profile)


def _media(profile: Profile) -> Iterator[str]:
    if profile.user_images:
        yield "image_url"
    if profile.user_files:
        yield "file"
    if profile.user_audio:
        yield "input_audio"


def _id_refusals(call_id: str, profile: Profile) -> Iterator[str]:
    exact = profile.call_id_exact
    if exact and not (len(call_id) == exact and call_id.isascii() and call_id.isalnum()):
        yield f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of {exact}."
    if len(call_id) > profile.call_id_max:
        yield f"the id {call_id} is too long"
