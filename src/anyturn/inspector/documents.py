"""One turn as the page shows it: both wires with times and links, and what is known of them.

A document may be tens of megabytes: it is encoded in pieces, so that it is never there twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeAlias

import msgspec

from anyturn.capture import format as f
from anyturn.capture.explain import Explanation, Judge
from anyturn.capture.format import Capture
from anyturn.inspector.rows import LIVE, Row, explained, micros, problems_of
from anyturn.wire import sse

JSON: TypeAlias = dict[str, Any]

_PIECE = 500
_EVENT = re.compile(r"event ([0-9]{1,9})")
_encode = msgspec.json.Encoder().encode


def document_of(
    row: Row,
    version: int,
    capture: Capture,
    later: list[Capture],
    judge: Judge,
) -> bytes:
    """Return a turn as JSON. `later` are the captures that bring the outputs of its calls."""
    live = row.status == LIVE
    problems = problems_of(capture, live=live)
    events = capture.timed_events
    chunks = chunks_in(capture.blocks, problems)
    if capture.head.passive:
        chunks, links = one_wire(chunks, events)
    else:
        links = links_of([t for t, _ in chunks], [t for t, _ in events])
    told = explained(capture, later, judge, live=live)
    request = {"headers": capture.headers, "body": capture.request}
    members: list[tuple[str, Iterable[bytes]]] = [
        ("version", [_encode(version)]),
        ("row", [_encode(row)]),
        ("head", [_encode(capture.head)]),
        ("request", [_encode(request)]),
        ("asked", _array(map(_asked, capture.asked))),
        ("chunks", _array({"t": micros(t), "data": data} for t, data in chunks)),
        ("events", _array({"t": micros(t), "event": event} for t, event in events)),
        ("links", _array(links)),
        ("adaptations", _array(_adaptations(capture))),
        ("findings", _array(_findings(capture, told.findings, events))),
        ("lost", _array(capture.lost)),
        ("end", [_encode(capture.end)]),
        ("timeline", [_encode(told.timeline)]),
        ("explanation", [_explanation(told)]),
        ("problems", [_encode(problems)]),
    ]
    pieces = []
    for number, (name, parts) in enumerate(members):
        pieces.append(b'%b"%b":' % (b"," if number else b"{", name.encode()))
        pieces += parts
    return b"".join((*pieces, b"}"))


def _array(items: Iterable[Any]) -> Iterator[bytes]:
    """A JSON array, in pieces."""
    rest = iter(items)
    yield b"["
    separator = b""
    while piece := list(islice(rest, _PIECE)):
        yield separator + _encode(piece)[1:-1]
        separator = b","
    yield b"]"


def chunks_in(blocks: list[tuple[int, bytes]], problems: list[str]) -> list[tuple[int, str]]:
    """The messages of a provider's stream with the times at which they were whole.

    A message is its data; one that has a name is given as it was sent. What is no event stream is
    one message.
    """
    first = next((data.lstrip() for _, data in blocks if data.strip()), b"")
    if first[:1] in (b"{", b"["):
        whole = b"".join(data for _, data in blocks)
        return [(blocks[-1][0], whole.decode("utf-8", "replace"))]
    decoder = sse.Decoder()
    found: list[tuple[int, str]] = []
    try:
        for t, data in blocks:
            found += [(t, _message(one)) for one in decoder.feed(data)]
        if blocks:
            found += [(blocks[-1][0], _message(one)) for one in decoder.close()]
    except sse.SSEError as error:
        problems.append(f"the provider's stream is shown up to here: {error}")
    return found


def _message(message: sse.Message) -> str:
    data = message.data.decode("utf-8", "replace")
    return f"event: {message.event}\ndata: {data}" if message.event else data


def links_of(chunks: list[int], events: list[int]) -> list[tuple[int, int]]:
    """For each event the chunks that it came from: from the first number to before the second.

    They are those that came since the write before this event's own. The events of one write have
    one time, and the range of a write without chunks of its own is empty.
    """
    times = _rising(chunks)
    found: list[tuple[int, int]] = []
    begin = end = 0
    written: int | None = None
    for t in events:
        if t != written:
            begin, end, written = end, max(end, bisect_right(times, t)), t
        found.append((begin, end))
    return found


def one_wire(
    chunks: list[tuple[int, str]], events: list[tuple[int, JSON]]
) -> tuple[list[tuple[int, str]], list[tuple[int, int]]]:
    """The messages of a relayed turn that are no events, and where each event stands among them.

    A relay has one wire: what it read from the messages as events is not shown a second time. An
    event's range is empty, and begins at the first message behind it.
    """
    if not events:
        return chunks, []
    others: list[tuple[int, str]] = []
    links: list[tuple[int, int]] = []
    for t, data in chunks:
        if len(links) < len(events) and _is_event(data):
            links.append((len(others), len(others)))
        else:
            others.append((t, data))
    links += [(len(others), len(others))] * (len(events) - len(links))
    return others, links


class _Typed(msgspec.Struct):
    type: str


_typed = msgspec.json.Decoder(_Typed).decode


def _is_event(message: str) -> bool:
    data = message.partition("\ndata: ")[2] if message.startswith("event: ") else message
    try:
        _typed(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _rising(times: list[int]) -> list[int]:
    """The times with none before its predecessor, as a clock of a damaged file may have it."""
    found: list[int] = []
    for t in times:
        found.append(max(t, found[-1]) if found else t)
    return found


def _adaptations(capture: Capture) -> Iterator[JSON]:
    for record in capture.all(f.Changes):
        for one in record.adaptations:
            yield {**msgspec.structs.asdict(one), "t": micros(record.t)}


def _findings(
    capture: Capture, findings: list[f.Finding], events: list[tuple[int, JSON]]
) -> Iterator[JSON]:
    """The findings with times: when they were recorded, or that of the event they speak of."""
    recorded = [record.t for record in capture.all(f.Findings) for _ in record.findings]
    for number, one in enumerate(findings):
        t = recorded[number] if number < len(recorded) else _time_of(one, events)
        yield {**msgspec.structs.asdict(one), "t": micros(t)}


def _time_of(finding: f.Finding, events: list[tuple[int, JSON]]) -> int | None:
    named = _EVENT.fullmatch(finding.where)
    if named and int(named[1]) < len(events):
        return events[int(named[1])][0]
    return events[-1][0] if events else None


def _asked(asked: f.ProviderRequest) -> JSON:
    return {"t": micros(asked.t), "url": asked.url, "body": asked.body}


def _explanation(told: Explanation) -> bytes:
    verdicts = [{**msgspec.structs.asdict(one), "whose": one.whose} for one in told.verdicts]
    return _encode({"summary": told.summary, "verdicts": verdicts})
