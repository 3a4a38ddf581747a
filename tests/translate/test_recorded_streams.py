"""Recorded streams of real providers, where the folder with the recordings is there."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anyturn.translate.reasoning_replay import unsealed
from support.turns import Run, one_by_one, run_blocks, split_at

JSON = dict[str, Any]

STREAMS = Path(__file__).parents[2].parent / "shared" / "streams"
RECORDINGS = sorted(path for kind in ("sse", "jsonl") for path in STREAMS.glob(f"*/chat-*.{kind}"))
pytestmark = pytest.mark.skipif(not RECORDINGS, reason="the recorded streams are not here")
every_recording = pytest.mark.parametrize(
    "path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


def stream_of(path: Path) -> bytes:
    """The body as the provider sent it."""
    body = path.read_bytes()
    if path.suffix == ".sse":
        return body
    return b"".join(b"data: %b\n\n" % line for line in body.splitlines() if line.strip())


class Said:
    """What the chunks say, added up without any of our code."""

    def __init__(self, stream: bytes) -> None:
        self.text = self.reasoning = self.refusal = ""
        self.calls: list[JSON] = []
        self.usage: JSON | None = None
        self.finish: str | None = None
        self.error: str | None = None
        for line in stream.split(b"\n"):
            data = line.strip().removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]" and self.error is None:
                self._add(msgspec.json.decode(data))

    def _add(self, chunk: JSON) -> None:
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self._add_delta(choice.get("delta") or {})
                self.finish = choice.get("finish_reason") or self.finish
        groq = chunk.get("x_groq") or {}
        self.usage = chunk.get("usage") or groq.get("usage") or self.usage
        if error := chunk.get("error"):
            self.error = error["message"]

    def _add_delta(self, delta: JSON) -> None:
        self.reasoning += delta.get("reasoning") or delta.get("reasoning_content") or ""
        self.refusal += delta.get("refusal") or ""
        content = delta.get("content") or ""
        for part in [{"text": content}] if isinstance(content, str) else content:
            self.text += part.get("text", "")
            self.reasoning += "".join(inner["text"] for inner in part.get("thinking", []))
        for told in delta.get("tool_calls") or []:
            self._add_call(told)

    def _add_call(self, told: JSON) -> None:
        function, index = told["function"], told.get("index")
        if index is None or index >= len(self.calls):
            assert function["name"]
            self.calls.append({"id": told["id"], "name": function["name"], "arguments": ""})
        self.calls[-1 if index is None else index]["arguments"] += function.get("arguments") or ""

    @property
    def tools(self) -> list[JSON]:
        return [{"type": "function", "name": call["name"]} for call in self.calls]


def told_text(items: list[JSON], kind: str) -> str:
    parts = [p for item in items for p in (*item.get("content", ()), *item.get("summary", ()))]
    return "".join(p.get("text", p.get("refusal")) for p in parts if p["type"] == kind)


def streamed(run: Run, kind: str) -> str:
    return "".join(e["delta"] for e in run.decoded if e["type"] == f"response.{kind}.delta")


@every_recording
@pytest.mark.parametrize("summary", [False, True], ids=["text", "summary"])
def test_all_that_a_recorded_stream_says_arrives(path: Path, summary: bool) -> None:
    """I7."""
    stream = stream_of(path)
    said = Said(stream)
    run = run_blocks([stream], tools=said.tools, summary=summary)
    response = run.check()
    thought = "reasoning_summary_text" if summary else "reasoning_text"
    assert streamed(run, "output_text") == said.text
    assert streamed(run, thought) == said.reasoning
    assert streamed(run, "refusal") == said.refusal
    if said.error is not None:
        assert response["status"] == "failed"
        assert said.error.rstrip(".") in response["error"]["message"]
        assert not [item for item in response["output"] if "call_id" in item]
        return
    assert response["status"] == ("incomplete" if said.finish == "length" else "completed")
    output = response["output"]
    assert told_text(output, "output_text") == said.text
    assert told_text(output, "summary_text" if summary else "reasoning_text") == said.reasoning
    assert told_text(output, "refusal") == said.refusal
    calls = [item for item in output if item["type"] == "function_call"]
    assert [(c["call_id"], c["name"], c["arguments"]) for c in calls] == [
        (c["id"], c["name"], c["arguments"] or "{}") for c in said.calls
    ]
    if said.usage is not None:
        assert response["usage"]["input_tokens"] == said.usage["prompt_tokens"]
        assert response["usage"]["output_tokens"] == said.usage["completion_tokens"]


@every_recording
def test_a_recorded_stream_may_arrive_in_any_blocks(path: Path) -> None:
    stream = stream_of(path)
    tools = Said(stream).tools
    whole = run_blocks([stream], tools=tools).wire
    assert run_blocks(one_by_one(stream), tools=tools).wire == whole
    crlf = stream.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert run_blocks(one_by_one(crlf), tools=tools).wire == whole
    lengths = random.Random(path.name)
    for _ in range(3):
        cuts = [lengths.randrange(len(stream)) for _ in range(40)]
        assert run_blocks(split_at(stream, cuts), tools=tools).wire == whole


@every_recording
def test_a_recorded_stream_that_is_cut_hands_out_no_call(path: Path) -> None:
    """I6."""
    stream = stream_of(path)
    tools = Said(stream).tools
    for cut in random.Random(path.name).sample(range(len(stream)), 25):
        run = run_blocks([stream[:cut]], tools=tools)
        response = run.check()
        if run.machine.finish is None:
            assert response["status"] == "failed"
            assert not [item for item in run.done_items() if "call_id" in item]


def test_citations_of_recorded_streams_are_flat() -> None:
    """Q79."""
    response = run_blocks([stream_of(STREAMS / "openrouter/chat-annotations.sse")]).check()
    cited = [a for item in response["output"] for a in item["content"][0]["annotations"]]
    assert cited
    for annotation in cited:
        assert annotation.keys() >= {"type", "url", "title", "start_index", "end_index"}
        assert "url_citation" not in annotation


@pytest.mark.parametrize("name", ["chat-claude-reasoning-details", "chat-claude-tool-reasoning"])
def test_the_details_of_a_recorded_stream_are_one_signed_block(name: str) -> None:
    """Q18: the signature comes last, on its own, and holds for the whole text."""
    stream = stream_of(STREAMS / f"openrouter/{name}.sse")
    said = Said(stream)
    run = run_blocks([stream], tools=said.tools, seal=True)
    blobs = [item.get("encrypted_content") for item in run.check()["output"]]
    (thought,) = (unsealed(blob, "acme")[0] for blob in blobs if blob)
    (detail,) = thought.details
    assert detail["text"] == thought.text == said.reasoning
    assert detail["signature"].encode() in stream
    assert detail.keys() == {"type", "text", "signature", "format", "index"}
