"""Silence and interruption: who leaves is let go, who waits is kept company."""

from __future__ import annotations

import asyncio
import signal

import pytest

from anyturn.testing import Answer, call, text

pytestmark = pytest.mark.codex


async def test_an_interrupted_codex_frees_the_provider_at_once_and_the_gateway_goes_on(stage):
    """F73."""
    s = await stage(Answer(text("Well …"), hold_after=2), text("Still here."))
    codex = await s.start("Think for ever.")
    await s.provider.request(1)
    interrupted_at = asyncio.get_running_loop().time()
    codex.signal(signal.SIGINT)
    left = await s.provider.cancelled(1)
    assert left.cancelled_at - interrupted_at < 2.0
    assert (await codex.result()).code != 0
    run = await s.codex("Are you there?")
    assert (run.code, run.said) == (0, ["Still here."])
    assert len(s.requests) == 2


async def test_codex_that_dies_before_the_first_byte_frees_the_provider_too(stage):
    """F73: nothing was written yet that could fail."""
    s = await stage(Answer(text("Never said."), hold_after=0), text("Still here."))
    codex = await s.start("Think for ever.")
    await s.provider.request(1)
    killed_at = asyncio.get_running_loop().time()
    codex.signal(signal.SIGKILL)
    left = await s.provider.cancelled(1)
    assert left.cancelled_at - killed_at < 1.0
    assert (await s.codex("Are you there?")).said == ["Still here."]


async def test_two_codexes_at_once_do_not_wait_for_each_other(stage):
    s = await stage(Answer(text("First."), hold_after=2), text("Second."))
    slow = await s.start("Wait.")
    await s.provider.request(1)
    assert (await s.codex("Do not wait.")).said == ["Second."]
    s.provider.release(1)
    assert (await slow.result()).said == ["First."]


IMPATIENT = ("-c", "model_providers.anyturn.stream_idle_timeout_ms=600")
SLOW = Answer(call("exec_command", {"cmd": "echo ran >> log"}), fragment=999, pace=0.9)


async def test_keepalives_keep_codex_waiting_for_a_slow_provider(stage):
    """F68; codex-cli.md section 0: comments would not."""
    s = await stage(SLOW, text("Done."), keepalive_s=0.1)
    run = await s.codex("Run it.", *IMPATIENT)
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
    assert len(s.requests) == 2


async def test_codex_gives_up_on_a_slow_provider_without_keepalives(stage):
    """What the test above would look like if keep-alives did nothing."""
    s = await stage(SLOW, text("Done."), keepalive_s=60)
    run = await s.codex("Run it.", *IMPATIENT)
    assert run.said == ["Done."]
    assert "Reconnecting... 1/5" in run.complaints[0]
    assert not (s.workspace / "log").exists()
    assert s.requests[0].cancelled


async def test_a_provider_that_stalls_is_left_and_asked_again(stage):
    """F68: keep-alives must not hide a provider that will never go on."""
    stalls = Answer(call("exec_command", {"cmd": "echo ran >> log"}), hold_after=3)
    s = await stage(
        stalls,
        Answer(call("exec_command", {"cmd": "echo ran >> log"})),
        text("Done."),
        keepalive_s=0.1,
        idle_timeout_s=0.5,
    )
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert run.said == ["Done."]
    assert "sent nothing for 0.5 s" in run.complaints[0]
    assert (await s.provider.cancelled(1)).cancelled


async def test_a_provider_that_keeps_the_connection_open_does_not_keep_codex_waiting(stage):
    """Everything was said: the finish, and nothing after it."""
    whole = Answer(call("exec_command", {"cmd": "echo ran >> log"}), done=False, hold_after=99)
    s = await stage(whole, text("Done."))
    run = await s.codex("Run it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said, run.complaints) == (0, ["Done."], [])
