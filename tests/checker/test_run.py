"""Whole servers over HTTP, each with one defect: named by its rule, with the right verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from anyturn.conformance import CLIENTS, RULES, Severity, Verdict
from anyturn.conformance.judging import State
from anyturn.conformance.probes import PROBES, WORD
from support.bent_streams import Defect
from support.defects import DEFECTS
from support.model_server import (
    JSON,
    SSE,
    DefectServer,
    ModelServer,
    check,
    json_answer,
    refusal,
    serving,
    serving_bytes,
)
from support.responses_streams import USAGE, as_sse, message, reasoning, response, stream

# What the provider said is not known to whoever asks from outside.
_LIVE = [defect for defect in DEFECTS if not {**defect.known, **defect.bad_known}.get("chunks")]
_LEVELS = {Severity.BREAKS: Verdict.NOT_READY, Severity.DEGRADES: Verdict.PARTLY}
READY = dict.fromkeys(CLIENTS, Verdict.READY)


def test_there_are_enough_bad_servers() -> None:
    assert len(_LIVE) >= 100
    assert len({defect.rule for defect in _LIVE}) >= 90


@pytest.mark.parametrize("defect", _LIVE, ids=lambda d: f"{d.rule} {d.name}".strip())
async def test_a_server_with_a_defect_is_judged_by_the_rule_that_names_it(defect: Defect) -> None:
    server = DefectServer(defect)
    async with serving(server.handle) as base_url:
        report = await check(base_url)
    rule = RULES[defect.rule]
    found = {name: outcome.has for outcome in report.outcomes if (name := outcome.probe.id)}
    assert found[server.fits] == {defect.rule}
    assert set().union(*(rules for probe, rules in found.items() if probe != server.fits)) == set()
    clients = next(probe.clients for probe in PROBES if probe.id == server.fits)
    expected = {
        client: _LEVELS.get(rule.severity[client], Verdict.READY)
        if client in clients
        else Verdict.READY
        for client in CLIENTS
    }
    assert report.verdicts == expected


async def test_a_good_server_is_ready_for_all() -> None:
    async with serving(ModelServer().handle) as base_url:
        report = await check(base_url)
    assert report.verdicts == READY
    assert report.is_ready
    assert report.told() == []
    assert [against for _, against, _ in report.profile()] == [[]] * 6
    assert not any(is_open for *_, is_open in report.profile())


# ---------------------------------------------------------------- servers that are no server


async def _sleep(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _stream_forever(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": SSE})
    await answer.prepare(request)
    while True:
        await answer.write(b": still here\n\n" * 1000)


async def _html(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html><h1>It works!</h1></html>", content_type="text/html")


async def _empty(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"")


async def _needs_key(request: web.Request) -> web.StreamResponse:
    return refusal(401, "You didn't provide an API key.")


async def _moved(request: web.Request) -> web.StreamResponse:
    raise web.HTTPPermanentRedirect("https://elsewhere.invalid/v1/responses")


async def _broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="Traceback (most recent call last)")


async def _busy(request: web.Request) -> web.StreamResponse:
    return refusal(429, "Too many requests.")


async def _closes_early(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": SSE})
    await answer.prepare(request)
    await answer.write(as_sse(stream(message()))[:-900])
    assert request.transport is not None
    request.transport.close()
    return answer


@pytest.mark.parametrize(
    ("handler", "rules", "was_checked"),
    [
        (_sleep, {"live.no-answer"}, False),
        (_stream_forever, {"live.endless"}, True),
        (_html, {"transport.not-a-stream"}, True),
        (_empty, {"transport.not-a-stream"}, True),
        (_needs_key, {"live.key-refused"}, False),
        (_moved, {"live.redirect"}, False),
        (_broken, {"transport.status", "live.error-status"}, True),
        (_closes_early, {"terminal.missing", "live.cut-off", "transport.unended"}, True),
    ],
    ids=["silent", "endless", "HTML", "empty", "key", "redirect", "500", "closes early"],
)
async def test_a_server_that_is_none_gives_a_clear_result(
    handler: Any, rules: set[str], was_checked: bool
) -> None:
    async with serving(handler) as base_url:
        report = await check(base_url, model="m", timeout_s=0.5, max_bytes=200_000)
    told = {told.rule.id for told in report.told()}
    assert rules <= told
    assert set(report.verdicts.values()) == {Verdict.NOT_READY}
    assert report.was_checked is was_checked


async def test_a_busy_server_proves_nothing() -> None:
    async with serving(_busy) as base_url:
        report = await check(base_url, model="m")
    assert set(report.verdicts.values()) == {Verdict.UNPROVEN}
    assert not report.was_checked


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00\xff\x13" * 50, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"],
    ids=["nothing", "noise", "another protocol", "half a head"],
)
async def test_what_speaks_no_http_is_no_answer(answer: bytes) -> None:
    async with serving_bytes(answer) as base_url:
        report = await check(base_url, model="m", timeout_s=5)
    assert {"live.no-answer"} == {told.rule.id for told in report.told()}
    assert not report.was_checked


async def test_a_server_that_is_down_is_said_to_be_down_at_once() -> None:
    async with serving_bytes(b"") as base_url:
        pass
    report = await check(base_url)
    (told,) = report.told()
    assert told.finding.found == "nothing listens there, or it refuses connections"
    assert len(report.outcomes) == 1
    assert report.stopped


async def test_no_check_takes_longer_than_its_limit_and_two_in_a_row_are_enough() -> None:
    async with serving_bytes(b"HTTP/1.1 200 OK\r\n\r\ndata: x", drops=False) as base_url:
        report = await check(base_url, model="m", timeout_s=0.2)
    assert [outcome.took_s < 2 for outcome in report.outcomes] == [True, True]
    assert "two checks in a row" in report.stopped


# ---------------------------------------------------------------- calls


class _Talker(ModelServer):
    """A model that never calls, or only when it is asked in the last way."""

    def __init__(self, yields_to: str = "never") -> None:
        super().__init__()
        self._yields_to = yields_to

    def events(self, body: JSON) -> list[JSON]:
        asked = str(body["input"])
        if not body.get("tools") or WORD in asked or self._yields_to in asked:
            return super().events(body)
        return stream(message("The weather in Paris is fine."))


async def test_a_model_that_does_not_call_is_no_fault_of_the_server() -> None:
    server = _Talker()
    async with serving(server.handle) as base_url:
        report = await check(base_url, "codex")
    states = {outcome.probe.id: outcome.state for outcome in report.outcomes}
    assert states["one call"] is State.NOT_CALLED
    assert report.verdicts == {"codex": Verdict.UNPROVEN}
    assert report.told() == []
    opened = {check.name for check, _, is_open in report.profile() if is_open}
    assert opened == {"arguments not empty", "call_id consistent"}


async def test_a_call_is_demanded_first_and_asked_for_in_plainer_words_last() -> None:
    server = _Talker(yields_to="Your whole answer must be a call")
    async with serving(server.handle) as base_url:
        report = await check(base_url, "codex")
    assert report.is_ready
    asked = [b["tool_choice"] for b in server.requests if "tool_choice" in b]
    assert asked[:3] == ["required", {"type": "function", "name": "get_weather"}, "auto"]


class _Picky(ModelServer):
    """Takes no `tool_choice` but auto."""

    async def answer(self, request: web.Request, body: JSON) -> web.StreamResponse:
        if body.get("tool_choice", "auto") != "auto":
            return refusal(400, "tool_choice must be auto")
        return await super().answer(request, body)


async def test_a_server_that_takes_no_demand_is_asked_plainly() -> None:
    async with serving(_Picky().handle) as base_url:
        assert (await check(base_url)).is_ready


class _Swallower(ModelServer):
    """Its tool parser takes the model's words and finds no call in them."""

    def events(self, body: JSON) -> list[JSON]:
        return stream() if body.get("tools") else super().events(body)


class _Thinker(_Swallower):
    def events(self, body: JSON) -> list[JSON]:
        return stream(reasoning()) if body.get("tools") else super().events(body)


@pytest.mark.parametrize("server", [_Swallower, _Thinker])
async def test_a_server_that_loses_the_call_is_at_fault(server: Callable[[], ModelServer]) -> None:
    async with serving(server().handle) as base_url:
        report = await check(base_url, "codex")
    (told,) = report.told()
    assert told.rule.id == "live.answer-lost"
    assert "5 output tokens were counted" in told.finding.found
    assert report.verdicts == {"codex": Verdict.NOT_READY}


async def test_the_loop_goes_on_from_what_the_model_said() -> None:
    server = ModelServer()
    async with serving(server.handle) as base_url:
        await check(base_url, "codex")
    loop = next(body for body in server.requests if WORD in str(body["input"]))
    kinds = [item["type"] for item in loop["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]
    assert {item["call_id"] for item in loop["input"][1:]} == {"call_1"}


# ---------------------------------------------------------------- beside the streams


class _Whole(ModelServer):
    def __init__(self, body: Any) -> None:
        super().__init__()
        self._body = body

    async def answer(self, request: web.Request, body: JSON) -> web.StreamResponse:
        if body["stream"]:
            return await super().answer(request, body)
        return json_answer(self._body)


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"object": "chat.completion", "choices": []}, "live.json-answer"),
        ([1], "live.json-answer"),
        (response("completed", completed_at=1002, usage=USAGE), "live.answer-lost"),
        (
            response("completed", output=[{"type": "function_call", "name": "get_weather"}]),
            "items.call-id-missing",
        ),
    ],
    ids=["chat", "a list", "empty", "no call_id"],
)
async def test_an_answer_without_a_stream_is_judged_too(body: Any, rule: str) -> None:
    async with serving(_Whole(body).handle) as base_url:
        report = await check(base_url)
    assert rule in {told.rule.id for told in report.told()}
    assert report.verdicts["openai-python"] is Verdict.NOT_READY
    assert report.verdicts["codex"] is Verdict.READY


class _Errors(ModelServer):
    def __init__(self, answer: Callable[[], web.Response]) -> None:
        super().__init__()
        self._answer = answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        response = await super().handle(request)
        return self._answer() if response.status in (400, 404) else response


@pytest.mark.parametrize(
    ("answer", "rules"),
    [
        (lambda: refusal(500, "Oops."), {"live.error-status"}),
        (lambda: json_answer({"detail": "x"}, 422), {"live.error-envelope"}),
        (lambda: web.Response(text="Bad", status=400), {"live.error-envelope"}),
        (lambda: web.Response(text="ok"), {"live.error-status"}),
    ],
    ids=["500", "detail", "plain text", "200"],
)
async def test_errors_are_judged(answer: Callable[[], web.Response], rules: set[str]) -> None:
    async with serving(_Errors(answer).handle) as base_url:
        report = await check(base_url)
    assert {told.rule.id for told in report.told()} == rules
    assert report.verdicts["openai-node"] is Verdict.PARTLY


class _AnyModel(ModelServer):
    async def handle(self, request: web.Request) -> web.StreamResponse:
        response = await super().handle(request)
        return json_answer({"ok": True}) if response.status == 404 else response


async def test_a_server_with_one_model_may_take_any_name() -> None:
    async with serving(_AnyModel().handle) as base_url:
        assert (await check(base_url)).is_ready


class _Talkative(ModelServer):
    def events(self, body: JSON) -> list[JSON]:
        if "text" in body:
            return stream(message("It is Paris."))
        return super().events(body)


async def test_structured_output_that_is_no_json_is_found() -> None:
    async with serving(_Talkative().handle) as base_url:
        report = await check(base_url, "openai-python")
    assert [told.rule.id for told in report.told()] == ["live.format-ignored"]


class _NoModels(ModelServer):
    async def models(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="404 page not found")


async def test_a_server_without_a_list_of_models_needs_a_name() -> None:
    async with serving(_NoModels().handle) as base_url:
        unnamed, named = await check(base_url), await check(base_url, model="m")
    assert "--model" in unnamed.stopped
    assert not unnamed.was_checked
    assert named.is_ready
    assert [told.rule.id for told in named.told()] == ["live.models"]


class _Socket(ModelServer):
    def __init__(self, events: list[JSON]) -> None:
        super().__init__()
        self._events = events

    async def socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.requests.append(await socket.receive_json())
        for event in self._events:
            await socket.send_json(event)
        await socket.close()
        return socket


async def test_a_websocket_is_spoken_to_and_judged() -> None:
    good, bad = _Socket(stream(message())), _Socket(stream(message())[:-1])
    async with serving(good.handle) as base_url:
        assert (await check(base_url)).is_ready
    assert [b["model"] for b in good.requests if b.get("type") == "response.create"] == ["m"]
    async with serving(bad.handle) as base_url:
        report = await check(base_url)
    assert [(told.rule.id, told.probes) for told in report.told()] == [
        ("terminal.missing", ("WebSocket",))
    ]
    assert report.verdicts == {**READY, "codex": Verdict.NOT_READY}


async def test_a_refused_handshake_costs_nobody_the_verdict() -> None:
    class Refusing(ModelServer):
        async def socket(self, request: web.Request) -> web.StreamResponse:
            return web.Response(status=405)

    async with serving(Refusing().handle) as base_url:
        report = await check(base_url)
    assert [told.rule.id for told in report.told()] == ["live.websocket"]
    assert report.is_ready
