"""The consequences that the checker's rules state, as the real Codex shows them.

It gets the bad stream of the rule's page from a server of its own, and `Done.` ever after.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from support.responses_streams import USAGE, as_sse, call, message, stream
from support.rule_pages import FOLDER, streams_of

pytestmark = pytest.mark.codex

JSON = dict[str, Any]
DONE = as_sse(stream(message("Done.")))
_QUICK = ("-c", "model_providers.anyturn.stream_max_retries=2")


class Server:
    """A Responses server that sends one body, then `DONE`."""

    def __init__(self, body: bytes, catalogue: bytes) -> None:
        self.requests: list[JSON] = []
        self._body = body
        self._catalogue = catalogue

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(body=self._catalogue, content_type="application/json")
        self.requests.append(msgspec.json.decode(await request.read()))
        body = self._body if len(self.requests) == 1 else DONE
        return web.Response(body=body, content_type="text/event-stream")

    @property
    def outputs(self) -> list[JSON]:
        """The outputs of tools in the second request."""
        return [item for item in self.requests[1]["input"] if item["type"].endswith("call_output")]


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/v1/{tail:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


Play = Callable[..., Awaitable[tuple[Any, Server]]]


@pytest.fixture
def play(stage: Any) -> Play:
    """Give Codex the bad stream of a rule, and return how it ended and what the server saw."""

    async def play(rule: str, bad: bytes | list[JSON] = b"") -> tuple[Any, Server]:
        if rule:
            page = Path(FOLDER, f"{rule}.md").read_text(encoding="utf-8")
            bad, _ = streams_of(page)["bad"]
        s = await stage()
        # With `client_version` it is the catalogue that Codex reads.
        models = f"{s.base_url}/models?client_version=1"
        async with aiohttp.ClientSession() as session, session.get(models) as answer:
            catalogue = await answer.read()
        server = Server(bad if isinstance(bad, bytes) else as_sse(bad), catalogue)
        async with serving(server) as s.base_url:
            return await (await s.start("Go on.", *_QUICK)).result(), server

    return play


@pytest.mark.parametrize(
    "rule",
    [
        *("items.arguments-not-text", "items.call-id-missing", "items.name-missing"),
        *("items.role-missing", "items.content-not-list", "items.part-type"),
        *("items.input-not-text", "items.type-unknown", "codex.refusal-part"),
        *("grammar.item-not-done", "terminal.output-only", "items.item-missing"),
        *("codex.call-not-run", "foreign.tool-call-event", "items.summary-missing"),
    ],
)
async def test_what_cannot_be_parsed_is_dropped_and_nothing_says_so(play: Play, rule: str) -> None:
    run, server = await play(rule)
    assert len(server.requests) == 1
    assert (run.code, run.said, run.complaints) == (0, [], [])


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("items.arguments-empty", "failed to parse function arguments"),
        ("items.arguments-not-json", "failed to parse function arguments"),
        ("items.name-undeclared", "unsupported call: functions.run"),
        ("items.tool-kind", "aborted"),
        ("items.namespace", "unsupported call: mcp__docs__search"),
        ("terminal.completed-with-incomplete-item", "failed to parse function arguments"),
    ],
)
async def test_a_call_that_cannot_run_is_answered_with_words(
    play: Play, rule: str, words: str
) -> None:
    run, server = await play(rule)
    (output,) = server.outputs
    assert words in str(output["output"])
    assert run.said == ["Done."]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("terminal.missing", "stream closed before response.completed"),
        ("terminal.error-alone", "stream closed before response.completed"),
        ("foreign.chat-chunk", "stream closed before response.completed"),
        ("transport.not-a-stream", "stream closed before response.completed"),
        ("transport.unended", "stream closed before response.completed"),
        ("terminal.id-missing", "failed to parse ResponseCompleted"),
        ("terminal.response-missing", ""),
        ("terminal.usage-incomplete", "failed to parse ResponseCompleted"),
        ("terminal.failed-without-error", "response.failed event received"),
    ],
)
async def test_an_end_that_cannot_be_read_is_paid_again(play: Play, rule: str, words: str) -> None:
    run, server = await play(rule)
    assert len(server.requests) == 2
    assert run.code == 0
    assert run.said[-1] == "Done."
    assert words in " ".join(run.complaints)
    assert "Reconnecting" in " ".join(run.complaints)


@pytest.mark.parametrize("rule", ["grammar.done-twice", "items.call-id-repeats"])
async def test_a_call_that_is_told_twice_runs_twice(play: Play, rule: str) -> None:
    _, server = await play(rule)
    assert [output["call_id"] for output in server.outputs] == ["call_1", "call_1"]


@pytest.mark.parametrize("rule", ["grammar.event-after-terminal", "items.tool-calls-in-message"])
async def test_a_call_where_codex_does_not_look_never_runs(play: Play, rule: str) -> None:
    run, server = await play(rule)
    assert len(server.requests) == 1
    assert (run.code, run.said, run.complaints) == (0, ["Hello there."], [])


async def test_the_answer_is_what_the_done_item_says(play: Play) -> None:
    run, _ = await play("grammar.item-differs")
    assert (run.code, run.said, run.complaints) == (0, [""], [])


@pytest.mark.parametrize(
    ("usage", "requests"),
    [
        ({}, 2),
        ({"total_tokens": 1_000_000}, 3),
        ({"input_tokens": 125_000, "total_tokens": 125_005}, 3),
        ({"input_tokens": 125_000, "total_tokens": 10}, 2),
    ],
    ids=["small", "wrong and too early", "full", "wrong and too late"],
)
async def test_codex_compacts_by_the_total_alone(play: Play, usage: JSON, requests: int) -> None:
    """`terminal.usage-total`: a request more asks for a summary."""
    run, server = await play("", as_sse(stream(call(), usage={**USAGE, **usage})))
    assert len(server.requests) == requests
    assert run.said == ["Done."]


async def test_a_turn_that_is_not_ended_goes_on_at_once(play: Play) -> None:
    run, server = await play("codex.end-turn-false")
    assert len(server.requests) == 2
    assert run.said == ["Hello there.", "Done."]


@pytest.mark.parametrize(
    "rule",
    [
        *("grammar.created-missing", "grammar.item-not-announced", "grammar.part-not-announced"),
        *("grammar.sequence-missing", "grammar.index-not-dense", "grammar.id-changes"),
        *("items.status-missing", "terminal.output-empty", "terminal.members-missing"),
    ],
)
async def test_what_the_rules_say_codex_bears_it_bears(play: Play, rule: str) -> None:
    run, server = await play(rule)
    assert (run.code, run.complaints) == (0, [])
    assert len(server.requests) <= 2
    assert not any("aborted" in str(item) for item in server.requests[-1]["input"])
