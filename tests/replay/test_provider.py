from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from anyturn.capture import format as f
from anyturn.capture_files import CaptureFolder, capture_paths, read_file
from anyturn.replay.provider import (
    SESSION,
    ReplayError,
    ReplayProvider,
    Shelf,
    Tape,
    fingerprint,
    replaying,
    tapes_of,
)
from support.captured_turns import captured, records


def tape(name: str, request: str = "") -> Tape:
    return Tape(request=request, model="m", blocks=[(0, name.encode())])


async def asked(url: str, body: Any) -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/chat/completions", data=msgspec.json.encode(body)) as response,
    ):
        return response.status, await response.read()


def test_the_tape_of_the_same_request_comes_first_and_then_the_next_in_order() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    shelf = Shelf([tape("a"), tape("b", fingerprint(body)), tape("c")])
    taken = [shelf.take(one) for one in (body, {}, body, body)]
    assert [one and one.blocks[0][1] for one in taken] == [b"b", b"a", b"c", None]


def test_secrets_and_other_fields_do_not_tell_requests_apart() -> None:
    def body(key: str, **more: Any) -> Any:
        return {"model": "m", "messages": [{"role": "user", "content": f"my {key}"}], **more}

    keys = ("sk-aaaaaaaaaaaaaaaaaaaa1", "sk-bbbbbbbbbbbbbbbbbbbb2")
    assert fingerprint(body(keys[0], seed=1)) == fingerprint(body(keys[1]))
    assert fingerprint(body("x")) != fingerprint(body("y"))


async def test_what_was_recorded_is_served_byte_for_byte(recorded_folder: Path) -> None:
    captures = [read_file(one.path) for one in CaptureFolder(recorded_folder).files()]
    async with replaying(captures) as provider:
        second = await asked(provider.base_url, captures[1].asked[0].body)
        first = await asked(provider.base_url, {"messages": []})
        third = await asked(provider.base_url, {"messages": []})
    assert second == (200, captures[1].stream)
    assert first == (200, captures[0].stream)
    assert third[0] == 400 and b"no more answers" in third[1]
    assert (provider.served, provider.refused) == (2, 1)


@pytest.mark.parametrize(
    ("speed", "waits"), [(0.0, []), (1.0, [0.5, 1.0]), (2.0, [0.25, 0.5])], ids=["none", "1x", "2x"]
)
async def test_it_waits_as_it_was_or_not_at_all(speed: float, waits: list[float]) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    blocks = [(500_000, b"data: 1\n\n"), (1_500_000, b"data: 2\n\n"), (1_500_000, b"data: 3\n\n")]
    one = Tape(request="", model="m", blocks=blocks)
    async with ReplayProvider([one], speed=speed, sleep=sleep) as provider:
        assert await asked(provider.base_url, {}) == (200, b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
    assert slept == waits


async def test_a_refusal_of_then_is_a_refusal_again() -> None:
    error = {"message": "Slow down.", "source": "provider", "provider_status": 429}
    refused = f.read_capture(
        f.encode_record(one)
        for one in records(status="failed", error=error, events=[])
        if not isinstance(one, f.ProviderBytes)
    )
    async with replaying([refused]) as provider:
        status, body = await asked(provider.base_url, {})
    assert (status, msgspec.json.decode(body)["error"]["message"]) == (429, "Slow down.")


async def test_bodies_that_are_no_json_use_no_tape_up() -> None:
    async with replaying([captured()]) as provider:
        async with aiohttp.ClientSession() as http:
            for data in (b"{", b"[]", b"\xff"):
                async with http.post(
                    f"{provider.base_url}/chat/completions", data=data
                ) as response:
                    assert response.status == 400
            async with http.get(f"{provider.base_url}/models") as response:
                assert (await response.json())["data"][0]["id"] == "m"
        assert (await asked(provider.base_url, {}))[0] == 200


def test_captures_without_any_answer_cannot_be_replayed() -> None:
    with pytest.raises(ReplayError, match="None of these"):
        tapes_of([f.Capture(records=[])])


def test_the_session_that_is_shipped_is_whole() -> None:
    captures = [read_file(path) for path in capture_paths(SESSION)]
    assert [capture.problems for capture in captures] == [[], []]
    assert len(tapes_of(captures)) == 2
    assert all(capture.stream.endswith(b"data: [DONE]\n\n") for capture in captures)


# ---------------------------------------------------------------- what `anyturn record` recorded


def relayed(wire: str, request: f.JSON, stream: str, *, status: int = 200, over: str = "http"):
    """A passive recording of one turn."""
    error = {"source": "provider", "provider_status": status, "message": "No."}
    return f.Capture(
        records=[
            f.Head(turn="t", passive=True, wire=wire, transport=over, model="m"),
            f.ClientRequest(body=request),
            f.ProviderRequest(url="http://localhost/v1/x"),
            f.ProviderBytes(t=[5], text=[stream]),
            f.End(t=9, status="failed", http_status=status, error=error if status > 299 else None),
        ]
    )


EVENT = 'data: {"type":"response.completed"}\n\n'
WARM_UP = 'data: {"type":"response.created"}\n\n'
RESPONSES = [
    relayed("responses", {"model": "m", "input": [], "generate": False}, WARM_UP),
    relayed("responses", {"model": "m", "input": "Hi"}, EVENT),
    relayed("responses", {"model": "m", "input": "Ho"}, '{"error":{"message":"No."}}', status=429),
]


async def test_recorded_responses_are_served_on_the_same_api() -> None:
    """A warm-up is only for one, refusals are refusals, and chat requests get nothing of it."""
    async with replaying(RESPONSES) as provider, aiohttp.ClientSession() as http:
        url = provider.base_url
        async with http.post(f"{url}/responses", json={"model": "m", "input": "Ho"}) as response:
            assert response.status == 429
            assert await response.json() == {"error": {"message": "No."}}
        async with http.post(f"{url}/responses", json={"model": "x", "input": []}) as response:
            assert (response.status, await response.text()) == (200, EVENT)
        async with http.post(f"{url}/responses", json={"model": "x", "input": []}) as response:
            assert response.status == 400
        async with http.post(f"{url}/chat/completions", json={"model": "m"}) as response:
            assert response.status == 400
        assert (provider.served, provider.refused) == (2, 2)


async def test_recorded_responses_are_served_over_a_websocket() -> None:
    refused = relayed(
        *("responses", {"model": "m", "input": "No"}, 'data: {"type":"error"}\n\n'),
        status=400,
        over="websocket",
    )
    async with (
        replaying([*RESPONSES[:2], refused]) as provider,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{provider.base_url}/responses") as socket,
    ):
        for body, kind in (
            ({"generate": False}, "response.created"),
            ({"model": "m", "input": "Hi"}, "response.completed"),
            ({"model": "m", "input": "No"}, "error"),
            ({"model": "m"}, "error"),
        ):
            await socket.send_json({"type": "response.create", **body})
            assert (await socket.receive_json())["type"] == kind
        assert (await http.get(f"{provider.base_url}/responses")).status == 405


async def test_recorded_chat_traffic_is_served_as_before() -> None:
    capture = relayed("chat", {"model": "m", "messages": [1]}, "data: {}\n\n")
    async with replaying([capture]) as provider:
        assert (await asked(provider.base_url, {"model": "m", "messages": [1]}))[0] == 200
