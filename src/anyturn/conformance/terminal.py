"""Rules of the end: exactly one terminal event, and what it must say (I4, I5, I6)."""

from __future__ import annotations

from anyturn.conformance.events import (
    COMPLETED,
    CREATED,
    END,
    ERROR,
    FAILED,
    INCOMPLETE,
    JSON,
    TERMINAL,
    Event,
    as_object,
    shown,
)
from anyturn.conformance.rules import AI_SDK, ALL, CODEX, NODE, OPEN, PYTHON, Fault, rule
from anyturn.conformance.turn import Turn, differing, final_output

_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
_DETAILS = {"input_tokens_details": "cached_tokens", "output_tokens_details": "reasoning_tokens"}
# What openai-python's `Response` requires. The schema of Open Responses requires more.
MEMBERS_OF_OPENAI = frozenset(
    {
        *("id", "created_at", "error", "incomplete_details", "instructions", "metadata", "model"),
        *("object", "output", "parallel_tool_calls", "temperature", "tool_choice", "tools"),
        "top_p",
    }
)
_STANDING = frozenset({COMPLETED, INCOMPLETE})


@rule(
    "terminal.missing",
    on=(END,),
    expected="exactly one of response.completed, response.incomplete and response.failed",
    why="Codex says `stream closed before response.completed` and sends the request five times "
    "more, with everything that was done already.",
    fix="Send a terminal event whatever happened: `response.failed` when the provider's stream "
    "breaks off.",
    breaks=ALL,
    fault=Fault.PROXY,
    seen="bridges that end with `[DONE]` alone; cut connections (F39)",
)
def missing(turn: Turn, event: Event) -> str | None:
    gone = turn.terminal is None and not turn.is_error_told
    return f"the stream ends after {turn.count} events" if gone else None


@rule(
    "terminal.error-alone",
    on=(END,),
    expected="`response.failed` after an `error` event",
    why="Codex ignores `error`: it says `stream closed before response.completed`, sends the "
    "request five times more, and the reason is never shown.",
    fix="Follow every `error` with `response.failed` that carries the same code and message.",
    breaks=(CODEX, OPEN),
    cosmetic=(PYTHON, NODE, AI_SDK),
)
def error_alone(turn: Turn, event: Event) -> str | None:
    alone = turn.terminal is None and turn.is_error_told
    return "the stream ends after `error`" if alone else None


@rule(
    "terminal.twice",
    on=TERMINAL,
    expected="exactly one terminal event",
    why="The first one counts for some clients and the last one for others.",
    fix="Keep in one place whether the response has ended.",
    breaks=(OPEN,),
    degrades=(PYTHON, NODE, AI_SDK),
    cosmetic=(CODEX,),
)
def twice(turn: Turn, event: Event) -> str | None:
    return f"{event.type} after {turn.terminal}" if turn.terminal else None


@rule(
    "terminal.response-missing",
    on=(CREATED, *TERMINAL),
    expected="the whole response in `response`",
    why="Codex cannot parse the end (`failed to parse ResponseCompleted`) and sends the request "
    "five times more. The SDKs raise.",
    fix="Put the response object into the event.",
    breaks=ALL,
)
def response_missing(turn: Turn, event: Event) -> str | None:
    return None if event.response else f"response: {shown(event.body.get('response'))}"


@rule(
    "terminal.id-missing",
    on=(COMPLETED,),
    expected="`response.id` is a string",
    why="Codex cannot parse the end (`missing field id`) and sends the request five times more, "
    "each of them paid. openai-python 3 and openai-node 7 raise.",
    fix="Mint an id when the response is created, and repeat it.",
    breaks=ALL - {AI_SDK},
    degrades=(AI_SDK,),
)
def id_missing(turn: Turn, event: Event) -> str | None:
    wrong = event.response and not isinstance(event.response.get("id"), str)
    return f"id: {shown(event.response.get('id', 'missing'))}" if wrong else None


@rule(
    "terminal.id-changes",
    on=TERMINAL,
    expected="one `response.id` from `response.created` to the end (I3)",
    why="openai-python and openai-node raise; `previous_response_id` names another response.",
    fix="Mint the id once, and pass no chunk ids on.",
    breaks=(PYTHON, NODE, OPEN),
)
def id_changes(turn: Turn, event: Event) -> str | None:
    named = event.response.get("id")
    if turn.response_id is None or not isinstance(named, str) or named == turn.response_id:
        return None
    return f"{turn.response_id} when it was created, {named} at the end"


@rule(
    "terminal.status-wrong",
    on=TERMINAL,
    expected="`response.status` that says what the event says",
    why="Programs that look at the final response read another end than those that see the event.",
    fix="Set the status with the terminal event.",
    breaks=(OPEN,),
    degrades=(PYTHON, NODE),
    cosmetic=(CODEX, AI_SDK),
)
def status_wrong(turn: Turn, event: Event) -> str | None:
    said = event.response.get("status")
    right = not event.response or said == TERMINAL[event.type]
    return None if right else f"{event.type} with status {shown(said)}"


@rule(
    "terminal.usage-missing",
    on=(COMPLETED,),
    expected="`usage` with the tokens of the turn",
    why="Codex counts 0 tokens: its context meter stays empty and it never compacts, until the "
    "provider refuses the history. AI SDK 5 loses the finish reason, and no program can "
    "count.",
    fix="Ask the provider (`stream_options.include_usage`) and pass its numbers on.",
    degrades=ALL - {OPEN},
    cosmetic=(OPEN,),
    seen="codex_plus; bridges that do not ask their provider (F58)",
)
def usage_missing(turn: Turn, event: Event) -> str | None:
    absent = event.response and event.response.get("usage") is None
    return f"usage: {shown(event.response.get('usage', 'missing'))}" if absent else None


@rule(
    "terminal.usage-incomplete",
    on=_STANDING,
    expected="input_tokens, output_tokens and total_tokens in `usage`, and cached_tokens and "
    "reasoning_tokens in its details",
    why="Codex cannot parse the end (`missing field input_tokens`) and sends the request five "
    "times more, each of them paid. The AI SDK raises.",
    fix="Send all of it, with 0 for what is not known, or no `usage` at all.",
    breaks=(CODEX, AI_SDK, OPEN),
    degrades=(PYTHON, NODE),
    seen="bridges that pass prompt_tokens on",
)
def usage_incomplete(turn: Turn, event: Event) -> str | None:
    usage = event.response.get("usage")
    if usage is None:
        return None
    counts = as_object(usage)
    lacking = [name for name in _COUNTS if type(counts.get(name)) is not int]
    for name, count in _DETAILS.items():
        details = counts.get(name)
        if details is not None and type(as_object(details).get(count)) is not int:
            lacking.append(f"{name}.{count}")
    return f"usage without {', '.join(lacking)}: {shown(usage)}" if lacking else None


@rule(
    "terminal.usage-details-missing",
    on=_STANDING,
    expected="input_tokens_details and output_tokens_details in `usage`",
    why="The strict types and the Open Responses schema demand them. Codex does without.",
    fix='Send `"input_tokens_details": {"cached_tokens": 0}` and its kin.',
    breaks=(OPEN,),
    degrades=(PYTHON,),
    seen="bridges whose provider does not tell them (F58)",
)
def usage_details_missing(turn: Turn, event: Event) -> str | None:
    usage = as_object(event.response.get("usage"))
    lacking = [name for name in _DETAILS if usage and usage.get(name) is None]
    return f"usage without {' and '.join(lacking)}" if lacking else None


@rule(
    "terminal.usage-total",
    on=_STANDING,
    expected="total_tokens is the sum of input_tokens and output_tokens",
    why="Codex compacts by the total alone: a wrong one compacts too early, or never.",
    fix="Add the two, and count reasoning among the output.",
    degrades=(CODEX, PYTHON, NODE),
    cosmetic=(AI_SDK, OPEN),
)
def usage_total(turn: Turn, event: Event) -> str | None:
    usage = as_object(event.response.get("usage"))
    given, made, total = (usage.get(name) for name in _COUNTS)
    if not (isinstance(given, int) and isinstance(made, int) and isinstance(total, int)):
        return None
    return None if given + made == total else f"{given} and {made} make {total}"


@rule(
    "terminal.output-empty",
    on=_STANDING,
    expected="the done items in `response.output`, in order (I4)",
    why="openai-python's and openai-node's final response, LangChain, LlamaIndex and the AI SDK's "
    "generateText come back empty. Codex reads the done items.",
    fix="Collect the done items and send them with the terminal event.",
    breaks=(PYTHON, NODE, OPEN),
    degrades=(AI_SDK,),
    seen="the ChatGPT backend since April 2026; codex_plus",
)
def output_empty(turn: Turn, event: Event) -> str | None:
    empty = event.response and not final_output(event) and turn.done
    return f"output is empty, {len(turn.done)} items were done" if empty else None


@rule(
    "terminal.output-only",
    on=_STANDING,
    expected="every item of `response.output` in a done event of its own",
    why="Codex takes nothing from the final output: the call never runs, the text is not shown, "
    "and nothing says so.",
    fix="Send `response.output_item.added` and `.done` for every item.",
    breaks=(CODEX, AI_SDK, OPEN),
    cosmetic=(PYTHON, NODE),
)
def output_only(turn: Turn, event: Event) -> str | None:
    # What was announced and not done has a rule of its own.
    extra = final_output(event)[len(turn.done) + len(turn.open_items) :]
    return f"only in the final output: {shown(extra[0])}" if extra else None


@rule(
    "terminal.output-differs",
    on=TERMINAL,
    expected="the final output has the done items as they were done, in order (I4)",
    why="A program that reads the final response does something else than one that reads "
    "events: another call runs.",
    fix="Build the output from the done items themselves.",
    breaks=(PYTHON, NODE, OPEN),
    degrades=(AI_SDK,),
)
def output_differs(turn: Turn, event: Event) -> str | None:
    output = final_output(event)
    if not output:
        return None
    if len(output) < len(turn.done):
        return f"{len(output)} items in the output, {len(turn.done)} were done"
    for place, (done, item) in enumerate(zip(turn.done, output, strict=False)):
        if members := differing(done, item):
            return f"output[{place}] ({done.type} {done.id}) differs in {', '.join(members)}"
    return None


@rule(
    "terminal.members-missing",
    on=TERMINAL,
    expected="the members of the response that OpenAI's types require",
    why="The strict types of openai-python raise, and programs that read `response.model` crash.",
    fix="Echo the request in the response; null where there is nothing to say.",
    breaks=(OPEN,),
    degrades=(PYTHON,),
    cosmetic=(NODE, AI_SDK),
    seen="most bridges",
)
def members_missing(turn: Turn, event: Event) -> str | None:
    lacking = sorted(MEMBERS_OF_OPENAI - event.response.keys() - {"id"})
    return f"the response lacks {', '.join(lacking)}" if lacking and event.response else None


@rule(
    "terminal.failed-without-error",
    on=(FAILED,),
    expected="`response.error` with `code` and `message`, both text",
    why="Codex says only `response.failed event received`, and sends the request five times more. "
    "The code decides whether it tries again.",
    fix="Pass the provider's words on, with a code that says what happened.",
    breaks=(OPEN,),
    degrades=ALL - {OPEN},
)
def failed_without_error(turn: Turn, event: Event) -> str | None:
    error = as_object(event.response.get("error"))
    said = all(isinstance(error.get(name), str) and error[name] for name in ("code", "message"))
    return None if said or not event.response else f"error: {shown(event.response.get('error'))}"


@rule(
    "terminal.error-shape",
    on=(ERROR,),
    expected="an `error` event with `error.message`, or a flat `message`",
    why="The SDKs raise an error without a word in it.",
    fix="Send both forms: flat `code`, `message` and `param`, and the same nested in `error`.",
    degrades=ALL - {CODEX},
)
def error_shape(turn: Turn, event: Event) -> str | None:
    nested: JSON = as_object(event.body.get("error"))
    said = nested.get("message") or event.body.get("message")
    return None if isinstance(said, str) and said else shown(event.body)


@rule(
    "terminal.incomplete-without-reason",
    on=(INCOMPLETE,),
    expected="`incomplete_details.reason`",
    why="Codex shows the reason and decides by it: max_output_tokens ends the turn, anything else "
    "is tried five times more.",
    fix="Send `max_output_tokens` or `content_filter`.",
    degrades=ALL,
)
def incomplete_without_reason(turn: Turn, event: Event) -> str | None:
    details = event.response.get("incomplete_details")
    said = isinstance(as_object(details).get("reason"), str)
    return None if said or not event.response else f"incomplete_details: {shown(details)}"


@rule(
    "terminal.completed-with-incomplete-item",
    on=(COMPLETED,),
    expected="`response.incomplete` when an item is incomplete (I6)",
    why="Half a call or half an answer passes for a whole one: Codex and programs on the SDKs "
    "try to run the half call, whose arguments are no JSON.",
    fix="Answer finish_reason length with `response.incomplete`.",
    breaks=ALL - {AI_SDK},
    degrades=(AI_SDK,),
    seen="bridges that take every end for a good one (F53)",
)
def completed_with_incomplete_item(turn: Turn, event: Event) -> str | None:
    if not turn.incomplete_item:
        return None
    return f"response.completed, though {turn.incomplete_item} is incomplete"
