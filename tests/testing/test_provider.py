from __future__ import annotations

import asyncio
import itertools
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp
import msgspec
import pytest

from anyturn.testing import (
    Answer,
    Dropped,
    Entry,
    Raw,
    Recorded,
    Refusal,
    Rules,
    ScriptedProvider,
    call,
    chunks,
    openai_error,
    raw_chunks,
    text,
)
from anyturn.testing.script import Stamp
from anyturn.wire import sse

JSON = dict[str, Any]
USER: JSON = {"role": "user", "content": "Hi"}


def body(**changes: Any) -> JSON:
    return {"model": "gpt-oss-120b", "stream": True, "messages": [USER], **changes}


async def ask(
    http: aiohttp.ClientSession, provider: ScriptedProvider, **changes: Any
) -> tuple[int, bytes]:
    async with post(http, provider, **changes) as response:
        return response.status, await response.read()


def post(
    http: aiohttp.ClientSession, provider: ScriptedProvider, **changes: Any
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    return http.post(provider.base_url + "/chat/completions", json=body(**changes))


def sentence(raw: bytes) -> str:
    message: str = msgspec.json.decode(raw)["error"]["message"]
    return message


# ---------------------------------------------------------------- answers


async def test_a_script_is_answered_entry_by_entry(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([Answer(text("one")), text("two")]) as provider:
        first = await ask(http, provider)
        second = await ask(http, provider)
    assert b"one" in first[1]
    assert b"two" in second[1]
    assert provider.refusals == []
    assert all(request.finished and not request.cancelled for request in provider.requests)


async def test_the_bytes_are_those_of_the_script(http: aiohttp.ClientSession) -> None:
    answer = Answer(text("Hello"), call("f", {"a": "ü"}), crlf=True, usage=None)
    async with ScriptedProvider([answer]) as provider:
        assert await ask(http, provider) == (200, b"".join(chunks(answer)))


async def test_each_chunk_leaves_in_a_write_of_its_own(http: aiohttp.ClientSession) -> None:
    sent: list[tuple[int, bytes]] = []
    answer = Answer(text("Hello"), fragment=1, usage=None)
    async with ScriptedProvider([answer], on_chunk=lambda n, chunk: sent.append((n, chunk))) as p:
        await ask(http, p)
    assert sent == [(1, frame) for frame in chunks(answer)]


async def test_what_came_is_kept(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x")]) as provider:
        await ask(http, provider, temperature=0.5)
    (request,) = provider.requests
    assert request.number == 1
    assert request.body == body(temperature=0.5)
    assert msgspec.json.decode(request.raw) == request.body
    assert request.headers["content-type"] == "application/json"
    assert (request.messages, request.tools) == ([USER], [])


async def test_an_entry_may_depend_on_the_request(http: aiohttp.ClientSession) -> None:
    def echo(request: JSON) -> Entry:
        return text(request["messages"][-1]["content"].upper())

    async with ScriptedProvider([echo]) as provider:
        _, stream = await ask(http, provider)
    assert b'"HI"' in stream


async def test_a_script_may_be_endless(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider(itertools.repeat(text("again"))) as provider:
        answers = [await ask(http, provider) for _ in range(3)]
    assert all(b"again" in stream for _, stream in answers)


async def test_call_ids_are_unique_over_the_providers_life(http: aiohttp.ClientSession) -> None:
    script = [Answer(call("f"), call("g")), Answer(call("f"))]
    async with ScriptedProvider(script) as provider:
        first, second = [(await ask(http, provider))[1] for _ in script]
    assert b'"call_1"' in first and b'"call_2"' in first
    assert b'"call_3"' in second and b'"call_1"' not in second


async def test_usage_is_sent_to_those_who_ask(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x"), text("x")]) as provider:
        _, silent = await ask(http, provider)
        _, told = await ask(http, provider, stream_options={"include_usage": True})
    assert b"usage" not in silent
    assert b'"usage":{"prompt_tokens":' in told


async def test_a_request_without_stream_gets_the_same_answer_whole(
    http: aiohttp.ClientSession,
) -> None:
    async with ScriptedProvider([Answer(text("I will"), call("f"))]) as provider:
        status, raw = await ask(http, provider, stream=False)
    whole = msgspec.json.decode(raw)
    assert status == 200
    assert whole["object"] == "chat.completion"
    assert whole["choices"][0]["message"]["tool_calls"][0]["id"] == "call_1"


async def test_raw_bytes_are_the_whole_body(http: aiohttp.ClientSession) -> None:
    answer = Raw(b"data: null\n\n", content_type="application/json")
    async with ScriptedProvider([answer]) as provider, post(http, provider) as response:
        assert await response.read() == b"data: null\n\n"
        assert response.headers["content-type"] == "application/json"


async def test_a_recorded_stream_is_played(http: aiohttp.ClientSession, tmp_path: Any) -> None:
    path = tmp_path / "x.sse"
    path.write_bytes(b"data: {}\n\ndata: [DONE]\n\n")
    async with ScriptedProvider([Recorded(path)]) as provider:
        assert await ask(http, provider) == (200, b"data: {}\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize(
    ("refusal", "content_type", "raw"),
    [
        pytest.param(
            Refusal(429, openai_error("slow"), {"Retry-After": "2"}),
            "application/json",
            msgspec.json.encode(openai_error("slow")),
            id="json",
        ),
        pytest.param(
            Refusal(429, "<html>no</html>", {"Retry-After": "2"}),
            "text/html; charset=utf-8",
            b"<html>no</html>",
            id="html",
        ),
        pytest.param(
            Refusal(429, "no", {"Retry-After": "2"}), "text/plain; charset=utf-8", b"no", id="text"
        ),
    ],
)
async def test_a_scripted_refusal_is_an_http_error(
    http: aiohttp.ClientSession, refusal: Refusal, content_type: str, raw: bytes
) -> None:
    async with ScriptedProvider([refusal]) as provider, post(http, provider) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "2"
        assert response.headers["Content-Type"] == content_type
        assert await response.read() == raw
    assert provider.refusals == []


# ---------------------------------------------------------------- breaking off, silence


async def test_a_dropped_request_gets_no_byte(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([Dropped(), text("still there")]) as provider:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(http, provider)
        assert (await ask(http, provider))[0] == 200


@pytest.mark.parametrize("after", [0, 1, 3, 4, 9])
async def test_a_cut_stream_arrives_up_to_the_cut(http: aiohttp.ClientSession, after: int) -> None:
    answer = Answer(text("Hello"), fragment=5, usage=None, cut_after=after)
    async with ScriptedProvider([answer]) as provider, post(http, provider) as response:
        before = b"".join(chunks(answer)[:after])
        assert await response.content.readexactly(len(before)) == before
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert provider.requests[0].finished


@pytest.mark.parametrize("after", [0, 2])
async def test_a_held_stream_goes_on_when_released(http: aiohttp.ClientSession, after: int) -> None:
    answer = Answer(text("Hello"), usage=None, hold_after=after)
    whole, before = b"".join(chunks(answer)), b"".join(chunks(answer)[:after])
    async with ScriptedProvider([answer]) as provider, post(http, provider) as response:
        came = await response.content.readexactly(len(before))
        assert not provider.requests[0].finished
        provider.release()
        came += await response.content.read()
    assert came == whole


async def test_an_answer_may_be_released_before_it_is_held(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([Answer(text("x"), hold_after=0)]) as provider:
        provider.release(1)
        assert (await ask(http, provider))[0] == 200


async def test_releasing_one_answer_holds_the_others(http: aiohttp.ClientSession) -> None:
    script = [Answer(text("x"), hold_after=0), Answer(text("x"), hold_after=0)]
    async with (
        ScriptedProvider(script) as provider,
        post(http, provider) as first,
        post(http, provider) as second,
    ):
        provider.release(2)
        await second.read()
        assert not provider.requests[0].finished
        provider.release()
        await first.read()


async def test_a_held_answer_without_stream_is_silent_at_once(http: aiohttp.ClientSession) -> None:
    async with (
        ScriptedProvider([Answer(text("x"), hold_after=5)]) as provider,
        post(http, provider, stream=False) as response,
    ):
        assert not provider.requests[0].finished
        provider.release()
        assert (await response.json())["object"] == "chat.completion"


async def test_closing_breaks_off_what_is_held(http: aiohttp.ClientSession) -> None:
    provider = ScriptedProvider([Answer(text("x"), hold_after=1)])
    await provider.start()
    async with post(http, provider) as response:
        async with asyncio.timeout(3):
            await provider.aclose()
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    assert not provider.requests[0].cancelled


async def test_pace_keeps_the_chunks_apart(http: aiohttp.ClientSession) -> None:
    times: list[float] = []
    clock = asyncio.get_running_loop().time
    answer = Answer(text("Hello"), fragment=1, pace=0.01, usage=None)
    async with ScriptedProvider([answer], on_chunk=lambda *_: times.append(clock())) as provider:
        await ask(http, provider)
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.009


# ---------------------------------------------------------------- clients that leave


@pytest.mark.parametrize("after", [0, 2])
async def test_a_client_that_leaves_during_silence_is_noticed(
    http: aiohttp.ClientSession, after: int
) -> None:
    """F73."""
    async with ScriptedProvider([Answer(text("Hello"), hold_after=after)]) as provider:
        async with post(http, provider):
            left_at = asyncio.get_running_loop().time()
        request = await provider.cancelled(1)
    assert request.cancelled and not request.finished
    assert request.cancelled_at is not None and 0 <= request.cancelled_at - left_at < 1


async def test_a_client_that_leaves_between_chunks_is_noticed(
    http: aiohttp.ClientSession,
) -> None:
    async with ScriptedProvider([Answer(text("Hello"), pace=30)]) as provider:
        async with post(http, provider):
            pass
        assert (await provider.cancelled(1)).cancelled


async def test_an_answered_request_cannot_be_cancelled(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x")]) as provider:
        await ask(http, provider)
        with pytest.raises(RuntimeError, match="answered to its end"):
            await provider.cancelled(1)


async def test_a_request_can_be_awaited_before_it_comes(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x"), text("y")]) as provider, asyncio.TaskGroup() as tasks:
        second = tasks.create_task(provider.finished(2))
        await ask(http, provider)
        assert not second.done()
        await ask(http, provider)
        assert (await second).number == 2


async def test_a_request_that_never_comes_is_named(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([]) as provider:
        await ask(http, provider)
        with pytest.raises(TimeoutError, match=r"request 2 did not come .* \(1 came; .* exhausted"):
            await provider.request(2, timeout=0.01)


async def test_closing_ends_the_waiting() -> None:
    async with ScriptedProvider([]) as provider:
        waiting = asyncio.ensure_future(provider.request(1))
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="before the provider was closed"):
        await waiting


async def test_requests_are_answered_side_by_side(http: aiohttp.ClientSession) -> None:
    script = [Answer(text(f"<{number}>"), hold_after=1, fragment=99) for number in range(1, 21)]
    async with ScriptedProvider(script) as provider, asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(ask(http, provider, seed=seed)) for seed in range(20)]
        await provider.request(20)
        provider.release()
        answers = [await one for one in asked]
    by_seed = {request.body["seed"]: request.number for request in provider.requests}
    assert all(f"<{by_seed[seed]}>".encode() in answers[seed][1] for seed in range(20))


# ---------------------------------------------------------------- refusing


async def test_a_history_that_does_not_pair_is_refused(http: aiohttp.ClientSession) -> None:
    orphan = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    async with ScriptedProvider([text("next")]) as provider:
        status, raw = await ask(http, provider, messages=[USER, orphan])
        assert status == 400
        assert set(msgspec.json.decode(raw)["error"]) == {"message", "type", "param", "code"}
        assert provider.refusals == [sentence(raw)] == [provider.requests[0].refusal]
        assert "must be a response to a preceeding message" in sentence(raw)
        # The script waits for a request that is valid.
        assert b"next" in (await ask(http, provider))[1]


async def test_a_provider_that_is_not_strict_takes_anything(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x")], strict=False) as provider:
        assert (await ask(http, provider, messages=[], store=True, model="?"))[0] == 200


async def test_rules_may_be_given(http: aiohttp.ClientSession) -> None:
    messages = [USER, {"role": "system", "content": "late"}]
    async with ScriptedProvider([text("x")], strict=Rules(system_first=False)) as provider:
        assert (await ask(http, provider, messages=messages))[0] == 200
        assert (await ask(http, provider, store=True))[0] == 400


async def test_another_model_is_not_found(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x")], models=["glm"]) as provider:
        status, raw = await ask(http, provider)
    assert status == 404
    assert msgspec.json.decode(raw)["error"]["code"] == "model_not_found"
    assert provider.refusals == [
        "The model `gpt-oss-120b` does not exist or you do not have access to it."
    ]


async def test_the_end_of_the_script_is_said(http: aiohttp.ClientSession) -> None:
    async with ScriptedProvider([text("x")]) as provider:
        await ask(http, provider)
        status, raw = await ask(http, provider)
    assert status == 400
    assert "exhausted: request 2 has no entry" in sentence(raw)
    assert provider.refusals == [sentence(raw)]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'"\xff"'], ids=["none", "list", "cut", "utf8"])
@pytest.mark.parametrize("strict", [True, False])
async def test_a_body_that_is_no_object_is_refused(
    http: aiohttp.ClientSession, raw: bytes, strict: bool
) -> None:
    async with (
        ScriptedProvider([text("x")], strict=strict) as provider,
        http.post(provider.base_url + "/chat/completions", data=raw) as response,
    ):
        assert response.status == 400
    assert provider.requests[0].raw == raw
    assert provider.refusals == ["We could not parse the JSON body of your request."]


def _fail(request: JSON) -> Entry:
    raise AssertionError("no tool output came")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        pytest.param(_fail, "raised AssertionError: no tool output came", id="a failing function"),
        pytest.param(raw_chunks([{}]), "without stream", id="chunks without stream"),
        pytest.param(Recorded("does/not/exist.sse"), "No such file", id="no recording"),
    ],
)
async def test_a_script_that_cannot_be_played_is_a_refusal(
    http: aiohttp.ClientSession, entry: Entry, expected: str
) -> None:
    async with ScriptedProvider([entry]) as provider:
        status, raw = await ask(http, provider, stream=False)
    assert status == 400
    assert expected in sentence(raw)
    assert provider.refusals == [sentence(raw)]


# ---------------------------------------------------------------- keys and models


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        pytest.param({}, 401, "You didn't provide an API key.", id="none"),
        pytest.param({"Authorization": "Bearer "}, 401, "You didn't provide", id="empty"),
        pytest.param({"Authorization": "Bearer no"}, 401, "Incorrect API key", id="wrong"),
        pytest.param({"Authorization": "sk-test"}, 401, "Incorrect API key", id="no scheme"),
        pytest.param({"Authorization": "Bearer sk-test"}, 200, "", id="right"),
    ],
)
async def test_a_key_is_demanded(
    http: aiohttp.ClientSession, headers: dict[str, str], status: int, expected: str
) -> None:
    async with ScriptedProvider([text("x")], api_key="sk-test") as provider:
        url = provider.base_url
        async with http.post(url + "/chat/completions", json=body(), headers=headers) as response:
            assert response.status == status
        async with http.get(url + "/models", headers=headers) as response:
            assert response.status == status
    assert all(expected in refusal and "sk-test" not in refusal for refusal in provider.refusals)
    assert len(provider.refusals) == (2 if expected else 0)


async def test_the_models_are_listed(http: aiohttp.ClientSession) -> None:
    async with (
        ScriptedProvider([], models=["a", "b"]) as provider,
        http.get(provider.base_url + "/models") as response,
    ):
        listed = await response.json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["a", "b"]


async def test_a_long_answer_passes_through_unharmed(http: aiohttp.ClientSession) -> None:
    answer = Answer(text("0123456789" * 20_000), fragment=10)
    async with ScriptedProvider([answer]) as provider:
        _, stream = await ask(http, provider)
    decoder = sse.Decoder()
    assert len(decoder.feed(stream)) == len(chunks(answer, Stamp(include_usage=False)))
