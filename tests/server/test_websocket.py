"""Turns over a WebSocket, with a client of the test's on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyturn.gateway import Gateway
from anyturn.testing import (
    Answer,
    Entry,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from support.http_clients import JSON, STREAM, TOOL
from support.stream_rules import check_stream
from support.websockets import Connect, Wire, gateway, id_of

KEY = "sk-planted-5d1e7a9b3c2f4e60"
PATHS = pytest.mark.parametrize("path", ["/v1/responses", "/responses"])

# ---------------------------------------------------------------- turns

WHOLE = Answer(reasoning("Hm."), text("Hello there."), call("f", {"a": 1}), call("f", {"a": 2}))
ANSWERS = {
    "everything": WHOLE,
    "in-small-pieces": Answer(*WHOLE.parts, fragment=2),
    "incomplete": Answer(text("Hel"), finish="length"),
    "failed-in-the-middle": Answer(text("Hello there."), fragment=2, cut_after=5),
    "whole-in-big": Answer(text("x" * 200_000), fragment=100_000),
}


def without_minted(events: list[JSON]) -> Any:
    """Events without ids and times: an id becomes the number of its first appearance."""
    raw = msgspec.json.encode(events).decode()
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"id_{numbers.setdefault(match[0], len(numbers))}"

    raw = re.sub(r"\b[a-z]+_[0-9a-f]{32}\b|\bcall_\d+\b", number, raw)
    raw = re.sub(r'"(created_at|completed_at)":\d+', r'"\1":0', raw)
    return msgspec.json.decode(raw)


@PATHS
@pytest.mark.parametrize("compress", [0, 15], ids=["plain", "deflate"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_the_events_are_those_of_the_stream(
    stage: Any, connect: Connect, path: str, answer: Answer, compress: int
) -> None:
    on = await stage(answer, answer)
    streamed = await on.post({**STREAM, "tools": [TOOL]}, path)
    wire = await connect(on, path, compress=compress)
    assert wire.socket.compress == compress
    events = await wire.ask(tools=[TOOL])
    check_stream(events)
    assert without_minted(events) == without_minted(streamed.events)
    assert on.provider.requests[0].raw == on.provider.requests[1].raw
    assert on.provider.refusals == []


async def test_nothing_comes_behind_the_terminal_event(stage: Any, connect: Connect) -> None:
    on = await stage(text("one"), text("two"))
    wire = await connect(on)
    await wire.ask()
    second = await wire.ask()
    assert second[0]["type"] == "response.created"
    check_stream(second)


async def test_what_a_client_must_not_send_is_ignored(stage: Any, connect: Connect) -> None:
    on = await stage(text("Hi."))
    wire = await connect(on)
    events = await wire.ask(stream=False, stream_options={}, background=True)
    check_stream(events)
    assert events[-1]["response"]["background"] is False


async def test_a_second_message_waits_for_the_first_answer(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(text("one"), hold_after=1), text("two"))
    wire = await connect(on)
    await wire.send(metadata={"n": "1"})
    await wire.send(metadata={"n": "2"})
    await on.provider.request(1)
    assert await on.serves()
    assert len(on.provider.requests) == 1
    on.provider.release(1)
    for number in "12":
        events = await wire.answer()
        check_stream(events)
        assert {e["response"]["metadata"]["n"] for e in events if "response" in e} == {number}


async def test_too_many_messages_are_turned_away_behind_the_others(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(text("0"), hold_after=1), *[text("Hi.")] * 16)
    wire = await connect(on)
    await wire.send()
    await on.provider.request(1)
    for _ in range(19):
        await wire.send()
    # A ping is answered when everything before it was read.
    await wire.socket.ping()
    assert await on.serves()
    on.provider.release(1)
    for _ in range(17):
        check_stream(await wire.answer())
    for _ in range(3):
        frame = await wire.refused()
        assert (frame["status"], frame["error"]["code"]) == (429, "too_many_waiting")
        assert frame["headers"] == {"retry-after": "1"}
    assert len(on.provider.requests) == 17


# ---------------------------------------------------------------- what a connection remembers


def said(on: Any, number: int) -> list[tuple[str, Any]]:
    """The roles and words of what the provider was asked."""
    messages = on.provider.requests[number - 1].messages
    return [(message["role"], message.get("content")) for message in messages]


@pytest.mark.parametrize("store", [False, None, True])
async def test_a_warm_up_asks_nobody_and_its_input_is_remembered(
    stage: Any, connect: Connect, store: bool | None
) -> None:
    on = await stage(text("Hello."))
    wire = await connect(on)
    fields = {} if store is None else {"store": store}
    developer = [{"role": "developer", "content": "Be brief."}]
    warm = await wire.ask(input=developer, generate=False, **fields)
    check_stream(warm)
    assert [event["type"] for event in warm] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert warm[-1]["response"]["output"] == []
    assert on.provider.requests == []
    check_stream(await wire.ask(previous_response_id=id_of(warm), **fields))
    assert said(on, 1) == [("system", "Be brief."), ("user", "Hi")]


async def test_a_tool_loop_sends_only_what_is_new(stage: Any, connect: Connect) -> None:
    on = await stage(Answer(call("f", {}, id="c1")), Answer(call("f", {}, id="c2")), text("Done."))
    wire = await connect(on)
    events = await wire.ask(tools=[TOOL], store=False)
    for _ in range(2):
        (item,) = events[-1]["response"]["output"]
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
        before = id_of(events)
        events = await wire.ask(
            tools=[TOOL], store=False, input=[output], previous_response_id=before
        )
        check_stream(events)
    roles = [role for role, _ in said(on, 3)]
    assert roles == ["user", "assistant", "tool", "assistant", "tool"]
    assert on.provider.requests[2].messages[:3] == on.provider.requests[1].messages
    assert on.provider.refusals == []


async def test_a_call_that_the_client_sends_again_runs_once_f4(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(call("f", {})), text("Done."))
    wire = await connect(on)
    first = await wire.ask(tools=[TOOL], store=False)
    (item,) = first[-1]["response"]["output"]
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
    await wire.ask(
        tools=[TOOL], store=False, input=[item, output], previous_response_id=id_of(first)
    )
    assert [role for role, _ in said(on, 2)] == ["user", "assistant", "tool"]
    assert len(on.provider.requests[1].messages[1]["tool_calls"]) == 1


async def test_another_connection_does_not_know_what_this_one_remembers_f67(
    stage: Any, connect: Connect
) -> None:
    on = await stage(text("one"), text("two"))
    one, other = await connect(on), await connect(on)
    first = await one.ask(store=False)
    await other.send(previous_response_id=id_of(first), store=False)
    frame = await other.refused()
    assert frame["status"] == 400
    assert frame["error"]["code"] == "previous_response_not_found"
    assert frame["error"]["param"] == "previous_response_id"
    check_stream(await one.ask(previous_response_id=id_of(first), store=False))


FAILURES: dict[str, tuple[Entry | None, JSON]] = {
    "the-client": (None, {"tools": 5}),
    "400": (Refusal(400, openai_error("No.")), {}),
    "503": (Refusal(503, openai_error("Busy.")), {}),
    "in-the-middle": (Answer(text("Hello there."), fragment=2, cut_after=5), {}),
}


@pytest.mark.parametrize(("failure", "fields"), FAILURES.values(), ids=FAILURES)
async def test_what_could_not_be_continued_is_forgotten_f67(
    stage: Any, connect: Connect, failure: Entry | None, fields: JSON
) -> None:
    on = await stage(text("one"), *([failure] if failure else []), text("two"), text("three"))
    wire = await connect(on)
    first = id_of(await wire.ask(store=False))
    assert (await wire.ask(store=False, previous_response_id=first, **fields))[-1]["type"] in (
        "error",
        "response.failed",
    )
    await wire.send(store=False, previous_response_id=first)
    assert (await wire.refused())["error"]["code"] == "previous_response_not_found"
    # With the whole input it goes on.
    check_stream(await wire.ask(store=False))


async def test_what_a_connection_remembers_is_bounded_as_a_body_is(
    stage: Any, connect: Connect
) -> None:
    on = await stage(text("Hi."), max_body_bytes=10_000)
    wire = await connect(on)
    one = await wire.ask(input="x" * 4000, generate=False)
    two = await wire.ask(input="y" * 4000, generate=False, previous_response_id=id_of(one))
    await wire.send(input="z" * 4000, generate=False, previous_response_id=id_of(two))
    frame = await wire.refused()
    assert (frame["status"], frame["error"]["code"]) == (413, "request_too_large")
    assert "max_body_bytes" in frame["error"]["message"]
    check_stream(await wire.ask())


# ---------------------------------------------------------------- failures


async def test_a_failure_before_the_first_event_is_an_error_frame(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Refusal(503, openai_error("Busy.")), text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert frame["status"] == 502
    assert "Busy." in frame["error"]["message"]
    assert frame["error"]["provider_status"] == 503
    check_stream(await wire.ask())


async def test_a_failure_after_the_first_event_ends_the_stream(
    stage: Any, connect: Connect
) -> None:
    on = await stage(Answer(text("Hello there."), fragment=2, cut_after=5), text("Hi."))
    wire = await connect(on)
    events = await wire.ask()
    check_stream(events)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    check_stream(await wire.ask())


async def test_a_rate_limit_says_when_to_come_back_f63(stage: Any, connect: Connect) -> None:
    limited = Refusal(429, openai_error("Slow down."), {"Retry-After": "7"})
    on = await stage(limited, text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert (frame["status"], frame["headers"]) == (429, {"retry-after": "7"})


BROKEN_FRAMES: dict[str, tuple[str | bytes, str]] = {
    "binary": (b"\x00\x01", "Binary frames"),
    "binary-json": (b'{"type":"response.create"}', "Binary frames"),
    "no-json": ("hello", "not valid JSON"),
    "nothing": ("", "not valid JSON"),
    "a-list": ("[]", "must be a JSON object"),
    "unknown-type": ('{"type":"response.cancel"}', "'response.cancel'"),
    "wrong-type": ('{"type":"response.create","input":7}', "input must be"),
    "wrong-id": ('{"type":"response.create","previous_response_id":7}', "previous_response_id"),
    "too-deep": ('{"type":"response.create","x":' + "[" * 200 + "]" * 200 + "}", "nested deeper"),
}


@pytest.mark.parametrize(("frame", "words"), BROKEN_FRAMES.values(), ids=BROKEN_FRAMES)
async def test_a_broken_frame_is_answered_and_the_connection_stays(
    stage: Any, connect: Connect, frame: str | bytes, words: str
) -> None:
    on = await stage(text("Hi."))
    wire = await connect(on)
    send: Callable[[Any], Awaitable[None]] = (
        wire.socket.send_bytes if isinstance(frame, bytes) else wire.socket.send_str
    )
    await send(frame)
    refused = await wire.refused()
    assert refused["status"] == 400
    assert words in refused["error"]["message"]
    check_stream(await wire.ask())


async def test_a_failure_of_the_gateway_itself_is_told_and_the_connection_stays(
    stage: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Gateway.run

    async def broken(*_: Any) -> None:
        monkeypatch.setattr(Gateway, "run", run)
        raise ZeroDivisionError(KEY)

    monkeypatch.setattr(Gateway, "run", broken)
    on = await stage(text("Hi."))
    wire = await connect(on)
    await wire.send()
    frame = await wire.refused()
    assert (frame["status"], frame["error"]["code"]) == (500, "gateway_error")
    assert "ZeroDivisionError" in caplog.text
    assert KEY not in caplog.text
    check_stream(await wire.ask())


GOOD = '{"type":"response.create","input":"Hi"}'
FRAMES = st.one_of(
    st.sampled_from([*(frame for frame, _ in BROKEN_FRAMES.values()), GOOD, GOOD]),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=9), inner, max_size=3)
        ),
    ).map(lambda value: msgspec.json.encode(value).decode()),
    st.fixed_dictionaries(
        {"type": st.just("response.create")},
        optional={
            "input": st.sampled_from([None, "Hi", [], 7, [{}], [{"type": "message"}]]),
            "generate": st.sampled_from([None, True, False, "no"]),
            "previous_response_id": st.sampled_from([None, "", "resp_x", 7]),
            "store": st.sampled_from([None, True, False, 3]),
            "conversation": st.sampled_from([None, {}, "conv_x"]),
            "tools": st.sampled_from([None, [], [7], {"a": 1}]),
        },
    ).map(lambda value: msgspec.json.encode(value).decode()),
)


@settings(max_examples=40)
@given(st.lists(FRAMES, max_size=12))
def test_any_sequence_of_frames_is_answered_one_by_one(frames: list[str | bytes]) -> None:
    async def play() -> None:
        async with (
            ScriptedProvider([text("Hi.")] * (len(frames) + 1), strict=False) as provider,
            gateway(provider) as up,
            aiohttp.ClientSession() as http,
        ):
            wire = Wire(await http.ws_connect(f"{up.base_url}/responses"))
            for frame in frames:
                if isinstance(frame, bytes):
                    await wire.socket.send_bytes(frame)
                else:
                    await wire.socket.send_str(frame)
            for _ in frames:
                answer = await wire.answer()
                if len(answer) > 1:
                    check_stream(answer)
            check_stream(await wire.ask())

    asyncio.run(play())


# ---------------------------------------------------------------- handshakes


@PATHS
async def test_what_is_no_handshake_is_told_what_is_there(stage: Any, path: str) -> None:
    on = await stage()
    reply = await on.call("GET", path)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")


async def test_a_broken_handshake_is_refused_in_words(stage: Any) -> None:
    on = await stage()
    reply = await on.call(
        "GET", "/v1/responses", headers={"Connection": "Upgrade", "Upgrade": "websocket"}
    )
    assert (reply.status, reply.error["code"]) == (400, "invalid_value")
    assert "Sec-WebSocket-Key" in reply.error["message"]
    assert await on.serves()


async def test_a_page_of_another_site_may_not_open_a_connection(
    stage: Any, connect: Connect
) -> None:
    """It would spend the key of whoever looks at it."""
    on = await stage(text("Hi."))
    for origin in ("https://example.com", "http://127.0.0.1:1", "http://[", "null", ""):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await on.http.ws_connect(on.root + "/v1/responses", origin=origin)
        assert caught.value.status == 403
    wire = await connect(on, origin=on.root)
    check_stream(await wire.ask())
