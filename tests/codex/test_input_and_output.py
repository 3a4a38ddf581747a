"""Images that go in, and a JSON schema for what comes out."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import msgspec
import pytest

from anyturn.testing import Answer, Rules, call, raw_chunks, text

pytestmark = pytest.mark.codex

OPENAI = Rules(
    roles=("developer", "user", "assistant", "tool"),
    request_fields=Rules().request_fields | {"verbosity"},
)
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
JSON_ANSWER = '{"answer": "42 ✔"}'


@pytest.fixture
def schema_file(tmp_path) -> str:
    path = tmp_path / "schema.json"
    path.write_bytes(msgspec.json.encode(SCHEMA))
    return str(path)


async def test_a_schema_beside_tools_is_asked_for_in_words_where_it_would_be_refused(
    stage, schema_file
):
    """chat-providers.md section 1.4: Cerebras takes no response_format beside tools."""
    runs = call("exec_command", {"cmd": "echo ran >> log"})
    s = await stage(Answer(runs), text(JSON_ANSWER))
    run = await s.codex("Answer.", "--output-schema", schema_file)
    assert (s.workspace / "log").read_text() == "ran\n"
    assert (run.code, run.said) == (0, [JSON_ANSWER])
    for request in s.requests:
        assert "response_format" not in request.body
        wanted = request.messages[0]["content"].rpartition("\n")[2]
        assert msgspec.json.decode(wanted) == SCHEMA


async def test_a_schema_is_sent_as_a_format_where_that_is_known(stage, schema_file):
    s = await stage(text(JSON_ANSWER), profile="openai", model="gpt-4.1", rules=OPENAI)
    run = await s.codex("Answer.", "--output-schema", schema_file)
    assert (run.code, run.said) == (0, [JSON_ANSWER])
    sent = s.requests[0].body["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == SCHEMA
    assert sent["json_schema"]["strict"] is True
    assert s.requests[0].tools


def _png() -> bytes:
    """A red square of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return len(data).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    body = zlib.compress(b"\x00\xff\x00\x00")
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def image_file(tmp_path) -> str:
    path = tmp_path / "red.png"
    path.write_bytes(_png())
    return str(path)


async def test_an_image_reaches_a_model_that_sees(stage, image_file):
    s = await stage(text("Red."), profile="openai", model="gpt-4.1", rules=OPENAI)
    run = await s.codex("What colour is it?", f"--image={image_file}")
    assert (run.said, run.complaints) == (["Red."], [])
    parts = s.requests[0].messages[-1]["content"]
    (image,) = [part["image_url"] for part in parts if part["type"] == "image_url"]
    head, _, data = image["url"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert parts[-1] == {"type": "text", "text": parts[-1]["text"]}
    assert parts[-1]["text"].endswith("What colour is it?")


async def test_an_image_is_not_sent_to_a_model_that_reads_text_only(stage, image_file):
    s = await stage(text("I cannot see it."))
    run = await s.codex("What colour is it?", f"--image={image_file}")
    assert (run.said, run.complaints) == (["I cannot see it."], [])
    sent = s.requests[0].messages[-1]["content"]
    assert isinstance(sent, str)
    assert "omitted because you do not support image input" in sent
    assert b"data:image" not in s.requests[0].raw


async def test_an_image_that_a_tool_returns_follows_the_outputs_as_a_user_message(
    stage, image_file
):
    """F10, Q69."""
    views = call("view_image", {"path": image_file})
    s = await stage(
        Answer(views, call("exec_command", {"cmd": "echo ran >> log"})),
        text("Red."),
        profile="openai",
        model="gpt-4.1",
        rules=OPENAI,
    )
    run = await s.codex("Look at it.")
    assert (s.workspace / "log").read_text() == "ran\n"
    assert run.said == ["Red."]
    *_, called, first, second, shown = s.requests[1].messages
    assert len(called["tool_calls"]) == 2
    assert first["role"] == second["role"] == "tool"
    kinds = [part["type"] for part in shown["content"]]
    assert (shown["role"], kinds) == ("user", ["text", "image_url"])


async def test_a_refusal_is_shown(stage: Any) -> None:
    """Codex drops a message with a refusal part (rule codex.refusal-part): it gets text."""

    def chunk(delta: Any, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}

    refusing = raw_chunks([chunk({"refusal": "I cannot help with that."}), chunk({}, "stop")])
    s = await stage(Answer(refusing), check="strict")
    run = await s.codex("Do it.")
    assert (run.code, run.said, run.complaints) == (0, ["I cannot help with that."], [])
