from __future__ import annotations

import contextlib

import pytest

from anyturn.config import load_settings
from anyturn.probe import PROBES, Probing, Verdict
from anyturn.routing import Routing
from anyturn.testing import (
    Answer,
    Refusal,
    ScriptedProvider,
    call,
    openai_error,
    reasoning,
    text,
)
from anyturn.upstream import Limits, ProviderClient

PARIS, ROME = (call("get_weather", {"city": city}) for city in ("Paris", "Rome"))


@pytest.fixture
def probe(tmp_path):
    """Run one probe against a scripted provider; gives the finding and the provider."""

    async def run(name, *script, provider="cerebras"):
        async with contextlib.AsyncExitStack() as stack:
            scripted = await stack.enter_async_context(ScriptedProvider(list(script), models=()))
            flags = {"provider": provider, "base_url": scripted.base_url, "model": "gpt-oss-120b"}
            routing = Routing(load_settings(flags, {}, tmp_path), {})
            client = await stack.enter_async_context(ProviderClient(Limits(retries=0)))
            return await PROBES[name](Probing(routing, client)), scripted

    return run


@pytest.mark.parametrize(
    ("name", "script", "verdict", "words"),
    [
        pytest.param("text", [text("ready")], Verdict.HOLDS, "'ready'", id="text"),
        pytest.param(
            "text",
            [Answer(text("ready"), usage=None)],
            Verdict.DIFFERS,
            "no token counts",
            id="no usage",
        ),
        pytest.param(
            "text",
            [Refusal(401, openai_error("bad key", code="invalid_api_key"))],
            Verdict.FAILS,
            "bad key",
            id="wrong key",
        ),
        pytest.param(
            "one call", [PARIS], Verdict.HOLDS, 'get_weather({"city":"Paris"})', id="call"
        ),
        pytest.param("one call", [text("It is sunny.")], Verdict.DIFFERS, "without", id="no call"),
        pytest.param(
            "one call",
            [call("get_weather", '{"town":"Paris"}')],
            Verdict.FAILS,
            "do not fit",
            id="wrong arguments",
        ),
        pytest.param("parallel calls", [Answer(PARIS, ROME)], Verdict.HOLDS, "2 calls", id="two"),
        pytest.param("parallel calls", [PARIS], Verdict.DIFFERS, "1 call at a time", id="single"),
        pytest.param(
            "reasoning replay",
            [Answer(reasoning("hm"), PARIS), text("Sunny.")],
            Verdict.HOLDS,
            "given back in reasoning",
            id="replay",
        ),
        pytest.param(
            "reasoning replay", [text("no")], Verdict.SKIPPED, "did not call", id="no loop"
        ),
        pytest.param("effort", [text("ready")], Verdict.HOLDS, "reasoning_effort", id="effort"),
        pytest.param(
            "overflow",
            [Refusal(400, openai_error("too long", code="context_length_exceeded"))],
            Verdict.HOLDS,
            "understood",
            id="overflow understood",
        ),
        pytest.param(
            "overflow",
            [Refusal(400, openai_error("Nope.", code="odd"))],
            Verdict.DIFFERS,
            "Nope.",
            id="overflow in strange words",
        ),
    ],
)
async def test_a_probe_says_what_holds(probe, name, script, verdict, words):
    finding, provider = await probe(name, *script)
    assert (finding.verdict, words in finding.words) == (verdict, True), finding
    assert [r for r in provider.refusals if "exhausted" in r] == []


async def test_the_replayed_reasoning_reaches_the_provider(probe):
    _, provider = await probe("reasoning replay", Answer(reasoning("hm"), PARIS), text("Sunny."))
    assert provider.requests[1].messages[-2]["reasoning"] == "hm"
    assert provider.refusals == []


async def test_a_provider_that_takes_no_effort_is_not_asked_for_one(probe):
    finding, provider = await probe("effort", provider="llamacpp")
    if finding.verdict is Verdict.SKIPPED:
        assert provider.requests == []
