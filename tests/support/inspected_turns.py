"""Folders of captures for the inspector's page: many turns, a long one, a hostile one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from anyturn.capture import format as f
from anyturn.capture_files import CaptureFolder
from anyturn.wire import sse
from support import captured_turns as turns

JSON = dict[str, Any]
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# Markup, a script, marks of direction, control characters, a terminal's escape.
HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script></script>'
    "<svg onload=window.hacked=1> \u202egnp.exe\u202c \x07\x1b[31mred\x00 مرحبا "
    "javascript:window.hacked=1 ${window.hacked=1} {{window.hacked=1}}"
)
_MEGABYTE = 1024 * 1024
REFUSED = {
    "code": "rate_limit_exceeded",
    "message": "Too many requests: retry in 3 s",
    "source": "provider",
    "provider_status": 429,
}


def write_turn(path: Path, records: Iterable[f.Record], number: int, *, ended: bool = True) -> str:
    """Write a capture whose turn began `number` seconds after `STARTED`; returns its name."""
    folder = CaptureFolder(path)
    folder.make()
    file = folder.create(STARTED + timedelta(seconds=number), f"resp_{number:06}")
    for record in records:
        if ended or not isinstance(record, f.End):
            file.write(f.encode_record(record))
    file.close()
    return file.path.name.partition(".")[0]


def turn(number: int, prompt: str, *, model: str = "m", **options: Any) -> list[f.Record]:
    """The records of a turn with a call; the options are those of `captured_turns.records`."""
    words = {"type": "input_text", "text": prompt}
    asked = {
        **turns.REQUEST,
        "input": [{"type": "message", "role": "user", "content": [words]}],
    }
    began = (STARTED + timedelta(seconds=number)).isoformat(timespec="milliseconds")
    given = {"request": asked, "turn": f"resp_{number:06}", "started": began, **options}
    return [
        msgspec.structs.replace(one, model=model) if isinstance(one, f.Head) else one
        for one in turns.records(**given)
    ]


def many_turns(path: Path, count: int) -> None:
    """Turns of all outcomes, the newest with the highest number."""
    for number in range(count):
        status = {7: "failed", 8: "incomplete", 9: "left"}.get(number % 10, "completed")
        error = REFUSED if status == "failed" else None
        write_turn(path, turn(number, f"task {number}", status=status, error=error), number)


def long_turn(path: Path, count: int) -> str:
    """A turn of so many events, each delta from a chunk of its own."""
    words = [f"word{number} " for number in range(count - 6)]
    item = {"type": "message", "id": "msg_1", "role": "assistant"}
    part = {"type": "output_text", "text": "".join(words), "annotations": []}
    begun = turns.EVENTS[:1]
    begun += [{"type": "response.output_item.added", "item": {**item, "content": []}}]
    begun += [
        {"type": "response.content_part.added", "item_id": "msg_1", "part": {**part, "text": ""}}
    ]
    deltas = [
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": word} for word in words
    ]
    done = [{"type": "response.output_text.done", "item_id": "msg_1", "text": part["text"]}]
    done += [{"type": "response.output_item.done", "item": {**item, "content": [part]}}]
    done += turns.EVENTS[-1:]
    events = [*begun, *deltas, *done]
    chunks = [
        sse.encode(msgspec.json.encode(turns.chunk({"content": word}))).decode() for word in words
    ]
    records: list[f.Record] = [
        *turns.records(started=STARTED.isoformat(), turn="resp_long")[:3],
        f.ProviderBytes(t=[1000 + 300 * number for number in range(len(chunks))], text=chunks),
        f.Events(
            t=[1100 + 300 * max(0, number - 3) for number in range(len(events))],
            events=[[event] for event in events],
        ),
        f.End(t=300 * count + 2000, status="completed"),
    ]
    return write_turn(path, records, 0)


def hostile_turn(path: Path, number: int = 0) -> str:
    """A turn in which every text that anybody but us wrote is hostile, and some are huge."""
    huge = HOSTILE * (_MEGABYTE // len(HOSTILE))
    told = {**turns.CALL, "name": HOSTILE, "call_id": HOSTILE}
    told["arguments"] = msgspec.json.encode({HOSTILE: HOSTILE, "huge": huge}).decode()
    events = [
        {**event, "delta": HOSTILE} if "delta" in event else event for event in turns.EVENTS[:-2]
    ]
    events += [{"type": "response.output_item.done", "item": told}, {"type": HOSTILE, "huge": huge}]
    events += turns.EVENTS[-1:]
    called = {"index": 0, "id": HOSTILE, "function": {"name": HOSTILE, "arguments": huge}}
    stream = turns.stream(turns.chunk({"content": HOSTILE}), turns.chunk({"tool_calls": [called]}))
    asked = {"input": HOSTILE + huge, "tools": [{"type": "function", "name": HOSTILE}]}
    records = turn(number, "", events=events, request={**asked, HOSTILE: HOSTILE}, text=stream)
    who = {"client": HOSTILE, "client_version": HOSTILE, "provider": HOSTILE, "model": HOSTILE}
    records[0] = msgspec.structs.replace(records[0], **who)
    records[1] = msgspec.structs.replace(records[1], headers={HOSTILE: HOSTILE})
    change = f.Change(rule=HOSTILE, where=HOSTILE, what=HOSTILE, lossy=True)
    told_of = {"rule": HOSTILE, "what": HOSTILE, "fault": HOSTILE, "advice": HOSTILE}
    records[-1:-1] = [
        f.Changes(t=5000, adaptations=[change]),
        f.Findings(t=6000, findings=[f.Finding(where="event 5", **told_of)]),
        f.Lost(t=7000, records=3, bytes=9, why=HOSTILE),
    ]
    return write_turn(path, records, number)


def unreadable_turn(path: Path, number: int) -> None:
    """A file that is no capture."""
    folder = CaptureFolder(path)
    folder.make()
    file = folder.create(STARTED + timedelta(seconds=number), f"resp_{number:06}")
    file.write(b"\x00\xff <b>no capture</b>\n")
    file.close()
