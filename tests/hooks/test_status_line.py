"""The hook in the life of a turn: never in its way, and nothing of it behind."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.config import Settings
from anyturn.gateway import Gateway
from anyturn.hooks.status_line import StatusLines
from anyturn.memory import Caller, Memory, Nearby
from anyturn.routing import Routing
from anyturn.store.memory import MemoryStore
from anyturn.testing import Answer, ScriptedProvider, ScriptedResponsesServer, Usage, call, text
from anyturn.translate.status_line import marked
from anyturn.upstream import ProviderClient
from anyturn.wire import responses as r
from support.gateway_turns import LIMITS, Sink
from support.hook_turns import Ended, silent
from support.stream_rules import check_stream, decode_events

JSON = dict[str, Any]
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
TUI, EXEC = {"originator": "codex-tui"}, {"originator": "codex_exec"}
SEALS = "reasoning.encrypted_content"
MODEL = "gpt-oss-120b"
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "SECRET_API_KEY": "sk-planted-1"}
USAGE = Usage(prompt=13107, completion=10)


class Clock:
    """Seconds that pass when somebody looks: one between two looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Stage:
    def __init__(self, gateway: Gateway, provider: Any, seen: Ended) -> None:
        self.gateway = gateway
        self.provider = provider
        self.seen = seen

    async def turn(
        self, *items: JSON, headers: JSON | None = None, nearby: Nearby | None = None, **fields: Any
    ) -> Sink:
        """One turn of Codex; what it got is in the sink, and keeps every rule of a stream."""
        sink = Sink()
        caller = Caller(client="codex", headers=headers or TUI, nearby=nearby)
        request = {"model": MODEL, "input": [*items], "tools": [TOOL], "store": False, **fields}
        request.setdefault("include", [SEALS])
        if isinstance(self.provider, ScriptedResponsesServer):
            request["instructions"] = "Be brief."
        request["input"] = request["input"] or [user("Hi")]
        sink.response = await self.gateway.run(request, sink, caller)  # type: ignore[attr-defined]
        check_stream(decode_events(b"".join(map(r.encode_event, sink.events))))
        return sink


@asynccontextmanager
async def stage(
    *script: Answer,
    line: str = "{model} · {provider}",
    server: bool = False,
    waits: bool = True,
    store: Any = None,
    timeout_s: float = 30.0,
    **options: Any,
) -> AsyncIterator[Stage]:
    """A gateway with the hook, and a provider that ends no answer before the programs are over."""
    held = [silent(one) if waits else one for one in script]
    lines = StatusLines(line, ENVIRON, timeout_s=timeout_s, clock=Clock(), **options)
    seen = Ended()
    made = ScriptedResponsesServer(held) if server else ScriptedProvider(held, strict=True)
    async with made as provider, ProviderClient(LIMITS) as client:
        seen.provider = provider
        wire = "responses" if server else ""
        routing = Routing(Settings(base_url=provider.base_url, model=MODEL, wire=wire), {})
        gateway = Gateway(
            routing, client, endings=lines, taps=[seen] if waits else [], memory=Memory(store)
        )
        yield Stage(gateway, provider, seen)
    lines.close()


def user(words: str) -> JSON:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}


def works_in(folder: Path) -> JSON:
    return user(f"<environment_context>\n  <cwd>{folder}</cwd>\n</environment_context>")


def output(sink: Sink) -> list[JSON]:
    return decode_events(b"".join(map(r.encode_event, sink.events)))[-1]["response"]["output"]


def said(sink: Sink) -> str:
    return next(i for i in output(sink) if i["type"] == "message")["content"][-1]["text"]


def printing(folder: Path, code: str) -> str:
    """The line that runs this Python."""
    program = folder / "status.py"
    program.write_text(code, encoding="utf-8")
    return f"command: {sys.executable} {program}"


SERVERS = pytest.mark.parametrize("server", [False, True], ids=["chat", "responses"])


@SERVERS
async def test_the_line_stands_under_the_answer_in_the_terminal_interface(server: bool) -> None:
    async with stage(Answer(text("Yes."), usage=USAGE), server=server) as s:
        sink = await s.turn()
    label = s.seen.turns[0].target.profile.label
    assert said(sink) == f"Yes.{marked(f'{MODEL} · {label}')}"
    assert r.as_object(sink.response)["output"] == output(sink)  # type: ignore[attr-defined]
    rules = [change.rule for change in s.seen.turns[0].machine.adaptations]
    assert "answer.status_line" in rules
    assert [r.name_of(event) for event in s.seen.seen] == sink.names


@SERVERS
async def test_exec_gets_it_as_an_item_and_its_last_message_stays(server: bool) -> None:
    async with stage(Answer(text("Yes."), usage=USAGE), server=server) as s:
        sink = await s.turn(headers=EXEC)
    assert said(sink) == "Yes."
    assert output(sink)[-1]["summary"][0]["text"].startswith(MODEL)


async def test_exec_that_would_lose_the_seal_gets_none() -> None:
    async with stage(Answer(text("Yes."))) as s:
        sink = await s.turn(headers=EXEC, include=[])
    assert [item["type"] for item in output(sink)] == ["message"]


async def test_speed_and_context_are_those_of_the_answer() -> None:
    line = "{tokens_per_s} tok/s · {context_used} context"
    async with stage(Answer(text("Yes."), usage=USAGE), line=line) as s:
        sink = await s.turn()
    # The clock was looked at when the text began, and one second later at its end.
    assert said(sink) == f"Yes.{marked('10 tok/s · 10% context')}"


async def test_numbers_that_are_guessed_say_so() -> None:
    line = "{tokens_per_s} tok/s · {context_used} context"
    async with stage(Answer(text("Yes."), usage=None), line=line) as s:
        sink = await s.turn()
    assert said(sink) == f"Yes.{marked('~1.0 tok/s · ~<1% context')}"


async def test_the_window_is_the_one_that_codex_was_told() -> None:
    answer = Answer(text("Yes."), usage=USAGE)
    async with stage(answer, line="{context_used}", window_of=lambda _: 26214) as s:
        assert said(await s.turn()) == f"Yes.{marked('50%')}"
    async with stage(answer, line="{context_used}", window_of=lambda _: 0) as s:
        assert said(await s.turn()) == f"Yes.{marked('13,107 tokens')}"


@SERVERS
@pytest.mark.parametrize("headers", [TUI, EXEC], ids=["tui", "exec"])
async def test_an_answer_that_calls_has_none(server: bool, headers: JSON) -> None:
    async with stage(Answer(text("I look."), call("f", {})), server=server) as s:
        sink = await s.turn(headers=headers)
    assert [item["type"] for item in output(sink)] == ["message", "function_call"]
    assert said(sink) == "I look."


@pytest.mark.parametrize("client", ["openai-python", "ai-sdk", ""])
async def test_other_clients_have_none(client: str) -> None:
    async with stage(Answer(text("Yes.")), waits=False) as s:
        caller = Caller(client=client)
        response = await s.gateway.run({"input": "Hi", "tools": [TOOL]}, Sink(), caller)
    assert response.output[0].content[0].text == "Yes."


# ---------------------------------------------------------------- on its way back


@SERVERS
@pytest.mark.parametrize("headers", [TUI, EXEC], ids=["tui", "exec"])
async def test_the_provider_gets_the_history_without_it(server: bool, headers: JSON) -> None:
    async with stage(Answer(text("Yes.")), Answer(text("No.")), server=server) as s:
        first = await s.turn(user("Yes?"), headers=headers)
        await s.turn(user("Yes?"), *output(first), user("No?"), headers=headers)
        told = s.seen.turns[1].asked.adaptations
    async with stage(Answer(text("Yes.")), Answer(text("No.")), server=server, line="{git}") as t:
        plain = await t.turn(user("Yes?"), headers=headers)
        await t.turn(user("Yes?"), *output(plain), user("No?"), headers=headers)
    assert said(plain) == "Yes." and output(first) != output(plain)
    assert [request.raw for request in s.provider.requests] == [
        request.raw for request in t.provider.requests
    ]
    assert [change.rule for change in told].count("history.status_line") == 1


async def test_it_is_taken_out_of_old_sessions_when_the_hook_is_off() -> None:
    answer = {"type": "message", "role": "assistant", "content": f"Yes.{marked('main')}"}
    async with (
        ScriptedProvider([Answer(text("No."))], strict=True) as provider,
        ProviderClient(LIMITS) as client,
    ):
        gateway = Gateway(Routing(Settings(base_url=provider.base_url, model=MODEL), {}), client)
        await gateway.run({"input": [user("Yes?"), answer, user("No?")]}, Sink())
    assert provider.requests[0].messages[1] == {"role": "assistant", "content": "Yes."}


async def test_a_user_who_quotes_it_is_left_alone() -> None:
    async with stage(Answer(text("A line."))) as s:
        await s.turn(user(f"What is this?{marked('main')}"))
    assert s.provider.requests[0].messages[-1]["content"].endswith(marked("main"))


@pytest.mark.parametrize("headers", [TUI, EXEC], ids=["tui", "exec"])
async def test_what_is_remembered_has_no_line(headers: JSON) -> None:
    store = MemoryStore()
    script = [Answer(text("Yes.")), Answer(text("No."))]
    async with stage(*script, store=store) as s:
        first = await s.turn(headers=headers, store=True)
        response_id = first.response.id  # type: ignore[attr-defined]
        stored = await s.gateway.memory.response("", response_id)
        assert output(first) != msgspec.json.decode(stored.body)["output"]
        assert b"status_line" not in stored.body and "\u2063" not in stored.body.decode()
        await s.turn(user("No?"), headers=headers, store=True, previous_response_id=response_id)
    assert s.provider.requests[1].messages[1] == {"role": "assistant", "content": "Yes."}


async def test_what_a_connection_remembers_has_no_line() -> None:
    nearby = Nearby()
    async with stage(Answer(text("Yes.")), Answer(text("No."))) as s:
        first = await s.turn(nearby=nearby)
        response_id = first.response.id  # type: ignore[attr-defined]
        assert "\u2063" in said(first)
        await s.turn(user("No?"), nearby=nearby, previous_response_id=response_id)
    assert s.provider.requests[1].messages[1] == {"role": "assistant", "content": "Yes."}


# ---------------------------------------------------------------- git


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git")
async def test_git_is_asked_in_the_folder_of_the_session(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-b", "trunk", tmp_path], check=True, capture_output=True)
    async with stage(Answer(text("Yes.")), line="default") as s:
        assert "trunk · gpt-oss-120b" in said(await s.turn(works_in(tmp_path), user("Hi")))
    async with stage(Answer(text("Yes.")), line="default", looks_into_folders=False) as s:
        assert "trunk" not in said(await s.turn(works_in(tmp_path), user("Hi")))


@pytest.mark.parametrize("folder", ["/does/not/exist", "relative", "/etc/passwd"])
async def test_a_folder_that_is_none_leaves_git_out(folder: str, caplog: Any) -> None:
    async with stage(Answer(text("Yes.")), line="{git} · {model}") as s:
        sink = await s.turn(works_in(Path(folder)), user("Hi"))
    assert said(sink) == f"Yes.{marked(MODEL)}"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# ---------------------------------------------------------------- commands


async def test_a_command_gets_the_facts_and_the_folder_and_no_key(tmp_path: Path) -> None:
    line = printing(
        tmp_path,
        "import json, os, sys\n"
        "facts = json.load(sys.stdin)\n"
        "keys = [k for k in os.environ if 'KEY' in k]\n"
        "print(os.path.basename(os.getcwd()), facts['model'], facts['context_window'], keys)\n"
        "print('second line')\n",
    )
    folder = tmp_path / "session"
    folder.mkdir()
    async with stage(Answer(text("Yes.")), line=line) as s:
        sink = await s.turn(works_in(folder), user("Hi"))
    assert said(sink) == f"Yes.{marked('session gpt-oss-120b 131072 []')}"


async def test_what_a_command_prints_is_a_template(tmp_path: Path) -> None:
    line = printing(tmp_path, "print('{model} at {tokens_per_s} {unknown} · {git} · end')")
    async with stage(Answer(text("Yes."), usage=USAGE), line=line) as s:
        assert said(await s.turn()) == f"Yes.{marked('gpt-oss-120b at 10 {unknown} · end')}"


HOSTILE = {
    "escapes": ("print('\\x1b[2J\\x1b]0;x\\x07\\x08a\\u202eb\\u2063\\u2064')", "ab"),
    "huge": ("print('x' * 10_000_000)", "x" * 199 + "…"),
    "endless": ("while True: print('y' * 100)", "y" * 100),
    "bytes": ("import sys; sys.stdout.buffer.write(b'a\\xff\\n')", "a\ufffd"),
}


@pytest.mark.parametrize(("code", "line"), HOSTILE.values(), ids=HOSTILE)
async def test_a_command_cannot_say_more_than_a_line(tmp_path: Path, code: str, line: str) -> None:
    async with stage(Answer(text("Yes.")), line=printing(tmp_path, code)) as s:
        sink = await s.turn()
    assert said(sink) == f"Yes.{marked(line)}"


FAILING = {
    "code": ("import sys; print('x'); sys.exit('no such branch')", "code 1: no such branch"),
    "signal": ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    "silent": ("pass", ""),
    "blank": ("print(' ')", ""),
}


@pytest.mark.parametrize(("code", "why"), FAILING.values(), ids=FAILING)
async def test_a_command_that_fails_leaves_the_answer_as_it_is(
    tmp_path: Path, caplog: Any, code: str, why: str
) -> None:
    line = printing(tmp_path, code)
    async with stage(Answer(text("Yes.")), Answer(text("No.")), line=line) as s:
        assert said(await s.turn()) == "Yes."
        assert said(await s.turn()) == "No."
    told = [
        record.getMessage() for record in caplog.records if "status_line" in record.getMessage()
    ]
    assert [why in sentence for sentence in told] == ([True] if why else [])


async def test_a_slow_command_keeps_nobody_waiting_and_is_ended(
    tmp_path: Path, caplog: Any
) -> None:
    line = printing(
        tmp_path,
        "import os, time\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(tmp_path / 'pid')!r})\n"
        "time.sleep(600)\n",
    )
    async with stage(Answer(text("Yes."), hold_after=1), line=line, waits=False) as s:
        turn = asyncio.ensure_future(s.turn())
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        s.provider.release()
        assert said(await turn) == "Yes."
        pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
    assert "it was not ready when the answer ended" in caplog.text


async def test_a_hook_that_is_broken_itself_leaves_the_answer_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    for name in ("_start", "window_of"):
        async with stage(Answer(text("Yes.")), line="{context_used}") as s:
            monkeypatch.setattr(s.gateway._endings, name, fail)
            assert said(await s.turn()) == "Yes."
    assert caplog.text.count("the status line itself failed") == 2


async def test_a_command_that_is_not_there_is_said_at_the_start(caplog: Any) -> None:
    async with stage(Answer(text("Yes.")), line="command: no-such-program-anywhere") as s:
        assert "there is no program 'no-such-program-anywhere'" in caplog.text
        assert said(await s.turn()) == "Yes."


async def test_a_client_that_leaves_ends_the_command(tmp_path: Path) -> None:
    line = printing(tmp_path, "import time; time.sleep(600)")
    async with stage(Answer(text("Yes."), hold_after=1), line=line, waits=False) as s:
        turn = asyncio.ensure_future(s.turn())
        await s.provider.request(1)
        (run,) = s.gateway._endings._programs._runs  # type: ignore[union-attr]
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        while not run.is_over:
            await asyncio.sleep(0.01)


async def test_more_turns_than_programs_may_run_go_without(tmp_path: Path) -> None:
    line = printing(tmp_path, "import time; time.sleep(600)")
    answers = [Answer(text("Yes."), hold_after=1) for _ in range(8)]
    async with stage(*answers, line=line, waits=False) as s:
        turns = [asyncio.ensure_future(s.turn()) for _ in answers]
        await s.provider.request(8)
        assert len(s.gateway._endings._programs._runs) == 4  # type: ignore[union-attr]
        for number in range(1, 9):
            s.provider.release(number)
        assert [said(await turn) for turn in turns] == ["Yes."] * 8
