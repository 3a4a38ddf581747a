"""The benchmark's own claims: a benchmark that measures the wrong thing looks like a good one."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import bench
import bodies
import load
import msgspec
import process
import pytest
import rig
import scenarios
import typer
from hypothesis import given
from hypothesis import strategies as st
from stub_provider import Answer, Connection, Provider, Script, encode, pieces

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def stub() -> Iterator[process.Server]:
    with process.Server(process.python(rig.HERE / "stub_provider.py")) as server:
        yield server


def relay_to(port: int) -> process.Server:
    command = process.python(rig.HERE / "byte_relay.py", "--target", f"127.0.0.1:{port}")
    return process.Server(command)


def ask(server: process.Server, model: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("POST", CHAT, bodies.request("chat", model))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@given(
    st.builds(
        Script,
        mode=st.sampled_from(["text", "tool"]),
        n=st.integers(1, 10**7),
        rate=st.one_of(st.integers(0, 10**6), st.floats(0, 1e6)),
        per=st.integers(1, 1000),
        stamp=st.booleans(),
        hold=st.floats(0, 1e3),
    )
)
def test_a_model_name_carries_the_whole_script(script: Script) -> None:
    assert Script.parse(script.model) == script


@pytest.mark.parametrize(
    "model",
    ["bench", "gpt-oss-120b", "bench:n=0", "bench:n=ten", "bench:speed=9", "bench:mode=video"],
)
def test_a_model_name_that_is_no_script_is_refused(model: str) -> None:
    with pytest.raises(ValueError):
        Script.parse(model)


def test_the_stub_refuses_a_model_that_is_no_script(stub: process.Server) -> None:
    status, body = ask(stub, "gpt-oss-120b")
    assert (status, b"bench:" in body) == (400, True)


@pytest.mark.parametrize(
    "script",
    [
        Script(n=1),
        Script(n=500),
        Script(n=120, per=50),
        Script(n=20, rate=1000),
        Script(n=5, hold=0.01),
        Script(mode="tool", n=1),
        Script(mode="tool", n=40),
    ],
    ids=lambda script: script.model,
)
def test_the_stub_streams_what_it_says(stub: process.Server, script: Script) -> None:
    status, body = ask(stub, script.model)
    assert status == 200
    frames = body.decode().removesuffix("\n\n").split("\n\n")
    assert frames.pop() == "data: [DONE]"
    chunks = [msgspec.json.decode(frame.removeprefix("data: ")) for frame in frames]
    assert (chunks[-1]["usage"]["completion_tokens"], len(chunks)) == (script.n, script.n + 2)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[1:-1]]
    if script.mode == "text":
        assert [delta["content"] for delta in deltas] == pieces(script)
    else:
        arguments = [delta["tool_calls"][0]["function"]["arguments"] for delta in deltas]
        assert arguments == pieces(script)
        msgspec.json.decode("".join(arguments))


def test_a_chunk_is_as_long_as_a_real_one() -> None:
    writes = encode(Script(n=1000))[1:-1]
    assert 300 <= sum(map(len, writes)) / len(writes) <= 360


@pytest.mark.parametrize(("per", "writes"), [(1, 120), (50, 3)])
def test_a_write_carries_as_many_deltas_as_asked(per: int, writes: int) -> None:
    assert len(encode(Script(n=120, per=per))) == writes + 2


def test_a_paced_delta_is_never_early(stub: process.Server) -> None:
    script = Script(n=40, rate=1000, stamp=True)
    turn = load.drive(load.Target.at(stub.url + CHAT), script).turns[0]
    stamps = [int(piece[1:-1]) for _, piece in load.deltas("chat", turn)]
    assert all(stamp >= turn.sent + i * 1_000_000 for i, stamp in enumerate(stamps))


def test_due_times_do_not_drift() -> None:
    answer = Answer(Script(n=4, rate=1000), phase=0.5)
    times = [(answer.take(), answer.due())[1] for _ in range(5)]
    assert [due - times[0] for due in times] == [0, 10**6, 2 * 10**6, 3 * 10**6, 3 * 10**6]


class RecordingSocket:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: memoryview) -> int:
        self.sent.append(bytes(data))
        return len(data)


def test_late_deltas_are_still_one_write_each() -> None:
    provider = Provider("127.0.0.1", 0)
    sock: Any = RecordingSocket()
    script = Script(n=5, rate=1e9)
    provider.begin(Connection(sock), script)
    provider.write_what_is_due()
    provider.close()
    assert sock.sent == list(encode(script))


def test_a_holding_stream_is_silent_after_its_first_delta(stub: process.Server) -> None:
    target = load.Target.at(stub.url + CHAT)
    script = Script(n=3, hold=30)
    with socket.create_connection((target.host, target.port), timeout=5) as sock:
        sock.sendall(target.request(script))
        first = b"".join(encode(script)[:2])
        received = b""
        while len(received) < len(first):
            received += sock.recv(4096)
        assert received == first
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            sock.recv(1)


async def test_the_relay_changes_no_byte_either_way() -> None:
    up = bytes(range(256)) * 4000
    down = bytes(reversed(range(256))) * 8000
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(-1))
        writer.write(down)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        with relay_to(server.sockets[0].getsockname()[1]) as relay:
            reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
            writer.write(up)
            writer.write_eof()
            received = await reader.read(-1)
            writer.close()
            await writer.wait_closed()
    assert (seen == [up], received == down) == (True, True)


def test_the_load_client_counts_what_comes_through_the_relay(stub: process.Server) -> None:
    script = Script(n=200, per=10, stamp=True)
    with relay_to(stub.port) as relay:
        target = load.Target.at(relay.url + CHAT)
        recording = load.drive(target, script, connections=3, turns=7)
        with load.silent_streams(target, Script(n=2, hold=30), 3):
            pass
    sample = load.verify("chat", script, recording)
    assert (sample.turns, sample.events, len(sample.lag)) == (7, 1400, 1400)
    assert min(sample.lag) > 0
    assert len(sample.first) == 7


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SCRIPT = Script(n=3)


def answer(*frames: bytes, head: bytes = HEAD) -> bytes:
    chunks = [b"data: %b\n\n" % frame for frame in frames]
    framed = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return head + b"".join(framed) + b"0\r\n\r\n"


def text_event(piece: str) -> bytes:
    return msgspec.json.encode({"type": "response.output_text.delta", "delta": piece})


def text_chunk(piece: str) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": {"content": piece}}]})


EVENTS = [text_event(piece) for piece in pieces(SCRIPT)]
CHUNKS = [text_chunk(piece) for piece in pieces(SCRIPT)]
CREATED = b'{"type":"response.created"}'
COMPLETED = b'{"type":"response.completed"}'
FAILED = b'{"type":"response.failed","response":{"error":{"message":"overloaded"}}}'


def recorded(*reads: bytes) -> load.Recording:
    turn = load.Turn(0, [(number + 1, data) for number, data in enumerate(reads)])
    return load.Recording([turn], len(reads))


@pytest.mark.parametrize(
    ("api", "data"),
    [
        ("responses", answer(CREATED, *EVENTS, COMPLETED)),
        ("chat", answer(*CHUNKS, b"[DONE]")),
    ],
    ids=["responses", "chat"],
)
@given(st.data())
def test_a_whole_answer_is_counted_however_it_was_cut(
    api: bodies.Api, data: bytes, draw: st.DataObject
) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=12)))
    reads = [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    sample = load.verify(api, SCRIPT, recorded(*reads))
    assert (sample.turns, sample.events) == (1, 3)


def test_a_delta_arrives_with_the_read_that_completes_it() -> None:
    whole = answer(*CHUNKS, b"[DONE]")
    cut = whole.index(CHUNKS[1]) + 5
    found = load.deltas("chat", recorded(whole[:cut], whole[cut:]).turns[0])
    assert [arrival for arrival, _ in found] == [1, 2, 2]


@pytest.mark.parametrize(
    ("api", "data", "says"),
    [
        ("responses", answer(*EVENTS), "no terminal event"),
        ("chat", answer(*CHUNKS), "no terminal event"),
        ("responses", answer(*EVENTS[:2], COMPLETED), "2 deltas came, 3 were sent"),
        ("chat", answer(*CHUNKS, CHUNKS[0], b"[DONE]"), "4 deltas came, 3 were sent"),
        ("responses", answer(EVENTS[0], EVENTS[0], EVENTS[2], COMPLETED), "delta 1 is"),
        ("responses", answer(*EVENTS, COMPLETED, EVENTS[0]), "follows the terminal event"),
        ("responses", answer(CREATED, FAILED), "overloaded"),
        ("responses", answer(*EVENTS, COMPLETED)[:-5], "stops before its end"),
        ("responses", answer(b"{}", head=HEAD.replace(b"200", b"503")), "not a streamed answer"),
        ("responses", b"", "stops before its end"),
    ],
    ids=[
        "no completed event",
        "no done marker",
        "lost delta",
        "doubled delta",
        "changed delta",
        "event after the end",
        "failed",
        "cut off",
        "refused",
        "nothing",
    ],
)
def test_the_load_client_notices(api: bodies.Api, data: bytes, says: str) -> None:
    with pytest.raises(load.LoadError, match=says):
        load.verify(api, SCRIPT, recorded(data))


def test_a_connection_that_closes_early_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(65536)
                sock.sendall(answer(*CHUNKS, b"[DONE]")[:-40])

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        recording = load.drive(load.Target.at(f"http://127.0.0.1:{port}{CHAT}"), SCRIPT)
        thread.join()
    with pytest.raises(load.LoadError, match="stops before its end"):
        load.verify("chat", SCRIPT, recording)


def test_an_answer_that_does_not_end_is_not_waited_for_for_ever(stub: process.Server) -> None:
    target = load.Target.at(stub.url + CHAT)
    with pytest.raises(load.LoadError, match="not over"):
        load.drive(target, Script(n=2, hold=30), timeout=0.2)


def test_writes_that_caught_up_are_counted() -> None:
    script = Script(n=4, rate=1000, stamp=True)
    stamps = [0, 1_000_000, 2_900_000, 3_000_000]
    chunks = [text_chunk(f"@{stamp:020d}@") for stamp in stamps]
    sample = load.verify("chat", script, recorded(answer(*chunks, b"[DONE]")))
    assert sample.caught_up == 0.25


def test_cpu_and_memory_of_a_process_are_read() -> None:
    pid, before, start = os.getpid(), process.cpu_ns(os.getpid()), time.thread_time_ns()
    while time.thread_time_ns() - start < 30_000_000:
        pass
    assert process.cpu_ns(pid) - before >= 20_000_000
    assert process.resident_bytes(pid) > 5_000_000


def test_a_server_that_ends_is_reported_with_its_words() -> None:
    words = [sys.executable, "-c", "raise SystemExit('no such option')"]
    with pytest.raises(process.StartError, match="no such option"), process.Server(words):
        pass


def test_the_address_of_the_provider_is_not_taken_for_the_gateways() -> None:
    lines = "print('to http://127.0.0.1:7/v1, at http://127.0.0.1:8', flush=True); input()"
    command = [sys.executable, "-c", lines]
    with process.Server(command, ignore=[7]) as server:
        assert server.port == 8


@pytest.mark.parametrize(
    ("clock", "seconds"), [("0:01.50", 1.5), ("02:03:04", 7384), ("1-00:00:01", 86401)]
)
def test_the_clock_of_ps_is_read(clock: str, seconds: float) -> None:
    assert process.clock_ns(clock) == seconds * 1e9


def row(**fields: Any) -> scenarios.Row:
    return scenarios.Row(name="x", title="x", unit="µs/event", **fields)


@pytest.mark.parametrize(
    ("fields", "slack", "verdict"),
    [
        ({"gateway": [9.0, 50.0, 8.0], "target": 10}, 1, "ok"),
        ({"gateway": [11.0], "target": 10}, 1, "missed"),
        ({"gateway": [11.0], "target": 10}, 2, "ok"),
        ({"gateway": [11.0]}, 1, ""),
        ({"gateway": [7.0], "relay": [3.0], "target": 5, "judged": "difference"}, 1, "ok"),
        ({"gateway": [9.0], "relay": [3.0], "target": 5, "judged": "difference"}, 1, "missed"),
        ({"problem": "no answer", "target": 5}, 1, "broken"),
        ({"target": 5}, 1, "broken"),
    ],
)
def test_the_verdict_follows_the_median(fields: dict[str, Any], slack: float, verdict: str) -> None:
    assert row(**fields).verdict(slack) == verdict


def test_a_scenario_that_breaks_becomes_a_row_and_a_remark() -> None:
    class Broken(scenarios.Scenario, frozen=True, kw_only=True):
        def measure(self, rig: rig.Rig) -> list[scenarios.Row]:
            raise load.LoadError("no terminal event")

    with rig.Rig(rounds=1, quick=True) as unused:
        rows = bench.measure(Broken(name="b", title="b", unit="ms"), unused)
    assert [broken.verdict() for broken in rows] == ["broken"]
    assert any("no terminal event" in remark for remark in bench.remarks(rows))


def test_a_gateway_that_seems_to_cost_nothing_is_not_believed() -> None:
    server: Any = None
    relay, gateway = (
        rig.Subject(server, load.Target.at(f"http://127.0.0.1:1{path}"))
        for path in (CHAT, "/v1/responses")
    )
    assert scenarios.microseconds_each(relay, 0, 10) == 0
    with pytest.raises(RuntimeError, match="too coarse"):
        scenarios.microseconds_each(gateway, 0, 10)


def test_an_unknown_scenario_is_refused_with_the_known_names() -> None:
    with pytest.raises(typer.BadParameter, match="flat50"):
        bench.chosen(["nope"])


# ---------------------------------------------------------------- loops


def test_loops_name_what_is_stored_and_a_gateway_without_a_store_gets_everything() -> None:
    memory = next(one for one in scenarios.SCENARIOS if one.name == "memory")
    small = msgspec.structs.replace(memory, loops=3, turns=3, most_rounds=1)
    with rig.Rig(rounds=1, quick=True) as some:
        rows = small.measure(some)
    assert {row.name for row in rows} >= {"memory-sqlite", "memory-sqlite-cpu"}
    assert all(row.count == 9 and row.gateway_median and row.relay_median for row in rows)


def test_a_loop_that_forgets_what_the_store_should_know_is_noticed() -> None:
    script = Script(mode="tool", n=2, rate=100)
    with (
        rig.Rig(rounds=1, quick=True) as some,
        some.fresh_gateway() as without_a_store,
        pytest.raises(load.LoadError, match="previous_response_not_found"),
    ):
        without_a_store.run_loops(script, loops=1, turns=2, remembered=True)
