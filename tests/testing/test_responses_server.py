from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest

from anyturn.testing import Answer, Defect, Raw, ScriptedResponsesServer, call, reasoning, text
from anyturn.wire import sse

JSON = dict[str, Any]
GOOD: JSON = {
    "model": "gpt-oss-120b",
    "store": False,
    "stream": True,
    "instructions": "",
    "input": [{"role": "user", "content": "Hi"}],
}


async def post(server: ScriptedResponsesServer, body: JSON, key: str = "") -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    url = f"{server.base_url}/responses"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json=body, headers=headers) as reply,
    ):
        return reply.status, await reply.read()


def events(raw: bytes) -> list[JSON]:
    found = [m.data for m in sse.Decoder().feed(raw)]
    return [msgspec.json.decode(data) for data in found if data != b"[DONE]"]


async def test_it_streams_its_script_and_ends_as_the_backend_does() -> None:
    async with ScriptedResponsesServer([Answer(reasoning("Hm"), call("f"))]) as server:
        status, raw = await post(server, GOOD)
    assert status == 200
    last = events(raw)[-1]
    assert (last["type"], last["response"]["output"]) == ("response.completed", [])
    assert b"[DONE]" not in raw
    assert server.requests[0].items == GOOD["input"]


async def test_it_opens_the_seals_of_its_own_account_only() -> None:
    async with ScriptedResponsesServer([reasoning("Hm")], account="b") as server:
        (item,) = [e["item"] for e in events((await post(server, GOOD))[1]) if "item" in e][1:]
        assert item["encrypted_content"].startswith("gAAAAABb-")


@pytest.mark.parametrize(
    ("body", "key", "status", "shape"),
    [
        ({**GOOD, "store": True}, "k", 400, {"detail": "Store must be set to false"}),
        ({**GOOD, "model": "x"}, "k", 400, None),
        ({**GOOD, "input": [{"type": "item_reference", "id": "i"}]}, "k", 404, None),
        (GOOD, "wrong", 401, None),
        ([], "k", 400, None),
    ],
    ids=["detail", "model", "reference", "key", "no object"],
)
async def test_it_refuses_in_two_shapes(body: Any, key: str, status: int, shape: Any) -> None:
    async with ScriptedResponsesServer([text("x")], api_key="k") as server:
        got, raw = await post(server, body, key)
    assert got == status
    assert len(server.refusals) == 1
    assert shape is None or msgspec.json.decode(raw) == shape


async def test_it_can_be_lenient_cut_off_and_say_done() -> None:
    script = [text("Hello"), Answer(text("Hello"), cut_after=3, crlf=True), Raw(b"x")]
    defects = [Defect.NO_TERMINAL]
    async with ScriptedResponsesServer(script, strict=False, defects=defects) as server:
        assert (await post(server, {"model": "any"}))[1].endswith(b"[DONE]\n\n")
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(server, {"model": "any"})
        assert await post(server, {"model": "any"}) == (200, b"x")
