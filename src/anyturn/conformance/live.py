"""Rules that need the server itself: whether it answers, how it refuses, and what gets lost.

They are asked about one exchange (`judging.Exchange`), whose facts the event holds: `problem` and
`words` where something went wrong on the way, `status`, and what the answer turned out to be.
"""

from __future__ import annotations

from anyturn.conformance.events import PROBED, Event, as_object, shown
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, Fault, rule
from anyturn.conformance.turn import Turn

NO_ANSWER, ENDLESS, CUT = "no answer", "endless", "cut"


@rule(
    "live.no-answer",
    on=(PROBED,),
    expected="an HTTP answer within the time limit",
    why="The client waits, says `stream disconnected` or `connection refused`, and tries again.",
    fix="Start the server, and look at address, port, scheme and firewall.",
    breaks=ALL,
    fault=Fault.PROXY,
)
def no_answer(turn: Turn, event: Event) -> str | None:
    return event.text("words") if event.body.get("problem") == NO_ANSWER else None


@rule(
    "live.key-refused",
    on=(PROBED,),
    expected="a key that the server takes, or none",
    why="The server answers nobody without its key. Codex sends a 401 five times more.",
    fix="Put the key into an environment variable and name that: `--api-key-env VARIABLE`.",
    breaks=ALL,
)
def key_refused(turn: Turn, event: Event) -> str | None:
    return event.text("refusal") if event.body.get("status") in (401, 403) else None


@rule(
    "live.redirect",
    on=(PROBED,),
    expected="an answer, not another address",
    why="A client that follows 301 or 302 sends a GET, and one that goes to another host leaves "
    "its key behind.",
    fix="Give clients the final address.",
    breaks=ALL,
    fault=Fault.PROXY,
)
def redirect(turn: Turn, event: Event) -> str | None:
    status = event.body.get("status")
    if not isinstance(status, int) or not 300 <= status < 400:
        return None
    return f"status {status}, to {event.text('location') or 'nowhere'}"


@rule(
    "live.endless",
    on=(PROBED,),
    expected="an answer that ends, within the limits of time and bytes",
    why="The client shows nothing final and waits until its own time limit; Codex gives up after "
    "five minutes of silence, and never while something comes.",
    fix="End every turn with a terminal event and close the body.",
    breaks=ALL,
)
def endless(turn: Turn, event: Event) -> str | None:
    return event.text("words") if event.body.get("problem") == ENDLESS else None


@rule(
    "live.cut-off",
    on=(PROBED,),
    expected="a body that ends as HTTP says",
    why="The SDKs raise an error of the connection, even behind the last event.",
    fix="End the last chunk of the body before the connection is closed.",
    degrades=ALL - {CODEX},
    cosmetic=(CODEX,),
    fault=Fault.PROXY,
)
def cut_off(turn: Turn, event: Event) -> str | None:
    return event.text("words") if event.body.get("problem") == CUT else None


@rule(
    "live.answer-lost",
    on=(PROBED,),
    expected="a text or a call in an answer that is completed",
    why="The turn ends and nothing happened: the user sees nothing, no tool runs.",
    fix="Look for what the model said before the server translated it: calls in a field of their "
    "own, reasoning alone, or a parser that swallows what it does not know.",
    breaks=ALL,
    seen="servers whose tool parser fails: it takes the text away and finds no call",
)
def answer_lost(turn: Turn, event: Event) -> str | None:
    if not event.body.get("is_empty"):
        return None
    tokens = event.body.get("output_tokens")
    counted = f", although {tokens} output tokens were counted" if tokens else ""
    return f"completed without text and without a call{counted}"


@rule(
    "live.format-ignored",
    on=(PROBED,),
    expected="one JSON value as the text, where `text.format` asks for it",
    why="The program that asked cannot parse the answer.",
    fix="Pass `text.format` on as the provider's `response_format`.",
    degrades=ALL,
    fault=Fault.MODEL,
)
def format_ignored(turn: Turn, event: Event) -> str | None:
    return event.body.get("no_json") or None


@rule(
    "live.json-answer",
    on=(PROBED,),
    expected="a response object, for a request without `stream`",
    why="Everything that does not stream fails: `responses.create()`, `generateText()`.",
    fix="Answer `stream: false` with the same response that `response.completed` holds.",
    breaks=(PYTHON, NODE, AI_SDK, OPEN),
)
def json_answer(turn: Turn, event: Event) -> str | None:
    return event.body.get("no_response") or None


@rule(
    "live.error-status",
    on=(PROBED,),
    expected="a 4xx status for what the client did wrong",
    why="A 5xx is sent again: by Codex thirty times, by the SDKs twice. A 200 looks like success.",
    fix="Answer 400 to a body that is no JSON, and 404 or 400 to a model that is not there.",
    degrades=ALL,
    seen="servers whose framework answers every exception with 500",
)
def error_status(turn: Turn, event: Event) -> str | None:
    status = event.body.get("refused_with")
    tolerated = status == 200 and event.body.get("may_pass")
    if not isinstance(status, int) or 400 <= status < 500 or tolerated:
        return None
    return f"status {status}: {event.text('refusal')}"


@rule(
    "live.error-envelope",
    on=(PROBED,),
    expected='`{"error": {"message": …}}` as the body of an error',
    why="The SDKs show `message`, and nothing where it is missing. Codex shows the raw body.",
    fix="Answer with OpenAI's envelope: message, type, param, code.",
    degrades=(PYTHON, NODE, AI_SDK, OPEN),
    cosmetic=(CODEX,),
    seen="frameworks that answer `detail`",
)
def error_envelope(turn: Turn, event: Event) -> str | None:
    status = event.body.get("refused_with")
    if not isinstance(status, int) or status < 400:
        return None
    message = as_object(as_object(event.body.get("json")).get("error")).get("message")
    return None if isinstance(message, str) and message else shown(event.text("refusal"))


@rule(
    "live.models",
    on=(PROBED,),
    expected='`GET /models` with a list: `{"data": [{"id": …}]}`',
    why="Programs that list models show none. Codex never asks a custom provider unless told to.",
    fix="Answer with OpenAI's list.",
    cosmetic=ALL,
)
def models(turn: Turn, event: Event) -> str | None:
    return event.body.get("no_models") or None


@rule(
    "live.websocket",
    on=(PROBED,),
    expected="a WebSocket, or status 426 at once",
    why="With WebSockets switched on, Codex goes on with POST at once after a 426 only. Otherwise "
    "it tries seven times and says that it falls back.",
    fix="Answer `GET /responses` with `Upgrade: websocket` with 426 where there is none.",
    cosmetic=(CODEX,),
)
def websocket(turn: Turn, event: Event) -> str | None:
    return event.body.get("no_socket") or None


ABOUT_THE_SERVER = frozenset({no_answer.id, key_refused.id, redirect.id})
"""What says nothing of the answers: nothing was checked then."""
