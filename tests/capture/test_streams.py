from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anyturn.capture import format as f
from anyturn.capture.redact import Redactor
from anyturn.capture.streams import Streams, Written
from anyturn.wire import responses as r

KEY = "csk-4x8n2m6v9k3j5h7f1d0s8a6p2o4i"
SECRETS = [
    KEY,
    "sk-proj-Zk3vN8qLw2Rt7Yb5Xc9Md4Hf6Jg1",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N",
]
planted = st.sampled_from(SECRETS)
ITEM = "msg_1"


def quoted(text: str, escapes: bool) -> str:
    """The text in JSON, with all that is not ASCII in escapes or not."""
    json = msgspec.json.encode(text).decode()
    if not escapes:
        return json
    units = memoryview(json.encode("utf-16-le")).cast("H")
    return "".join(chr(unit) if unit < 0x7F else f"\\u{unit:04x}" for unit in units)


def chunk(text: str, *, called: bool = False, escapes: bool = False) -> bytes:
    said = f'"content":{quoted(text, escapes)}'
    if called:
        said = f'"tool_calls":[{{"index":0,"function":{{"arguments":{quoted(text, escapes)}}}}}]'
    return (
        f'data: {{"id":"chatcmpl-1","choices":[{{"index":0,"delta":{{{said}}},'
        '"finish_reason":null}],"model":"m"}\n\n'
    ).encode()


def words_of(stream: bytes) -> str:
    out = ""
    for one in f.chunks_of(stream):
        said = one["choices"][0]["delta"]
        calls = said.get("tool_calls")
        out += calls[0]["function"]["arguments"] if calls else said.get("content", "")
    return out


def deltas(pieces: list[str], *, called: bool = False) -> list[r.Event]:
    if called:
        return [r.ArgumentsDelta("fc_1", 0, one, n) for n, one in enumerate(pieces, 4)]
    return [r.TextDelta(ITEM, 0, 0, one, n) for n, one in enumerate(pieces, 4)]


def as_json(events: list[r.Event]) -> list[Any]:
    return [msgspec.json.decode(r.encode_json(one)) for one in events]


def recorded(
    blocks: list[bytes],
    writes: list[list[r.Event]],
    sizes: list[int],
    streams: Streams | None = None,
) -> tuple[f.Capture, list[bytes]]:
    """Rounds of so many blocks with what was made of each; what is read again, and the lines."""
    streams = streams or Streams(Redactor([KEY]))
    lines, at, number = [f.encode_record(f.Head())], 0, 0
    while at < len(blocks):
        end = at + sizes[number % len(sizes)]
        number += 1
        times = [10 * n for n in range(at, min(end, len(blocks)))]
        written = [(10 * n + 1, e) for n in range(at, min(end, len(blocks))) for e in writes[n]]
        both = Written([t for t, _ in written], [e for _, e in written])
        lines += streams.lines(times, blocks[at:end], both)
        at = end
    lines.append(f.encode_record(f.End()))
    return f.read_capture(lines), lines


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)
cuts = st.lists(st.integers(0, 400), max_size=60)
texts = st.text('ab {}":\\\n.\u00e9\u2028\U0001f680\x7f\x00', max_size=300)


@given(texts, cuts, sizes, st.booleans(), st.booleans(), st.integers(1, 4))
def test_what_holds_no_secret_is_read_as_it_came(
    text: str, cuts: list[int], sizes: list[int], called: bool, escapes: bool, per: int
) -> None:
    pieces = split(text, cuts)
    chunks = [chunk(one, called=called, escapes=escapes) for one in pieces]
    events = deltas(pieces, called=called)
    blocks = [b"".join(chunks[n : n + per]) for n in range(0, len(chunks), per)]
    writes = [events[n : n + per] for n in range(0, len(events), per)]
    odd = b': x\n\ndata: {"odd" :  1}\r\n\r\n'
    capture, _ = recorded([odd, *blocks, odd], [[], *writes, []], sizes)
    assert capture.problems == []
    assert [data for _, data in capture.blocks] == [odd, *blocks, odd]
    assert [t for t, _ in capture.blocks] == [10 * n for n in range(len(blocks) + 2)]
    assert capture.events == as_json(events)
    assert [t for t, _ in capture.timed_events] == [
        10 * n + 1 for n, write in enumerate([[], *writes]) for _ in write
    ]


@given(planted, texts, cuts, sizes, st.booleans(), st.booleans(), st.integers(1, 3))
def test_a_key_is_written_in_neither_stream_wherever_it_is_cut(
    secret: str,
    before: str,
    cuts: list[int],
    sizes: list[int],
    called: bool,
    escapes: bool,
    per: int,
) -> None:
    pieces = split(f"{before} it is {secret}, he said. And so on, and on.", cuts)
    chunks = [chunk(one, called=called, escapes=escapes) for one in pieces]
    events = deltas(pieces, called=called)
    blocks = [b"".join(chunks[n : n + per]) for n in range(0, len(chunks), per)]
    writes = [events[n : n + per] for n in range(0, len(events), per)]
    capture, lines = recorded(blocks, writes, sizes)
    assert capture.problems == []
    said = "".join(event["delta"] for event in capture.events)
    for out in (words_of(capture.stream), said):
        assert secret[-6:] not in out
        assert out.startswith(f"{before} it is ") and out.endswith("And so on, and on.")
    assert secret.encode() not in b"".join(lines)


@given(planted, st.integers(1, 30), sizes)
def test_a_key_on_both_sides_of_a_run_is_not_written(
    secret: str, cut: int, sizes: list[int]
) -> None:
    """The first half ends a run, another form of message comes between, the rest begins one."""
    cut = min(cut, len(secret) - 6)
    first = ["It", " is", " ", secret[:cut]]
    rest = [secret[cut:], ".", " Do", " not", " tell."]
    pieces = [*[" x"] * 9, *first, *rest, *[" y"] * 9]
    events = deltas(pieces)
    blocks = [chunk(one) for one in pieces]
    usage = b'data: {"choices":[{"delta":{"content":"","role":"assistant"}}],"usage":{"n":1}}\n\n'
    blocks.insert(13, usage)
    writes: list[list[r.Event]] = [[one] for one in events]
    writes.insert(13, [])
    capture, _ = recorded(blocks, writes, sizes)
    for out in (words_of(capture.stream), "".join(e["delta"] for e in capture.events)):
        assert secret[-6:] not in out
        assert out.endswith(" Do not tell." + " y" * 9)


@given(planted, st.integers(0, 4), sizes)
def test_json_in_json_hides_no_key(secret: str, depth: int, sizes: list[int]) -> None:
    inner = f'{{"note":"tiny","value":"{secret}"}}'
    for _ in range(depth):
        inner = msgspec.json.encode({"x": inner}).decode()
    pieces = split(inner, list(range(0, 900, 7)))
    capture, _ = recorded(
        [chunk(one, called=True) for one in pieces],
        [[one] for one in deltas(pieces, called=True)],
        sizes,
    )
    for out in (words_of(capture.stream), "".join(e["delta"] for e in capture.events)):
        assert secret[-6:] not in out


@pytest.mark.parametrize("name", ["api_key", "user", "password", "safety_identifier", "email"])
def test_words_under_a_secret_name_are_not_taken_for_words(name: str) -> None:
    blocks = [f'data: {{"id":"c","{name}":"tiny{n}"}}\n\n'.encode() for n in range(40)]
    capture, _ = recorded(blocks, [[] for _ in blocks], [10])
    assert b"tiny" not in capture.stream
    assert capture.stream.count(b"<redacted>") == 40


def test_a_stream_of_words_takes_little_room() -> None:
    pieces = [f" word{n}" for n in range(600)]
    blocks = [chunk(one) for one in pieces]
    capture, lines = recorded(blocks, [[one] for one in deltas(pieces)], [100])
    assert capture.stream == b"".join(blocks)
    assert len(b"".join(lines)) < len(capture.stream) // 2
    assert {msgspec.json.decode(line)["kind"] for line in lines[1:-1]} == {"chunks", "deltas"}


def relayed(delta: str, number: int) -> r.Event:
    body = {
        "type": "response.output_text.delta", "item_id": ITEM, "output_index": 0,
        "delta": delta, "obfuscation": f"x{number}", "sequence_number": number,
    }  # fmt: skip
    return r.Relayed(body["type"], msgspec.json.encode(body), number)


def test_events_of_a_responses_server_are_written_as_the_client_got_them() -> None:
    events = [relayed(f" w{n}", n) for n in range(20)]
    capture, _ = recorded([b"data: x\n\n"] * 20, [[one] for one in events], [7])
    assert capture.events == as_json(events)


@given(planted, cuts, sizes)
def test_a_key_in_the_deltas_of_a_responses_server_is_not_written(
    secret: str, cuts: list[int], sizes: list[int]
) -> None:
    pieces = split(f"It is {secret}, he said.", cuts)
    events = [relayed(one, n) for n, one in enumerate(pieces)]
    blocks = [b"event: x\ndata: %b\n\n" % r.encode_json(one) for one in events]
    capture, _ = recorded(blocks, [[one] for one in events], sizes)
    said = "".join(event["delta"] for event in capture.events)
    sent = "".join(one["delta"] for one in f.chunks_of(capture.stream))
    for out in (said, sent):
        assert secret[-6:] not in out
        assert out.startswith("It is ") and out.endswith(" he said.")


def response(status: str, **members: Any) -> r.Response:
    return r.Response(id="resp_1", created_at=1, status=status, model="m", **members)


@pytest.mark.parametrize("secret", SECRETS)
def test_what_a_response_repeats_is_redacted_each_time(secret: str) -> None:
    tools = [{"type": "function", "name": "f", "description": f"use {secret}"}]
    events: list[r.Event] = [
        r.Created(response("in_progress", tools=tools), 0),
        r.InProgress(response("in_progress", tools=tools), 1),
        r.Completed(response("completed", tools=tools, metadata={"k": secret}), 2),
    ]
    line = Streams(Redactor()).events([events])
    assert secret.encode() not in line
    assert line.count(b"<redacted>") == 4


def test_a_text_that_was_looked_at_hides_nothing_that_follows_it() -> None:
    """The first text ends as a key begins; the second is the same text with the key's end."""
    text = "x" * 60 + " sk-proj-Zk3v"
    key = text + "N8qLw2Rt7Yb5Xc9Md4Hf6Jg1"
    events: list[r.Event] = [
        r.TextDone(ITEM, 0, 0, text, 1),
        r.TextDone("msg_2", 1, 0, key, 2),
    ]
    assert b"Md4Hf6Jg1" not in Streams(Redactor()).events([events])
