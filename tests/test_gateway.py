from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator

import msgspec
import pytest

from anyturn.config import Settings
from anyturn.errors import Kind, TurnError
from anyturn.gateway import Gateway, Turn
from anyturn.routing import Routing
from anyturn.testing import (
    Answer,
    Dropped,
    Entry,
    Raw,
    Refusal,
    ScriptedProvider,
    call,
    completion,
    openai_error,
    reasoning,
    text,
)
from anyturn.translate.fold import fold
from anyturn.upstream import ProviderClient
from anyturn.wire import responses as r
from anyturn.wire import sse
from support.gateway_turns import (
    JSON,
    KEY,
    LIMITS,
    SEEING,
    TOOL,
    Notes,
    Sink,
    ask,
    gateway_at,
    run,
    said,
    stage,
)


@pytest.fixture(autouse=True)
def _full_log() -> Iterator[None]:
    """Some verbs keep the gateway's log off the screen, and they too run in this process."""
    log = logging.getLogger("anyturn")
    level = log.level
    log.setLevel(logging.NOTSET)
    yield
    log.setLevel(level)


# ---------------------------------------------------------------- turns


async def test_the_response_is_what_the_events_say() -> None:
    sink = Sink()
    response = await run(Answer(reasoning("Hm."), text("Hello."), call("f", {"a": 1})), sink=sink)
    assert sink.names[:2] == ["response.created", "response.in_progress"]
    assert sink.names[-1] == "response.completed"
    assert [event.sequence_number for event in sink.events] == list(range(len(sink.events)))
    assert fold(sink.events) == response
    assert [type(item) for item in response.output] == [
        r.ReasoningItem,
        r.MessageItem,
        r.FunctionCall,
    ]


async def test_the_sink_begins_once_and_learns_what_was_adapted() -> None:
    sink = Sink()
    async with stage(text("Hi.")) as (gateway, _):
        await gateway.run(ask(store=True, background=False, tools=[{"type": "web_search"}]), sink)
    (adaptations,) = sink.begun
    assert any(one.lossy and "web_search" in one.what for one in adaptations)


async def test_each_block_of_the_provider_is_one_burst() -> None:
    sink = Sink()
    answer = b"".join(
        sse.encode(msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": word}}]}))
        for word in ("a", "b", "c", "d")
    )
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    await run(Raw(answer + sse.encode(msgspec.json.encode(end)) + sse.DONE), sink=sink)
    assert len(sink.bursts) <= 3
    assert sink.names.count("response.output_text.delta") == 4


async def test_ids_are_never_used_twice() -> None:
    first, second = Sink(), Sink()
    async with stage(text("a"), text("b")) as (gateway, _):
        one = await gateway.run(ask(), first)
        two = await gateway.run(ask(), second)
    ids = [one.id, two.id, one.output[0].id, two.output[0].id]
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"(resp|msg)_[0-9a-f]{32}", name) for name in ids)


async def test_ids_of_items_are_of_openais_form_whatever_the_provider_calls_them_f18() -> None:
    """OpenAI itself refuses a history whose items are named `chatcmpl-…`."""
    answer = Answer(reasoning("Hm."), text("Hi."), call("f", {}), call("p", {"input": "x"}))
    tools = [TOOL, {"type": "custom", "name": "p"}]
    async with stage(answer) as (gateway, _):
        response = await gateway.run(ask(tools=tools), Sink())
    forms = ["rs", "msg", "fc", "ctc"]
    assert [item.id.partition("_")[0] for item in response.output] == forms
    assert all(re.fullmatch(r"[a-z]+_[0-9a-f]{32}", item.id) for item in response.output)


@pytest.mark.parametrize(
    ("name", "key"), [("openai", "OPENAI_API_KEY"), ("together", "TOGETHER_API_KEY")]
)
async def test_every_provider_is_asked_for_chat_completions_wherever_it_is_f75(
    name: str, key: str
) -> None:
    """Also OpenAI's own name with another address, which some bridges take for native Responses."""
    async with ScriptedProvider([text("Hi.")]) as provider, ProviderClient(LIMITS) as client:
        settings = Settings(provider=name, base_url=provider.base_url, model="gpt-oss-120b")
        gateway = Gateway(Routing(settings, {key: KEY}), client)
        assert said(await gateway.run(ask(), Sink())) == "Hi."
        assert provider.requests[0].messages[-1] == {"role": "user", "content": "Hi"}


async def test_the_request_does_not_stay_in_memory_while_the_answer_streams() -> None:
    request = ask(metadata={"kept": "yes"})
    async with stage(Answer(text("Hi."), hold_after=1)) as (gateway, provider):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(gateway.run(request, Sink()))
            await provider.request(1)
            while request:
                await asyncio.sleep(0)
            provider.release(1)
        assert task.result().metadata == {"kept": "yes"}


@pytest.mark.parametrize(
    ("setting", "asked", "as_summary"),
    [
        ("auto", None, False),
        ("auto", {"summary": "auto"}, True),
        ("auto", {"summary": "none"}, False),
        ("auto", {"effort": "high"}, False),
        ("summary", None, True),
        ("text", {"summary": "auto"}, False),
    ],
)
async def test_reasoning_is_shown_as_the_setting_and_the_request_say(
    setting: str, asked: JSON | None, as_summary: bool
) -> None:
    sink = Sink()
    async with stage(Answer(reasoning("Hm."), text("Hi.")), reasoning=setting) as (gateway, _):
        response = await gateway.run(ask(reasoning=asked), sink)
    item = response.output[0]
    assert isinstance(item, r.ReasoningItem)
    assert bool(item.summary) is as_summary
    assert ("response.reasoning_summary_text.delta" in sink.names) is as_summary


# ---------------------------------------------------------------- images that are refused

PICTURE: JSON = {
    "role": "user",
    "content": [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ],
}
NO_IMAGES = Refusal(400, openai_error("messages[0]: unknown variant `image_url`, expected `text`"))


async def test_a_provider_that_refuses_images_is_asked_again_without_them_f11() -> None:
    sink, notes = Sink(accepting=False), Notes()
    async with stage(NO_IMAGES, text("I cannot see it."), taps=[notes]) as (gateway, provider):
        response = await gateway.run(ask(model=SEEING, input=[PICTURE]), sink)
    first, second = (request.messages[-1]["content"] for request in provider.requests)
    assert first[1]["type"] == "image_url"
    assert second == "What is this?\n[image left out: this model takes no images]"
    assert said(response) == "I cannot see it."
    ((adaptation,),) = sink.begun
    assert (adaptation.rule, adaptation.lossy) == ("content.image_left_out", True)
    assert notes.kinds[:2] == ["request", "request"]


async def test_without_images_a_provider_is_asked_only_once_f11() -> None:
    async with stage(NO_IMAGES, text("Never said.")) as (gateway, provider):
        with pytest.raises(TurnError, match="unknown variant"):
            await gateway.run(ask(), Sink(accepting=False))
        assert len(provider.requests) == 1


async def test_what_is_refused_without_images_too_is_told_f11() -> None:
    async with stage(NO_IMAGES, Refusal(400, openai_error("No."))) as (gateway, provider):
        with pytest.raises(TurnError, match=r"No\.") as caught:
            await gateway.run(ask(model=SEEING, input=[PICTURE]), Sink(accepting=False))
        assert caught.value.kind is Kind.PROVIDER_REFUSED
        assert len(provider.requests) == 2


async def test_a_refusal_for_another_reason_is_told_at_once_f11() -> None:
    broken = Refusal(400, openai_error("Invalid image_url: the image could not be downloaded."))
    async with stage(broken, text("Never said.")) as (gateway, provider):
        with pytest.raises(TurnError, match="downloaded"):
            await gateway.run(ask(model=SEEING, input=[PICTURE]), Sink(accepting=False))
        assert len(provider.requests) == 1


# ---------------------------------------------------------------- answers of another kind


async def test_a_provider_that_ignores_stream_is_read_all_the_same() -> None:
    whole = msgspec.json.encode(completion(Answer(text("Hello."), call("f", {"a": 1}))))
    sink = Sink()
    response = await run(Raw(whole, "application/json"), sink=sink)
    assert response.status == "completed"
    assert said(response) == "Hello."
    assert isinstance(response.output[1], r.FunctionCall)
    assert response.output[1].arguments == '{"a":1}'


async def test_the_content_decides_not_the_header() -> None:
    stream = b"".join(
        [
            sse.encode(b'{"choices":[{"delta":{"content":"Hi."},"finish_reason":"stop"}]}'),
            sse.DONE,
        ]
    )
    assert said(await run(Raw(stream, "application/json"), sink=Sink())) == "Hi."


PAGE = b"<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head></html>"
NO_ANSWERS = [
    ("page", PAGE, "text/html", Kind.PROVIDER_BROKEN, "Welcome to nginx!"),
    ("page as stream", PAGE, "text/event-stream", Kind.PROVIDER_BROKEN, "Welcome to nginx!"),
    ("text", b"Service is busy", "text/plain", Kind.PROVIDER_BROKEN, ": Service is busy."),
    ("nothing", b"", "text/event-stream", Kind.PROVIDER_BROKEN, "nothing came at all"),
    ("blank", b" \r\n\n", "application/json", Kind.PROVIDER_BROKEN, "nothing came at all"),
    ("pings", b": ping\n\n: ping\n\n", "text/event-stream", Kind.PROVIDER_BROKEN, "nothing came"),
    ("only done", sse.DONE, "text/event-stream", Kind.PROVIDER_BROKEN, "nothing came at all"),
    ("bytes", bytes(range(128, 256)), "", Kind.PROVIDER_BROKEN, "\ufffd" * 128),
    ("cut JSON", b'{"choices":[', "application/json", Kind.PROVIDER_BROKEN, '{"choices":['),
    ("other JSON", b'{"hello":1}', "application/json", Kind.PROVIDER_BROKEN, "before the answer"),
    ("list", b"[1,2]", "application/json", Kind.PROVIDER_BROKEN, "not a Chat Completions answer"),
    (
        "error object",
        msgspec.json.encode(openai_error("Slow down.", code="rate_limit_exceeded")),
        "application/json",
        Kind.RATE_LIMITED,
        "Slow down.",
    ),
    (
        "bad frame",
        b"data: {oops\n\n",
        "text/event-stream",
        Kind.PROVIDER_BROKEN,
        "{oops",
    ),
    (
        "error frame",
        sse.encode(b'{"error":{"message":"No such model: x","code":"model_not_found"}}'),
        "text/event-stream",
        Kind.MODEL_NOT_FOUND,
        "No such model",
    ),
]


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "words"),
    [row[1:] for row in NO_ANSWERS],
    ids=[row[0] for row in NO_ANSWERS],
)
@pytest.mark.parametrize("accepting", [True, False], ids=["told as events", "raised"])
async def test_a_200_that_is_no_answer_fails_with_what_came(
    body: bytes, content_type: str, kind: Kind, words: str, accepting: bool
) -> None:
    sink = Sink(accepting=accepting)
    entry = Raw(body, content_type or "application/octet-stream")
    if not accepting:
        with pytest.raises(TurnError, match=re.escape(words)) as caught:
            await run(entry, sink=sink)
        assert caught.value.kind is kind
        assert sink.bursts == sink.begun == []
        return
    response = await run(entry, sink=sink)
    assert sink.names == ["response.created", "response.in_progress", "error", "response.failed"]
    assert response.error is not None
    assert response.error.code == kind.code
    assert words in response.error.message


async def test_an_http_error_is_raised_or_told_as_the_sink_likes() -> None:
    refusal = Refusal(503, openai_error("Overloaded."))
    sink = Sink()
    response = await run(refusal, sink=sink)
    assert sink.names == ["response.created", "response.in_progress", "error", "response.failed"]
    assert response.error is not None
    assert "Overloaded." in response.error.message
    with pytest.raises(TurnError, match=r"Overloaded\."):
        await run(refusal, sink=Sink(accepting=False))


@pytest.mark.parametrize("accepting", [True, False], ids=["streamed", "not streamed"])
async def test_a_call_that_the_provider_refused_to_read_is_handed_out(accepting: bool) -> None:
    """Q29, as an HTTP error."""
    error = openai_error("Tool call validation failed.", code="tool_use_failed")
    error["error"]["failed_generation"] = '{"name": "f", "arguments": {"a": 1}}'
    sink = Sink(accepting=accepting)
    response = await run(Refusal(400, error), sink=sink)
    (called,) = response.output
    assert isinstance(called, r.FunctionCall)
    assert (response.status, called.name, called.arguments) == ("completed", "f", '{"a": 1}')
    assert sink.names[:2] == ["response.created", "response.in_progress"]
    assert sink.names[-1] == "response.completed"


LATE = [
    ("error", Answer(text("Hello."), error_after=(3, {"message": "Boom."})), "Boom."),
    (
        "named error",
        Answer(text("Hello."), error_after=(3, {"message": "Boom."}), event_error=True, done=False),
        "Boom.",
    ),
    ("cut", Answer(text("Hello there."), cut_after=2), "ended before the answer did"),
    ("no finish", Answer(text("Hello."), finish=None), "ended before the answer did"),
    (
        "broken frame",
        Raw(sse.encode(b'{"choices":[{"delta":{"content":"Hello."}}]}') + b"data: {oops\n\n"),
        "{oops",
    ),
]


@pytest.mark.parametrize(
    ("entry", "words"), [row[1:] for row in LATE], ids=[row[0] for row in LATE]
)
async def test_a_failure_in_the_middle_is_told_after_what_was_said(
    entry: Entry, words: str
) -> None:
    sink = Sink()
    response = await run(entry, sink=sink)
    assert "response.output_text.delta" in sink.names
    assert sink.names[-2:] == ["error", "response.failed"]
    assert "response.output_item.done" not in sink.names
    assert response.status == "failed"
    assert response.error is not None
    assert words in response.error.message


async def test_a_failure_in_the_middle_is_raised_for_a_sink_that_sent_nothing_on() -> None:
    class Silent(Sink):
        def accepts(self, error: TurnError) -> bool:
            return False

    sink = Silent()
    with pytest.raises(TurnError, match=r"Boom\.") as caught:
        await run(
            Answer(text("Hello."), error_after=(3, {"message": "Boom."}), pace=0.01), sink=sink
        )
    assert caught.value.kind is Kind.PROVIDER_BROKEN
    assert sink.bursts


async def test_a_dropped_connection_before_the_answer_is_unreachable() -> None:
    with pytest.raises(TurnError) as caught:
        await run(Dropped(), sink=Sink(accepting=False))
    assert caught.value.kind is Kind.PROVIDER_UNREACHABLE


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", None)],
)
async def test_an_answer_that_was_stopped_is_incomplete(
    finish: str, status: str, reason: str | None
) -> None:
    sink = Sink()
    response = await run(Answer(text("Hel"), finish=finish), sink=sink)
    assert response.status == status
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == (reason or finish)
    assert sink.names[-1] == "response.incomplete"


# ---------------------------------------------------------------- taps


async def test_a_tap_sees_both_sides_in_order() -> None:
    notes, sink = Notes(), Sink()
    await run(Answer(text("Hello.")), sink=sink, taps=[notes])
    assert notes.kinds[0] == "request"
    assert notes.kinds[1] == "bytes"
    assert notes.kinds[-1] == "events"
    assert notes.seen == sink.events
    assert notes.raw.endswith(sse.DONE)


async def test_a_tap_sees_events_before_the_client_does() -> None:
    notes = Notes()

    class Behind(Sink):
        async def send(self, events: list[r.Event]) -> None:
            await super().send(events)
            assert notes.seen == self.events

    await run(Answer(text("Hello.")), sink=Behind(), taps=[notes])


# ---------------------------------------------------------------- the log


async def test_the_log_has_one_line_for_a_turn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    response = await run(text("Hello."), sink=Sink())
    (line,) = [record.getMessage() for record in caplog.records if record.name == "anyturn"]
    assert response.usage is not None
    tokens = f"{response.usage.input_tokens} + {response.usage.output_tokens} tokens"
    assert line.startswith(response.id[:13])
    assert "/gpt-oss-120b: completed in 0." in line
    assert line.endswith(tokens)


async def test_the_log_tells_why_a_turn_failed(caplog: pytest.LogCaptureFixture) -> None:
    await run(Refusal(400, openai_error("Bad seed.")), sink=Sink())
    assert "Bad seed." in caplog.text


async def test_a_loss_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with stage(text("a"), text("b")) as (gateway, _):
        for _ in range(2):
            await gateway.run(ask(tools=[{"type": "web_search"}]), Sink())
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len([one for one in warnings if "web_search" in one.getMessage()]) == 1


async def test_no_key_is_in_the_log_or_in_a_turn(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    class Showing(Notes):
        def request(self, turn: Turn) -> None:
            shown.append(repr(turn) + str(turn.target))

    echo = Refusal(401, openai_error(f"Incorrect API key provided: {KEY}", code="invalid_api_key"))
    async with (
        ScriptedProvider([text("a"), echo], api_key=KEY) as provider,
        ProviderClient(LIMITS) as client,
    ):
        gateway = gateway_at(
            provider.base_url, client, environ={"CUSTOM_API_KEY": KEY}, taps=[Showing()]
        )
        await gateway.run(ask(), Sink())
        failed = await gateway.run(ask(), Sink())
    assert provider.refusals == []
    assert failed.error is not None
    everything = caplog.text + "".join(shown) + failed.error.message + repr(gateway)
    assert KEY[3:] not in everything
