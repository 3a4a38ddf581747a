"""Rules of the carrier: HTTP, server-sent events and JSON."""

from __future__ import annotations

from anyturn.conformance.events import (
    DONE,
    END,
    HEAD,
    NO_STREAM,
    TOO_LONG,
    UNREADABLE,
    UNTYPED,
    Event,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, Fault, rule
from anyturn.conformance.turn import Turn


@rule(
    "transport.status",
    on=(HEAD,),
    expected="HTTP status 200",
    why="No client reads events under another status. Codex shows the raw body of a 400, sends a "
    "401, 403, 404 or 422 five times more and a 500 thirty times.",
    fix="Answer 200 once the stream can begin; tell what goes wrong later in `response.failed`.",
    breaks=ALL,
)
def status(turn: Turn, event: Event) -> str | None:
    code = event.body.get("status")
    return None if code in (None, 200) else f"status {code}"


@rule(
    "transport.content-type",
    on=(HEAD,),
    expected="`Content-Type: text/event-stream`",
    why="The specification demands it. Codex and the SDKs do not look, but proxies that do not see "
    "it hold the whole answer back.",
    fix="Send `Content-Type: text/event-stream` with every streamed answer.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
    fault=Fault.PROXY,
    seen="the ChatGPT backend sends none (F57)",
)
def content_type(turn: Turn, event: Event) -> str | None:
    said = event.body.get("content_type")
    if not isinstance(said, str) or event.body.get("status") not in (None, 200):
        return None
    media = said.partition(";")[0].strip().lower()
    return None if media == "text/event-stream" else f"Content-Type: {said or 'none'}"


@rule(
    "transport.not-a-stream",
    on=(NO_STREAM,),
    expected="server-sent events: lines `data: {…}`, each followed by a blank line",
    why="Codex finds no event, says `stream closed before response.completed`, and sends the "
    "request five times more. A JSON answer to `stream: true` counts as no stream.",
    fix="Answer `stream: true` with server-sent events, errors before the first one with a status.",
    breaks=ALL,
    fault=Fault.PROXY,
    seen="gateways that ignore `stream`, proxies that answer with a web page",
)
def not_a_stream(turn: Turn, event: Event) -> str | None:
    if turn.status not in (None, 200):
        return None
    return shown(" ".join(event.raw.decode("utf-8", "replace").split())) or "an empty body"


@rule(
    "transport.unended",
    expected="a blank line after every message, after the last one too",
    why="A message without its blank line is never dispatched. Codex loses the last event, "
    "normally `response.completed`, and sends the request again; openai-python raises. "
    "openai-node 7 does not mind, and the AI SDK loses how the answer ended.",
    fix="End every message with two line ends.",
    breaks=(CODEX, PYTHON, OPEN),
    degrades=(NODE, AI_SDK),
    seen="Chat providers forget it (F54), and so do gateways that copy their bytes",
)
def unended(turn: Turn, event: Event) -> str | None:
    lost = not event.ended and event.type not in (DONE, END, NO_STREAM)
    return (
        f"the stream ends inside: {shown(event.raw.decode('utf-8', 'replace'))}" if lost else None
    )


@rule(
    "transport.too-long",
    on=(TOO_LONG,),
    expected="messages of no more than 16 MiB",
    why="Clients hold a message in memory until it ends. Nothing after it could be checked.",
    fix="Split long texts into deltas.",
    degrades=ALL,
)
def too_long(turn: Turn, event: Event) -> str | None:
    return event.body.get("said") or "a longer one"


@rule(
    "transport.bad-json",
    on=(UNREADABLE,),
    expected="one JSON object in the data of each message",
    why="Codex skips the message silently, so that a call in it is lost. The SDKs raise.",
    fix="Encode each event with a JSON encoder, on one line, as UTF-8.",
    breaks=ALL,
    seen="hand-made string templates; cut lines (`str.splitlines` cuts at U+2028)",
)
def bad_json(turn: Turn, event: Event) -> str | None:
    if not event.ended:
        return None
    return f"data: {shown(event.raw.decode('utf-8', 'replace'))}"


@rule(
    "transport.no-type",
    on=(UNTYPED,),
    expected="`type` in the JSON of every event",
    why="Only `data.type` counts: Codex ignores an event without it, whatever the `event:` line "
    "says.",
    fix="Put `type` into the body of each event.",
    breaks=ALL,
)
def no_type(turn: Turn, event: Event) -> str | None:
    return None if turn.is_chat else shown(event.body or event.raw.decode("utf-8", "replace"))


@rule(
    "transport.event-name",
    expected="an `event:` line that equals `type`, or none",
    why="The specification demands it. Codex and the SDKs read `type` alone, but other clients "
    "dispatch by the line.",
    fix="Write the line from the event's `type`.",
    degrades=(OPEN,),
    cosmetic=ALL - {OPEN},
)
def event_name(turn: Turn, event: Event) -> str | None:
    if turn.is_chat or not event.name or not event.body or event.name == event.body.get("type"):
        return None
    return f"event: {event.name} over type {shown(event.body.get('type'))}"


@rule(
    "transport.done-missing",
    on=(END,),
    expected="`data: [DONE]` as the last message",
    why="The Open Responses specification demands it. OpenAI itself sends none, and no SDK minds.",
    fix="Send `data: [DONE]` after the terminal event. Never on a WebSocket.",
    cosmetic=(OPEN,),
    seen="OpenAI, Azure, xAI, DeepSeek and Bedrock",
)
def done_missing(turn: Turn, event: Event) -> str | None:
    if event.body.get("framing") != "sse" or turn.is_done_marked or turn.is_cut:
        return None
    return "the stream ends without it" if turn.terminal else None


@rule(
    "transport.after-done",
    expected="nothing after `data: [DONE]`",
    why="openai-python and openai-node stop reading there: what follows never happened for "
    "them. Without the end openai-python raises. The AI SDK reads on.",
    fix="Send `[DONE]` last, after the terminal event.",
    breaks=(PYTHON,),
    degrades=(NODE, OPEN),
    cosmetic=(CODEX, AI_SDK),
    once=True,
)
def after_done(turn: Turn, event: Event) -> str | None:
    late = turn.is_done_marked and event.type not in (END, DONE)
    return f"{event.type} after [DONE]" if late else None
