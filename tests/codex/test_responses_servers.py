"""A Responses server behind the gateway: the real Codex sees one that keeps every promise."""

from __future__ import annotations

import pytest

from anyturn.server.app import Server
from anyturn.testing import (
    Answer,
    Defect,
    Refusal,
    ScriptedResponsesServer,
    call,
    openai_error,
    reasoning,
    text,
)

pytestmark = pytest.mark.codex

TOKEN = "made-up-token-1"
ENVIRON = {"CHATGPT_ACCESS_TOKEN": TOKEN}


def run(command: str, **options):
    return call("exec_command", {"cmd": command}, **options)


@pytest.fixture
async def server(stage):
    """Open a stage on a strict server: `await server(*script)`; options are the server's."""
    opened = []

    async def open_server(
        *script, profile="chatgpt", environ=None, model="gpt-oss-120b", **options
    ):
        served = ScriptedResponsesServer(script, models=(model,), api_key=TOKEN, **options)
        await served.start()
        opened.append(served)
        return await stage(
            provider=served, profile=profile, environ=environ or ENVIRON, model=model
        )

    yield open_server
    for one in opened:
        await one.aclose()


async def test_a_tool_loop_with_reasoning_runs_on_a_server_that_stores_nothing(server):
    """F14, F35, F57: as the ChatGPT backend, which refuses what it does not know."""
    s = await server(
        Answer(reasoning("One file."), text("I write."), run("echo hi > a")),
        Answer(reasoning("And one more."), run("cat a")),
        Answer(text("Done.")),
    )
    result = await s.codex("Write a file.")
    assert (result.code, result.said[-1]) == (0, "Done.")
    assert (s.workspace / "a").read_text() == "hi\n"
    items = s.requests[2].items
    assert [i["encrypted_content"] for i in items if i.get("type") == "reasoning"] == [
        "gAAAAABa-1.0",
        "gAAAAABa-2.0",
    ]
    assert s.requests[0].body["instructions"]
    assert not any("id" in item for item in items)


async def test_parallel_calls_run_and_each_gets_its_output(server):
    s = await server(Answer(run("echo 1 >> a"), run("echo 2 >> b")), text("Both."))
    assert (await s.codex("Two files.")).said == ["Both."]
    assert (s.workspace / "a").exists() and (s.workspace / "b").exists()
    outputs = [i["call_id"] for i in s.requests[1].items if i.get("type") == "function_call_output"]
    assert outputs == ["call_1", "call_2"]


async def test_a_session_goes_on_after_a_restart_with_its_reasoning(server):
    s = await server(Answer(reasoning("Once."), run("echo ran >> log")), text("Done."), text("1."))
    await s.codex("Run it.")
    result = await s.codex("How often?", "resume", "--last")
    assert result.said == ["1."]
    sealed = [i for i in s.requests[2].items if i.get("type") == "reasoning"]
    assert [item["encrypted_content"] for item in sealed] == ["gAAAAABa-1.0"]


async def test_a_session_of_another_account_goes_on_without_what_it_sealed(server):
    """F17."""
    s = await server(Answer(reasoning("Once."), run("echo ran >> log")), text("Done."))
    await s.codex("Run it.")
    other = await server(text("Once."), account="b")
    process = await other.start("How often?", "resume", "--last")
    assert (await process.result()).said == ["Once."]
    assert "could not be verified" in other.provider.refusals[0]
    assert len(other.requests) == 2
    assert not any(item.get("type") == "reasoning" for item in other.requests[1].items)


# ---------------------------------------------------------------- servers that take functions only

# As strict as any, and as most servers that are not OpenAI's: functions and nothing else.
FUNCTIONS = """\
[providers.acme]
like = "chatgpt"
auth = "bearer"
key_env = ["ACME_KEY"]
responses_tools = ["function"]
"""
PATCH = """\
*** Begin Patch
*** Add File: src/grüße.txt
+Grüße \\n "👋"
*** End Patch
"""


@pytest.fixture
async def functions_only(server, tmp_path):
    """Open a stage on a server that refuses all tools but functions, and their items."""
    (tmp_path / "anyturn.toml").write_text(FUNCTIONS, encoding="utf-8")

    async def open_server(*script, **options):
        environ = {"ACME_KEY": TOKEN}
        given = {"profile": "acme", "environ": environ, "tools": ["function"], **options}
        return await server(*script, **given)

    return open_server


def patch(words=PATCH):
    return call("apply_patch", {"input": words})


def outputs(stage, number):
    items = stage.requests[number - 1].items
    return [item["output"] for item in items if item.get("type") == "function_call_output"]


@pytest.mark.parametrize("defects", [set(), {Defect.NEW_IDS}, {Defect.ONLY_TERMINAL}])
async def test_a_patch_a_command_and_an_mcp_tool_run_on_functions(functions_only, tiny, defects):
    """F21, F23, F25: Codex gets the forms that it declared, the server never sees them."""
    s = await functions_only(
        Answer(reasoning("A patch."), text("I write."), patch(), fragment=5),
        Answer(run("echo ran >> log"), call("mcp__tiny__add", {"a": 2, "b": 40})),
        text("42."),
        defects=defects,
    )
    result = await s.codex("Do it all.", *tiny)
    assert (result.code, result.said, result.complaints) == (0, ["I write.", "42."], [])
    assert (s.workspace / "src" / "grüße.txt").read_text(encoding="utf-8") == 'Grüße \\n "👋"\n'
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (s.workspace / "calls").read_text() == "add\n"
    assert len(result.items("file_change")) == 1
    patched, ran, added = outputs(s, 3)
    assert "Success." in patched and "exited with code 0" in ran
    assert "42" in str(added)
    tools = s.requests[0].body["tools"]
    assert {tool["type"] for tool in tools} == {"function"}
    assert {"apply_patch", "exec_command", "mcp__tiny__add"} <= {tool["name"] for tool in tools}
    called = next(i for i in s.requests[2].items if i.get("name") == "apply_patch")
    assert called["type"] == "function_call"


async def test_patches_of_one_answer_and_of_the_next_turn_run_on_functions(functions_only):
    second, third = (PATCH.replace("src/grüße", name) for name in ("b", "c"))
    s = await functions_only(
        Answer(patch(), run("echo ran >> log"), patch(second)),
        text("Both."),
        Answer(patch(third)),
        text("And one."),
    )
    await s.codex("Two files.")
    result = await s.codex("One more.", "resume", "--last")
    assert (result.said, result.complaints) == (["And one."], [])
    made = sorted(path.name for path in s.workspace.rglob("*.txt"))
    assert made == ["b.txt", "c.txt", "grüße.txt"]
    assert (s.workspace / "log").read_text() == "ran\n"
    assert len(outputs(s, 4)) == 4


async def test_a_tool_that_is_searched_for_is_found_and_called_on_functions(functions_only, tiny):
    """F29."""
    s = await functions_only(
        Answer(call("tool_search", {"query": "add two numbers", "limit": 5.0})),
        Answer(call("mcp__tiny__add", {"a": 2, "b": 40})),
        text("42."),
    )
    result = await s.codex("Add.", *s.catalogue(supports_search_tool=True), *tiny)
    assert (result.code, result.said, result.complaints) == (0, ["42."], [])
    assert (s.workspace / "calls").read_text() == "add\n"
    assert outputs(s, 2) == ["Loaded tools: mcp__tiny__add"]


async def test_a_patch_that_was_cut_off_is_not_applied(functions_only):
    """F44, I6."""
    s = await functions_only(Answer(patch(), cut_after=8, fragment=20), text("It broke off."))
    result = await s.codex("Write a file.")
    assert result.said == ["It broke off."]
    assert not [*s.workspace.iterdir()]


async def test_a_server_that_refuses_a_type_of_tool_is_asked_again_with_functions(server, tiny):
    """F21: what the profile said of it was wrong."""
    s = await server(
        *(Answer(patch()), Answer(call("mcp__tiny__add", {"a": 2, "b": 40})), text("42.")),
        tools=["function"],
    )
    result = await (await s.start("Do it.", *tiny)).result()
    assert (result.code, result.said, result.complaints) == (0, ["42."], [])
    assert (s.workspace / "src" / "grüße.txt").exists()
    assert (s.workspace / "calls").read_text() == "add\n"
    assert set(s.provider.refusals) == {"Unsupported tool type: custom"}


# What Codex cannot use by itself: each of these ends with no tool run (codex-cli.md 2.5).
BROKEN = [
    Defect.ONLY_TERMINAL,
    Defect.TOOL_CALL_DELTA,
    Defect.ITEM_DELTA,
    Defect.TOOL_CALL_TYPE,
    Defect.CALLS_IN_MESSAGE,
    Defect.NO_ITEM_DONE,
    Defect.NO_DONE_ARGUMENTS,
    Defect.ARGUMENTS_AS_OBJECT,
    Defect.DOUBLED_ARGUMENTS,
    Defect.NO_DETAILS,
    Defect.NO_TERMINAL,
    Defect.DONE_EVENT,
    Defect.NEW_IDS,
    Defect.NEW_CALL_ID,
    Defect.BARE_ITEMS,
    Defect.NO_CALL_ID,
    Defect.CHAT_CHUNKS,
    Defect.CONTENT_BLOCKS,
    Defect.BLOCKS_THEN_COMPLETED,
]


@pytest.mark.parametrize("defect", BROKEN)
async def test_a_tool_runs_although_the_server_is_broken(server, defect):
    """F41, F45, F56."""
    s = await server(
        Answer(reasoning("Hm."), run("echo ran >> log")), text("Done."), defects=[defect]
    )
    result = await s.codex("Run it.")
    assert (result.code, result.said, result.complaints) == (0, ["Done."], [])
    assert (s.workspace / "log").read_text() == "ran\n"


ALONE = [
    Defect.ITEM_DELTA,
    Defect.TOOL_CALL_DELTA,
    Defect.BLOCKS_THEN_COMPLETED,
    Defect.ONLY_TERMINAL,
    Defect.NO_CALL_ID,
    Defect.TOOL_CALL_TYPE,
    Defect.CALLS_IN_MESSAGE,
]


@pytest.mark.parametrize("defect", ALONE)
async def test_the_same_server_is_of_no_use_to_codex_alone(server, defect):
    """What the gateway is for: without it no tool runs, and nobody says so."""
    s = await server(run("echo ran >> log"), defects=[defect])
    s.provider._rules = s.provider._api_key = None
    s.base_url = s.provider.base_url
    result = await (await s.start("Run it.")).result()
    assert result.code == 0
    assert not (s.workspace / "log").exists()


@pytest.mark.parametrize("defect", [Defect.CONTENT_BLOCKS, Defect.CHAT_CHUNKS])
async def test_a_stream_of_another_api_is_asked_for_again_and_again_by_codex_alone(server, defect):
    s = await server(*[run("echo ran >> log")] * 2, defects=[defect])
    s.provider._rules = s.provider._api_key = None
    s.base_url = s.provider.base_url
    process = await s.start("Run it.")
    await s.provider.request(2)
    await process.stop()
    assert not (s.workspace / "log").exists()


async def test_who_codex_is_goes_on_to_the_server_and_its_token_does_not(server):
    """F72: the newest models are served to clients that say who they are; no disguise."""
    s = await server(text("Hi."))
    await s.codex("Hello.")
    headers = s.requests[0].headers
    assert headers["originator"].startswith("codex")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert "anyturn" in headers["User-Agent"]


async def test_a_bad_login_is_said_at_once(server):
    s = await server(text("Hi."), environ={"CHATGPT_ACCESS_TOKEN": "made-up-token-2"})
    result = await (await s.start("Hello.")).result()
    assert result.code == 1
    assert "ChatGPT refused access" in " ".join(result.complaints)


async def test_a_used_up_plan_is_not_asked_again(server):
    used_up = openai_error("The usage limit has been reached", type="usage_limit_reached")
    s = await server(Refusal(429, used_up))
    result = await (await s.start("Hello.")).result()
    assert result.code == 1 and len(s.requests) == 1


async def test_the_same_over_a_websocket(server, monkeypatch):
    """Only what is new comes in each message; the server gets the whole input every time."""
    monkeypatch.delattr(Server, "_stream")
    s = await server(Answer(reasoning("Hm."), run("echo ran >> log")), text("Done."))
    provider = (
        f'model_providers.anyturn={{name="anyturn",base_url="{s.base_url}",'
        'wire_api="responses",experimental_bearer_token="anyturn",'
        f'model_catalog_url="{s.base_url}/models",supports_websockets=true}}'
    )
    result = await s.codex("Run it.", "-c", provider)
    assert (result.said, result.complaints) == (["Done."], [])
    kinds = [item.get("type") for item in s.requests[1].items]
    assert kinds[-3:] == ["reasoning", "function_call", "function_call_output"]
