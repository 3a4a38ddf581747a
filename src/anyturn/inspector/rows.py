"""One capture as a row of the list, and what else the index has to know of it."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from anyturn.capture.explain import Explanation, Judge, explain, recorded_findings
from anyturn.capture.format import BREAKS_OFF, Capture
from anyturn.capture.timeline import CallLife, outputs_in, text_of, tokens_per_s

JSON: TypeAlias = dict[str, Any]

LIVE = "live"
# A file that did not grow for so long, and whose turn nobody knows to run, was cut off.
LIVE_S = 10.0
PROMPT_CHARS = 200
_WORD_CHARS = 200
_TOOLS_MAX = 64
# The newest outputs of a request; those before them came with earlier requests already.
_BROUGHT_MAX = 64
# The largest whole number that every program reads from JSON as it is.
_SAFE = 2**53 - 1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What the list says of one turn. Times are microseconds since the turn began."""

    name: str
    started: str = ""
    client: str = ""
    client_version: str = ""
    model: str = ""
    provider: str = ""
    status: str = "cut"
    """How the turn ended; `live` while it is recorded, `cut` when the recording breaks off."""
    tools: list[str] = []
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens_per_s: float | None = None
    first_event: int | None = None
    duration: int | None = None
    findings: int = 0
    errors: int = 0
    """Calls that did not run."""
    adaptations: int = 0
    error: str = ""
    prompt: str = ""
    bytes: int = 0
    problems: int = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A capture in the index: its row, and which calls it concerns."""

    row: Row
    turn: str = ""
    """The gateway's id of the turn."""
    ended: bool = False
    """Whether the recording says how the turn ended: then no more is written to it."""
    calls: tuple[str, ...] = ()
    """The ids of the calls that it makes."""
    brings: tuple[str, ...] = ()
    """The ids of the calls whose outputs its request brings, the newest ones."""


def entry_of(name: str, size: int, capture: Capture, judge: Judge, *, live: bool) -> Entry:
    """Read what the list shows from a capture. `live`: its turn is running, as far as is known."""
    running = live and capture.end is None
    told = explained(capture, (), judge, live=running)
    timeline, usage, head = told.timeline, capture.usage, capture.head
    calls = [call for call in timeline.calls if call.call_id]
    brought = list(outputs_in(capture.request))[-_BROUGHT_MAX:]
    row = Row(
        name=name,
        started=head.started[:_WORD_CHARS],
        client=head.client[:_WORD_CHARS],
        client_version=head.client_version[:_WORD_CHARS],
        model=head.model[:_WORD_CHARS],
        provider=head.provider[:_WORD_CHARS],
        status=LIVE if running else capture.status[:_WORD_CHARS],
        tools=[_tool(call) for call in timeline.calls[:_TOOLS_MAX]],
        input_tokens=_count(usage[0]) if usage else None,
        output_tokens=_count(usage[1]) if usage else None,
        tokens_per_s=tokens_per_s(capture, timeline),
        first_event=micros(timeline.first_event),
        duration=micros(timeline.ended),
        findings=len(told.findings),
        errors=sum(not one.runs and one.title.startswith("call ") for one in told.verdicts),
        adaptations=len(capture.adaptations),
        error=_error_of(capture),
        prompt=prompt_of(capture.request),
        bytes=size,
        problems=len(problems_of(capture, live=running)),
    )
    return Entry(
        row=row,
        turn=head.turn,
        ended=capture.end is not None,
        calls=tuple(call.call_id for call in calls),
        brings=tuple(brought),
    )


def unreadable(name: str, size: int, why: str) -> Entry:
    """The row of a file of which nothing can be read."""
    row = Row(name=name, bytes=size, problems=1, error=_line(why))
    return Entry(row=row, ended=True)


def explained(
    capture: Capture, later: list[Capture] | tuple[()], judge: Judge, *, live: bool
) -> Explanation:
    """Explain a turn; of one that still runs, only what cannot change any more."""
    if not live:
        return explain(capture, later, judge)
    told = explain(capture, later, recorded_findings)
    verdicts = [one for one in told.verdicts if one.runs]
    words = "The turn is under way."
    if verdicts:
        count = "One call was" if len(verdicts) == 1 else f"{len(verdicts)} calls were"
        words += f" {count} handed out by now."
    return msgspec.structs.replace(told, summary=words, verdicts=verdicts)


def problems_of(capture: Capture, *, live: bool) -> list[str]:
    """What could not be read; a turn that still runs has no end yet, which is no problem."""
    return [one for one in capture.problems if not (live and one == BREAKS_OFF)]


def prompt_of(request: JSON) -> str:
    """The last words of the user, in one line; without any, whose outputs are brought."""
    said = request.get("input", request.get("messages"))
    if isinstance(said, str):
        return _line(said)
    for item in reversed(said) if isinstance(said, list) else ():
        if isinstance(item, dict) and item.get("role") == "user" and (text := text_of(item)):
            return _line(text)
    # On a WebSocket a request holds only what is new.
    brought = list(outputs_in(request))
    return _line(f"(output of {', '.join(brought)})") if brought else ""


def micros(t: int | None) -> int | None:
    """A time that every reader of JSON takes as it is."""
    return None if t is None else max(-_SAFE, min(t, _SAFE))


def _count(tokens: int) -> int | None:
    return tokens if 0 <= tokens <= _SAFE else None


def _tool(call: CallLife) -> str:
    return call.shown_name[:_WORD_CHARS]


def _line(text: str) -> str:
    return " ".join(text[: 4 * PROMPT_CHARS].split())[:PROMPT_CHARS]


def _error_of(capture: Capture) -> str:
    end = capture.end
    error = end.error if end is not None and end.error is not None else {}
    said = error.get("message") or error.get("code") or ""
    return _line(said if isinstance(said, str) else str(said))
