"""A provider's error, in its own words, as the `TurnError` that fits it.

Three doors: an HTTP error (`failure_from_http`), an error inside a 200 (`failure_from_chunk`), and
a 200 that is no answer at all (`failure_from_body`). `error_bodies.py` reads the shapes and
`failure_kinds.py` judges them; here the sentence is written that the client shows: who failed,
with which status, what the provider said, and what to do next (F55, F60, F63, F64; codex-cli.md
section 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyturn.errors import Kind, TurnError
from anyturn.translate.error_bodies import Report, read_body, read_value, status_of
from anyturn.translate.failure_kinds import bad_tool_call, judge
from anyturn.translate.provider_words import fit_to_show
from anyturn.translate.retry_after import asked_pause, retry_after
from anyturn.wire.chat import Choice, Chunk
from anyturn.wire.profile import Profile

__all__ = ["failure_from_body", "failure_from_chunk", "failure_from_http", "retry_after"]

# Codex gives up at once on a 429 that names no pause (codex-cli.md section 8).
DEFAULT_PAUSE_SECONDS = 5.0


def failure_from_http(
    status: int, body: bytes, headers: Mapping[str, str], profile: Profile
) -> TurnError:
    """Make the error for an answer of the provider that is not a 200. Never raises.

    `retry_after` is set for RATE_LIMITED always, and for other transient kinds when the provider
    asked for a pause. The message stays below 4 kB and holds no credential.
    """
    report = read_body(body)
    # Some gateways put the true status inside an answer that looks fine.
    kind = judge(report, status if status >= 300 else report.status)
    pause = None
    if kind is Kind.RATE_LIMITED:
        pause = retry_after(headers, report.words, profile)
    elif kind.transient:
        pause = asked_pause(headers)
    return _failure(kind, report, profile, status, f"HTTP {status}", pause)


def failure_from_chunk(chunk: Chunk, event: str, profile: Profile) -> TurnError | None:
    """Make the error that stands inside a 200, None when `chunk` is none (F55, Q3–Q7, Q12).

    `event` is the name of its server-sent event. Whole answers that were not streamed are read
    too. `provider_status` is the status that the error states, else 200. A normal chunk costs a
    few attribute tests.
    """
    choices = chunk.choices
    if (
        choices
        and chunk.error is None
        and not event
        and chunk.base_resp is None
        and chunk.status_code is None
        and chunk.success is not False
        and chunk.object != "error"
        and choices[0].error is None
        and choices[0].finish_reason != "error"
    ):
        return None
    value = _error_in(chunk, event)
    if value is None:
        return None
    return failure_from_value(value, profile)


def failure_from_value(value: Any, profile: Profile) -> TurnError:
    """Make the error for an object that tells of one inside an answer. Never raises."""
    report = read_value(value)
    kind = judge(report, report.status)
    pause = None
    if kind is Kind.RATE_LIMITED:
        pause = retry_after({}, report.words, profile)
    where = f"error {report.status} in its answer" if report.status else "an error in its answer"
    return _failure(kind, report, profile, report.status or 200, where, pause)


def failure_from_body(body: bytes, profile: Profile) -> TurnError:
    """Make the error for a 200 whose body is no answer: a page, text, other JSON, nothing.

    PROVIDER_BROKEN, unless the words tell more: LM Studio answers a context overflow with text.
    """
    report = read_body(body)
    kind = Kind.PROVIDER_BROKEN if report.page else judge(report, report.status)
    if kind is not Kind.PROVIDER_BROKEN:
        pause = retry_after({}, report.words, profile) if kind.transient else None
        return _failure(kind, report, profile, report.status or 200, "HTTP 200", pause)
    message = (
        f"{profile.label} answered HTTP 200, but what it sent is not a {profile.speaks} answer: "
        f"{_what_came(report)} {_address_hint(profile)}"
    )
    return TurnError(kind, message, provider=profile.name, provider_status=200)


def _error_in(chunk: Chunk, event: str) -> Any:
    """The part of `chunk` that tells of an error, None when no part does."""
    choice = next((choice for choice in chunk.choices or () if choice.error), None)
    if choice is not None:
        return {"error": choice.error}
    if chunk.error or event == "error" or chunk.object == "error" or chunk.success is False:
        return _members(chunk)
    if status_of(chunk.status_code) >= 400 or _base_resp_failed(chunk.base_resp):
        return _members(chunk)
    if chunk.choices:
        return _finished_with_error(chunk.choices[0])
    return _flat_error(chunk)


def _base_resp_failed(base_resp: Any) -> bool:
    """MiniMax says how it went in every answer: `{"status_code": 0}` is success."""
    return isinstance(base_resp, dict) and base_resp.get("status_code") not in (None, 0, "0")


def _finished_with_error(choice: Choice) -> Any:
    if choice.finish_reason != "error":
        return None
    return {"message": 'it ended the answer with finish_reason "error".'}


def _flat_error(chunk: Chunk) -> Any:
    """A chunk without choices: flat errors have no mark but their words (Cerebras, Z.ai)."""
    wrapped = chunk.data if isinstance(chunk.data, dict) else {}
    if wrapped.get("choices"):
        return None  # A wrapped chunk, which the reader unwraps (Q12).
    if wrapped.get("error") or wrapped.get("success") is False:
        return wrapped
    status = status_of(chunk.code)
    said = chunk.detail or (isinstance(chunk.message, str) and chunk.message and not chunk.usage)
    if status >= 400 or (said and not status and chunk.code not in (0, "0")):
        return _members(chunk)
    return None


def _members(chunk: Chunk) -> dict[str, Any]:
    """The members that shapes of errors are made of."""
    members = {
        "error": chunk.error,
        "message": chunk.message,
        "detail": chunk.detail,
        "code": chunk.code,
        "status_code": chunk.status_code,
        "base_resp": chunk.base_resp,
        "data": chunk.data,
    }
    return {name: value for name, value in members.items() if value is not None}


_PAGE_WITHOUT_TITLE = "it answered with an HTML page."
_OPENINGS = {
    Kind.CONTEXT_OVERFLOW: "The conversation is longer than the context window of {label}'s model",
    Kind.QUOTA_EXHAUSTED: "The quota or balance at {label} is used up",
    Kind.RATE_LIMITED: "{label} limits the rate of requests, try again in {pause}s",
    Kind.PROVIDER_CREDENTIALS: "{label} refused access",
    Kind.CONTENT_POLICY: "{label} refused the content",
    Kind.MODEL_NOT_FOUND: "{label} does not serve this model",
    Kind.PROVIDER_REFUSED: "{label} refused the request",
    Kind.PROVIDER_TIMEOUT: "{label} ran out of time",
    Kind.PROVIDER_BROKEN: "{label} failed",
}


def _failure(
    kind: Kind, report: Report, profile: Profile, status: int, where: str, pause: float | None
) -> TurnError:
    if kind is Kind.RATE_LIMITED and pause is None:
        pause = DEFAULT_PAUSE_SECONDS
    # Our pause stands before the provider's words: Codex takes the first one that it finds.
    opening = _OPENINGS[kind].format(label=profile.label, pause=f"{round(pause or 0, 3):g}")
    code = fit_to_show(report.names[0], 60) if report.names else ""
    head = f"{opening} ({where}{', ' if code else ''}{code}):"
    words = _own_words(report, about_key=kind is Kind.PROVIDER_CREDENTIALS)
    advice = _advice(kind, report, profile, status)
    return TurnError(
        kind,
        " ".join(filter(None, (head, words, advice))),
        retry_after=pause,
        provider=profile.name,
        provider_status=status,
        failed_generation=report.failed_generation,
    )


def _own_words(report: Report, *, about_key: bool = False) -> str:
    """What the provider said, closed with a full stop."""
    words = fit_to_show(report.words, about_key=about_key)
    if report.page:
        return f'it answered with an HTML page, "{words}".' if words else _PAGE_WITHOUT_TITLE
    if not words:
        return "it gave no reason."
    return words if words[-1] in ".!?…" else f"{words}."


def _what_came(report: Report) -> str:
    if report.words or report.page:
        return _own_words(report)
    return "nothing came at all, as from some servers when the prompt is too long for the model."


def _advice(kind: Kind, report: Report, profile: Profile, status: int) -> str:
    """What to do next, '' where nobody knows."""
    if kind is Kind.PROVIDER_CREDENTIALS:
        return _key_hint(profile)
    if kind is Kind.QUOTA_EXHAUSTED:
        return f"Check the plan and the billing of the account at {profile.label}."
    if kind is Kind.MODEL_NOT_FOUND:
        return _model_hint(profile)
    if kind is Kind.CONTEXT_OVERFLOW:
        return "Shorten or compact the conversation, or start a new one."
    if kind is Kind.PROVIDER_REFUSED:
        return _refusal_hint(report, profile, status)
    if bad_tool_call(report):
        return "The model wrote a tool call that cannot be read; another try often succeeds."
    return ""


def _model_hint(profile: Profile) -> str:
    listed = "; GET /v1/models lists what it serves" if profile.models_path else ""
    return f"Choose another with --model or {profile.model_env}{listed}."


def _key_hint(profile: Profile) -> str:
    if profile.auth == "chatgpt":
        return "It was asked with the ChatGPT login: see anyturn status."
    if profile.auth == "client":
        return "It was asked with the client's own login, which only the client can renew."
    if not profile.key_env:
        return "Check the API key that it is called with."
    return f"The API key is read from {' or '.join(profile.key_env)}: check it there."


def _refusal_hint(report: Report, profile: Profile, status: int) -> str:
    if report.page or status in (404, 405) or 300 <= status < 400:
        return _address_hint(profile)
    if not report.words:
        return "Some providers answer so when the prompt is too long."
    return ""


def _address_hint(profile: Profile) -> str:
    address = fit_to_show(f"{profile.base_url}{profile.path}", 300)
    other = "chat" if profile.wire == "responses" else "responses"
    return (
        f"Is {address} the address of a {profile.speaks} server? Check the base URL, "
        f"or try --wire {other}."
    )
