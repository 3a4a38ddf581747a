"""What the relay records of what it passes on, and that no secret gets into a file."""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import brotli
import msgspec
import pytest
import zstandard

from anyturn.captured_findings import findings_of
from anyturn.testing import Answer, ScriptedProvider, ScriptedResponsesServer, call, text
from anyturn.wire import sse
from support.recordings import CHAT, Asked, ask, raw_backend, recording_relay, write_pieces

JSON = dict[str, Any]
KEY = "sk-planted-9f8e7d6c5b4a39281706"
RESPONSE: JSON = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
DONE = sse.encode(
    msgspec.json.encode({"type": "response.completed", "sequence_number": 0, "response": RESPONSE})
)

# ---------------------------------------------------------------- what is recorded

CODEX = {"User-Agent": "codex_exec/0.169.0"}
ENCODINGS = {
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "gzip, zstd": lambda data: zstandard.ZstdCompressor().compress(gzip.compress(data)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_encoded_bodies_pass_as_they_are_and_are_recorded_decoded(tmp_path, encoding) -> None:
    encode = ENCODINGS[encoding]
    asked_body = encode(b'{"model":"m","input":"Hi \xe2\x9c\x94"}')
    answer_body = encode(DONE)
    seen: list[bytes] = []

    async def answer(asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        seen.append(asked.body)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        # Byte by byte: the decoder must not need whole blocks.
        await write_pieces(
            writer, [head.encode(), *(answer_body[n : n + 1] for n in range(len(answer_body)))]
        )

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        url = f"{relay.base_url}/backend-api/codex/responses"
        headers = {"Content-Encoding": encoding}
        reply = await ask("POST", url, data=asked_body, headers=headers)
    assert (reply.raw, reply.headers["Content-Encoding"]) == (answer_body, encoding)
    assert seen == [asked_body]
    (capture,) = relay.captures
    assert capture.request == {"model": "m", "input": "Hi ✔"}
    assert capture.stream == DONE
    assert [event["type"] for event in capture.events] == ["response.completed"]
    assert capture.status == "completed"
    assert capture.end.headers["content-encoding"] == encoding


async def test_responses_traffic_is_recorded_event_by_event(tmp_path: Path) -> None:
    script = [Answer(text("I look."), call("run", {"n": 1})), Answer(text("It ran."))]
    body = {"model": "gpt-oss-120b", "input": "Run it.", "stream": True, "tools": [TOOL]}
    async with (
        ScriptedResponsesServer(script, strict=False, defects=()) as server,
        recording_relay(server.base_url, tmp_path / "c") as relay,
    ):
        for _ in script:
            reply = await ask("POST", f"{relay.base_url}/responses", json=body, headers=CODEX)
    first, second = relay.captures
    head = first.head
    assert (head.wire, head.transport, head.passive) == ("responses", "http", True)
    assert (head.provider, head.model) == ("127.0.0.1", "gpt-oss-120b")
    assert first.request == body
    assert first.asked[0].url == f"{server.base_url}/responses"
    assert second.stream == reply.raw
    messages = sse.Decoder().feed(reply.raw)
    assert second.events == [msgspec.json.decode(message.data) for message in messages]
    assert first.usage is not None
    assert findings_of(first) == []
    assert first.head.client == "codex_exec"
    times = [t for t, _ in first.timed_events]
    assert times == sorted(times) and times[0] > 0


TOOL = {"type": "function", "name": "run", "parameters": {"type": "object", "properties": {}}}


async def test_chat_traffic_is_recorded_without_events(tmp_path: Path) -> None:
    async with (
        ScriptedProvider([Answer(text("Hello."), finish="length")]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
    ):
        reply = await ask("POST", f"{relay.base_url}/chat/completions", json=CHAT)
    (capture,) = relay.captures
    assert (capture.head.wire, capture.status) == ("chat", "incomplete")
    assert (capture.events, capture.stream) == ([], reply.raw)
    assert capture.problems == []


REFUSALS = [
    (b'{"error":{"message":"Slow down.","code":"rate_limit_exceeded"}}', "Slow down."),
    (b'{"detail":"Instructions are required"}', "Instructions are required"),
    (b"<html>Bad Gateway</html>", "HTTP 429"),
    (b"", "HTTP 429"),
]


@pytest.mark.parametrize(("body", "words"), REFUSALS, ids=["openai", "detail", "html", "empty"])
async def test_a_refusal_is_recorded_as_the_backends(tmp_path, body: bytes, words: str) -> None:
    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: {len(body)}\r\n\r\n"
        await write_pieces(writer, [head.encode() + body])

    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        reply = await ask("POST", f"{relay.base_url}/v1/responses", json={"model": "m"})
    assert (reply.status, reply.raw) == (429, body)
    (capture,) = relay.captures
    end = capture.end
    assert (capture.status, end.http_status, end.headers["retry-after"]) == ("failed", 429, "7")
    assert words in end.error["message"]
    assert (end.error["source"], end.error["provider_status"]) == ("provider", 429)
    assert capture.stream == body


async def test_a_recorded_turn_at_a_wrong_path_is_said(tmp_path, caplog) -> None:
    async with (
        ScriptedProvider([]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
    ):
        wrong = await ask("POST", f"http://127.0.0.1:{relay.port}/chat/completions", data=b"{}")
    assert wrong.status == 404
    assert len(relay.captures) == 1
    assert "POST /chat/completions: 404; it is not below /v1: is the client" in caplog.text


async def test_other_paths_are_relayed_and_only_logged(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO, "anyturn")
    async with (
        ScriptedProvider([]) as provider,
        recording_relay(provider.base_url, tmp_path / "c") as relay,
    ):
        assert (await ask("GET", f"{relay.base_url}/models?key={KEY}")).json["object"] == "list"
        wrong = await ask("GET", f"http://127.0.0.1:{relay.port}/wrong/models")
        assert wrong.status == 404
    assert relay.captures == []
    assert "GET /v1/models: 200, relayed and not recorded" in caplog.text
    assert "it is not below /v1: is the client's base URL right?" in caplog.text
    assert KEY not in caplog.text


# ---------------------------------------------------------------- secrets (A2)


async def test_secrets_are_in_no_file_wherever_they_are_planted(tmp_path: Path) -> None:
    """In headers, the query, the body, and in a stream that comes byte by byte."""
    account = "acct-7f3e9b1c-account-of-ann"
    cookie = "crumb-5e4d3c2b1a0f9e8d7c6b"
    query = "query-token-1a2b3c4d5e6f7a8b"
    minted = "gsk_Zz9Yy8Xx7Ww6Vv5Uu4Tt3Ss2"
    secrets = (KEY, account, cookie, query, minted)
    said = f"Your key is {minted}, and yours {KEY} of {account}; {cookie}; {query}."
    deltas = [
        {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": char}
        for char in said
    ]
    other = [
        {"type": "response.output_text.delta", "item_id": "n", "output_index": 1, "delta": "x"}
        for _ in said
    ]
    mixed = [one for pair in zip(deltas, other, strict=True) for one in pair]
    stream = b"".join(sse.encode(msgspec.json.encode(event)) for event in [*mixed, *deltas]) + DONE

    async def answer(_asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nSet-Cookie: s={minted}\r\nX-Account: {account}\r\n"
        head += f"X-Ratelimit-Note: {KEY}\r\nConnection: close\r\n\r\n"
        await write_pieces(
            writer, [head.encode(), *(stream[n : n + 7] for n in range(0, len(stream), 7))]
        )

    headers = {
        "Authorization": f"Bearer {KEY}",
        "ChatGPT-Account-Id": account,
        "Cookie": f"a=b; session={cookie}",
        "User-Agent": f"agent/1 {KEY}",
    }
    body = {"model": f"m {KEY}", "input": said, "metadata": {"k": account, account: "v"}}
    async with raw_backend(answer) as origin, recording_relay(origin, tmp_path / "c") as relay:
        url = f"{relay.base_url}/v1/responses?api-version=2&key={query}&user=ann"
        assert (await ask("POST", url, json=body, headers=headers)).raw == stream
    (capture,) = relay.captures
    assert len(capture.events) == len(mixed) + len(deltas) + 1
    assert capture.asked[0].url.endswith(
        "/v1/responses?api-version=2&key=<redacted>&user=<redacted>"
    )
    for secret in secrets:
        assert secret.encode() not in relay.written
        for index in (0, 1):
            told = "".join(e["delta"] for e in capture.events if e.get("output_index") == index)
            assert secret not in told and secret[-8:] not in told
